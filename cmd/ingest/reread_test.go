package main

import (
	"errors"
	"fmt"
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
	restored := time.Now().Truncate(time.Second) // as precisely as it is noted
	s.wantState(bianchi, "missing", nil)
	after := s.submission(verdi, 0, passwords[verdi])
	s.imap.Deliver(studioPEC, "INBOX", after.Bytes(), time.Now()) // what came before may have been answered
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
		if err == nil && (!ok || at.Before(restored)) {
			t.Errorf("reread noted: %v at %v, restored at %v", ok, at, restored)
		}
		return err
	})
}

// lostReceipt is the acceptance of a message that the lost vault sent.
func (s *studio) lostReceipt(m sunk) pectest.Envelope {
	s.n++
	return pectest.Envelope{Provider: s.genuine, Kind: pec.KindAcceptance, Sender: studioPEC, Recipients: []string{m.To},
		Subject: decodedSubject(s.t, m), SentAt: time.Now().Truncate(time.Second), MsgID: m.ID, Original: m.Raw,
		ID: fmt.Sprintf("opec%d.prova@pec.gestore.example", s.n), OwnID: fmt.Sprintf("opec%d.ricevuta@pec.gestore.example", s.n)}
}

// lose removes the vault and restores the backup.
func (s *studio) lose(backup string) {
	s.t.Helper()
	remove(s.t, s.vaultPath())
	s.ok("restore", backup)
}

// anHourLater makes the hour pass in which receipts are waited for.
func (s *studio) anHourLater() {
	s.t.Helper()
	s.inVault(func(tx *vault.Tx) error {
		open, err := tx.OpenOutgoing()
		for _, o := range open {
			if o.State == vault.OutInDoubt {
				o.SentAt = o.SentAt.Add(-2 * time.Hour)
				err = errors.Join(err, tx.PutOutgoing(o))
			}
		}
		return err
	})
}

// sentTo counts the messages that went out to each address since the first so
// many.
func (s *studio) sentTo(from int) map[string]int {
	count := map[string]int{}
	for _, m := range s.sink.received()[from:] {
		count[m.To]++
	}
	return count
}

// A warning that the lost vault had sent after the backup is not sent again
// when its receipt is found, at once or within the hour; one without a receipt
// is, once. Without the hour it would be doubled: receipts may be on their way.
func TestRestoreMatchesReceipts(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi, bianchi, verdi}, smtp: true})
	for _, m := range []string{rossi, bianchi, verdi} {
		s.deliver(s.submission(m, 24*85, passwords[m]))
	}
	s.once(sum{Seen: 3, Accepted: 3})
	file := filepath.Join(t.TempDir(), "b", "copy.db")
	s.ok("backup", file)
	s.once(sum{}, "--warn")
	warned := map[string]sunk{}
	for _, m := range s.sink.received() {
		warned[m.To] = m
	}
	if len(warned) != 3 {
		t.Fatalf("warnings before the loss: got %v, want one to each client", s.sentTo(0))
	}
	at := time.Now()
	s.imap.Deliver(studioPEC, processed, s.lostReceipt(warned[rossi]).Bytes(), at)
	s.lose(file)
	s.ok("once", "--warn")
	s.ok("once", "--warn")
	if got := s.sentTo(3); len(got) != 0 {
		t.Errorf("within the hour: got %v, want nothing sent", got)
	}
	s.imap.Deliver(studioPEC, "INBOX", s.lostReceipt(warned[bianchi]).Bytes(), at)
	s.ok("once")
	s.anHourLater()
	s.ok("once")
	s.ok("once", "--warn")
	if got := s.sentTo(3); len(got) != 1 || got[verdi] != 1 {
		t.Errorf("in the end: got %v, want one, to %s", got, verdi)
	}
	audit := s.ok("audit", "--event", "outbox.matched")
	if !strings.Contains(audit, rossi) || !strings.Contains(audit, bianchi) || strings.Contains(audit, verdi) {
		t.Errorf("audit log: %s", audit)
	}
}

// Where no receipts come back nobody can know what the lost vault sent: what
// it may have sent is shown and not sent by itself; what it can't have sent
// goes out.
func TestRestoreWithoutReceipts(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi, bianchi}, smtp: true, config: func(c string) string {
		c = strings.Replace(c, "from = \"Studio Prova <"+studioPEC+">\"", "from = \"Studio Prova <studio@ordinaria.example>\"", 1)
		c = strings.Replace(c, "max_message", "after = \"keep\"\nmax_message", 1)
		return c + "[warnings]\nto_studio = [\"capo@studio.example\"]\n"
	}})
	s.deliver(s.submission(rossi, 24*85, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	file := filepath.Join(t.TempDir(), "b", "copy.db")
	s.ok("backup", file)
	answered := s.submission(bianchi, 3, passwords[bianchi])
	s.deliver(answered)
	s.ok("once", "--warn")
	before := s.sentTo(0)
	if before[rossi] != 1 || before[bianchi] != 1 {
		t.Fatalf("before the loss: got %v, want a warning and an answer", before)
	}
	from := len(s.sink.received())

	s.lose(file)
	s.ok("once", "--warn")
	s.anHourLater()
	s.ok("once", "--warn")
	if got := s.sentTo(from); got[rossi]+got[bianchi] != 0 {
		t.Errorf("after the restore: got %v, want nothing to clients", got)
	}
	s.wantGet(bianchi, passwords[bianchi])
	open := map[string]string{}
	for _, row := range s.rows("outbox", "list", "--json") {
		if row["state"] == vault.OutInDoubt {
			open[row["to"].(string)] = jsonNumber(row["n"])
		}
	}
	if len(open) != 2 || open[rossi] == "" || open[bianchi] == "" {
		t.Fatalf("in doubt: got %v, want the warning and the answer", open)
	}
	// A person decides.
	s.ok("outbox", "retry", open[rossi])
	s.ok("outbox", "drop", open[bianchi])
	s.ok("once")
	s.ok("once")
	if got := s.sentTo(from); got[rossi] != 1 || got[bianchi] != 0 {
		t.Errorf("after a person decided: got %v, want the one retried", got)
	}
	// The same answer to a letter that came later is another one.
	from = len(s.sink.received())
	s.clients.SetPassword(bianchi, "Yp3nV8wk")
	later := s.submission(bianchi, 0, "Yp3nV8wk")
	s.imap.Deliver(studioPEC, "INBOX", later.Bytes(), time.Now())
	s.ok("once")
	if got := s.sentTo(from); got[bianchi] != 1 {
		t.Errorf("a letter after the restore: got %v, want it answered", got)
	}
}
