package submission

import (
	"strings"
	"sync"
)

// dull tells, before the letter is read as a whole, that nothing in it can be a
// password or the word for one: most mail of a studio is of that kind, and
// this costs a third of reading it. All other letters are read.
//
// The invariant: the verdict on a dull letter is None, whatever documents and
// pictures hang on it and however its lines are divided into zones. It holds
// because
//
//   - no token is of a kind that can be a value without a label (kindStrong,
//     kindWeird), and no line has cells that a table could be made of;
//   - no phrase begins at any word that makes a label of ours (context.take),
//     says that the letter is about a password or an app, or that a date was
//     moved (facts.about, facts.intends, facts.extends).
//
// So no text has a hit, hence the verdict no group, and none of the facts holds
// that the states other than None need.
func (l *letter) dull() bool {
	if len(l.subject.lines[0].text) > maxLine {
		return false
	}
	d := dullers.Get().(*duller)
	defer d.release()
	if !d.line(l.subject.lines[0].text, l.subject.lines[0].toks) {
		return false
	}
	d.again = len(l.forms) > 1
	for _, f := range l.forms {
		for i := range f.lines {
			if text := f.lines[i].text; text != "" && !d.text(text) {
				return false
			}
		}
	}
	return true
}

// telling are the sections whose phrases a dull letter has none of.
var telling = []section{"app", "password", "code", "extend", "extendweak"}

// duller looks at one line after the other.
type duller struct {
	again bool            // the same lines may come again, in the HTML form:
	known map[string]bool // those that are dull
	toks  []token         // used again for the next line
	words []string
}

var dullers = sync.Pool{New: func() any { return &duller{known: map[string]bool{}} }}

// release gives d back for the next letter, with nothing of this one in it.
func (d *duller) release() {
	clear(d.known)
	clear(d.toks[:cap(d.toks)])
	clear(d.words[:cap(d.words)])
	if cap(d.toks) <= 256 { // else a letter like few
		dullers.Put(d)
	}
}

func (d *duller) text(text string) bool {
	if d.again && d.known[text] {
		return true
	}
	if len(text) <= maxLine { // what is longer is not read
		d.toks = appendTokens(d.toks[:0], text)
	} else {
		d.toks = d.toks[:0]
	}
	if !d.line(text, d.toks) {
		return false
	}
	if d.again {
		d.known[text] = true
	}
	return true
}

func (d *duller) line(text string, toks []token) bool {
	if strings.ContainsAny(text, "\t|") {
		return false
	}
	d.words = d.words[:0]
	for i := range toks {
		t := &toks[i]
		if t.kind == kindStrong || t.kind == kindWeird || t.core == "" && strongPunct(t.s) {
			return false
		}
		d.words = append(d.words, t.words...)
	}
	for i, w := range d.words {
		if w == "passwords" || passwordWord(w) {
			return false
		}
		if _, ok := lex().longest(d.words[i:], telling...); ok {
			return false
		}
	}
	return true
}
