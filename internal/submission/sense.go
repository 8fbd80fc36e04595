package submission

import "strings"

// farBefore is how many words before the end of a label a word can no longer
// be said of it.
const farBefore = 8

// fill judges a value by the words before it.
func (s *scanner) fill(h *hit, c *context) {
	h.label = c.label
	if !c.ours() {
		h.label = ""
	}
	h.mailbox = c.mailbox
	h.severalBoxes = c.several
	h.unknown = c.unknown > 0 && c.label != "app"

	w := c.words
	at := map[section]int{} // end of the last phrase of each section, 0 none
	for i := 0; i < len(w); {
		p, ok := lex().longest(w[i:])
		if !ok {
			i++
			continue
		}
		i += len(p.words)
		if p.is("neutral") {
			continue
		}
		for _, sec := range p.sections {
			if sec == "old" && i < c.labelAt-farBefore {
				continue // "il codice era 482913 e dopo mi ha dato la password …"
			}
			at[sec] = i
		}
	}
	end := len(w)
	h.isNew = at["new"] > 0
	// "scaduta la precedente, la password è …", "la vecchia non va più, usate questa: …"
	aside := at["old"] <= c.commaAt && (c.labelAt > c.commaAt || at["use"] > c.commaAt)
	if at["old"] > at["new"] && !aside {
		swapped := at["replace"] > 0 && at["old"]-at["replace"] <= 3 && end-at["old"] > 1
		h.old = !swapped
	}
	if c.hard && len(w) > 0 && lex().has(w[len(w)-1:], "oldlabel") {
		h.old = true
	}
	if at["oldjust"] > 0 && at["oldjust"] == end {
		h.old = true
	}
	h.example = at["example"] > 0 && end-at["example"] <= 2
	if e := at["ended"]; e > 0 && at["new"] == 0 && c.ours() && e <= c.labelAt && c.labelAt-e <= 7 {
		h.dead = true // "ho revocato la password abc123"
	}
	h.negated = at["not"] > 0 && end-at["not"] <= 3 && !characters(w[at["not"]:])
	mail := at["mail"]
	if c.label == "app" && !c.inherit || at["app"] > 0 || at["mailweak"] > 0 {
		mail = max(mail, at["app"], at["mailweak"], 1)
	}
	h.mail = mail > 0
	if o := at["other"]; c.label != "app" && o > c.labelAt && o-c.labelAt <= 4 && c.labelAt > 0 && (at["mail"] == 0 || at["mail"] > o) {
		h.mail = false // "password della firma remota Namirial"
	}
	h.personal = at["webmailweak"] > 0
	h.private = at["privatemail"] > 0 && at["app"] < at["privatemail"]
	h.webmail = at["webmail"] > 0 && (c.label != "app" || c.inherit) && at["mail"] < at["webmail"]
	h.webmail = h.webmail || at["entering"] > c.labelAt && c.ours()
	here := at["otherhere"] // "password del computer", "computer: password"
	h.purpose = c.label == "password" && !h.mail && c.labelAt <= len(w) && otherPurpose(w[c.labelAt:])
	h.other = at["other"] > 0 || here > 0 && here-c.labelAt <= 4 && c.labelAt-here <= 3
}

// characters tells whether words speak of single characters: "uno zero e non
// una o: …".
func characters(w []string) bool {
	for i := range w {
		if single(w, i) || len(w[i]) == 1 && i > 0 && (w[i-1] == "una" || w[i-1] == "un" || w[i-1] == "an") {
			return true
		}
	}
	return lex().has(w, "letter-l", "letter-i", "letter-o", "digit-0", "digit-1")
}

// after judges a value by the words behind it: "… doesn't work any more",
// "… (the old one)", "… is the new password", "…?".
func after(l *line, from int, h *hit) {
	var w []string
	apart := false
	if from > 0 && from <= len(l.toks) {
		prev := l.toks[from-1]
		h.asked = h.asked || prev.quest && from == len(l.toks)
		apart = prev.comma || prev.stop
	}
	for i := from; i < len(l.toks); i++ {
		tok := l.toks[i]
		if tok.kind == kindStrong || tok.kind == kindWeird {
			break
		}
		w = append(w, tok.words...)
		if tok.quest && !apart { // not "…, va bene?"
			h.asked = true
		}
		if tok.stop || tok.comma || tok.colon {
			break
		}
	}
	if len(w) == 0 {
		return
	}
	for i := range w {
		p, ok := lex().longest(w[i:], "dead")
		if !ok {
			continue
		}
		if rest := w[i+len(p.words):]; len(rest) > 0 && lex().has(rest[:1], "password", "app") {
			break // "…, vecchia password da buttare"
		}
		if apart && i > 0 && !(i == 1 && (w[0] == "che" || w[0] == "ma" || w[0] == "but" || w[0] == "which")) || i > 0 && (w[i-1] == "se" || w[i-1] == "if") {
			break // said of something else, or only feared
		}
		if label := l.toks[min(from+i, len(l.toks)-1)]; apart && label.colon {
			break // "abc123. Vecchia: …"
		}
		if !lex().has(w[:i], "old", "password", "app") {
			h.dead = true
		}
		break
	}
	if h.label == "" {
		switch {
		case lex().has(w, "app"):
			h.label, h.link = "app", linkNear
		case lex().has(w, "password"):
			h.label, h.link = "password", linkNear
		}
	}
	h.unsure = h.unsure || lex().has(w[:min(len(w), 3)], "example") // "abc123 (esempio)"
	if lex().has(w, "other", "otherhere") && !lex().has(w, "neutral") {
		h.other = true
	}
	if lex().has(w, "webmail") && !h.mail && !lex().has(w, "neutral") {
		h.webmail = true
	}
	for i := from; i < len(l.toks) && i < from+4 && h.mailbox == ""; i++ {
		if reMail.MatchString(l.toks[i].core) && (l.toks[i].open || i > from) {
			h.mailbox = lowerMail(l.toks[i].core)
		}
	}
}

func startsUpper(s string) bool {
	for _, r := range s {
		return r >= 'A' && r <= 'Z' || r == 'È'
	}
	return false
}

func lowerMail(s string) string { return toLowerASCII(s) }

func toLowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// lookalikes are the characters that people explain to each other.
const lookalikes = "lI1O0o"

// heed compares a value with what the writer says of its characters. If they
// name one that it doesn't have, it was mistyped: every reading with one
// lookalike exchanged is possible.
func (g *group) heed(said []explanation) bool {
	first := g.forms[0]
	wrong, differs := "", false
	for _, e := range said {
		at := first
		switch n := e.place; {
		case n == 99:
			at = first[len(first)-1:]
		case n > 0 && n <= len(first):
			at = first[n-1 : n]
		}
		if !strings.ContainsAny(at, e.chars) {
			differs = true
			if swapped, ok := otherCase(first, e.chars); ok {
				g.forms = append(g.forms[:1:1], append([]string{swapped}, g.forms[1:]...)...)
			}
			if len(e.chars) <= 2 { // not only "a capital"
				wrong += e.chars[:1]
			}
		}
	}
	if !differs {
		return false
	}
	g.doubtful = true
	g.why = append(g.why, "explanation-differs")
	for i := 0; i < len(first) && len(g.forms) < 8; i++ {
		if strings.Contains(lookalikes, first[i:i+1]) {
			for j := 0; j < len(wrong); j++ {
				g.forms = append(g.forms[:len(g.forms):len(g.forms)], first[:i]+wrong[j:j+1]+first[i+1:])
			}
		}
	}
	return true
}

// otherCase is s with its only letter of the other case than c as c is: "la V è
// minuscola", of a word that a telephone began with a capital.
func otherCase(s, c string) (string, bool) {
	if len(c) != 1 {
		return s, false
	}
	other := strings.ToUpper(c)
	if other == c {
		other = strings.ToLower(c)
	}
	if other == c || strings.Count(s, other) != 1 {
		return s, false
	}
	return strings.Replace(s, other, c, 1), true
}

func startsLower(s string) bool {
	return s != "" && (s[0] >= 'a' && s[0] <= 'z' || strings.HasPrefix(s, "è"))
}
