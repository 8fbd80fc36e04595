package submission

import "strings"

// scanner reads one text, line by line.
type scanner struct {
	sender  string          // the mailbox that the letter is from
	names   map[string]bool // words of the sender's name and mailbox
	dots    bool
	escapes bool
	rich    bool // the text was HTML
	hits    []hit
	pending *context // a label that still waits for its value
	age     int      // non-blank lines since pending began
	mailbox string   // named on an earlier line, waiting for its password
	boxAge  int
}

// scan reads all lines of one zone class: own words (with signature and
// notice), or quoted ones.
func (s *scanner) scan(t *text, quoted bool) {
	blank := false
	for i := range t.lines {
		l := &t.lines[i]
		if (l.zone == zoneQuoted) != quoted {
			continue
		}
		if l.blank || len(l.toks) == 0 {
			blank = true
			continue
		}
		s.age++
		s.boxAge++
		if s.age > 6 {
			s.pending = nil
		}
		if s.boxAge > 3 {
			s.mailbox = ""
		}
		s.readLine(t, i, blank)
		blank = false
	}
}

func (s *scanner) readLine(t *text, index int, afterBlank bool) {
	l := &t.lines[index]
	c := context{mailbox: s.mailbox}
	header := false
	if s.pending != nil {
		if value, ok := aloneOn(l); ok && s.standalone(t, l, value, index) {
			return
		}
		if s.continues(l) && !afterBlank {
			c = *s.pending
		} else if startsWithValue(l) {
			c = *s.pending
			header = true
		}
	} else if value, ok := aloneOn(l); ok && s.standalone(t, l, value, index) {
		return
	}
	if cells := s.tableRow(t, index); cells {
		return
	}

	hitsBefore := len(s.hits)
	for i := 0; i < len(l.toks); {
		tok := &l.toks[i]
		if tok.open {
			c.opened = true
		}
		if tok.cell && c.ours() {
			c.hard, c.gap = true, 0 // "Password | value"
		}
		n := s.value(t, index, i, &c, header)
		if n > 0 {
			i += n
			continue
		}
		n = s.word(l, i, &c)
		if l.toks[i+n-1].shut {
			c.opened = false
		}
		i += n
	}
	s.swap(l, hitsBefore)
	s.either(l, hitsBefore)
	s.endLine(l, c, len(s.hits) > hitsBefore)
}

// endLine decides what of the context waits for the next line.
func (s *scanner) endLine(l *line, c context, hit bool) {
	if c.mailbox != "" && !hit {
		s.mailbox, s.boxAge = c.mailbox, 0
	}
	last := l.toks[len(l.toks)-1]
	switch {
	case hit && !(c.ours() && !c.inherit):
		s.pending = nil
	case c.ours() && !c.inherit:
		cc := c
		cc.words = append([]string(nil), c.words...)
		s.pending, s.age = &cc, 0
	case c.label == "field" && !hit && namesField(l):
		s.pending, s.age = &context{label: "field"}, 0
	case last.colon && lex().has(l.words, "is", "new") && s.pending == nil:
		// "Ecco quanto richiesto:" — a heading without the word.
		s.pending, s.age = &context{hard: true, words: append([]string(nil), l.words...)}, 0
	}
}

// namesField tells whether a line is the label of another value and nothing
// else: "Codice univoco", over it.
func namesField(l *line) bool {
	p, ok := lex().longest(l.words, "field")
	return ok && len(p.words) == len(l.words)
}

// continues tells whether the line goes on with the sentence of the line above.
func (s *scanner) continues(l *line) bool {
	first := l.toks[0]
	if len(first.words) == 0 || first.kind != kindWord {
		return false
	}
	r := first.s[0]
	return r >= 'a' && r <= 'z' || strings.HasPrefix(first.s, "è") || s.pending.gap > 0 && !s.pending.hard && r == '('
}

func startsWithValue(l *line) bool {
	k := l.toks[0].kind
	return k == kindStrong || k == kindWeird || (k == kindNone && len(l.toks) > 1 && (l.toks[1].kind == kindStrong || l.toks[1].kind == kindWeird))
}

// aloneOn gives the index of the only token of a line that isn't a bullet.
func aloneOn(l *line) (int, bool) {
	found := -1
	for i, tok := range l.toks {
		if tok.kind == kindNone && len(tok.words) == 0 && tok.core == "" && !strongPunct(tok.s) || i == 0 && len(l.toks) > 1 && isOrdinal(tok.s) {
			continue
		}
		if found >= 0 {
			return 0, false
		}
		found = i
	}
	return found, found >= 0
}

// strongPunct: a token of marks only that is long enough for a password.
func strongPunct(s string) bool {
	return len(s) >= 6 && isASCII(s) && strings.Trim(s, s[:1]) != ""
}

func isOrdinal(s string) bool {
	return len(s) <= 3 && strings.TrimRight(s, ".)") != s && strings.Trim(s, "0123456789.)") == ""
}

// standalone takes a value that has a line for itself.
func (s *scanner) standalone(t *text, l *line, i, index int) bool {
	tok := &l.toks[i]
	h := hit{line: index, kind: tok.kind, zone: l.zone, mailbox: s.mailbox}
	p := s.pending
	if p != nil && p.label == "field" {
		s.pending = nil
		return s.age == 1 && !tok.colon
	}
	waiting := p != nil && (p.ours() || p.hard)
	if tok.colon && len(tok.words) > 0 {
		return false // a label, or a name with a colon
	}
	if len(tok.words) > 0 {
		if ph, ok := lex().longest(l.words[tok.where:]); ok && len(ph.words) == len(tok.words) && tok.kind != kindStrong {
			return false
		}
	}
	switch tok.kind {
	case kindStrong:
	case kindWeird:
		h.weak = !waiting
	case kindNumber:
		if !waiting || !p.ours() || len(tok.core) < minLength {
			return false
		}
		h.weak = !p.hard || len(tok.core) >= 9
	case kindWord:
		quoted := unquoted(tok.s)
		if !waiting || !p.ours() || !p.hard && !quoted || knownWord(strings.ToLower(tok.core)) && !quoted || s.names[strings.ToLower(tok.core)] {
			return false
		}
		h.weak = true
	default:
		return false
	}
	h.link = linkAlone
	if waiting {
		s.fill(&h, p)
		h.link = linkHeader
		if p.label == "" {
			h.link = linkAlone
		}
		if p.mailbox != "" && h.mailbox == "" {
			h.mailbox = p.mailbox
		}
	}
	in := setting{alone: true, dots: s.dots, escapes: s.escapes, rich: s.rich}
	if rest := wrapped(t, index); rest != "" {
		h.reading = parted(tok.s, rest, in)
	}
	s.finish(t, &h, tok.s, in)
	if waiting {
		// A second value below the same label is as good as the first.
		s.age = 0
		if p.gap == 0 && p.hard {
			s.age = 4
		}
	}
	s.mailbox = ""
	return true
}
