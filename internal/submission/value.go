package submission

import "strings"

// link is how a value hangs together with the word "password".
type link int

const (
	linkNone   link = iota // in a sentence that speaks of something else
	linkAlone              // alone on its line
	linkNear               // in a sentence about the password
	linkHeader             // alone on its line below a label
	linkDirect             // label, colon or "is", value
)

// hit is a value with what its surroundings say about it.
type hit struct {
	where   string
	line    int // index in the text
	kind    kind
	link    link
	label   section // app, password, code, field; "" none
	reading reading

	old, isNew, example, negated, dead bool
	asked                              bool // in a question
	unsure                             bool // in a line that says "perhaps"
	other, webmail, mail               bool // what the password is for
	unknown                            bool // a word between label and value that is in no list
	doubtful                           bool // value unclear, see reading
	weak                               bool // looks like a word, a number or a date
	mailbox                            string
	tied                               bool // to a label of another kind
	severalBoxes                       bool // several mailboxes stand before it
	zone                               zone
}

// unquoted tells whether a token is marked as a value by quotes, backticks or
// asterisks. Brackets mark nothing.
func unquoted(s string) bool {
	if s == "" || strings.ContainsAny(s[:1], "([{<") {
		return false
	}
	_, ok := unwrap(strings.TrimRight(s, ".,;:"))
	return ok
}

// value takes a value that begins at token i, and returns how many tokens it
// takes; 0 if there is none.
func (s *scanner) value(t *text, index, i int, c *context, header bool) int {
	l := &t.lines[index]
	tok := &l.toks[i]
	if tok.core == "" && !strongPunct(tok.s) {
		return 0
	}
	c.leaveField()
	weak, ok := s.mayBeValue(l, i, c)
	if !ok {
		return 0
	}
	if c.label == "field" && !c.inherit && c.gap <= 2 {
		// The value of another label: a user name, a fiscal code.
		*c = context{mailbox: c.mailbox}
		return 1
	}

	h := hit{line: index, kind: tok.kind, zone: l.zone, weak: weak}
	s.fill(&h, c)
	h.tied = c.label == "field"
	h.link = linkOf(l, tok, c, header)
	n := 1
	if c.direct() || header {
		n = s.runLength(l, i)
	}
	in := s.setting(l, i, i+n, c)
	if n > 1 {
		in.more = false
		h.reading = several(l.toks[i:i+n], in)
	}
	if i+n < len(l.toks) && strings.HasPrefix(l.toks[i+n].s, "+") {
		h.doubtful = true // "… + the year"
	}
	after(l, i+n, &h)
	s.finish(t, &h, l.toks[i+n-1].s, in)
	s.mailbox = ""
	if h.example && !h.isNew {
		// The label still waits for its value.
		*c = context{label: c.label, hard: l.toks[i+n-1].colon, mailbox: c.mailbox}
		return n
	}
	*c = context{label: c.label, inherit: true, opened: c.opened && !l.toks[i+n-1].shut}
	return n
}

// mayBeValue tells whether token i can be a password where it stands, and
// whether it looks too ordinary to be sure of.
func (s *scanner) mayBeValue(l *line, i int, c *context) (weak, ok bool) {
	tok := &l.toks[i]
	last := i == len(l.toks)-1
	words, known := 0, false // of the phrase that begins here
	if len(tok.words) > 0 {
		p, is := lex().longest(l.words[tok.where:])
		words, known = len(p.words), is && len(p.words) >= len(tok.words)
	}
	low := strings.ToLower(tok.core)
	switch tok.kind {
	case kindStrong:
		return false, !known || words == len(tok.words)
	case kindWeird:
		coded := strings.ContainsAny(tok.core, "0123456789") && !c.inherit
		return !c.direct() && !coded, !known && c.ours()
	case kindNumber:
		ok = c.direct() && c.label != "code" && !known && len(tok.core) >= minLength && !countsSomething(l, i)
		return !c.hard || len(tok.core) >= 9, ok
	case kindWord:
		if unquoted(tok.s) {
			return true, c.direct()
		}
		if !c.direct() || !c.hard || known || knownWord(low) || s.names[low] {
			return true, false
		}
		return true, last || endsValue(l, i+1)
	case kindOther:
		if reMail.MatchString(tok.core) {
			c.name(tok.core)
		}
		return true, c.direct() && c.hard && last && !c.inherit
	}
	return true, c.direct() && strongPunct(tok.s)
}

// linkOf tells how the value hangs together with the label.
func linkOf(l *line, tok *token, c *context, header bool) link {
	switch {
	case header:
		return linkHeader
	case c.direct():
		return linkDirect
	case c.ours() && !c.inherit && c.unknown == 0 && !c.hard && !c.soft && tok.kind == kindStrong:
		return linkDirect // "password per outlook Xy12ab"
	case c.ours():
		return linkNear
	case c.label != "":
		return linkNone
	}
	announced := c.gap <= 2 && lex().has(c.words, "is", "new", "old") || c.plain == 1 && lex().has(c.words, "instead") // "ecco la nuova: …", "la vecchia era …"
	named := c.hard && c.gap == 0 && c.plain <= 30 && familiar(c.words)
	begins := l.zone == zoneOwn && tok.kind == kindStrong && tok.where <= 4 && familiar(c.words)
	if announced || named || begins {
		return linkNear
	}
	return linkNone
}

// setting describes what surrounds a value from token start to before end.
func (s *scanner) setting(l *line, start, end int, c *context) setting {
	quotes := 0
	for _, t := range l.toks[max(0, start-30):start] {
		quotes += strings.Count(t.s, `"`)
	}
	return setting{
		quote:    quotes%2 == 1,
		more:     end < len(l.toks) && !l.toks[end].cell && len(l.toks[end].words) > 0,
		labelled: c.hard && c.plain <= 5 && c.direct(),
		prose:    c.plain >= 3 || c.soft && c.plain >= 2,
		dots:     s.dots,
		opened:   c.opened,
		closed:   closes(l, end),
		escapes:  s.escapes,
		bracket:  end < len(l.toks) && l.toks[end].open,
		goesOn:   end < len(l.toks) && startsLower(l.toks[end].s),
	}
}

// familiar tells whether two words of three are known, or could be of the
// language: a sentence, not somebody's own label.
func familiar(words []string) bool {
	strange := 0
	for _, w := range words {
		if !knownWord(w) && !ordinary(w) {
			strange++
		}
	}
	return strange*3 <= len(words)
}

// countsSomething: "90 giorni", "3 mesi", "8 caratteri".
func countsSomething(l *line, i int) bool {
	if i+1 >= len(l.toks) || len(l.toks[i+1].words) == 0 {
		return false
	}
	_, ok := lex().longest(l.words[l.toks[i+1].where:], "day", "week", "months", "code", "month")
	return ok
}

// endsValue tells whether the token at i can't belong to a value before it.
func endsValue(l *line, i int) bool {
	tok := l.toks[i]
	if tok.open || tok.cell || len(tok.words) == 0 || tok.kind == kindOther {
		return true
	}
	if _, ok := lex().longest(l.words[tok.where:]); ok {
		return true
	}
	return tok.kind == kindWord && knownWord(strings.ToLower(tok.core))
}

// runLength is how many tokens a value pasted with blanks may take.
func (s *scanner) runLength(l *line, i int) int {
	n := 1
	for i+n < len(l.toks) && n < 16 {
		prev := l.toks[i+n-1]
		if prev.comma || prev.colon || prev.shut || prev.stop && !prev.quest || endsValue(l, i+n) || s.names[strings.ToLower(l.toks[i+n].core)] || countsSomething(l, i+n) {
			break
		}
		n++
	}
	return n
}

// several reads a value written with blanks: without them, with them, and
// each piece.
func several(toks []token, in setting) reading {
	r := reading{doubtful: true}
	var joined, spaced []string
	for _, t := range toks {
		joined = append(joined, t.s)
	}
	spaced = joined
	for _, f := range read(strings.Join(joined, ""), in).forms {
		r.add(f)
	}
	r.add(strings.TrimRight(strings.Join(spaced, " "), ".,;"))
	for _, t := range toks {
		if t.kind == kindStrong || t.kind == kindWeird {
			for _, f := range read(t.s, in).forms {
				r.add(f)
			}
		}
	}
	return r
}

// closes tells whether a bracket opened before token from is closed after it.
func closes(l *line, from int) bool {
	depth := 0
	for _, t := range l.toks[min(from, len(l.toks)):] {
		if t.open {
			depth++
		}
		if t.shut {
			if depth == 0 {
				return true
			}
			depth--
		}
	}
	return false
}

// maxHits bounds the values kept of one text; a letter has a handful.
const maxHits = 200

// finish reads the forms of the value and keeps the hit.
func (s *scanner) finish(t *text, h *hit, raw string, in setting) {
	if len(h.reading.forms) == 0 {
		h.reading = read(raw, in)
	}
	if len(h.reading.forms) == 0 || len(s.hits) >= maxHits {
		return
	}
	h.doubtful = h.doubtful || h.reading.doubtful
	h.where = t.at(h.line)
	h.unsure = lex().has(t.lines[h.line].words, "doubt")
	s.hits = append(s.hits, *h)
}
