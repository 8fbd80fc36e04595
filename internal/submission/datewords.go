package submission

import (
	"strings"
	"time"
)

// ordered is the place of a word in a list of all languages that has size
// entries a language, from 1; 0 if it isn't there.
func ordered(list section, size int, word string) int {
	for i, w := range lex().order[list] {
		if w == word {
			return i%size + 1
		}
	}
	return 0
}

// dayWord reads the day of the month in words: "primo", "l'otto", "tredici",
// "twenty-first". 0 is none.
func dayWord(tok *token) int {
	w := tok.words
	if len(w) > 1 && elided[w[0]] {
		w = w[1:]
	}
	if len(w) == 0 || len(w) > 2 {
		return 0
	}
	return ordered("monthday", 31, strings.Join(w, " "))
}

// howMany reads the number that words begin with, in digits or words, and
// tells how many words it takes: "90", "tre", "one hundred and eighty".
func howMany(w []string) (n, words int) {
	if len(w) == 0 {
		return 0, 0
	}
	if n := num(w[0]); n > 0 {
		return n, 1
	}
	for _, p := range lex().byFirst[w[0]] {
		if len(p.words) <= words || len(p.words) > len(w) || !equalWords(p.words, w[:len(p.words)]) {
			continue
		}
		for _, s := range p.sections {
			if value, ok := strings.CutPrefix(string(s), "number"); ok && value != "" {
				n, words = num(value), len(p.words)
			}
		}
	}
	switch unit := ordered("number", 10, w[0]); {
	case words > 0:
		return n, words
	case unit > 0:
		return unit, 1
	case lex().small["one"][w[0]]:
		return 1, 1
	}
	return 0, 0
}

// relative reads "oggi" and "ieri" in a line about a generated password, as
// days before the letter. ok is false without one.
func (d *dater) relative(l *line) (day time.Time, ok bool) {
	if !lex().has(l.words, "generated") || lex().has(l.words, "undone", "future") {
		return time.Time{}, false
	}
	for i := range l.words {
		p, is := lex().longest(l.words[i:], "today", "yesterday", "daybefore")
		switch {
		case !is || i > 0 && (l.words[i-1] == "da" || l.words[i-1] == "di"):
		case p.is("daybefore"):
			return d.today.AddDate(0, 0, -2), true
		case p.is("yesterday"):
			return d.today.AddDate(0, 0, -1), true
		default:
			return d.today, true
		}
	}
	return time.Time{}, false
}

// endOfThis reads "fine mese", "fine del mese", "fine anno", "end of the
// month": the last day of the month or year of the letter.
func (d *dater) endOfThis(l *line, i int) (day time.Time, n int) {
	at := l.toks[i].where
	if len(l.toks[i].words) == 0 {
		return time.Time{}, 0
	}
	p, ok := lex().longest(l.words[at:], "monthend", "yearend")
	if !ok {
		return time.Time{}, 0
	}
	n = l.tokOf[at+len(p.words)-1] - i + 1
	if next := at + len(p.words); next < len(l.words) && lex().small["nextone"][l.words[next]] {
		return time.Time{}, 0
	}
	if p.is("yearend") {
		return time.Date(d.today.Year(), 12, 31, 0, 0, 0, 0, time.UTC), n
	}
	return time.Date(d.today.Year(), d.today.Month()+1, 0, 0, 0, 0, 0, time.UTC), n
}

// romanMonth reads the month of "13/II/2024".
func romanMonth(s string) int {
	for i, r := range []string{"I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"} {
		if r == s {
			return i + 1
		}
	}
	return 0
}
