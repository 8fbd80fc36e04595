package submission

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
		if a, b := plain.groups[0], rich.groups[0]; a.forms[0] == b.forms[0] {
			a.starred = a.starred && b.starred // bold in the HTML is no mark in it
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
