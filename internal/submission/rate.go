package submission

import "strings"

// rate makes a group of one hit: its score, and what speaks against it. ok is
// false for a value that is no candidate at all.
func (v *verdict) rate(h *hit, sender string) (*group, bool) {
	if v.foreign(h) {
		return nil, false
	}
	g := &group{forms: h.reading.forms, doubtful: h.doubtful, trimmed: h.reading.trimmed, ended: h.reading.ended, starred: h.reading.starred, where: h.where, link: h.link, label: h.label}
	if h.mailbox != sender {
		g.mailbox = h.mailbox
	}
	coded := h.kind == kindWeird && strings.ContainsAny(g.forms[0], "0123456789")
	g.strong = (h.kind == kindStrong || coded && (h.link != linkNear || h.mail)) && !h.weak
	switch h.link {
	case linkDirect:
		g.score, g.why = 95, []string{"after-label"}
	case linkHeader:
		g.score, g.why = 92, []string{"below-label"}
	case linkNear:
		g.score, g.why = 70, []string{"near-label"}
	case linkAlone:
		g.score, g.why = 65, []string{"own-line"}
	default:
		// Without any tie to the password: only to be shown to a person.
		g.score, g.why, g.capped = 40, []string{"in-text"}, true
		return g, true
	}
	switch h.label {
	case "app":
		g.score += 5
		g.why = append(g.why, "program-password")
	case "code":
		g.score -= 25
	}
	for _, o := range v.objections(h) {
		if o.holds {
			g.score, g.capped = min(g.score, o.most), true
			g.past = g.past || o.past
			g.why = append(g.why, o.word)
		}
	}
	if contains(g.why, "webmail") {
		v.notes = append(v.notes, NoteWebmail)
	}
	return g, true
}

// foreign tells whether a value has nothing to do with the password for mail
// programs.
func (v *verdict) foreign(h *hit) bool {
	f := v.facts
	switch {
	case h.example, h.counted:
		return true
	case h.tagged:
		return false
	}
	ours := h.label == "app" || h.label == "password"
	if h.link == linkNone {
		if v.stray(h) {
			return false
		}
		return h.kind != kindStrong || h.zone != zoneOwn || h.label != "" || h.tied || !f.about() || h.other && !h.mail
	}
	// In a letter about the mailbox by its subject a person is asked, see
	// objections: "Allegati: fattura.pdf" below "Password: abc123".
	if h.other && !h.mail || f.onlyOther() && h.label != "app" && !(f.titled && h.label == "password" && h.link != linkNear) {
		v.notes = append(v.notes, NoteOther)
		return true
	}
	if h.unknown && f.unplaced() {
		return true // "password Zeta" in a letter about Zeta
	}
	if h.link == linkAlone && (h.zone == zoneSignature || h.zone == zoneDisclaimer) {
		return true
	}
	// Without the word "password" anywhere, only a letter that is nothing but
	// the value can be one.
	bare := h.link == linkAlone && f.bare && h.kind == kindStrong && !h.weak
	return !ours && !f.about() && !bare && !h.paired && !v.stray(h)
}

// stray tells whether a value without any word of a password looks so much
// like one, in a letter so short, that a person should see it: "sul sito di
// Aruba mi ha dato questa qua bV3mLp8s".
func (v *verdict) stray(h *hit) bool {
	f := v.facts
	if f.other || f.ownWords > 60 || h.zone != zoneOwn || h.kind != kindStrong || h.label != "" && !(h.label == "code" && f.titled) || h.tied || h.other || h.example {
		return false
	}
	s, least := h.reading.forms[0], 8
	if f.titled && f.ownWords <= shortNote {
		least = shortest
	}
	return len(s) >= least && len(s) <= 16 && !hasSpecial(s) && mixed(s)
}

// shortNote is how many words a letter has, whose subject is the mailbox, in
// which a value needs no word: "è uscito questo: abc123".
const shortNote = 25

// mixed: small and capital letters and digits.
func mixed(s string) bool {
	var lower, upper, digit bool
	for _, c := range s {
		lower = lower || c >= 'a' && c <= 'z'
		upper = upper || c >= 'A' && c <= 'Z'
		digit = digit || c >= '0' && c <= '9'
	}
	return lower && upper && digit
}

// objection is something that speaks against a candidate.
type objection struct {
	holds bool
	most  int  // the score that it allows
	past  bool // a person is asked about it only if nothing else is there
	word  string
}

func (v *verdict) objections(h *hit) []objection {
	f := v.facts
	generic := h.label != "app" && !h.mail // says nothing of what it is for
	return []objection{
		{!f.about() && h.label == "", 60, false, "no-word"},
		{h.weak && h.link == linkNear, rival - 5, false, "looks-ordinary"},
		{h.weak && h.link != linkNear, 58, false, "looks-ordinary"},
		{h.unknown, 75, false, "unknown-word"},
		{h.other || f.other && generic, 74, false, "other-purpose"},
		{h.purpose, 74, false, "other-purpose"},
		{h.asked, 74, false, "question"},
		{h.unsure, 74, false, "unsure"},
		{h.wary, 74, false, "negation"},
		{f.half, 74, false, "in-parts"},
		{(f.attached || f.link) && !f.app && !f.subject && generic, 74, false, "document-beside"},
		{f.unplaced(), 74, false, "unplaced"},
		{v.crowded, 74, false, "too-many"},
		{h.webmail && h.mail, 74, false, "webmail"},
		{h.webmail && !h.mail, 30, true, "webmail"},
		{h.personal && !h.mail && !h.webmail || h.private, 74, false, "personal"},
		{f.future, 76, false, "another-announced"},
		{h.old || h.negated || h.dead, 20, true, "old"},
		{h.zone == zoneQuoted, 15, true, "quoted"},
	}
}
