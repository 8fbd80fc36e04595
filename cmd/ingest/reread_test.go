package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"pec-ingest/internal/pectest"
	"pec-ingest/internal/vault"
)

// What happened between the backup and the loss is found again: passwords in
// the processed folder are taken, nobody is answered twice, the messages stay
// where they were filed, and what came after the restore goes its usual way.
func TestRestoreReadsAgain(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi, bianchi, verdi}, smtp: true})
	before := s.submission(rossi, 60, passwords[rossi])
	s.deliver(before)
	s.once(sum{Seen: 1, Accepted: 1})
	file := filepath.Join(t.TempDir(), "b", "copy.db")
	s.ok("backup", file)

	lost := s.submission(bianchi, 3, passwords[bianchi])
	s.deliver(lost)
	s.once(sum{Seen: 1, Accepted: 1})
	s.wantFolders(nil, []pectest.Envelope{before, lost})
	if got := len(s.sink.received()); got != 2 {
		t.Fatalf("answers before the loss: got %d, want 2", got)
	}

	if err := os.Remove(s.vaultPath()); err != nil {
		t.Fatal(err)
	}
	s.ok("restore", file)
	s.wantState(bianchi, "missing", nil)
	after := s.submission(verdi, 2, passwords[verdi])
	s.deliver(after)
	s.once(sum{Seen: 2, Accepted: 2})
	s.wantGet(rossi, passwords[rossi])
	s.wantGet(bianchi, passwords[bianchi])
	s.wantGet(verdi, passwords[verdi])
	s.wantFolders(nil, []pectest.Envelope{before, lost, after})
	if mails := s.sink.received(); len(mails) != 3 || mails[2].To != verdi {
		t.Errorf("answers: got %d, want one more, to %s", len(mails), verdi)
	}

	// Once only.
	s.once(sum{})
	s.wantLogins(bianchi, 2, 0)
	s.inVault(func(tx *vault.Tx) error {
		at, ok, err := tx.Job("reread")
		if err == nil && (!ok || time.Since(at) > time.Minute) {
			t.Errorf("reread noted: %v at %v", ok, at)
		}
		return err
	})
}
