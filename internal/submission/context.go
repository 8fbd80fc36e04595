package submission

import "strings"

// context is what was read before a value: since the last value, or the
// start of the sentence.
type context struct {
	label   section
	inherit bool    // the label belongs to an earlier value of the sentence
	under   section // the label before a "field" label
	since   int     // words and phrases since the label
	labelAt int     // how many words were read when the label ended
	commaAt int     // how many words were read at the last comma
	hard    bool    // a colon or an arrow after the label
	soft    bool    // "is" after the label
	gap     int     // plain words since label, colon or "is"
	plain   int     // plain words in the whole context
	unknown int     // words between label and value that are in no list
	words   []string
	mailbox string
	several bool // more than one mailbox was named
	opened  bool
	ended   bool // a sentence ended since the label
	startAt int  // how many words were read then
}

// name notes a mailbox.
func (c *context) name(address string) {
	address = strings.ToLower(address)
	c.several = c.several || c.mailbox != "" && c.mailbox != address
	c.mailbox = address
}

func (c *context) ours() bool { return c.label == "app" || c.label == "password" || c.label == "code" }

func (c *context) direct() bool { return c.ours() && c.gap == 0 }

// leaveField goes back to the label before "field", if that was no label:
// "la password che uso sul telefono è …".
func (c *context) leaveField() {
	if c.label == "field" && c.under != "" && c.since > 1 && !c.hard {
		c.label, c.under = c.under, ""
	}
}

// word takes the word or phrase at token i into the context and returns how
// many tokens it covers.
func (s *scanner) word(l *line, i int, c *context) int {
	tok := &l.toks[i]
	if reMail.MatchString(tok.core) {
		c.name(tok.core)
		if c.label == "field" { // "Login: rossi@…" has its value
			*c = context{mailbox: c.mailbox, several: c.several, words: c.words, plain: c.plain, opened: c.opened}
		}
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
		if tok.stop {
			c.endSentence()
		}
		return 1
	}
	if tok.words[0] == "e" && c.direct() && !c.inherit && i+1 < len(l.toks) && (l.toks[i+1].kind == kindStrong || l.toks[i+1].kind == kindWeird) {
		c.soft = true // "LA PASSWORD E ABC123"
		return 1
	}
	n := 1
	p, ok := lex().longest(l.words[tok.where:])
	if !ok && len(tok.words) > 1 && elided[tok.words[0]] { // "l'utente"
		if q, is := lex().longest(l.words[tok.where+1:]); is {
			p, ok = phrase{words: l.words[tok.where : tok.where+1+len(q.words)], sections: q.sections}, true
		}
	}
	if !ok && passwordWord(tok.words[0]) {
		p, ok = phrase{words: tok.words[:1], sections: []section{"password"}}, true
	}
	c.words = append(c.words, tok.words...)
	c.plain++
	c.since++
	if ok {
		end := l.tokOf[tok.where+len(p.words)-1]
		for j := i + 1; j <= end; j++ {
			c.words = append(c.words, l.toks[j].words...)
			c.plain++
		}
		n = end - i + 1
		tok = &l.toks[end]
		c.take(p)
	} else {
		c.gap++
		if s.qualifies(tok, c) {
			c.unknown++
		}
	}
	if tok.colon {
		c.hard, c.gap = true, 0
	}
	if tok.comma {
		c.commaAt = len(c.words)
	}
	if tok.stop && tok.kind != kindNone && !abbreviated(l, i+n-1) {
		c.endSentence()
	}
	return n
}

// abbreviated tells whether the dot of token i cuts a word short: "n.",
// "prot. 884/AM", but not "la pass. Grazie".
func abbreviated(l *line, i int) bool {
	tok := l.toks[i]
	if tok.kind != kindWord || tok.quest || !strings.HasSuffix(tok.s, ".") {
		return false
	}
	if i+1 < len(l.toks) && startsUpper(l.toks[i+1].s) && strings.ContainsAny(tok.core[len(tok.core)-1:], "aeiou") {
		return false // "che usate voi. È uscita …"
	}
	if len(tok.words) == 1 && lex().plain["shortened"][tok.words[0]] {
		return true // "Dott. Neri"
	}
	return len(tok.core) <= 3 || len(tok.core) == 4 && i+1 < len(l.toks) && (l.toks[i+1].kind != kindWord || startsLower(l.toks[i+1].s))
}

// elided are the articles and prepositions that an apostrophe joins to a word.
var elided = map[string]bool{"l": true, "un": true, "dell": true, "all": true, "nell": true, "sull": true, "dall": true, "quell": true}

// qualifies: an unknown word right after the label may be what the password is
// for, "password Zeta: …".
func (s *scanner) qualifies(tok *token, c *context) bool {
	if !c.ours() || c.inherit || c.hard || c.soft {
		return false
	}
	if c.gap > 4 || c.gap > 2 && !startsUpper(tok.core) {
		return false
	}
	low := strings.ToLower(tok.core)
	return len(low) > 2 && !knownWord(low) && !s.names[low] && !ordinary(low)
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
	if !lex().has(c.words, "other", "otherhere", "webmail") {
		c.words = nil
	}
	c.ended, c.startAt = true, len(c.words)
}

// newSubject tells whether a sentence of its own begins with the last n words
// read: "Vi mando la password domani. La targa …".
func (c *context) newSubject(n int) bool {
	if !c.ended {
		return false
	}
	from := min(c.startAt, len(c.words))
	for _, w := range c.words[from:max(from, len(c.words)-n)] {
		if !lex().small["article"][w] {
			return false
		}
	}
	return true
}

// take takes a known phrase into the context.
func (c *context) take(p phrase) {
	switch {
	case p.is("app"):
		c.setLabel("app")
	case p.is("password"), p.namesPassword():
		c.setLabel("password")
	case p.is("is"):
		c.gap = 0
		c.soft = true
	case p.is("softfield") && c.ours() && !c.inherit:
		c.gap++ // "password della casella"
	case p.is("field"), p.is("softfield") && !p.is("mail", "mailweak"):
		if !(c.ours() && !c.inherit && !c.hard && !c.soft && len(p.words) == 1 && p.is("mail", "mailweak")) {
			fresh := c.newSubject(len(p.words))
			c.setLabel("field")
			if fresh {
				c.under = ""
			}
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
	if to == "field" && c.ours() && !c.inherit {
		c.under = c.label
	} else if to != "field" {
		c.under = ""
	}
	c.since, c.ended = 0, false
	c.label, c.inherit = to, false
	c.hard, c.soft = false, false
	c.gap, c.unknown = 0, 0
	c.labelAt = len(c.words)
}
