package submission

import "strings"

// aboutElse tells whether the clause around tokens from to before end speaks
// of something else than the password: "la fattura n. 88 scade il 30/11/2023",
// "il bilancino mi serve entro il 30/11/2023". A date in it is no expiry of
// ours.
func aboutElse(l *line, from, end int) bool {
	start := from
	for start > 0 && from-start < longClause && !closesClause(l, start-1) {
		start--
	}
	for end < len(l.toks) && end-from < longClause && !closesClause(l, end-1) {
		end++
	}
	strange, field := 0, false
	if words := wordsBetween(l, start, end); !lex().has(words, "password", "app") && (contractEnds(words) || hasSmall(words, "deadline")) {
		return true
	}
	for i := start; i < end; {
		tok := &l.toks[i]
		if len(tok.words) == 0 || tok.kind != kindWord {
			i++
			continue
		}
		p, ok := lex().longest(l.words[tok.where+len(tok.words)-1:]) // "l'otto febbraio"
		if len(tok.words) == 1 || !elided[tok.words[0]] {
			p, ok = lex().longest(l.words[tok.where:])
		}
		if !ok {
			if w := tok.words[len(tok.words)-1]; (len(w) >= 4 || lex().names[w]) && !passwordWord(w) && !lex().small["calendar"][w] && !lex().small["whose"][w] && !lex().small["ofskip"][w] {
				strange++
				if at := tok.where + len(tok.words) - 1; at > 0 && at+1 < len(l.words) && (lex().small["article"][l.words[at-1]] || lex().small["ofskip"][l.words[at-1]]) && lex().has(l.words[at+1:at+2], "expires") {
					return true // "il mutuo scade …", "il prossimo F24 scade …"
				}
			}
			i++
			continue
		}
		duration := lex().has(p.words[len(p.words)-1:], "day", "months") // "tre mesi" is said of ours, too
		if p.is("password", "app", "mail", "mailweak") && !duration {
			return false
		}
		field = field || p.is("field", "other") && !p.is("softfield")
		i = max(i+1, l.tokOf[min(tok.where+len(p.words)-1, len(l.tokOf)-1)]+1)
	}
	return field || strange >= 2
}

// contractEnds: "la PEC scade il 30/06/2024", "il contratto PEC scade …": the
// mailbox' own date, which is later than a password's.
func contractEnds(words []string) bool {
	for i, w := range words {
		if !lex().small["rented"][w] {
			continue
		}
		for k := i + 1; k < len(words) && k <= i+2; k++ {
			if _, ok := lex().longest(words[k:], "expires"); ok {
				return true
			}
		}
	}
	return false
}

func hasSmall(words []string, s section) bool {
	for _, w := range words {
		if lex().small[s][w] {
			return true
		}
	}
	return false
}

// longClause is how many tokens on either side are looked at.
const longClause = 40

// closesClause tells whether a clause ends with token i.
func closesClause(l *line, i int) bool {
	tok := l.toks[i]
	return tok.comma || tok.cell || tok.stop && !abbreviated(l, i) && !strings.EqualFold(tok.core, "scad")
}
