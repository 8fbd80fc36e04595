package ingest_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/pec"
)

// What is older than a first pass looks at is not looked at by the passes behind
// it either, wherever its number stands: a mailbox that was moved from another
// server has them in any order.
func TestOldMessagesStayUnread(t *testing.T) {
	const days, tooOld = 24 * time.Hour, 300 * 24 * time.Hour
	for _, c := range []struct {
		name string
		ages []time.Duration // of the clients' letters, in the order of their UIDs
		want []string        // whose password is stored
	}{
		{"only old ones", []time.Duration{tooOld, tooOld + days}, nil},
		{"an old one behind a new one", []time.Duration{days, tooOld}, faultyClients[:1]},
		{"a new one behind an old one", []time.Duration{tooOld, days}, faultyClients[1:2]},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFaulty(t, "")
				defer f.close()
				for i, age := range c.ages {
					f.appendAt(f.letter(faultyClients[i], time.Now().Add(-age)), time.Now().Add(-age))
				}
				for pass := range 3 {
					sum, err := f.once(ingest.PassOptions{})
					want := ingest.Summary{}
					if pass == 0 {
						want = ingest.Summary{Seen: len(c.want), Accepted: len(c.want)}
					}
					if err != nil || sum != want {
						t.Errorf("pass %d: got %+v, %v; want %+v", pass+1, sum, err, want)
					}
				}
				f.appendAt(f.letter(faultyClients[2], time.Now()), time.Now())
				if sum, err := f.once(ingest.PassOptions{}); err != nil || sum != (ingest.Summary{Seen: 1, Accepted: 1}) {
					t.Errorf("what comes later: got %+v, %v; want it accepted", sum, err)
				}
				if got, want := f.stored(), append(slices.Clone(c.want), faultyClients[2]); !slices.Equal(got, want) {
					t.Errorf("stored: got %q, want %q", got, want)
				}
			})
		})
	}
}

// A first pass that breaks off is gone on with as the one it was.
func TestBrokenFirstPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t, "")
		defer f.close()
		day := 24 * time.Hour
		for range 100 { // the first batch, behind which the cursor moves
			f.append([]byte("From: qualcuno@example.com\r\nSubject: ciao\r\n\r\nciao\r\n"))
		}
		for i, age := range []time.Duration{300 * day, day} {
			f.appendAt(f.letter(faultyClients[i], time.Now().Add(-age)), time.Now().Add(-age))
		}
		real, headers := f.service.Reader.Outer, 0
		f.service.Reader.Outer = func(head []byte) pec.Outer {
			if headers++; headers == 101 {
				f.setFail(inbox.ErrNetwork)
				f.cut()
			}
			return real(head)
		}
		if sum, err := f.once(ingest.PassOptions{}); err == nil || sum.Ignored != 100 {
			t.Fatalf("got %+v, %v; want 100 ignored and an error", sum, err)
		}
		f.setFail(nil)
		for range 2 {
			if _, err := f.once(ingest.PassOptions{}); err != nil {
				t.Fatal(err)
			}
			if got, want := f.stored(), faultyClients[1:2]; !slices.Equal(got, want) {
				t.Errorf("stored: got %q, want %q", got, want)
			}
		}
	})
}
