package submission_test

import (
	"testing"

	"pec-ingest/internal/submission"
)

// Without a login only what is understood is taken. Each sentence stands
// beside a clear password; what may change, deny, limit or doubt it makes it
// loose, whatever words it uses.
func TestUnderstood(t *testing.T) {
	for _, c := range []struct {
		said  string
		loose bool
	}{
		{"", false},
		{"Scade il 13/02/2024", false},
		{"Grazie, resto a disposizione per qualsiasi chiarimento", false},
		{"\nCordiali saluti\nOfficine Rossi\nP.IVA 01234567890 - SDI M5UXCR1", false},
		{"\nOggi non riesco a passare in studio per i documenti del bilancio, li porto venerdì", false},
		{"Se non funziona fatemi sapere", false},
		{"Vecchia password: Kt8vRw37", false},
		{"\nCordiali saluti\nP.S. fermi, mi dice che è stata revocata", true},
		{"Non prima di lunedì", true},
		{"Specchiata.", true},
		{"Anzi.", true},
		{"Così mi ha detto un signore al telefono", true},
		{"È di mio padre", true},
		{"Solo per oggi", true},
		{"Va bene questa?", true},
		{"Data: 02/03/2019", true},
		{"Kt8vRw37", true},
		{"\nIl 14/11/2023 18:02, studio@pec.example ha scritto:\n> la password N8vtxRk2 non funziona", true},
	} {
		r := submission.Find(message("Password", "Password per programmi di posta: N8vtxRk2\n"+c.said), submission.Options{})
		taken := r.State == submission.Found && !r.Candidates[0].Loose
		if taken == c.loose {
			t.Errorf("%q: got %s %s, taken %v, want %v", c.said, r.State, describe(r), taken, !c.loose)
		}
		if !holds(r, "N8vtxRk2") {
			t.Errorf("%q: got %s, want the password among the candidates", c.said, describe(r))
		}
	}
}

// The two forms of one letter are read both, whichever the password is from.
func TestUnderstoodInBothForms(t *testing.T) {
	for _, c := range []struct {
		name, plain, html string
		loose             bool
	}{
		{"alike", "La password è N8vtxRk2", "<p>La password è N8vtxRk2</p>", false},
		{"a warning in the HTML", "La password è N8vtxRk2", "<p>La password è N8vtxRk2</p><p><b>NON utilizzare prima di mia conferma</b></p>", true},
		{"a warning in the plain text", "La password non è ancora attiva", "<p>La password è N8vtxRk2</p>", true},
	} {
		s := sample{from: "rossi@pec.example", subject: "password", as: "both", body: c.plain, second: c.html}
		r := submission.FindRaw(s.message(), s.subject, "rossi@pec.example", defaultSent)
		if taken := r.State == submission.Found && !r.Candidates[0].Loose; taken == c.loose {
			t.Errorf("%s: got %s %s, taken %v, want %v", c.name, r.State, describe(r), taken, !c.loose)
		}
	}
}

// A word that is a person's is no generated password, a hash neither; the
// webmail's password looks like that. Only a letter that names ours is believed.
func TestHandmadeIsLoose(t *testing.T) {
	for _, c := range []struct {
		password string
		loose    bool
	}{
		{": N8vtxRk2", false}, {": bpkwtnqzrfshyvlc", false}, {": 5rTk-8WmZ-q2Lx", false},
		{"per programmi di posta: Casa1234!", false}, {": Casa1234!", true}, {": Mario1970", true}, {": Studio2023!", true}, {": 5f4dcc3b5aa765d61d8327deb882cf99", true},
	} {
		r := submission.Find(message("Password", "Password "+c.password), submission.Options{})
		if r.State != submission.Found || r.Candidates[0].Loose != c.loose {
			t.Errorf("%s: got %s %s loose %v, want found, loose %v", c.password, r.State, describe(r), len(r.Candidates) > 0 && r.Candidates[0].Loose, c.loose)
		}
	}
}
