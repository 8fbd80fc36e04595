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
	purpose                            bool // for a thing that is none of ours
	start, end                         int  // its tokens on the line; 0, 0 unknown
	other, webmail, mail               bool // what the password is for
	wary                               bool // "se …", "non …" before a value that has no label
	paired                             bool // right behind the sender's own address: "rossi@… / abc123"
	tagged                             bool // right behind the mailbox' name: "PEC: abc123"
	private                            bool // another provider's, or not certified
	personal                           bool // "password personale": the webmail's, or a private mailbox's
	unknown                            bool // a word between label and value that is in no list
	doubtful                           bool // value unclear, see reading
	weak                               bool // looks like a word, a number or a date
	mailbox                            string
	tied                               bool // to a label of another kind
	counted                            bool // behind "n.": of some register
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
	spread := 0
	if c.direct() && (c.hard || c.soft) && !c.inherit {
		spread = spelled(l, i)
	}
	if !ok && spread == 0 {
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
	if h.label == "" && s.pairs(l, i, tok) {
		h.link, h.paired = max(h.link, linkNear), true
	}
	if h.label == "" && l.zone == zoneOwn && tok.kind == kindStrong && c.hard && c.gap <= 1 && len(c.words) <= 2 && lex().has(c.words, "mail", "mailweak") {
		h.link, h.tagged = max(h.link, linkNear), true
	}
	n := 1
	if c.direct() || header {
		n = max(s.runLength(l, i), spread)
	}
	in := s.setting(l, i, i+n, c)
	if n > 1 {
		in.more = false
		h.reading = several(l.toks[i:i+n], in)
	}
	if addsPiece(l, i+n) || strings.Contains(tok.s, "(") && !strings.Contains(tok.s, ")") && closes(l, i+n) {
		h.doubtful = true // "… + the year", "… e poi 9", "…(W o w?)"
	}
	if i+n == len(l.toks) && n == 1 {
		if rest := wrapped(t, index); rest != "" {
			h.reading = parted(tok.s, rest, in)
		}
	}
	h.start, h.end = i, i+n
	before := l.toks[max(0, i-1)]
	h.counted = i > 0 && h.label == "" && len(before.words) == 1 && lex().small["counter"][before.words[0]]
	after(l, i+n, &h)
	if marked := strings.TrimRight(tok.s, "?"); n == 1 && c.hard && c.direct() && i+1 == len(l.toks) && len(tok.s)-len(marked) == 1 && hasSpecial(marked) {
		h.asked = false // "Password: aB3!xY9?": a mark like the others
	}
	h.wary = h.link == linkNear && (wary(c.words[min(c.commaAt, len(c.words)):]) || passed(l, i+n))
	h.unsure = h.unsure || quotes(l, i) || s.another(c) || swapsCharacters(l, i+n)
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

// pairs tells whether the value at token i stands right behind the sender's
// own address, with nothing but a separator between: a user and a password.
func (s *scanner) pairs(l *line, i int, tok *token) bool {
	j := i - 1
	for j >= 0 && len(l.toks[j].words) == 0 && i-j <= 2 {
		j--
	}
	return j >= 0 && l.zone == zoneOwn && tok.kind == kindStrong && s.sender != "" && toLowerASCII(l.toks[j].core) == s.sender
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
		if tok.colon && len(tok.words) > 1 && (passwordWord(tok.words[0]) || lex().has(tok.words[:1], "password")) && knownWord(strings.Join(tok.words, " ")) {
			return true, false // "pswd_pec:"
		}
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
		dated := reDate.MatchString(tok.core) && roleOf(c.words) != roleNone // "scadenza chiave: 13/02/2024"
		return true, c.direct() && c.hard && last && !c.inherit && !dated
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
		capital:  end < len(l.toks) && startsUpper(l.toks[end].s),
		joined:   follows(l, end, "join"),
		thanks:   follows(l, end, "closing", "expiry", "within"),
		casual:   startsLower(l.toks[0].s),
		aside:    start > 0 && strings.HasSuffix(l.toks[start-1].s, ","),
		listed:   listed(l, start),
		rich:     s.rich,
	}
}

// listed tells whether a semicolon before token start parts the line.
func listed(l *line, start int) bool {
	if isOrdinal(l.toks[0].s) { // "2) la password è …;"
		return true
	}
	for _, t := range l.toks[max(0, start-30):start] {
		if strings.HasSuffix(t.s, ";") && (t.kind == kindOther || t.kind == kindStrong || t.kind == kindWord) {
			return true
		}
	}
	return false
}

// follows tells whether a phrase of one of the sections begins at token i.
func follows(l *line, i int, want ...section) bool {
	if i >= len(l.toks) || len(l.toks[i].words) == 0 {
		return false
	}
	_, ok := lex().longest(l.words[l.toks[i].where:], want...)
	return ok
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
	words := 0
	for i, t := range toks {
		joined = append(joined, t.s)
		if i > 0 && t.kind == kindWord && len(t.core) > 4 && pronounceable(t.core) {
			words++
		}
	}
	spaced = joined
	if toks[0].kind == kindStrong && words == len(toks)-1 {
		for _, f := range read(toks[0].s, in).forms { // "abc123 mandala al commercialista"
			r.add(f)
		}
	}
	if inner, marked := unwrap(strings.Join(spaced, " ")); marked {
		r.add(inner) // "abc 123" with its quotes
	}
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

// addsPiece tells whether the words from token i on add a piece to the value
// before them: a number or a character or two that count nothing.
func addsPiece(l *line, i int) bool {
	if i >= len(l.toks) {
		return false
	}
	if strings.HasPrefix(l.toks[i].s, "+") {
		return true
	}
	if l.toks[i-1].comma || l.toks[i-1].stop || len(l.toks[i].words) == 0 {
		return false
	}
	p, ok := lex().longest(l.words[l.toks[i].where:], "join", "minus")
	if !ok {
		return false
	}
	end := l.tokOf[l.toks[i].where+len(p.words)-1] + 1
	if end >= len(l.toks) {
		return false
	}
	next := l.toks[end]
	if p.is("minus") {
		return len(next.core) <= 2 // "senza il 2 finale"
	}
	switch next.kind {
	case kindNumber:
		return len(next.core) <= 4 && !countsSomething(l, end)
	case kindStrong, kindWeird:
		return len(next.core) < minLength
	case kindWord:
		return len(next.core) == 1 || len(next.core) == 2 && !knownWord(strings.ToLower(next.core))
	}
	return false
}

// wrapped is what stands alone on the line below, if it may be the rest of a
// value that ended the line: the value ends with a hyphen, or the rest is too
// short to be a value of its own.
func wrapped(t *text, index int) string {
	if index+1 >= len(t.lines) {
		return ""
	}
	l, next := &t.lines[index], &t.lines[index+1]
	if next.blank || next.zone != l.zone || len(next.toks) != 1 {
		return ""
	}
	tok, last := next.toks[0], l.toks[len(l.toks)-1]
	if tok.colon || len(tok.words) > 0 && lex().has(tok.words, "closing", "ui", "greeting", "expiry") {
		return ""
	}
	rest := tok.kind == kindWord && len(tok.core) > 0 && len(tok.core) < minLength && len(last.core) < shortest && !knownWord(strings.ToLower(tok.core)) // "Vr28", "Mk"
	hyphen := strings.HasSuffix(last.s, "-") && len(last.core) > 1
	short := len(tok.core) > 0 && len(tok.core) < minLength && (tok.kind == kindNumber || tok.kind == kindStrong || tok.kind == kindWeird)
	if hyphen && tok.kind != kindOther || short || rest {
		return tok.s
	}
	return ""
}

// parted reads a value that may go on below: all of it, with and without the
// hyphen at the break, or only the first part.
func parted(first, rest string, in setting) reading {
	r := reading{doubtful: true}
	r.add(first + rest)
	r.add(strings.TrimSuffix(first, "-") + rest)
	for _, f := range read(first, in).forms {
		r.add(f)
	}
	return r
}

// spelled counts the tokens from i to the end of the line where they are
// single characters, or groups of four small letters as app passwords are
// shown; 0 if they are neither.
func spelled(l *line, i int) int {
	size := len(l.toks[i].core)
	n := len(l.toks) - i
	if size == 1 && n < 6 || size == 4 && n < 3 || size != 1 && size != 4 || n > 24 {
		return 0
	}
	for _, t := range l.toks[i:] {
		if len(t.core) != size || size == 4 && (t.kind != kindWord && t.kind != kindWeird || t.core != strings.ToLower(t.core) || !isASCII(t.core)) {
			return 0
		}
	}
	return n
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
	h.unsure = h.unsure || lex().has(t.lines[h.line].words, "doubt")
	s.hits = append(s.hits, *h)
}
