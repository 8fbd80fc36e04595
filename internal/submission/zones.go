package submission

import (
	"strings"
)

// zone is whose words a line holds.
type zone int

const (
	zoneOwn        zone = iota
	zoneSignature       // after the closing formula
	zoneDisclaimer      // the legal notice
	zoneQuoted          // an earlier message, answered or forwarded
)

// line is one line with what was recognised in it.
type line struct {
	n     int
	text  string
	zone  zone
	toks  []token
	words []string // of all tokens, in order
	tokOf []int    // for each word its token
	blank bool

	width  int // cells of a table row, see headRow; 0 not counted yet
	isHead bool
}

// text is one readable part of a message.
type text struct {
	source string // text/plain, text/html, attachment:N, subject
	lines  []line
}

func newText(source string, src []srcLine) text {
	t := text{source: source, lines: make([]line, 0, len(src))}
	for _, s := range src {
		l := line{n: s.n, text: s.text}
		if s.quoted {
			l.zone = zoneQuoted
		}
		if len(l.text) <= maxLine {
			l.toks = tokenize(l.text)
		}
		l.takeWords()
		l.blank = strings.TrimSpace(l.text) == ""
		t.lines = append(t.lines, l)
	}
	t.findQuotes()
	t.findSignature()
	t.findDisclaimer()
	return t
}

// takeWords fills words and tokOf.
func (l *line) takeWords() {
	n := 0
	for i := range l.toks {
		n += len(l.toks[i].words)
	}
	if n == 0 {
		return
	}
	l.words, l.tokOf = make([]string, 0, n), make([]int, 0, n)
	for i := range l.toks {
		for _, w := range l.toks[i].words {
			l.words = append(l.words, w)
			l.tokOf = append(l.tokOf, i)
		}
	}
}

// maxLine is the longest line that is read, in bytes: people's paragraphs
// stay below it, encoded blobs don't.
const maxLine = 8192

// findQuotes marks what follows the head of a quoted message, where no ">"
// shows it. With ">" only the introducing line needs marking: what stands
// below may be an answer.
func (t *text) findQuotes() {
	for i := range t.lines {
		l := &t.lines[i]
		if l.zone == zoneQuoted || l.blank {
			continue
		}
		intro, wrapped := t.introduces(i)
		if !intro {
			continue
		}
		l.zone = zoneQuoted
		next := i + 1
		if wrapped {
			t.lines[next].zone = zoneQuoted
			next++
		}
		for next < len(t.lines) && t.lines[next].blank {
			next++
		}
		if next < len(t.lines) && t.lines[next].zone == zoneQuoted {
			continue // its text is marked line by line
		}
		for j := i; j < len(t.lines); j++ {
			t.lines[j].zone = zoneQuoted
		}
		return
	}
}

// reWrote is the introducing line of most programs: "Il giorno … ha scritto:",
// "On … wrote:". It needs a date or an address.
var reWrote = newPattern(`(?i)(\d{4}|\d{1,2}[:.]\d{2}|@).*\b(ha scritto|hanno scritto|wrote|ha inviato il seguente messaggio)\s*:?\s*$|^(il|on)\b.*\d.*\b(ha scritto|wrote)\s*:?\s*$`)

// saysWrote tells whether a line ends as all that reWrote matches does. It
// looks at letters only that have no other case than their two.
func saysWrote(line string) bool {
	end := strings.TrimRight(line, " \t\n\f\r")
	end = strings.TrimRight(strings.TrimSuffix(end, ":"), " \t\n\f\r")
	for _, word := range []string{"critto", "wrote", "aggio"} {
		if len(end) >= len(word) && strings.EqualFold(end[len(end)-len(word):], word) {
			return true
		}
	}
	return false
}

// introduces tells whether line i starts a quoted message; wrapped, if the
// introducing sentence takes the next line, too.
func (t *text) introduces(i int) (intro, wrapped bool) {
	l := &t.lines[i]
	if len(l.text) > 300 {
		return false, false
	}
	if saysWrote(l.text) && reWrote.MatchString(l.text) {
		return true, false
	}
	if i+1 < len(t.lines) && !t.lines[i+1].blank && saysWrote(t.lines[i+1].text) {
		first := strings.ToLower(l.text)
		if strings.HasPrefix(first, "il ") || strings.HasPrefix(first, "on ") {
			if reWrote.MatchString(l.text+" "+t.lines[i+1].text) && len(t.lines[i+1].words) <= 10 {
				return true, true
			}
		}
	}
	trimmed := strings.Trim(l.text, " -_*=")
	if len(l.words) > 0 && len(l.words) <= 7 {
		if p, ok := lex().longest(l.words, "quote"); ok {
			dashes := strings.HasPrefix(strings.TrimSpace(l.text), "--")
			if dashes || len(p.words) == len(l.words) && len(p.words) >= 2 && strings.TrimRight(trimmed, ":") == trimmed || len(p.words) == len(l.words) && len(p.words) >= 3 {
				return true, false
			}
		}
	}
	return t.mailHead(i), false
}

// mailHead recognises the block "Da: … Inviato: … A: … Oggetto: …".
func (t *text) mailHead(i int) bool {
	if !isMailHeadLine(&t.lines[i]) {
		return false
	}
	heads := 0
	for j := i; j < len(t.lines) && j < i+8; j++ {
		if isMailHeadLine(&t.lines[j]) {
			heads++
		}
	}
	return heads >= 3
}

func isMailHeadLine(l *line) bool {
	if len(l.words) == 0 {
		return false
	}
	p, ok := lex().longest(l.words, "mailhead")
	if !ok {
		return false
	}
	last := l.tokOf[len(p.words)-1]
	return l.toks[last].colon || last+1 < len(l.toks) && l.toks[last+1].colon
}

// findSignature marks what follows the closing formula, up to the quotation.
func (t *text) findSignature() {
	closed := false
	seen := false // something was said before
	for i := range t.lines {
		l := &t.lines[i]
		if l.zone != zoneOwn || l.blank {
			continue
		}
		bare := strings.TrimSpace(l.text)
		if bare == "--" || bare == "__" {
			closed = true
			l.zone = zoneSignature
			continue
		}
		if !closed && seen && isClosing(*l) {
			closed = true
			l.zone = zoneSignature
			continue
		}
		if closed {
			l.zone = zoneSignature
		} else {
			seen = seen || !isGreeting(*l)
		}
	}
}

// isClosing: the line begins with a closing formula and says little else. A
// line with a password in it is none, whatever it begins with.
func isClosing(l line) bool {
	if len(l.words) == 0 || len(l.words) > 9 {
		return false
	}
	p, ok := lex().longest(l.words, "closing")
	if !ok || lex().has(l.words, "password", "app") {
		return false
	}
	rest := len(l.words) - len(p.words)
	for _, tok := range l.toks {
		if tok.kind == kindStrong || tok.kind == kindWeird && rest > 0 && !isUpper(tok.core) {
			return false
		}
	}
	return rest <= 5 && !l.toks[len(l.toks)-1].colon
}

func isGreeting(l line) bool {
	if len(l.words) == 0 {
		return true
	}
	p, ok := lex().longest(l.words, "greeting")
	return ok && len(l.words)-len(p.words) <= 5 && !lex().has(l.words, "password", "app")
}

func isUpper(s string) bool { return s == strings.ToUpper(s) }

// findDisclaimer marks the legal notice, from its first line to the end of
// the letter or the quotation.
func (t *text) findDisclaimer() {
	on := false
	for i := range t.lines {
		l := &t.lines[i]
		if l.zone == zoneQuoted || l.blank {
			continue
		}
		if !on && len(l.words) > 0 {
			for start := 0; start < len(l.words) && start < 4; start++ {
				if _, ok := lex().longest(l.words[start:], "disclaimer"); ok {
					on = len(l.words) >= 6 || len(l.words) <= 4
				}
			}
			if on && lex().has(l.words, "password", "app") {
				on = false
			}
		}
		if on {
			l.zone = zoneDisclaimer
		}
	}
}
