package submission

import (
	"slices"
	"strings"
)

// understands tells whether all that the sender's own words say beside a clear
// password is understood: sentences that hold it or name a password are made
// of words that can change nothing, others don't touch it, and no other value
// is left without an explanation. What is not understood is enough where a
// login proves it, else a person must look.
//
// It asks for known words instead of looking for bad ones, because there are
// endless ways to take a password back.
func (v *verdict) understands(best []*group, names map[string]bool) bool {
	for _, g := range best {
		if handmade(g.forms[0]) && !v.facts.app {
			return false
		}
	}
	if v.loosely(best) {
		return false
	}
	for i := range v.texts {
		beside, behind := false, false // the sentence before holds the password, one of those before does
		all := v.texts[i].sentences()
		for k, s := range all {
			s.strict, s.behind = beside && s.near && !s.signature, behind && !s.signature
			s.former = v.hasPast(s) || k+1 < len(all) && len(all[k+1].toks) == 1 && v.hasPast(all[k+1])
			clear, holds := v.clear(s, best, names)
			if !clear {
				return false
			}
			beside, behind = holds, behind || holds
		}
	}
	return true
}

// loosely tells whether another value stands in the letter that nothing
// explains, or this one was written by somebody before.
func (v *verdict) loosely(best []*group) bool {
	for _, h := range v.hits {
		same := false
		for _, g := range best {
			same = same || contains(h.reading.forms, g.forms[0])
		}
		switch {
		case same && h.zone == zoneQuoted:
			return true // the studio has seen it already
		case same, h.zone != zoneOwn, h.kind != kindStrong && h.kind != kindWeird:
		case h.old || h.negated || h.dead || h.webmail || h.other:
		default:
			return true
		}
	}
	return false
}

// handmade tells whether a value looks like a person's: a word or a name with
// a year or a mark behind, which no provider generates, or a hash.
func handmade(s string) bool {
	if len(s) > 24 {
		return true
	}
	start := -1
	for i := 0; i <= len(s); i++ {
		letter := i < len(s) && (s[i]|0x20 >= 'a' && s[i]|0x20 <= 'z')
		switch {
		case letter && start < 0:
			start = i
		case !letter && start >= 0:
			if run := strings.ToLower(s[start:i]); len(run) >= 4 && (knownWord(run) || lex().people[run]) {
				return true
			}
			start = -1
		}
	}
	return false
}

// sentence is a piece of the sender's own words, up to a full stop or the end
// of a line that nothing continues.
type sentence struct {
	toks      []token
	signature bool
	quest     bool
	part      bool // "1/2"
	near      bool // no empty line before it
	strict    bool // right behind the sentence of the password
	behind    bool // somewhere behind it
	former    bool // with an older password, or its label
}

// sentences cuts a text, without quotations and legal notices.
func (t *text) sentences() []sentence {
	n := 0
	for i := range t.lines {
		n += len(t.lines[i].toks)
	}
	toks := make([]token, 0, n) // of all sentences, one behind the other
	out := make([]sentence, 0, len(t.lines))
	var s sentence
	near, start := false, 0
	end := func() {
		if len(toks) > start {
			s.near = near
			near = true
			s.toks = toks[start:len(toks):len(toks)]
			out = append(out, s)
		}
		s, start = sentence{}, len(toks)
	}
	for i := range t.lines {
		l := &t.lines[i]
		if l.blank || l.zone == zoneQuoted || l.zone == zoneDisclaimer || len(l.toks) == 0 {
			end()
			near = false
			continue
		}
		if !startsLower(l.toks[0].s) && !strings.HasPrefix(l.toks[0].s, "(") {
			end()
		}
		s.signature = l.zone == zoneSignature
		for k := range l.toks {
			tok := &l.toks[k]
			toks = append(toks, *tok)
			s.quest = s.quest || tok.quest && tok.kind == kindWord
			s.part = s.part || rePart.MatchString(tok.core)
			if tok.stop && tok.kind != kindOther && !abbreviated(l, k) {
				end()
				s.signature = l.zone == zoneSignature
			}
		}
	}
	end()
	return out
}

// rePart: "1/2", "2/2", a password in parts.
var rePart = patternWith("/", `^[1-4]/[2-4]$`)

// clear tells whether a sentence changes nothing, and whether it holds the
// password.
func (v *verdict) clear(s sentence, best []*group, names map[string]bool) (clear, holds bool) {
	small := lex().plain
	toks := s.toks
	for i := range toks {
		holds = holds || among(&toks[i], best)
	}
	toks = toks[greets(toks):]
	words := slices.Grow(v.words[:0], 64)
	for i := range toks {
		if tok := &toks[i]; strings.Count(tok.core, ".") > 1 && tok.kind == kindWord {
			continue // "imaps.pec.example", "s.r.l"
		} else if tok.kind == kindWord || tok.kind == kindNone || tok.kind == kindWeird && !among(tok, best) {
			words = append(words, tok.words...)
		}
	}
	v.words = words
	touched := holds || s.strict || s.quest || s.part
	turned, strange := false, 0
	if othersMailbox(words, names) {
		return false, holds
	}
	if onlyNames(words, names) || !holds && s.contact() {
		return true, holds
	}
	marked := contains(best[0].why, "mark-explained")
	for i := 0; i < len(words); {
		if p, ok := lex().harmless.longest(words[i:]); ok {
			i += len(p.words)
			continue
		}
		if p, ok := lex().longest(words[i:], "marks", "markin", "markout"); ok && marked {
			i += len(p.words) // was heeded, see heedMarks
			continue
		}
		if p, ok := lex().longest(words[i:], "closing"); ok && i == 0 {
			i += len(p.words)
			continue
		}
		if p, ok := lex().longest(words[i:], "field"); ok && i == 0 && !holds {
			i += len(p.words) + 1 // "Codice univoco: M5UXCR1"
			continue
		}
		w := words[i]
		i++
		touched = touched || touches(w) && !(s.signature && small["contact"][w]) || lex().small["kin"][w] && !s.signature
		turned = turned || small["turn"][w]
		switch {
		case s.quest:
			strange++
		case small["words"][w], s.former && (small["former"][w] || !holds && small["formerly"][w]), names[w], isDigits(w), passwordWord(w):
		case small["filed"][w] && strings.HasPrefix(best[0].where, "attachment:"):
		case len(v.facts.explained) > 0 && small["spelling"][w]: // and compared, see heed
		case ofFirm(words, i-1, names):
		default:
			strange++
		}
	}
	touched = touched || turned && len(words) < longAside || s.behind && len(words) < remark && !s.titled()
	return (strange == 0 && !s.part) || !touched, holds
}

// remark is how many words a remark on the password may have that names
// nothing of it: "Specchiata.", "Anzi, fermi tutti."
const remark = 4

// titled tells whether a sentence is a name or an address: "Officine Rossi".
func (s *sentence) titled() bool {
	for _, tok := range s.toks {
		if len(tok.words) > 0 && tok.kind == kindWord && !startsUpper(tok.s) {
			return false
		}
	}
	return len(s.toks) > 1 && !s.toks[len(s.toks)-1].stop
}

// othersMailbox tells whether words name the mailbox of a firm or a club,
// where the sender is none: "la password della PEC dell'associazione".
func othersMailbox(words []string, names map[string]bool) bool {
	for i := 0; i+2 < len(words); i++ {
		if words[i] != "pec" && words[i] != "casella" || !lex().small["ofwhat"][words[i+1]] || !lex().small["firm"][words[i+2]] {
			continue
		}
		for n := range names {
			if lex().small["firm"][n] || lex().small["firmname"][n] || firmEnding(n) {
				return false
			}
		}
		return true
	}
	return false
}

// firmEnding: the mailbox rossisrl@… is a firm's.
func firmEnding(name string) bool {
	for _, end := range []string{"srl", "srls", "snc", "sas", "spa"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

// contact tells whether a sentence is the writer's address, below a letter
// without a closing formula: "FERRI SRL | Via Roma 12 | Tel. 051 234567". All
// its words are names, small words or those of addresses.
func (s *sentence) contact() bool {
	small, address := lex().plain, false
	for i := range s.toks {
		tok := &s.toks[i]
		if tok.kind != kindWord && tok.kind != kindWeird || len(tok.words) == 0 {
			continue
		}
		if article := lex().small["says"]; article[tok.core] || i == 0 && article[tok.words[0]] {
			return false // "È il PIN del cellulare"
		}
		for _, w := range tok.words {
			known := small["address"][w]
			address = address || known
			if small["turn"][w] || touches(w) && !known && !small["contact"][w] {
				return false
			}
			if !known && !small["words"][w] && !startsUpper(tok.core) {
				return false
			}
		}
	}
	return address && !s.quest
}

// onlyNames: ""Anna", "Mario Rossi", "Grazie, Rita".
func onlyNames(words []string, names map[string]bool) bool {
	for i := 0; i < len(words); i++ {
		if p, ok := lex().longest(words[i:], "closing"); ok {
			i += len(p.words) - 1
		} else if !names[words[i]] && !lex().people[words[i]] && !lex().plain["title"][words[i]] {
			return false
		}
	}
	return true
}

// longAside is how many words a sentence has that is about something else,
// if a short one might be about the password: "Non prima di lunedì".
const longAside = 12

// ofFirm tells whether an unknown word stands beside the sender's name:
// "Officine Rossi".
func ofFirm(words []string, i int, names map[string]bool) bool {
	w := words[i]
	if knownWord(w) && !ordinary(w) || lex().people[w] || touches(w) {
		return false
	}
	return i > 0 && names[words[i-1]] || i+1 < len(words) && names[words[i+1]]
}

// greets counts the tokens of a greeting with the names behind it: "Gentile
// dott.ssa Neri,", "ciao Carla".
func greets(toks []token) int {
	words := make([]string, 0, 16)
	for i := range toks[:min(len(toks), 8)] {
		words = append(words, toks[i].words...)
	}
	if len(words) == 0 {
		return 0
	}
	p, ok := lex().longest(words, "greeting")
	if !ok {
		return 0
	}
	n, named := 0, len(p.words)
	for n < len(toks) && named > 0 {
		named -= len(toks[n].words)
		n++
	}
	if n > 0 && toks[n-1].comma {
		return n
	}
	known := n
	for i := n; i < len(toks) && i < n+6 && toks[i].kind == kindWord; i++ {
		title := true
		for _, w := range toks[i].words {
			title = title && (lex().people[w] || lex().plain["title"][w])
		}
		if title && known == i {
			known = i + 1
		}
		if !title && !startsUpper(toks[i].s) {
			break
		}
		if toks[i].comma || i == len(toks)-1 {
			return i + 1
		}
	}
	return known
}

// touches tells whether a word may say something of the password.
func touches(w string) bool {
	p := lex().plain
	if p["touch"][w] || passwordWord(w) {
		return true
	}
	if p["words"][w] {
		return false
	}
	for n := 3; n <= len(w) && n <= 9; n++ {
		if p["touchstem"][w[:n]] {
			return true
		}
	}
	for n := 3; n <= 4 && n < len(w); n++ {
		if p["touchend"][w[len(w)-n:]] {
			return true
		}
	}
	return false
}

// among tells whether a token is one of the passwords.
func among(tok *token, groups []*group) bool {
	for _, g := range groups {
		if contains(g.forms, tok.core) || contains(g.forms, tok.s) {
			return true
		}
	}
	return false
}

// hasPast tells whether a sentence holds a value that is said to be an older
// one, or the webmail's.
func (v *verdict) hasPast(s sentence) bool {
	for _, g := range v.groups {
		for i := range s.toks {
			if g.past && among(&s.toks[i], []*group{g}) {
				return true
			}
		}
	}
	return false
}

func isDigits(s string) bool { return strings.Trim(s, digits) == "" }
