package submission

import (
	"strconv"
	"strings"
	"time"

	"pec-ingest/internal/secret"
)

// letter is a message made readable.
type letter struct {
	subject  text
	plain    []text // parts that are the letter itself
	html     []text
	attached []text // text files
	names    map[string]bool
	images   int
	docs     int
	archives int // among docs
	messages int
	notes    []string
	mentions []mention // the dates found, see dates

	forms []form // what plain, html and attached are made of
}

// form is one text of a letter, cut into lines and not yet read.
type form struct {
	source   string // as in text
	attached bool
	lines    []srcLine
}

// at says where a line stands, for people: "text/plain:3".
func (t *text) at(index int) string {
	if t.source == "subject" {
		return "subject"
	}
	return t.source + ":" + strconv.Itoa(t.lines[index].n)
}

// open takes a message apart into readable texts.
func open(original []byte, subject, sender string) *letter {
	l := unfold(original, subject, sender)
	l.readTexts()
	return l
}

// readTexts takes the lines of all forms apart.
func (l *letter) readTexts() {
	for _, f := range l.forms {
		t := newText(f.source, f.lines)
		switch {
		case f.attached:
			l.attached = append(l.attached, t)
		case f.source == "text/html":
			l.html = append(l.html, t)
		default:
			l.plain = append(l.plain, t)
		}
	}
	if len(l.plain)+len(l.html) == 0 { // the message is one picture, document or text file
		l.plain = []text{newText("text/plain", []srcLine{{n: 1}})}
	}
	l.forms = nil
}

// unfold is open without the reading of the texts.
func unfold(original []byte, subject, sender string) *letter {
	t := parseMessage(original)
	l := &letter{names: map[string]bool{}, notes: t.notes}
	for _, w := range splitWords(t.from + " " + strings.NewReplacer("@", " ", ".", " ", "_", " ").Replace(sender)) {
		if len(w) >= 2 {
			l.names[w] = true
		}
	}
	if subject == "" {
		subject = t.subject
	} else if strings.Contains(subject, "=?") {
		subject = decodeHeader(subject)
	}
	l.subject = newText("subject", []srcLine{{n: 1, text: clean(subject)}})
	l.subject.lines[0].zone = zoneOwn

	budget := maxText
	files := 0
	for _, p := range t.parts {
		file := p.attached && !(p.name == "" || p.inline && p.related)
		switch {
		case p.mediaType == "text/plain" || p.mediaType == "text/html":
			if budget <= 0 {
				l.notes = append(l.notes, NoteTooMuch)
				continue
			}
			if file {
				files++
			}
			body := decodeBody(p, maxText+1) // what is more is cut off
			if len(body) > maxText {
				l.notes = append(l.notes, NoteTooMuch)
			}
			s := decodeText(body, p.params["charset"])
			budget -= len(s)
			l.addText(p, s, file, files)
		case strings.HasPrefix(p.mediaType, "image/"):
			if !p.related && !p.inline || len(p.body) > 60<<10 {
				l.images++ // a logo of the signature is small and within the HTML
			}
		case p.mediaType == "message/rfc822":
			l.messages++
		case p.mediaType == "application/pkcs7-signature", p.mediaType == "application/x-pkcs7-signature",
			p.mediaType == "application/pgp-signature", p.mediaType == "text/vcard", p.mediaType == "text/x-vcard",
			p.mediaType == "message/delivery-status", p.mediaType == "message/disposition-notification":
		case p.mediaType == "application/octet-stream" && imageName(p.name):
			l.images++
		default:
			l.docs++
			if archiveName(p.name) {
				l.archives++
			}
		}
	}
	return l
}

func imageName(name string) bool {
	low := strings.ToLower(name)
	for _, end := range []string{".jpg", ".jpeg", ".png", ".gif", ".heic", ".webp", ".bmp"} {
		if strings.HasSuffix(low, end) {
			return true
		}
	}
	return false
}

func archiveName(name string) bool {
	low := strings.ToLower(name)
	return strings.HasSuffix(low, ".zip") || strings.HasSuffix(low, ".rar") || strings.HasSuffix(low, ".7z")
}

func (l *letter) addText(p part, s string, file bool, n int) {
	var src []srcLine
	if p.mediaType == "text/html" {
		src = htmlLines(s)
	} else {
		src = plainLines(s, strings.EqualFold(p.params["format"], "flowed"), strings.EqualFold(p.params["delsp"], "yes"))
	}
	source := p.mediaType
	if file {
		source = "attachment:" + strconv.Itoa(n)
	} else if source != "text/html" {
		source = "text/plain"
	}
	for _, name := range takeBlocks(src) {
		if imageName(name) {
			l.images++
		} else {
			l.docs++
		}
	}
	l.forms = append(l.forms, form{source, file, src})
}

// find is Find without the message type.
func find(original []byte, subject, sender string, sent time.Time, loc *time.Location) *Result {
	return open(original, subject, sender).read(sender, sent, loc)
}

// findState is find, for which of None all are alike.
func findState(original []byte, subject, sender string, sent time.Time, loc *time.Location) *Result {
	l := unfold(original, subject, sender)
	if l.dull() {
		return &Result{State: None, Mailbox: sender}
	}
	l.readTexts()
	return l.read(sender, sent, loc)
}

// read is the reading of an opened letter.
func (l *letter) read(sender string, sent time.Time, loc *time.Location) *Result {
	r := &Result{State: None, Mailbox: sender}
	v := l.verdict(r)
	l.dates(v, r, sent, loc)
	if l.longAgo(sent) {
		for _, g := range v.accepted() {
			g.vague = true
		}
	}
	v.fillResult(r, l, sender)
	return r
}

// longAgo tells whether a day beside the password is over a year past: the
// password may be of that day, too.
func (l *letter) longAgo(sent time.Time) bool {
	for _, m := range l.mentions {
		if m.lone && !m.day.IsZero() && m.day.Before(sent.AddDate(-1, 0, 0)) {
			return true
		}
	}
	return false
}

// verdict reads all but the dates, for r's mailbox, and notes in r what it
// comes across.
func (l *letter) verdict(r *Result) *verdict {
	r.note(l.notes...)
	if l.images > 0 {
		r.note(NoteImage)
	}
	if l.docs > 0 {
		r.note(NoteDocument)
	}
	if l.messages > 0 {
		r.note(NoteMessage)
	}
	plain := l.judge(l.plain, r.Mailbox)
	rich := l.judge(l.html, r.Mailbox)
	v := combine(plain, rich, r)
	if best := v.accepted(); len(best) > 0 {
		for _, form := range []*verdict{plain, rich} {
			if form != nil && !form.understands(best, l.names) {
				for _, g := range best {
					g.vague = true
				}
			}
		}
	}
	r.HoldsMore = l.docs+l.messages > 0 || v.facts.ownWords > coveringLetter
	return v
}

// accepted are the passwords that no person need look at, if they work.
func (v *verdict) accepted() (best []*group) {
	if v.state == Found {
		return v.groups[:1]
	}
	for _, p := range v.pairs {
		best = append(best, p.groups[0])
	}
	return best
}

// coveringLetter is how many words of its own a letter has that says no more
// than "here is the password".
const coveringLetter = 150

// fillResult turns the verdict into the public result.
func (v *verdict) fillResult(r *Result, l *letter, sender string) {
	r.State = v.state
	r.note(v.notes...)
	r.Candidates = candidates(v.groups)
	r.Named = v.named
	for _, p := range v.pairs {
		r.Pairs = append(r.Pairs, Pair{Mailbox: p.mailbox, Candidates: candidates(p.groups), Stated: l.pairDate(p, r.Stated)})
	}
	if r.State == None {
		r.Stated, r.Generated = time.Time{}, time.Time{}
	}
	switch {
	case len(r.Candidates) > 0:
		r.TextFrom, _, _ = strings.Cut(r.Candidates[0].Where, ":")
	case r.State != None:
		r.TextFrom = v.source
	}
}

func candidates(groups []*group) []Candidate {
	var out []Candidate
	seen := map[string]bool{}
	for _, g := range groups {
		for i, f := range g.forms {
			if seen[f] || len(out) >= maxCandidates {
				continue
			}
			seen[f] = true
			score := g.score
			if i > 0 {
				score = min(score, Clear-1) - 10*i
			} else if g.doubtful {
				score = min(score, Clear-1)
			}
			out = append(out, Candidate{Secret: secret.FromString(f), Where: g.where, Score: max(score, 1), Why: g.why, Loose: i == 0 && (g.ended || g.starred || g.vague)})
		}
	}
	return out
}

// maxCandidates bounds what a person is asked to choose from.
const maxCandidates = 12
