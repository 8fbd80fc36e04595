package submission

import "strings"

// facts is what the letter as a whole says.
type facts struct {
	app       bool // names the password for mail programs
	password  bool // says "password" in the sender's own words
	subject   bool // says so in the subject
	named     bool // a value stands in a line about mail programs
	thread    bool // answers a message about it
	mail      bool // names mail programs, two-step verification, …
	mailweak  bool // says PEC, mailbox, expiry
	other     bool // names things that have passwords of their own
	otherSubj bool
	titled    bool // the subject names the mailbox or a mail program
	extend    bool // says that the date was moved
	moving    bool // speaks of moving it, done or not
	undone    bool
	done      bool
	future    bool
	stranger  bool   // names a service that we don't know: a login that is no address, a subject of its own
	marks     bool   // a dot, a comma, quotes are spoken of
	markIn    string // this one is said to be the password's
	markOut   bool   // they are said to be none of the password's
	half      bool   // the password is given in parts, or to be changed
	reply     bool
	thanks    bool // nothing but thanks, in answer to a message
	bare      bool // nothing but one value that mixes cases and digits, greeting and closing aside
	dots      bool // sentences end with dots
	escapes   bool
	length    int // how many characters it is said to have, 0 not said
	ownWords  int
	explained []explanation // characters of the password that the writer names
	image     bool
	attached  bool
	link      bool // an address to download from
}

// about: the letter is about the password we want.
func (f facts) about() bool {
	return f.app || f.named && !f.onlyOther() || f.password && !f.onlyOther() || f.subject && !f.otherSubj || f.thread && f.reply
}

// unplaced: nothing says which password it is, and something hints at
// another service.
func (f facts) unplaced() bool {
	return f.stranger && !f.app && !f.mail && !f.mailweak && !f.thread
}

// onlyOther: a password is spoken of, but it is for something else.
func (f facts) onlyOther() bool {
	if f.app || f.mail {
		return false
	}
	if f.subject && !f.otherSubj {
		return false
	}
	return f.other
}

func (f facts) extends() bool {
	return f.extend && !f.undone && !f.future && (f.app || f.password || f.subject || f.thread) && !f.onlyOther()
}

// intends: no password is there, but a person should look.
func (f facts) intends() bool {
	if f.thanks && !f.image && !f.attached || f.otherSubj && !f.app {
		return false
	}
	if f.onlyOther() || f.other && !f.subject && !f.app && !f.mail && !f.mailweak {
		return false
	}
	switch {
	case f.app, f.subject && !f.otherSubj:
		return true
	case f.password:
		return f.mail || f.mailweak || f.done || f.undone || f.future || f.moving
	case f.thread && f.reply:
		return f.done || f.ownWords == 0 || f.image || f.attached || f.moving
	}
	return false
}

// gather collects the facts of one form of the letter.
func (l *letter) gather(body, attached []text) facts {
	f := facts{image: l.images > 0, attached: l.docs > 0}
	sub := l.subject.lines[0].words
	said := lex().says(sub)
	f.subject = said["password"] || said["app"] || said["code"] && (said["mail"] || said["mailweak"])
	f.otherSubj = (said["other"] || said["otherhere"]) && !said["app"] && !said["mail"] && !said["mailweak"]
	f.app = said["app"]
	f.mail, f.mailweak = said["mail"], said["mailweak"]
	f.titled = (f.mail || f.mailweak) && !said["other"] && !said["otherhere"]
	f.moving = said["extend"] || said["extendweak"]
	f.reply = len(sub) > 0 && (sub[0] == "re" || sub[0] == "r" || sub[0] == "ris" || sub[0] == "aw")
	f.extend = said["extend"] && !f.reply && !forwards(sub) // those words are somebody else's
	f.other = f.otherSubj || l.archives > 0
	_, lone := aloneOn(&l.subject.lines[0]) // a value is nobody's name
	f.stranger = !f.subject && (!lone && l.strange(sub) || !f.reply && elsewhere(sub))
	dotted, undotted, values, lines := 0, 0, 0, 0
	thanked, rest := 0, 0 // lines of courtesy, and others
	texts := append(append([]text{}, body...), attached...)
	for ti := range texts {
		t := &texts[ti]
		f.half = f.half || t.givesParts()
		for i := range t.lines {
			line := &t.lines[i]
			if line.blank {
				continue
			}
			w := line.words
			if line.zone == zoneQuoted {
				said := lex().says(w)
				f.thread = f.thread || said["app"] || said["password"]
				f.reply = true
				continue
			}
			if line.zone == zoneDisclaimer {
				continue
			}
			f.escapes = f.escapes || escaped(line)
			if line.zone == zoneSignature {
				said := lex().says(w)
				f.app = f.app || said["app"]
				f.password = f.password || said["password"] || said["app"]
				continue
			}
			f.ownWords += len(w)
			if courteous(w) {
				thanked++
			} else {
				rest++
			}
			f.addLine(w)
			f.addClaims(line)
			f.addLength(w)
			f.named = f.named || hasStrong(line) && lex().says(w)["mail"]
			f.link = f.link || strings.Contains(line.text, "://")
			f.stranger = f.stranger || otherLogin(line)
			if line.zone == zoneOwn && !isGreeting(*line) {
				lines++
				if n, ok := aloneOn(line); ok && line.toks[n].kind == kindStrong {
					if core := line.toks[n].core; core != strings.ToLower(core) || hasSpecial(core) {
						values++
					}
				} else if len(w) >= 4 && !hasStrong(line) {
					if strings.HasSuffix(strings.TrimSpace(line.text), ".") {
						dotted++
					} else {
						undotted++
					}
				}
			}
		}
	}
	f.dots = dotted > 0 && undotted == 0
	f.bare = values == 1 && lines == 1
	f.thanks = f.reply && thanked > 0 && rest == 0
	return f
}

// givesParts tells whether the password is given in parts, or to be changed:
// said in the sentence of a value, or in the one before or behind it; that the
// rest comes another way, anywhere.
func (t *text) givesParts() bool {
	value, said := -9, -99 // the sentences that have one last
	n := 0
	for i := range t.lines {
		l := &t.lines[i]
		if l.blank || l.zone == zoneQuoted || l.zone == zoneDisclaimer {
			continue
		}
		n++
		says := lex().says(l.words)
		if says["rest"] {
			return true
		}
		halves := says["half"] // not "fa parte della password"
		for k := range l.toks {
			tok := &l.toks[k]
			if tok.kind == kindStrong || tok.kind == kindWeird {
				value = n
			}
			if halves && len(tok.words) > 0 {
				if _, ok := lex().longest(l.words[tok.where:], "half"); ok {
					said = n
				}
			}
			if value-said <= 1 && said-value <= 1 {
				return true
			}
			if k < len(l.toks)-1 && tok.stop && tok.kind != kindOther && !abbreviated(l, k) {
				n++
			}
		}
	}
	return false
}

// forwards tells whether a subject is a forwarded message's.
func forwards(sub []string) bool {
	return len(sub) > 0 && (sub[0] == "i" || sub[0] == "fw" || sub[0] == "fwd" || sub[0] == "inoltro")
}

// otherLogin: "utente: mrossi" — our mailboxes log in with an address, mostly.
func otherLogin(l *line) bool {
	p, at := phrase{}, -1
	for i := range l.words {
		if q, ok := lex().longest(l.words[i:], "userlabel"); ok {
			p, at = q, i
			break
		}
	}
	if at < 0 {
		return false
	}
	next := l.tokOf[at+len(p.words)-1] + 1
	for next < len(l.toks) && len(l.toks[next].words) == 0 {
		next++
	}
	if next >= len(l.toks) || reMail.MatchString(l.toks[next].core) {
		return false
	}
	tok := l.toks[next]
	return l.toks[next-1].colon || tok.kind == kindStrong || tok.kind == kindWeird || tok.kind == kindWord && !knownWord(strings.ToLower(tok.core))
}

// strange tells whether a subject speaks of something by a name of its own.
func (l *letter) strange(words []string) bool {
	for _, w := range words {
		if len(w) > 2 && !knownWord(w) && !ordinary(w) && !l.names[w] && strings.Trim(w, "0123456789") != "" {
			return true
		}
	}
	return false
}

// elsewhere tells whether a subject names a thing that is none of ours:
// "cartella condivisa", not "varie" or "come da accordi".
func elsewhere(words []string) bool {
	for i := 0; i < len(words); {
		p, ok := lex().longest(words[i:])
		switch {
		case ok && p.is("password", "app", "code", "mail", "mailweak", "webmail", "mailhead", "softfield"):
			return false
		case ok:
			i += len(p.words)
			continue
		case len(words[i]) > 3 && !lex().small["subject"][words[i]] && !lex().small["whose"][words[i]] && !lex().people[words[i]] && !ordinary(words[i]) && knownWord(words[i]):
			for _, w := range words[i:] {
				if lex().has([]string{w}, "password", "app", "code", "mail", "mailweak", "webmail") {
					return false
				}
			}
			return true
		}
		i++
	}
	return false
}

// escaped tells whether words, not values, carry markdown's backslashes.
func escaped(l *line) bool {
	if strings.IndexByte(l.text, '\\') < 0 {
		return false
	}
	for _, t := range l.toks {
		if t.kind != kindStrong && len(t.s) < 30 && unescapeMarkdown(t.s) != t.s {
			return true
		}
	}
	return false
}

func hasStrong(l *line) bool {
	for i := range l.toks {
		if l.toks[i].kind == kindStrong {
			return true
		}
	}
	return false
}

func (f *facts) addLine(w []string) {
	said := lex().says(w)
	own := said["password"] || said["app"]
	f.app = f.app || said["app"]
	f.password = f.password || own || said["code"] && (said["mail"] || said["mailweak"])
	f.undone = f.undone || lex().has(w, "undone") && !instead(w)
	f.done = f.done || said["done"]
	f.future = f.future || said["anotherone"] || said["future"] && (own || contains(w, "ve"))
	f.addMarks(w)
	f.mail = f.mail || said["mail"]
	f.mailweak = f.mailweak || said["mailweak"]
	f.other = f.other || said["other"] || own && said["otherhere"] && !said["app"]
	if explainsAny(said) {
		f.explained = append(f.explained, explanations(w)...)
	}
}

// explanation is what a writer says of one character: that it is a small L,
// a zero, …, perhaps where.
type explanation struct {
	chars string // the characters that it may be
	place int    // from 1; 99 is the last; 0 not said
}

// single: the word is a letter, and not "e" or "o" between two others.
func single(w []string, at int) bool {
	if len(w[at]) != 1 || w[at][0] < 'a' || w[at][0] > 'z' {
		return false
	}
	return w[at] != "e" && w[at] != "o" || at > 0 && (w[at-1] == "la" || w[at-1] == "lettera")
}

// addClaims looks for a sentence that says that the date was moved. Asked,
// wished or planned is not done: a claim that is none would silence the
// warnings. "Posticipare" alone is a plan, unless somebody managed it or names
// the date.
func (f *facts) addClaims(l *line) {
	if !lex().has(l.words, "extend", "extendweak") {
		return
	}
	var w []string
	dated := false
	for i := range l.toks {
		tok := &l.toks[i]
		w = append(w, tok.words...)
		dated = dated || reDate.MatchString(tok.core) || monthOf(fold(tok.core)) > 0
		ends := tok.stop && len(tok.words) > 0 && tok.kind != kindOther ||
			tok.stop && tok.kind == kindOther && i+1 < len(l.toks) && startsUpper(l.toks[i+1].s) // "… il 13/02/2024. Puoi …"
		if !ends && i < len(l.toks)-1 {
			continue
		}
		strong, weak, told := lex().has(w, "extend"), lex().has(w, "extendweak"), tells(w)
		f.moving = f.moving || strong || weak
		open := tok.quest || lex().has(w, "notyet") && !instead(w) || strong && deniesExtension(w)
		switch {
		case (strong || weak) && open:
			f.undone = true
		case strong, weak && (dated && told || lex().has(w, "didit")):
			f.extend = true
		}
		w, dated = nil, false
	}
}

// tells: "posticipo al 13/02" says that it is done, "di posticipare al 13/02"
// doesn't.
func tells(w []string) bool {
	for i := range w {
		if p, ok := lex().longest(w[i:], "extendweak"); ok && !strings.HasSuffix(p.words[0], "are") {
			return true
		}
	}
	return false
}

// deniesExtension: "non l'ho prorogata", but not "non l'ho cambiata ma ho
// prorogato …".
func deniesExtension(w []string) bool {
	for i := range w {
		if _, ok := lex().longest(w[i:], "extend"); !ok {
			continue
		}
		for k := i - 1; k >= 0 && k >= i-4 && !lex().has(w[k:k+1], "instead"); k-- {
			if lex().small["denial"][w[k]] {
				return true
			}
		}
	}
	return false
}

// instead: "non ho generato una nuova password ma ho posticipato la scadenza":
// what follows the "but" was done.
func instead(w []string) bool {
	for i := range w {
		p, ok := lex().longest(w[i:], "instead")
		if !ok {
			continue
		}
		rest := w[i+len(p.words):]
		if lex().has(rest, "extend") && !lex().has(rest, "undone") {
			return true
		}
	}
	return false
}

// denied: "(O di Otranto, non zero)".
func denied(w []string, at int) bool {
	for i := max(0, at-3); i < at; i++ {
		if w[i] == "non" || w[i] == "not" {
			return true
		}
	}
	return false
}

// explains: what may be said of a character, and which ones it may be then.
var explains = map[section]string{"letter-l": "l", "letter-i": "I", "letter-o": "Oo", "digit-0": "0", "digit-1": "1",
	"lower": "abcdefghijklmnopqrstuvwxyz", "upper": "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}

// explainsAny tells whether explanations finds anything, from what lexicon.says
// found, which goes through a line in the same way.
func explainsAny(said map[section]bool) bool {
	for s := range said {
		if explains[s] != "" {
			return true
		}
	}
	return false
}

func explanations(w []string) []explanation {
	var out []explanation
	place, since := 0, 0
	for i := 0; i < len(w); {
		p, ok := lex().longest(w[i:])
		since++
		if since > 5 {
			place = 0
		}
		if !ok {
			i++
			continue
		}
		i += len(p.words)
		for _, s := range p.sections {
			if n, ok := strings.CutPrefix(string(s), "ordinal"); ok {
				place, since = num(n), 0
			}
			chars := explains[s]
			if chars == "" || denied(w, i-len(p.words)) {
				continue
			}
			at := i - len(p.words) - 1
			if at > 0 && lex().has(w[at:at+1], "is") {
				at-- // "la x è minuscola"
			}
			if len(chars) > 2 && at >= 0 && single(w, at) && !strings.HasSuffix(w[i-1], "e") {
				chars = w[at] // "la x minuscola"
				if s == "upper" {
					chars = strings.ToUpper(chars)
				}
			}
			out = append(out, explanation{chars, place})
			place = 0
		}
	}
	return out
}
