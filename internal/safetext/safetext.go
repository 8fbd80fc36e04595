// Package safetext makes foreign text (subjects, senders, file names, answers
// of servers) safe to show in a terminal, a log line, systemd's STATUS=, a
// header field, a page or a calendar.
//
// It is a base package: it imports nothing of this module and every other
// package may import it.
package safetext

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// MaxLine is how many runes Line keeps.
const MaxLine = 300

// Line returns s as one harmless line: valid UTF-8, each run of white space
// (line ends included) one blank, no control, bidi, zero-width or other
// invisible characters, at most MaxLine runes.
func Line(s string) string { return LineN(s, MaxLine) }

// LineN is Line with at most n runes; a cut is shown by "…".
func LineN(s string, n int) string {
	var b strings.Builder
	count, blank := 0, false
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		if unicode.IsSpace(r) {
			blank = b.Len() > 0
			continue
		}
		if r == utf8.RuneError && size <= 1 {
			r = '?'
		} else if invisible(r) {
			continue
		}
		if blank {
			b.WriteByte(' ')
			count++
			blank = false
		}
		if count >= n {
			b.WriteRune('…')
			break
		}
		b.WriteRune(r)
		count++
	}
	return b.String()
}

// Block is Line for text of several lines: line ends stay, everything else is
// cleaned line by line. It keeps at most maxLines lines.
func Block(s string, maxLines int) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.ReplaceAll(s, "\r", "\n")
	lines := strings.SplitN(s, "\n", maxLines+1)
	if len(lines) > maxLines {
		lines = append(lines[:maxLines], "…")
	}
	for i, l := range lines {
		lines[i] = Line(l)
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// Text is s as it is, of any length and with its line ends and blanks, but
// without what Line leaves out. It is for the program's own words that may
// quote something foreign.
func Text(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == utf8.RuneError:
			return '?'
		case invisible(r):
			return -1
		}
		return r
	}, s)
}

// maxAddress is how many runes Address keeps. Source: RFC 5321 §4.5.3.1.3.
const maxAddress = 254

// Address is Line for a mail address. A domain with letters outside ASCII is
// shown as punycode and a local part with them as \u escapes, so that
// "pаypal" with a Cyrillic а never reads as its Latin twin.
func Address(s string) string {
	s = LineN(s, maxAddress)
	if utf8.RuneCountInString(s) > maxAddress { // the mark of the cut is no letter of the address
		return Address(strings.TrimSuffix(s, "…")) + "…"
	}
	local, domain, ok := cutLast(s, "@")
	if !ok {
		return escape(s)
	}
	if !isASCII(domain) {
		p, err := idna.Punycode.ToASCII(domain)
		if err != nil || !isASCII(p) {
			p = escape(domain)
		}
		domain = p
	}
	return escape(local) + "@" + domain
}

func escape(s string) string {
	if isASCII(s) {
		return s
	}
	var b strings.Builder
	const hex = "0123456789abcdef"
	for _, r := range s {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
			continue
		}
		b.WriteString(`\u{`)
		started := false
		for shift := 20; shift >= 0; shift -= 4 {
			d := (r >> shift) & 0xf
			if d != 0 || started || shift == 0 {
				b.WriteByte(hex[d])
				started = true
			}
		}
		b.WriteByte('}')
	}
	return b.String()
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// invisible: control (Cc), format (Cf: bidi, zero width, tags), private use
// and surrogates, variation selectors, fillers that render as nothing.
func invisible(r rune) bool {
	switch {
	case unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Co, r),
		unicode.Is(unicode.Cs, r), unicode.Is(unicode.Variation_Selector, r):
		return true
	case r == 0x115F, r == 0x1160, r == 0x3164, r == 0xFFA0, r == 0x034F, r == 0x2800:
		return true
	case !unicode.IsGraphic(r):
		return true
	}
	return false
}
