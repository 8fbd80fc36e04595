package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/pec"
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

// A warning that the lost vault had sent after the backup is not sent again
// when its receipt is found; one without a receipt is.
func TestRestoreMatchesReceipts(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi, bianchi}, smtp: true})
	s.deliver(s.submission(rossi, 24*85, passwords[rossi]), s.submission(bianchi, 24*85, passwords[bianchi]))
	s.once(sum{Seen: 2, Accepted: 2})
	file := filepath.Join(t.TempDir(), "b", "copy.db")
	s.ok("backup", file)
	s.once(sum{}, "--warn")
	mails := s.sink.received()
	if len(mails) != 2 {
		t.Fatalf("warnings before the loss: got %d, want 2", len(mails))
	}
	for _, m := range mails {
		if m.To != rossi {
			continue
		}
		at := time.Now().Truncate(time.Second)
		receipt := pectest.Envelope{Provider: s.genuine, Kind: pec.KindAcceptance, Sender: studioPEC, Recipients: []string{m.To},
			Subject: decodedSubject(t, m), SentAt: at, MsgID: m.ID, Original: m.Raw,
			ID: "opec1.prova@pec.gestore.example", OwnID: "opec1.ricevuta@pec.gestore.example"}
		s.imap.Deliver(studioPEC, processed, receipt.Bytes(), at)
	}
	if err := os.Remove(s.vaultPath()); err != nil {
		t.Fatal(err)
	}
	s.ok("restore", file)
	s.exits(exitOK, "once", "--warn")
	s.exits(exitOK, "once", "--warn")
	again := s.sink.received()[2:]
	if len(again) != 1 || again[0].To != bianchi {
		t.Errorf("warnings after the restore: got %d, want one, to %s", len(again), bianchi)
	}
	if audit := s.ok("audit", "--event", "outbox.matched"); !strings.Contains(audit, rossi) {
		t.Errorf("audit log: %s", audit)
	}
}
