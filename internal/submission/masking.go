package submission

import (
	"fmt"
	"sort"
	"strings"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/safetext"
)

// mask stands for a hidden candidate, veil for a hidden word.
const (
	mask = "••••"
	veil = "▒▒▒"
)

// MaskLine replaces each occurrence of a candidate in line by "••••". It is
// for subjects and other short text; what is no candidate stays.
func MaskLine(line string, cands []Candidate) string {
	for _, v := range values(cands) {
		line = strings.ReplaceAll(line, v.s, mask)
	}
	return line
}

// value is a candidate's text with its number, from 1.
type value struct {
	s string
	n int
}

// values lists the candidates, the longest first, so that no part of a longer
// one is left when a shorter one is replaced.
func values(cands []Candidate) []value {
	var out []value
	for i, c := range cands {
		if !c.Secret.IsZero() {
			out = append(out, value{c.Secret.RevealString(), i + 1})
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return len(out[i].s) > len(out[j].s) })
	return out
}

// maxLetterLines is how much of a letter a person is shown.
const maxLetterLines = 400

// Letter makes the letter readable for the person who decides: sender, day
// and subject, the text the reading is from, the names of attachments.
// Candidates are marked by their number in cands, "[1: ••••]"; every word that
// is in no word list is "▒▒▒". With reveal both are shown. Everything has
// passed safetext.
func Letter(m *pec.Message, cands []Candidate, reveal bool) string {
	t := parseMessage(m.Original)
	l := open(m.Original, m.Subject, m.Mailbox)
	w := letterWriter{vals: values(cands), reveal: reveal, mailbox: m.Mailbox}
	fmt.Fprintf(&w.b, "Da:      %s\n", safetext.Address(m.Sender))
	fmt.Fprintf(&w.b, "Data:    %s\n", m.SentAt.In(rome).Format("02/01/2006 15:04"))
	w.b.WriteString("Oggetto: " + w.line(l.subject.lines[0].text) + "\n\n")
	texts := l.plain
	if len(texts) == 0 || len(cands) > 0 && strings.HasPrefix(cands[0].Where, "text/html") {
		texts = l.html
	}
	count := 0
	for _, t := range append(append([]text{}, texts...), l.attached...) {
		if strings.HasPrefix(t.source, "attachment") {
			w.b.WriteString("\n--- " + t.source + "\n")
		}
		for _, line := range t.lines {
			if count++; count > maxLetterLines {
				w.b.WriteString("…\n")
				break
			}
			prefix := ""
			if line.zone == zoneQuoted && !line.blank {
				prefix = "> "
			}
			w.b.WriteString(prefix + w.line(line.text) + "\n")
		}
	}
	for _, p := range t.parts {
		if p.name != "" {
			fmt.Fprintf(&w.b, "[%s: %s]\n", safetext.Line(p.mediaType), w.line(clean(p.name)))
		}
	}
	return strings.TrimRight(w.b.String(), "\n") + "\n"
}

type letterWriter struct {
	b       strings.Builder
	vals    []value
	reveal  bool
	mailbox string
}

// line shows one line: candidates marked, unknown words veiled.
func (w *letterWriter) line(s string) string {
	var out strings.Builder
	if len(s) > maxLine {
		s = s[:maxLine]
	}
	for len(s) > 0 {
		at, hit := len(s), value{}
		for _, v := range w.vals {
			if i := strings.Index(s[:min(len(s), at+len(v.s))], v.s); i >= 0 && i < at {
				at, hit = i, v
			}
		}
		out.WriteString(w.plain(s[:at]))
		if hit.n == 0 {
			break
		}
		shown := mask
		if w.reveal {
			shown = safetext.LineN(hit.s, maxLength)
		}
		fmt.Fprintf(&out, "[%d: %s]", hit.n, shown)
		s = s[at+len(hit.s):]
	}
	return out.String()
}

// plain shows text between candidates.
func (w *letterWriter) plain(s string) string {
	if w.reveal || strings.TrimSpace(s) == "" {
		return spaced(s, safetext.LineN(s, maxLine))
	}
	fields := strings.Fields(s)
	for i, f := range fields {
		if !w.harmless(f) {
			fields[i] = veil
		}
	}
	return spaced(s, safetext.LineN(strings.Join(fields, " "), maxLine))
}

// spaced puts back the blanks at both ends of s that safetext took off.
func spaced(s, shown string) string {
	if s == "" {
		return ""
	}
	if strings.TrimLeft(s, " \t") != s {
		shown = " " + shown
	}
	if shown != " " && strings.TrimRight(s, " \t") != s {
		shown += " "
	}
	return shown
}

// harmless tells whether a word may be shown: it is in a word list, is a
// date, a short number, a plain amount, or the sender's own address.
func (w *letterWriter) harmless(f string) bool {
	core := stripped(f)
	if toLowerASCII(core) == w.mailbox || reDate.MatchString(core) {
		return true
	}
	switch shape(core) {
	case kindNone:
		return len(f) <= 3
	case kindNumber:
		return len(core) <= 2 || len(core) == 4 && strings.HasPrefix(core, "20")
	case kindWord:
		// Odd capitals inside a known word may be the password's.
		low := strings.ToLower(core)
		return len(wordsOf(core)) > 0 && knownWord(low) && !hasOddCase(core) && len(f) <= len(core)+4
	}
	return false
}
