package submission_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/submission"
)

// alarming are words that make letters submissions, one way or another.
var alarming = []string{"password", "pasword", "passwords", "pw", "Password:", "nuova password", "codice", "app", "programmi di posta", "chiave",
	"prorogata", "posticipata la scadenza", "ho prorogato", "scadenza", "casella", "utente", "PEC", "posta", "credenziali", "accesso",
	"Xy12ab", "482913", "abc.def", "la", "è", ":", "|", "\t", "Re:", "vecchia", "nuova", "reset password", "l'app", "fatto", "non", "\n", "<br>"}

// disturb changes a letter somewhere: a word more, lines that change places, a
// piece of another letter, other bytes, an end.
func disturb(r *rand.Rand, raw, other []byte) []byte {
	m := slices.Clone(raw)
	at := r.IntN(len(m))
	switch r.IntN(5) {
	case 0:
		word := " " + alarming[r.IntN(len(alarming))] + " "
		return slices.Concat(m[:at], []byte(word), m[at:])
	case 1:
		lines := bytes.SplitAfter(m, []byte("\n"))
		i, j := r.IntN(len(lines)), r.IntN(len(lines))
		lines[i], lines[j] = lines[j], lines[i]
		return bytes.Join(lines, nil)
	case 2:
		from := r.IntN(len(other))
		return slices.Concat(m[:at], other[from:from+r.IntN(len(other)-from)], m[at:])
	case 3:
		const bytesOf = "\x00 \t\n.,:;!?()[]<>\"'@/-=_*aZ09|`~#\xc3\xa8"
		for range 1 + r.IntN(4) {
			m[r.IntN(len(m))] = bytesOf[r.IntN(len(bytesOf))]
		}
		return m
	}
	return m[:at]
}

// What is dull is read as being about something else: the whole corpus, and
// each letter with changes.
func TestDull(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 9))
	all := corpus(t)
	dull, none := 0, 0
	check := func(name string, raw []byte, s sample) {
		if len(raw) == 0 {
			return
		}
		is := submission.Dull(raw, s.subject, s.sender)
		if !is && r.IntN(8) > 0 { // what is not dull is read anyway
			return
		}
		found := submission.FindRaw(raw, s.subject, s.sender, s.sent)
		if is {
			dull++
			if r := submission.Find(&pec.Message{Original: raw, Subject: s.subject, Mailbox: s.sender, SentAt: s.sent}, submission.Options{StateOnly: true}); r.State != found.State || r.Mailbox != found.Mailbox {
				t.Errorf("%s: by its state alone it is %s, read %s", name, r.State, found.State)
			}
		}
		if found.State == submission.None {
			none++
		} else if is {
			t.Errorf("%s: dull, and it is %s", name, found.State)
		}
		found.Wipe()
	}
	for i, s := range all {
		raw := s.message()
		check(s.name, raw, s)
		for range 4 {
			other := all[r.IntN(len(all))]
			m := disturb(r, raw, other.message())
			check(s.name+", changed", m, s)
			check(s.name+", changed, another's subject", m, sample{subject: other.subject, sender: s.sender, sent: s.sent})
		}
		if i > 0 && s.subject != "" {
			o := s
			o.subject = "Fattura"
			check(s.name+", another subject", raw, o)
		}
	}
	if dull < 100 {
		t.Errorf("%d letters are dull, want 100 at least for this test to say anything", dull)
	}
	t.Logf("%d dull, %d of those that were read about something else", dull, none)
}

// FuzzDull is TestDull on any bytes.
func FuzzDull(f *testing.F) {
	for _, s := range corpus(f)[:200] {
		f.Add(s.message(), s.subject)
	}
	f.Fuzz(func(t *testing.T, raw []byte, subject string) {
		if len(raw) > 64<<10 || !submission.Dull(raw, subject, "rossi@pec.example") {
			return
		}
		if r := submission.FindRaw(raw, subject, "rossi@pec.example", defaultSent); r.State != submission.None {
			t.Errorf("dull, and it is %s", r.State)
		}
	})
}
