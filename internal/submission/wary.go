package submission

import "strings"

// wary tells whether the words before a value deny something or set a
// condition.
func wary(w []string) bool {
	if n := len(w); n > 0 && lex().has(w[n-1:], "expires") {
		return true // "domani scade abc123"
	}
	if characters(w) {
		return false
	}
	for _, x := range w {
		if lex().small["wary"][x] {
			return true
		}
	}
	return false
}

// passed tells whether the words right behind a value say that it was the one:
// "abc123 era giusta fino a lunedì", "abc123 ma il sito la genera da solo".
func passed(l *line, from int) bool {
	for i := from; i < len(l.toks) && i < from+20; i++ {
		if l.toks[i].quest {
			return true // "abc123 l'ho trovata in un vecchio messaggio, è ancora quella?"
		}
		if l.toks[i].stop && l.toks[i].kind != kindOther {
			break
		}
	}
	return from < len(l.toks) && len(l.toks[from].words) > 0 && !l.toks[from-1].stop && lex().small["wasone"][l.toks[from].words[0]]
}

// quotes tells whether the value at token i stands within words that somebody
// else said: a quotation mark was opened before it, not directly, and is open.
func quotes(l *line, i int) bool {
	open := -1
	for k := max(0, i-30); k < i; k++ {
		s := l.toks[k].s
		if strings.Count(s, `"`)%2 == 0 {
			continue
		}
		if open >= 0 {
			open = -1
		} else {
			open = k
		}
	}
	if open == 0 && strings.HasSuffix(l.toks[len(l.toks)-1].s, `"`) {
		return false // all of the line is in quotes
	}
	return open >= 0 && strings.HasPrefix(l.toks[open].s, `"`) && len(l.toks[open].core) > 0 && i-open >= 2
}

// another tells whether the password is said to be that of a person who isn't
// the sender: "la password della PEC di Anna Bianchi".
func (s *scanner) another(c *context) bool {
	if !c.ours() || c.labelAt > len(c.words) {
		return false
	}
	w := c.words[c.labelAt:]
	for i := 0; i+2 < len(w) && i < 6; i++ {
		if lex().small["ofwhat"][w[i]] && lex().small["ofskip"][w[i+1]] && lex().small["kin"][w[i+2]] {
			return true // "la password di mia moglie"
		}
	}
	for i := 0; i+1 < len(w) && i < 5; i++ {
		if w[i] != "di" && w[i] != "of" || !lex().people[w[i+1]] {
			continue
		}
		for _, name := range w[i+1 : min(i+3, len(w))] {
			if s.names[name] {
				return false
			}
		}
		return true
	}
	return false
}

// swapsCharacters: "… con la k al posto della W", behind a value.
func swapsCharacters(l *line, from int) bool {
	value := l.toks[from-1].s
	var w []string
	for i := from; i < len(l.toks) && i < from+12; i++ {
		if l.toks[i].stop && l.toks[i].kind != kindOther {
			w = append(w, l.toks[i].words...)
			break
		}
		w = append(w, l.toks[i].words...)
	}
	for i := range w {
		if p, ok := lex().longest(w[i:], "replace"); ok {
			if before := lex().says(w[max(0, i-3):i]); before["digit-0"] && strings.Contains(value, "0") || before["mark-exclamation"] && strings.Contains(value, "!") {
				continue // it explains what stands there: "lo zero al posto della o"
			}
			rest := w[i+len(p.words):]
			for _, x := range rest[:min(2, len(rest))] {
				if len(x) == 1 && x != "e" && x != "l" {
					return true
				}
			}
			for _, x := range rest[:min(3, len(rest))] {
				if lex().small["onecharacter"][x] {
					return true // "… al posto dell'ultima lettera"
				}
			}
		}
	}
	return false
}
