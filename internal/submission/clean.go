package submission

import (
	"strings"
	"unicode"
)

// clean makes one line of foreign text comparable: invisible characters go,
// every blank becomes a space (tabs stay: they part cells), full-width forms
// and typographic quotes become the ASCII that was typed. Dashes and the
// ellipsis stay, since "–" may have been "-" or "--": see variants.
func clean(s string) string {
	if printable(s) {
		return strings.TrimRight(s, " \t")
	}
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range s {
		switch {
		case r == '\t':
			b.WriteByte('\t')
		case r >= 0xFF01 && r <= 0xFF5E: // full-width ASCII
			b.WriteRune(r - 0xFEE0)
		case r == '‘' || r == '’' || r == '‚' || r == '‛' || r == '′' || r == 'ʼ':
			b.WriteByte('\'')
		case r == '“' || r == '”' || r == '„' || r == '‟' || r == '″':
			b.WriteByte('"')
		case r == '‐' || r == '‑':
			b.WriteByte('-')
		case r == 0x2028 || r == 0x2029 || unicode.IsSpace(r):
			b.WriteByte(' ')
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Variation_Selector, r) || unicode.Is(unicode.Co, r):
			// zero-width, soft hyphen, direction marks: never typed on purpose
		default:
			b.WriteRune(r)
		}
	}
	return composeWords(strings.TrimRight(b.String(), " \t"))
}

// printable tells whether s is ASCII without control characters but tabs, in
// which clean has nothing to do.
func printable(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < ' ' || c > '~') && c != '\t' {
			return false
		}
	}
	return true
}

// fold is the form in which words are compared: lower case without accents.
// The verb "è" becomes "e'", so that it stays apart from "e".
func fold(word string) string {
	word = strings.ToLower(word)
	switch word {
	case "è", "é", "e'", "e`", "e´":
		return "e'"
	}
	if isASCII(word) {
		return word
	}
	return unaccent.Replace(word)
}

var unaccent = strings.NewReplacer("à", "a", "á", "a", "â", "a", "ä", "a", "è", "e", "é", "e", "ê", "e", "ë", "e",
	"ì", "i", "í", "i", "î", "i", "ï", "i", "ò", "o", "ó", "o", "ô", "o", "ö", "o", "ù", "u", "ú", "u", "û", "u", "ü", "u", "ç", "c", "ñ", "n")

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// reLinkTarget is what mail programs add to a word that was a link in the
// HTML: "word<mailto:word>".
var reLinkTarget = newPattern(`<(mailto:|https?://)[^<>\s]*>`)

// plainLines cuts a plain text into lines. Quotation marks at the start go
// (they are kept as a flag); with format=flowed (RFC 3676) a line that ends
// with a blank continues on the next one of the same depth.
func plainLines(text string, flowed, delSp bool) []srcLine {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.ReplaceAll(text, "\r", "\n")
	var out []srcLine
	open, openDepth := false, 0
	lines := strings.Split(text, "\n")
	lone := loneMark(lines)
	for i, raw := range lines {
		if strings.Contains(raw, "<mailto:") || strings.Contains(raw, "<http") {
			raw = reLinkTarget.ReplaceAllString(raw, "")
		}
		depth, rest := quoteDepth(raw)
		if i == lone {
			depth, rest = 0, raw
		}
		if flowed {
			rest = strings.TrimPrefix(rest, " ") // space-stuffing
		}
		soft := flowed && strings.HasSuffix(rest, " ") && strings.TrimSpace(rest) != "" && rest != "-- "
		if soft && delSp {
			rest = rest[:len(rest)-1]
		}
		if open && depth == openDepth && rest != "-- " && len(out[len(out)-1].text) < 4096 { // joining is quadratic
			prev := &out[len(out)-1]
			joined := prev.text
			if !delSp {
				joined += " "
			}
			prev.text = joined + clean(rest)
		} else {
			out = append(out, srcLine{n: i + 1, text: clean(rest), quoted: depth > 0})
		}
		open, openDepth = soft, depth
	}
	return out
}

// loneMark is the index of the only line that starts with ">", if it is a
// single word: then that is no quotation, but a password with ">" in front.
func loneMark(lines []string) int {
	at := -1
	for i, l := range lines {
		if strings.HasPrefix(l, ">") {
			if at >= 0 {
				return -1
			}
			at = i
		}
	}
	if at >= 0 && (len(strings.Fields(lines[at])) != 1 && !strings.Contains(lines[at], " - ") || strings.HasPrefix(lines[at], "> ")) {
		return -1
	}
	return at
}

// quoteDepth counts leading ">" marks.
func quoteDepth(s string) (int, string) {
	depth := 0
	rest := s
	for {
		t := strings.TrimLeft(rest, " \t")
		if len(t) == 0 || t[0] != '>' || len(rest)-len(t) > 3 {
			break
		}
		depth++
		rest = strings.TrimPrefix(t[1:], " ")
	}
	if depth == 0 {
		return 0, s
	}
	return depth, rest
}
