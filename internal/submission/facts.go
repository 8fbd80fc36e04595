package submission

import "strings"

// facts is what the letter as a whole says.
type facts struct {
	app       bool // names the password for mail programs
	password  bool // says "password" in the sender's own words
	subject   bool // says so in the subject
	thread    bool // answers a message about it
	mail      bool // names mail programs, two-step verification, …
	mailweak  bool // says PEC, mailbox, expiry
	other     bool // names things that have passwords of their own
	otherSubj bool
	extend    bool
	undone    bool
	done      bool
	future    bool
	question  bool
	reply     bool
	bare      bool // nothing but one value, greeting and closing aside
	dots      bool // sentences end with dots
	escapes   bool
	ownWords  int
	image     bool
	attached  bool
}

// about: the letter is about the password we want.
func (f facts) about() bool {
	return f.app || f.password && !f.onlyOther() || f.subject && !f.otherSubj || f.thread && f.reply
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
	return f.extend && !f.undone && (f.app || f.password || f.subject || f.thread) && !f.onlyOther()
}

// intends: no password is there, but a person should look.
func (f facts) intends() bool {
	if f.onlyOther() {
		return false
	}
	switch {
	case f.app, f.subject && !f.otherSubj:
		return true
	case f.password:
		return f.mail || f.mailweak || f.done || f.undone || f.future || f.extend || f.ownWords < 25
	case f.thread && f.reply:
		return f.done || f.ownWords == 0 || f.image || f.attached || f.extend
	}
	return false
}

// gather collects the facts of one form of the letter.
func (l *letter) gather(body, attached []text) facts {
	f := facts{image: l.images > 0, attached: l.docs > 0}
	sub := l.subject.lines[0].words
	f.subject = lex.has(sub, "password", "app") || anyPasswordWord(sub)
	f.otherSubj = lex.has(sub, "other") && !lex.has(sub, "app", "mail", "mailweak")
	f.app = lex.has(sub, "app")
	f.extend = lex.has(sub, "extend")
	f.reply = len(sub) > 0 && (sub[0] == "re" || sub[0] == "r" || sub[0] == "ris" || sub[0] == "aw")
	dotted, undotted, values, lines := 0, 0, 0, 0
	texts := append(append([]text{}, body...), attached...)
	for ti := range texts {
		t := &texts[ti]
		for i := range t.lines {
			line := &t.lines[i]
			if line.blank {
				continue
			}
			w := line.words
			if line.zone == zoneQuoted {
				f.thread = f.thread || lex.has(w, "app", "password")
				f.reply = true
				continue
			}
			if line.zone == zoneDisclaimer {
				continue
			}
			f.escapes = f.escapes || strings.Contains(line.text, `\*`) || strings.Contains(line.text, `\_`) || strings.Contains(line.text, `\.`) || strings.Contains(line.text, `\-`)
			if line.zone == zoneSignature {
				f.app = f.app || lex.has(w, "app")
				f.password = f.password || lex.has(w, "password", "app")
				continue
			}
			f.ownWords += len(w)
			f.addLine(w)
			if line.zone == zoneOwn && !isGreeting(*line) {
				lines++
				if n, ok := aloneOn(line); ok && line.toks[n].kind == kindStrong {
					values++
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
	return f
}

func hasStrong(l *line) bool {
	for _, t := range l.toks {
		if t.kind == kindStrong {
			return true
		}
	}
	return false
}

func (f *facts) addLine(w []string) {
	f.password = f.password || anyPasswordWord(w)
	for i := 0; i < len(w); {
		p, ok := lex.longest(w[i:])
		if !ok {
			i++
			continue
		}
		i += len(p.words)
		f.app = f.app || p.is("app")
		f.password = f.password || p.is("password", "app")
		f.extend = f.extend || p.is("extend")
		f.undone = f.undone || p.is("undone")
		f.done = f.done || p.is("done")
		f.future = f.future || p.is("future")
		if p.is("neutral") {
			f.mailweak = f.mailweak || true
			continue
		}
		f.mail = f.mail || p.is("mail")
		f.mailweak = f.mailweak || p.is("mailweak")
		f.other = f.other || p.is("other")
	}
}

func anyPasswordWord(w []string) bool {
	for _, x := range w {
		if passwordWord(x) {
			return true
		}
	}
	return false
}
