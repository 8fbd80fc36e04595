package submission

import (
	"strings"
)

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
	severalBoxes                       bool // several mailboxes stand before it
	zone                               zone
}

// context is what was read before a value: since the last value, or the
// start of the sentence.
type context struct {
	label   section
	inherit bool // the label belongs to an earlier value of the sentence
	labelAt int  // how many words were read when the label ended
	hard    bool // a colon or an arrow after the label
	soft    bool // "is" after the label
	gap     int  // plain words since label, colon or "is"
	plain   int  // plain words in the whole context
	unknown int  // words between label and value that are in no list
	words   []string
	mailbox string
	several bool // more than one mailbox was named
	opened  bool
}

// name notes a mailbox.
func (c *context) name(address string) {
	address = strings.ToLower(address)
	c.several = c.several || c.mailbox != "" && c.mailbox != address
	c.mailbox = address
}

func (c *context) ours() bool { return c.label == "app" || c.label == "password" || c.label == "code" }

func (c *context) direct() bool { return c.ours() && c.gap == 0 }

// scanner reads one text, line by line.
type scanner struct {
	names   map[string]bool // words of the sender's name and mailbox
	source  string
	dots    bool
	escapes bool
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
	case last.colon && lex.has(l.words, "is", "new") && s.pending == nil:
		// "Ecco quanto richiesto:" — a heading without the word.
		s.pending, s.age = &context{hard: true, words: append([]string(nil), l.words...)}, 0
	}
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
	waiting := p != nil && (p.ours() || p.hard)
	if tok.colon && len(tok.words) > 0 {
		return false // a label, or a name with a colon
	}
	if len(tok.words) > 0 {
		if ph, ok := lex.longest(l.words[tok.where:]); ok && len(ph.words) == len(tok.words) && tok.kind != kindStrong {
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
		s.fill(&h, p, l)
		h.link = linkHeader
		if p.label == "" {
			h.link = linkAlone
		}
		if p.mailbox != "" && h.mailbox == "" {
			h.mailbox = p.mailbox
		}
	}
	s.finish(t, &h, tok.s, setting{alone: true, dots: s.dots, escapes: s.escapes})
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

func unquoted(s string) bool {
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
	h := hit{line: index, kind: tok.kind, zone: l.zone}
	last := i == len(l.toks)-1
	ph, known := phrase{}, false
	if len(tok.words) > 0 {
		ph, known = lex.longest(l.words[tok.where:])
		known = known && len(ph.words) >= len(tok.words)
	}
	quoted := unquoted(tok.s)
	direct := c.direct()
	switch tok.kind {
	case kindStrong:
		if known && len(ph.words) > len(tok.words) {
			return 0
		}
	case kindWeird:
		if known || !c.ours() {
			return 0
		}
		h.weak = !direct
	case kindNumber:
		if !direct || known || len(tok.core) < minLength || countsSomething(l, i) {
			return 0
		}
		h.weak = !c.hard || len(tok.core) >= 9
	case kindWord:
		if !direct || !(c.hard || quoted) || known && !quoted {
			return 0
		}
		if knownWord(strings.ToLower(tok.core)) && !quoted || !quoted && s.names[strings.ToLower(tok.core)] {
			return 0
		}
		if !quoted && !last && !endsValue(l, i+1) {
			return 0
		}
		h.weak = true
	case kindOther:
		if reMail.MatchString(tok.core) {
			c.name(tok.core)
		}
		if !direct || !c.hard || !last || c.inherit {
			return 0
		}
		h.weak = true
	default:
		if !direct || !strongPunct(tok.s) {
			return 0
		}
		h.weak = true
	}
	if c.label == "field" && !c.inherit && c.gap <= 2 {
		// The value of another label: a user name, a fiscal code.
		*c = context{mailbox: c.mailbox}
		return 1
	}

	s.fill(&h, c, l)
	switch {
	case header:
		h.link = linkHeader
	case direct:
		h.link = linkDirect
	case c.ours():
		h.link = linkNear
		if !c.inherit && c.unknown == 0 && !c.hard && !c.soft && tok.kind == kindStrong {
			h.link = linkDirect // "password per outlook Xy12ab"
		}
	}
	if h.link == linkNone && c.label == "" && (c.gap <= 2 && lex.has(c.words, "is", "new", "old") ||
		c.hard && c.gap == 0 && c.plain <= 30 && familiar(c.words) ||
		l.zone == zoneOwn && tok.kind == kindStrong && c.plain <= 3 && familiar(c.words)) {
		h.link = linkNear // "ecco la nuova: …", "la vecchia era …"
	}
	n := 1
	if direct || header {
		n = s.runLength(l, i)
	}
	in := setting{
		more:     i+n < len(l.toks) && !l.toks[i+n].cell && len(l.toks[i+n].words) > 0,
		labelled: c.hard && c.plain <= 5 && direct,
		prose:    c.plain >= 4 || c.soft && c.plain >= 2,
		dots:     s.dots,
		opened:   c.opened,
		closed:   closes(l, i+n),
		escapes:  s.escapes,
		goesOn:   i+n < len(l.toks) && startsLower(l.toks[i+n].s),
	}
	if n > 1 {
		in.more = false
		h.reading = s.several(l.toks[i:i+n], in)
		h.doubtful = true
	}
	s.after(t, index, i+n, &h)
	s.finish(t, &h, l.toks[i+n-1].s, in)
	if h.example && !h.isNew {
		// The label still waits for its value.
		*c = context{label: c.label, hard: l.toks[i+n-1].colon, mailbox: c.mailbox}
		return n
	}
	*c = context{label: c.label, inherit: true, opened: c.opened && !l.toks[i+n-1].shut, mailbox: ""}
	s.mailbox = ""
	return n
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
	_, ok := lex.longest(l.words[l.toks[i+1].where:], "day", "week", "months", "code", "month")
	return ok
}

// endsValue tells whether the token at i can't belong to a value before it.
func endsValue(l *line, i int) bool {
	tok := l.toks[i]
	if tok.open || tok.cell || len(tok.words) == 0 || tok.kind == kindOther {
		return true
	}
	if _, ok := lex.longest(l.words[tok.where:]); ok {
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
func (s *scanner) several(toks []token, in setting) reading {
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
	h.unsure = lex.has(t.lines[h.line].words, "doubt")
	s.hits = append(s.hits, *h)
}

// word takes the word or phrase at token i into the context and returns how
// many tokens it covers.
func (s *scanner) word(l *line, i int, c *context) int {
	tok := &l.toks[i]
	if reMail.MatchString(tok.core) {
		c.name(tok.core)
	}
	if len(tok.words) == 0 {
		if tok.colon {
			c.hard, c.gap = true, 0
		}
		return 1
	}
	if tok.kind == kindOther { // dates, addresses, amounts: their words mean nothing
		c.gap++
		if tok.colon {
			c.hard, c.gap = true, 0
		}
		return 1
	}
	if tok.words[0] == "e" && c.direct() && !c.inherit && i+1 < len(l.toks) && (l.toks[i+1].kind == kindStrong || l.toks[i+1].kind == kindWeird) {
		c.soft = true // "LA PASSWORD E ABC123"
		return 1
	}
	n := 1
	p, ok := lex.longest(l.words[tok.where:])
	if !ok && passwordWord(tok.words[0]) {
		p, ok = phrase{words: tok.words[:1], sections: []section{"password"}}, true
	}
	c.words = append(c.words, tok.words...)
	c.plain++
	if ok {
		end := l.tokOf[tok.where+len(p.words)-1]
		for j := i + 1; j <= end; j++ {
			c.words = append(c.words, l.toks[j].words...)
			c.plain++
		}
		n = end - i + 1
		tok = &l.toks[end]
		s.takePhrase(p, c)
	} else {
		c.gap++
		low := strings.ToLower(tok.core)
		if c.ours() && !c.inherit && !c.hard && !c.soft && (c.gap <= 2 || c.gap <= 4 && startsUpper(tok.core)) && len(low) > 2 && !knownWord(low) && !s.names[low] && !ordinary(low) {
			c.unknown++
		}
	}
	if tok.colon {
		c.hard, c.gap = true, 0
	}
	if tok.stop && tok.kind != kindNone && !(tok.kind == kindWord && len(tok.core) <= 3 && !tok.quest) {
		c.endSentence()
	}
	return n
}

// endSentence forgets the sentence, but not a label that has no value yet, nor
// that it was a label for something else.
func (c *context) endSentence() {
	if !c.ours() || c.inherit {
		*c = context{mailbox: c.mailbox}
		return
	}
	if c.hard || c.soft {
		return
	}
	c.gap += 3
	c.unknown = 0
	if !lex.has(c.words, "other", "otherhere", "webmail") {
		c.words = nil
	}
}

// takePhrase takes a known phrase into the context.
func (s *scanner) takePhrase(p phrase, c *context) {
	switch {
	case p.is("app"):
		c.setLabel("app")
	case p.is("password"), p.namesPassword(), p.is("other") && p.words[0] == "password":
		c.setLabel("password")
	case p.is("is"):
		c.gap = 0
		c.soft = true
	case p.is("softfield") && c.ours() && !c.inherit:
		c.gap++ // "password della casella"
	case p.is("field"), p.is("softfield") && !p.is("mail", "mailweak"):
		if !(c.ours() && !c.inherit && !c.hard && !c.soft && len(p.words) == 1 && p.is("mail", "mailweak")) {
			c.setLabel("field")
		}
	case p.is("code"):
		if !c.ours() || c.inherit {
			c.setLabel("code")
		}
	default:
		if c.soft && p.is("new", "old") {
			return // "è ora", "è quella nuova:"
		}
		c.gap++
	}
}

func (c *context) setLabel(to section) {
	c.label, c.inherit = to, false
	c.hard, c.soft = false, false
	c.gap, c.unknown = 0, 0
	c.labelAt = len(c.words)
}
