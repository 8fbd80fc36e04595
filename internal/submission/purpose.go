package submission

// otherPurpose tells whether the words behind a label say what the password
// is for, and it is none of the things ours is for: "password del magazzino".
// What has a password is without end, so that only known things pass.
func otherPurpose(w []string) bool {
	small := lex().small
	i := 0
	for i < len(w) && i < 2 && !small["ofwhat"][w[i]] {
		if p, ok := lex().longest(w[i:]); !ok || !p.is("new", "old", "generated") { // "la password nuova del …"
			return false
		}
		i++
	}
	if i >= len(w) || !small["ofwhat"][w[i]] {
		return false
	}
	for i++; i < len(w); i++ {
		p, ok := lex().longest(w[i:])
		switch {
		case ok && p.is("app", "password", "mail", "mailweak", "webmail", "webmailweak", "softfield", "field", "neutral", "is", "expiry", "generated",
			"new", "old", "month", "monthday", "day", "week", "months", "within", "today", "yesterday", "code", "ui", "number", "greeting", "closing"):
			return false
		case small["ofskip"][w[i]] || small["ofwhat"][w[i]]:
			continue
		case ok:
			return true
		}
		return len(w[i]) >= 3 && !small["whose"][w[i]] && knownWord(w[i]) && !ordinary(w[i]) && !lex().names[w[i]]
	}
	return false
}

// swap finds "change A into B" among the hits of one line: A is the old one.
func (s *scanner) swap(l *line, from int) {
	for i := from; i+1 < len(s.hits); i++ {
		a, b := &s.hits[i], &s.hits[i+1]
		if a.end == 0 || b.end == 0 || b.start <= a.end {
			continue
		}
		before := wordsBetween(l, max(0, a.start-6), a.start)
		between := wordsBetween(l, a.end, b.start)
		if !endsWith(before, "swapfrom") || len(between) == 0 || len(between) > 5 || !endsWith(between, "swapto") {
			continue
		}
		a.old, a.link = true, max(a.link, linkNear)
		b.old, b.isNew, b.negated = false, true, false
		b.link = max(b.link, linkNear)
		if b.label == "" {
			b.label = a.label
		}
	}
}

// either marks two values of line l that the writer can't tell apart:
// "abc123 o abc128".
func (s *scanner) either(l *line, from int) {
	for i := from; i+1 < len(s.hits); i++ {
		a, b := &s.hits[i], &s.hits[i+1]
		if a.end == 0 || b.end == 0 || b.start <= a.end {
			continue
		}
		if w := wordsBetween(l, a.end, b.start); len(w) == 0 || len(w) > 2 || !lex().small["or"][w[0]] {
			continue
		}
		for _, h := range []*hit{a, b} {
			h.unsure, h.old, h.negated = true, false, false
		}
		b.link = max(b.link, a.link)
		if b.label == "" {
			b.label = a.label
		}
	}
}

func wordsBetween(l *line, from, to int) []string {
	var w []string
	for _, t := range l.toks[from:to] {
		w = append(w, t.words...)
	}
	return w
}

// endsWith tells whether a phrase of the section ends the words, or all but
// two of them that name the password: "cambiate la vecchia password …".
func endsWith(w []string, want section) bool {
	for i := range w {
		p, ok := lex().longest(w[i:], want)
		if !ok {
			continue
		}
		rest := w[i+len(p.words):]
		for len(rest) > 0 && (lex().small["ofskip"][rest[0]] || lex().has(rest[:1], "password", "old", "new")) {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			return true
		}
	}
	return false
}
