package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pec-ingest/internal/vault"
)

// spoil makes one message of the studio's inbox unreadable for the server
// itself, as a bad block on its disk would.
func (s *studio) spoil(messageID string) {
	s.t.Helper()
	log := between(string(s.imap.Doveadm("log", "find")), "Info: ", "\n")
	files, err := filepath.Glob(filepath.Join(filepath.Dir(log), "mail", studioPEC, "*", "*.test*"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			s.t.Fatal(err)
		}
		if !strings.Contains(string(b), messageID) {
			continue
		}
		chmod(s.t, f, 0)
		return
	}
	s.t.Fatalf("no file holds %s", messageID)
}

// One message that the server can't read back: the others come through, it
// is said, tried again less and less often, and given up in the end.
func TestUnreadableMessage(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	first, bad, last := s.submission(rossi, 9, passwords[rossi]), s.submission(verdi, 8, passwords[verdi]), s.submission(bianchi, 7, passwords[bianchi])
	s.deliver(first, bad, last)
	s.imap.Messages(studioPEC, "INBOX")
	s.spoil(idOf(bad))

	r := s.exits(exitFailed, "once", "--json")
	var got sum
	decode(t, r.stdout, &got)
	if want := (sum{Seen: 2, Accepted: 2, Errors: 1}); got != want {
		t.Errorf("summary: got %+v, want %+v\n%s", got, want, r.stderr)
	}
	s.wantGet(rossi, passwords[rossi])
	s.wantGet(bianchi, passwords[bianchi])

	// Not asked for at every poll.
	s.once(sum{})
	// What comes later is not held up.
	s.deliver(s.submission(neri, 1, passwords[neri]))
	s.once(sum{Seen: 1, Accepted: 1})
	s.wantGet(neri, passwords[neri])

	for range 10 {
		s.inVault(func(tx *vault.Tx) error {
			holes, err := tx.Holes("INBOX")
			if err != nil {
				return err
			}
			for _, h := range holes {
				h.NextAt = h.NextAt.AddDate(0, 0, -2)
				if err := tx.PutHole(h); err != nil {
					return err
				}
			}
			return nil
		})
		if r = s.run("once", "--json"); strings.Contains(r.stderr, "event=message.unreadable") {
			s.once(sum{}) // given up
			return
		}
	}
	t.Errorf("the message is never given up: %s", r)
}
