package submission

import (
	"sort"
)

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
	hits   []hit
	words  []string // of the sentence that is being read; used again for the next

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
		hits = append(hits, l.scanText(&all[i], v.facts, sender)...)
	}
	subject := l.scanText(&l.subject, v.facts, sender)
	hits = append(hits, subject...)
	v.decide(hits, sender)
	return v
}

func (l *letter) scanText(t *text, f facts, sender string) []hit {
	own := scanner{sender: toLowerASCII(sender), names: l.names, dots: f.dots, escapes: f.escapes, rich: t.source == "text/html"}
	own.scan(t, false)
	old := own
	old.hits, old.pending, old.mailbox = nil, nil, ""
	old.scan(t, true)
	return append(own.hits, old.hits...)
}

// decide forms groups and says what the letter is.
func (v *verdict) decide(hits []hit, sender string) {
	v.hits = hits
	v.crowded = len(hits) >= maxHits
	var dropped []string
	for i := range hits {
		h := &hits[i]
		g, ok := v.rate(h, sender)
		if !ok {
			if h.zone != zoneQuoted && !h.example {
				dropped = append(dropped, h.reading.forms[0])
			}
			continue
		}
		v.mixed = v.mixed || h.severalBoxes
		v.groups = append(v.groups, g)
	}
	v.groups = merge(v.groups)
	v.weighCodes()
	sort.SliceStable(v.groups, func(i, j int) bool { return v.groups[i].score > v.groups[j].score })
	v.pickMailboxes(sender)
	v.compare(dropped)
	v.state = v.stateOf()
	if v.state == Intended || v.state == None || v.state == Extension {
		v.groups = nil
	}
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
		live[0].heedMarks(v.facts)
		if n := v.facts.length; n > 0 && n != len([]rune(live[0].forms[0])) {
			live[0].doubtful = true
			live[0].why = append(live[0].why, "length-differs")
		}
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
		case lone && best.score >= believed && !best.capped && best.strong && !best.doubtful && v.facts.about() && !v.facts.other && !v.rivalled(best):
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
	if len(v.groups) > 0 && (v.groups[0].score >= rival || !v.facts.about() && len(v.groups) == 1) {
		return Ambiguous
	}
	if v.facts.intends() && (!contains(v.notes, NoteOther) || v.facts.app || v.facts.subject && !v.facts.otherSubj) {
		return Intended
	}
	return None
}

// rivalled tells whether a second value that looks like a password stands in
// the letter without a word of what it is: a first one that is only near the
// label is no better.
func (v *verdict) rivalled(best *group) bool {
	for _, g := range v.groups {
		if g != best && g.link == linkNone && g.strong && !g.past {
			return true
		}
	}
	return false
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
