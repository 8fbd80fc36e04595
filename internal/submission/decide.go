package submission

import (
	"sort"
	"strings"
)

// group is one password as far as can be told: all hits that share a form.
type group struct {
	forms    []string
	score    int
	doubtful bool
	where    string
	why      []string
	mailbox  string
	strong   bool
	link     link
	label    section
	capped   bool // something speaks against it
	past     bool // old, negated, dead, webmail, quoted: asked only if nothing else is there
}

// verdict is the reading of one form of the letter.
type verdict struct {
	state  State
	groups []*group
	pairs  []pairGroups
	named  []string
	notes  []string
	source string
	facts  facts
	texts  []text

	mixed   bool // two mailboxes are named before one password
	crowded bool // more values than a letter can have
}

type pairGroups struct {
	mailbox string
	groups  []*group
}

// judge reads one form of the letter (plain or HTML) with the subject and the
// attached texts. It returns nil if there is no such form.
func (l *letter) judge(body []text, sender string) *verdict {
	if len(body) == 0 {
		return nil
	}
	all := append(append([]text{}, body...), l.attached...)
	v := &verdict{texts: append([]text{l.subject}, all...), source: body[0].source}
	v.facts = l.gather(body, l.attached)
	var hits []hit
	for i := range all {
		hits = append(hits, l.scanText(&all[i], v.facts)...)
	}
	subject := l.scanText(&l.subject, v.facts)
	hits = append(hits, subject...)
	v.decide(hits, sender)
	return v
}

func (l *letter) scanText(t *text, f facts) []hit {
	own := scanner{names: l.names, dots: f.dots, escapes: f.escapes}
	own.scan(t, false)
	old := scanner{names: l.names, dots: f.dots, escapes: f.escapes}
	old.scan(t, true)
	return append(own.hits, old.hits...)
}

// rate gives a hit its score; 0 drops it.
func (v *verdict) rate(h *hit) (score int, past, capped bool, why []string) {
	f := v.facts
	switch h.link {
	case linkDirect:
		score, why = 95, []string{"after-label"}
	case linkHeader:
		score, why = 92, []string{"below-label"}
	case linkNear:
		score, why = 70, []string{"near-label"}
	case linkAlone:
		score, why = 65, []string{"own-line"}
	default:
		// Said without any tie to the password: only to show to a person.
		if h.kind != kindStrong || h.zone != zoneOwn || h.label != "" || h.tied || !f.about() || h.other && !h.mail || h.example {
			return 0, false, false, nil
		}
		return 40, false, true, []string{"in-text"}
	}
	switch h.label {
	case "app":
		score += 5
		why = append(why, "program-password")
	case "code":
		score -= 25
	}
	if h.example {
		return 0, false, false, nil
	}
	if h.other && !h.mail || f.onlyOther() && h.label != "app" {
		v.notes = append(v.notes, NoteOther)
		return 0, false, false, nil
	}
	if h.label != "app" && h.label != "password" && !f.about() && !(h.link == linkAlone && f.bare && h.kind == kindStrong && !h.weak) {
		return 0, false, false, nil
	}
	if h.link == linkAlone && (h.zone == zoneSignature || h.zone == zoneDisclaimer) {
		return 0, false, false, nil
	}
	cap := func(max int, word string) {
		score, capped = min(score, max), true
		why = append(why, word)
	}
	if !f.about() && h.label == "" {
		cap(60, "no-word")
	}
	switch {
	case h.weak && h.link == linkNear:
		cap(45, "looks-ordinary") // never a rival
	case h.weak:
		cap(58, "looks-ordinary")
	}
	if h.unknown {
		cap(75, "unknown-word")
	}
	if h.other || f.other && h.label != "app" && !h.mail {
		cap(74, "other-purpose")
	}
	if h.asked {
		cap(74, "question")
	}
	if h.unsure {
		cap(74, "unsure")
	}
	if f.half {
		cap(74, "in-parts")
	}
	if f.attached && !f.app && !f.subject && h.label != "app" && !h.mail {
		cap(74, "document-beside")
	}
	if f.unplaced() {
		cap(74, "unplaced")
	}
	if v.crowded {
		cap(74, "too-many")
	}
	if h.webmail && !h.mail {
		cap(30, "webmail")
		v.notes = append(v.notes, NoteWebmail)
		past = true
	} else if h.webmail {
		cap(74, "webmail")
	}
	if h.old || h.negated || h.dead {
		cap(20, "old")
		past = true
	}
	if f.future && h.link != linkNone {
		cap(76, "another-announced")
	}
	if h.zone == zoneQuoted {
		cap(15, "quoted")
		past = true
	}
	return score, past, capped, why
}

// decide forms groups and says what the letter is.
func (v *verdict) decide(hits []hit, sender string) {
	v.crowded = len(hits) >= maxHits
	var dropped []string
	for i := range hits {
		h := &hits[i]
		score, past, capped, why := v.rate(h)
		if score <= 0 {
			if h.zone != zoneQuoted && !h.example {
				dropped = append(dropped, h.reading.forms[0])
			}
			continue
		}
		v.mixed = v.mixed || h.severalBoxes
		v.put(h, score, past, why, sender)
		v.groups[len(v.groups)-1].capped = capped
	}
	v.groups = merge(v.groups)
	sort.SliceStable(v.groups, func(i, j int) bool { return v.groups[i].score > v.groups[j].score })
	v.pickMailboxes(sender)
	v.compare(dropped)
	v.state = v.stateOf()
	if v.state == Intended || v.state == None || v.state == Extension {
		v.groups = nil
	}
}

// compare looks for a value that is nearly the best candidate: one of the two
// was mistyped.
func (v *verdict) compare(dropped []string) {
	if len(v.groups) == 0 {
		return
	}
	best := v.groups[0]
	first := strings.ToLower(best.forms[0])
	near := func(s string) bool {
		s = strings.ToLower(s)
		if len(s) > maxLength || len(first) > maxLength {
			return false
		}
		d := distance(first, s)
		return d <= 2 && d*3 <= len(first)
	}
	for _, s := range dropped[:min(len(dropped), 200)] {
		if !contains(best.forms, s) && near(s) {
			best.doubtful = true
			best.why = append(best.why, "nearly-twice")
			best.forms = append(best.forms[:len(best.forms):len(best.forms)], s)
			return
		}
	}
	for _, g := range v.groups[1:min(len(v.groups), 200)] {
		if g.mailbox == best.mailbox && near(g.forms[0]) && !contains(g.why, "quoted") && !contains(g.why, "old") {
			best.doubtful = true
			best.why = append(best.why, "nearly-twice")
			return
		}
	}
}

func (v *verdict) put(h *hit, score int, past bool, why []string, sender string) {
	box := h.mailbox
	if box == sender {
		box = ""
	}
	v.groups = append(v.groups, &group{
		forms: h.reading.forms, score: score, doubtful: h.doubtful, where: h.where, why: why,
		mailbox: box, strong: h.kind == kindStrong && !h.weak, link: h.link, label: h.label, past: past,
	})
}

// merge unites groups that share their best form, and lets a clear reading
// settle a doubtful one that has it among its forms.
func merge(in []*group) []*group {
	sort.SliceStable(in, func(i, j int) bool {
		if in[i].doubtful != in[j].doubtful {
			return !in[i].doubtful
		}
		return in[i].score > in[j].score
	})
	var out []*group
	for _, g := range in {
		into := (*group)(nil)
		for _, o := range out {
			if o.mailbox == g.mailbox && (o.forms[0] == g.forms[0] || !o.doubtful && contains(g.forms, o.forms[0])) {
				into = o
				break
			}
		}
		if into == nil {
			out = append(out, g)
			continue
		}
		if g.score > into.score && !into.past {
			into.score, into.where, into.capped = g.score, g.where, into.capped && g.capped
		}
		if into.past && !g.past || g.past && !into.past && !strings.Contains(strings.Join(g.why, " "), "quoted") {
			// The same password named as new and as old: somebody must look.
			into.doubtful = true
			into.past = false
			into.score = max(into.score, g.score)
		}
		for _, f := range g.forms {
			if !contains(into.forms, f) {
				into.forms = append(into.forms[:len(into.forms):len(into.forms)], f)
			}
		}
	}
	return out
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// Two scores below which a group doesn't rival a clear one, and from which a
// lone one is believed in a letter about the password.
const (
	rival    = 50
	believed = 62
)

// stateOf is the rule of the package: found only for one clear candidate.
func (v *verdict) stateOf() State {
	var live []*group
	for _, g := range v.groups {
		if !g.past && g.score >= rival {
			live = append(live, g)
		}
	}
	if len(live) > 0 {
		if live[0].heed(v.facts.explained) {
			v.notes = append(v.notes, NoteExplained)
		}
		v.groups = append(live, others(v.groups, live)...)
		best := live[0]
		lone := len(live) == 1
		switch {
		case len(v.pairs) > 0 || best.mailbox != "":
			return Ambiguous
		case best.forms[0] == guideExample:
			return Ambiguous
		case lone && best.score >= Clear && !best.doubtful:
			return Found
		case lone && best.score >= believed && !best.capped && best.strong && !best.doubtful && v.facts.about() && !v.facts.other:
			best.score = Clear
			best.why = append(best.why, "the-only-one")
			return Found
		}
		return Ambiguous
	}
	if v.facts.extends() {
		return Extension
	}
	if len(v.groups) > 0 && v.facts.about() {
		for _, g := range v.groups {
			if contains(g.why, "quoted") {
				v.notes = append(v.notes, NoteQuoted)
				break
			}
		}
		return Ambiguous
	}
	if len(v.groups) > 0 && v.groups[0].score >= rival {
		return Ambiguous
	}
	if v.facts.intends() && (!contains(v.notes, NoteOther) || v.facts.app || v.facts.subject && !v.facts.otherSubj) {
		return Intended
	}
	return None
}

// guideExample is the password that the client guide shows; a letter with it
// is a copy of the guide until a person says otherwise.
const guideExample = "1$lhW"

func others(all, but []*group) []*group {
	var out []*group
	for _, g := range all {
		in := false
		for _, b := range but {
			in = in || g == b
		}
		if !in {
			out = append(out, g)
		}
	}
	return out
}

// pickMailboxes looks whether the letter gives passwords for several
// mailboxes, or for another than the sender's.
func (v *verdict) pickMailboxes(sender string) {
	byBox := map[string][]*group{}
	var order []string
	for _, g := range v.groups {
		if g.past || g.score < rival {
			continue
		}
		box := g.mailbox
		if box == "" {
			box = sender
		} else {
			v.addNamed(box)
		}
		if len(byBox[box]) == 0 {
			order = append(order, box)
		}
		byBox[box] = append(byBox[box], g)
	}
	if len(v.named) == 0 {
		return
	}
	v.notes = append(v.notes, NoteOtherMailbox)
	if v.mixed {
		return
	}
	for _, box := range order {
		gs := byBox[box]
		if len(gs) > 1 || gs[0].doubtful || gs[0].score < believed {
			v.pairs = nil
			return // not clear which password is whose
		}
		v.pairs = append(v.pairs, pairGroups{mailbox: box, groups: gs})
	}
}

func (v *verdict) addNamed(box string) {
	if !contains(v.named, box) {
		v.named = append(v.named, box)
	}
}

// combine makes one verdict of the plain and the HTML form.
func combine(plain, rich *verdict, r *Result) *verdict {
	switch {
	case plain == nil && rich == nil:
		return &verdict{state: None}
	case rich == nil:
		return plain
	case plain == nil:
		return rich
	}
	p, h := plain.state, rich.state
	switch {
	case p == Found && h == Found:
		if plain.groups[0].forms[0] == rich.groups[0].forms[0] {
			return plain
		}
		r.note(NoteDiffer)
		return unite(plain, rich)
	case p == Found && len(rich.groups) == 0:
		return plain
	case h == Found && len(plain.groups) == 0:
		return rich
	case p == Found && rich.onlyAbout(plain.groups[0].forms[0]):
		return plain
	case h == Found && plain.onlyAbout(rich.groups[0].forms[0]):
		return rich
	case len(plain.groups) > 0 && len(rich.groups) > 0:
		if len(plain.pairs) > 0 || len(rich.pairs) > 0 {
			return plain
		}
		return unite(plain, rich)
	case len(rich.groups) > 0:
		return rich
	case len(plain.groups) > 0:
		return plain
	case p == None:
		return rich
	}
	return plain
}

// onlyAbout: all that v holds is one value, of which s is a form.
func (v *verdict) onlyAbout(s string) bool {
	live := 0
	for _, g := range v.groups {
		if g.past {
			continue
		}
		live++
		if !contains(g.forms, s) {
			return false
		}
	}
	return live <= 1
}

func unite(a, b *verdict) *verdict {
	a.groups = append(a.groups, b.groups...)
	a.state = Ambiguous
	a.notes = append(a.notes, b.notes...)
	return a
}
