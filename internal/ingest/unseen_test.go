package ingest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/pectest"
	"pec-ingest/internal/servertest"
)

// With the probe off a clear submission is settled without its letter. One that
// goes to a person after all, because another provider signs for a mailbox that
// the same pass has just come to know, shows the letter.
func TestLetterReadAgain(t *testing.T) {
	d := servertest.StartDovecot(t, servertest.DovecotOptions{Users: []servertest.User{{Name: studioUser, Password: "giusta"}}})
	authority := pectest.NewAuthority("pec")
	one, two := authority.Provider(triageSigner, "GESTORE DI PROVA S.p.A."), authority.Provider("posta-certificata@pec.altro.example", "ALTRO S.p.A.")
	from := "ditta00@pec.gestore.example"
	at := time.Now().Add(-20 * 24 * time.Hour).Truncate(time.Second)
	send := func(p *pectest.Provider, n int, password string) {
		at = at.Add(time.Hour)
		e := pectest.Envelope{Provider: p, Sender: from, Recipients: []string{studioUser}, SentAt: at, MsgID: fmt.Sprintf("<%d@x>", n), Subject: "Password",
			Letter: pectest.Letter{From: from, To: studioUser, Date: at, Subject: "Password", Text: "Buongiorno dal lago.\r\nPassword per programmi di posta: " + password + "\r\n"}}
		d.Deliver(studioUser, "INBOX", e.Bytes(), at)
	}
	s := openStudio(t, d, "")
	pass := func(want ingest.Summary) {
		t.Helper()
		sum, err := s.Pass(t.Context(), ingest.PassOptions{})
		if err != nil || sum != want {
			t.Fatalf("pass: got %+v, %v, want %+v", sum, err, want)
		}
	}
	send(one, 1, "Xk7pQ2mv9")
	send(one, 2, "Xk7pQ2mv8")
	pass(ingest.Summary{Seen: 2, Accepted: 1, Superseded: 1})
	send(two, 3, "Zk7pQ2mv7")
	pass(ingest.Summary{Seen: 1, Review: 1})

	item, err := s.ReviewShow(t.Context(), "test", 1, true)
	if err != nil || !strings.Contains(item.Letter, "Buongiorno dal lago") || len(item.Candidates) != 1 || item.Reason != ingest.ReviewNewSigner {
		t.Errorf("review: got %+v, %v, want the letter and its password", item, err)
	}
	got, err := s.Get(t.Context(), "test", from, "", time.Now())
	if err != nil || got.Secret.RevealString() != "Xk7pQ2mv8" {
		t.Errorf("get: got %v, %v, want the newer of the known provider's", got, err)
	}
}
