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
	trimmed  bool // see reading
	ended    bool
	starred  bool
	vague    bool // found, but not all that is said beside it is understood
	past     bool // old, negated, dead, webmail, quoted: asked only if nothing else is there
}

// weighCodes: beside a password that is called so, "codice …" is something
// else.
func (v *verdict) weighCodes() {
	named := false
	for _, g := range v.groups {
		named = named || g.score >= Clear && (g.label == "password" || g.label == "app")
	}
	for _, g := range v.groups {
		if named && g.label == "code" {
			g.score = min(g.score, rival-1)
		}
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
		if into.forms[0] == g.forms[0] { // written twice, once without the mark
			into.ended, into.starred = into.ended && g.ended, into.starred && g.starred
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
