package submission_test

import (
	"strings"
	"testing"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/submission"
)

func candidates(list ...string) []submission.Candidate {
	var out []submission.Candidate
	for _, s := range list {
		out = append(out, submission.Candidate{Secret: secret.FromString(s)})
	}
	return out
}

func TestMaskLine(t *testing.T) {
	for _, c := range []struct {
		line, want string
		cands      []string
	}{
		{"Password Xy12ab per Xy12ab", "Password •••• per ••••", []string{"Xy12ab"}},
		{"Xy12ab. fine", "•••• fine", []string{"Xy12ab", "Xy12ab."}},
		{"nulla qui", "nulla qui", []string{"Xy12ab"}},
		{"Nuova password", "Nuova password", nil},
	} {
		if got := submission.MaskLine(c.line, candidates(c.cands...)); got != c.want {
			t.Errorf("%q: got %q, want %q", c.line, got, c.want)
		}
	}
}

func TestLetter(t *testing.T) {
	m := message("Nuova password Xy12ab", `Buongiorno,
la nuova password è Xy12ab oppure Zz98.
La webmail ha invece Segret1ssima e girandola9 e qwrtpsdf.
Scade il 13/02/2024, mi chiami allo 0511234567.
Cordiali saluti`)
	r := submission.Find(m, submission.Options{})
	cands := candidates("Xy12ab", "Zz98")
	hidden := submission.Letter(m, cands, false)
	for _, s := range []string{"Xy12ab", "Zz98", "Segret1ssima", "girandola9", "qwrtpsdf", "0511234567"} {
		if strings.Contains(hidden, s) {
			t.Errorf("masked letter shows %q:\n%s", s, hidden)
		}
	}
	for _, s := range []string{"Buongiorno,", "[1: ••••]", "[2: ••••]", "la nuova password è", "Scade il 13/02/2024", "Da:      rossi@pec.example", "Oggetto: Nuova password [1: ••••]", "Data:    15/11/2023 10:10"} {
		if !strings.Contains(hidden, s) {
			t.Errorf("masked letter lacks %q:\n%s", s, hidden)
		}
	}
	open := submission.Letter(m, cands, true)
	for _, s := range []string{"[1: Xy12ab]", "[2: Zz98]", "Segret1ssima", "0511234567"} {
		if !strings.Contains(open, s) {
			t.Errorf("revealed letter lacks %q:\n%s", s, open)
		}
	}
	r.Wipe()
}

// What a letter shows is safe for a terminal, also when revealed.
func TestLetterIsSafeToShow(t *testing.T) {
	m := &pec.Message{Sender: "rossi@pec.example", Mailbox: "rossi@pec.example", Subject: "\x1b[2Jpassword", SentAt: defaultSent,
		Original: []byte("Content-Type: text/html\n\n<p>&#27;[31mrosso\u202e password\u0007</p>")}
	for _, reveal := range []bool{false, true} {
		got := submission.Letter(m, nil, reveal)
		if strings.ContainsAny(got, "\x1b\u202e\u0007") {
			t.Errorf("reveal %v: control characters in %q", reveal, got)
		}
	}
}

// Attachments are named, not opened.
func TestLetterNamesAttachments(t *testing.T) {
	s := sample{from: "rossi@pec.example", subject: "Password", as: "plain", body: "In allegato la foto", attach: []string{"foto.jpg"}}
	m := &pec.Message{Sender: "rossi@pec.example", Mailbox: "rossi@pec.example", Subject: s.subject, SentAt: defaultSent, Original: s.message()}
	if got := submission.Letter(m, nil, true); !strings.Contains(got, "[image/jpeg: foto.jpg]") {
		t.Errorf("got %q, want the name of the picture", got)
	}
}
