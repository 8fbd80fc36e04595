package vault_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"pec-ingest/internal/vault"
)

func TestCheck(t *testing.T) {
	v := mustOpen(t, options(t))
	fill(t, v, 5)
	s, err := v.Check(context.Background())
	if err != nil {
		t.Fatalf("Check: %v", err)
	}
	// Five clients, credentials, versions, entries; the head; the format.
	if s.Clients != 5 || s.Versions != 5 || s.AuditEntries != 5 || s.Records != 22 || s.ID != v.Info().ID {
		t.Errorf("summary %+v", s)
	}
}

// Backups taken while others write are whole, each of one moment, and open
// with the same keys.
func TestBackupWhileWriting(t *testing.T) {
	o := options(t)
	v := mustOpen(t, o)
	fill(t, v, 10)
	ctx := context.Background()
	var done atomic.Bool
	stopped := make(chan error)
	go func() {
		for i := 0; !done.Load(); i++ {
			err := v.Update(ctx, func(tx *vault.Tx) error {
				// Two that always agree, and growth.
				return errors.Join(tx.PutAttempts(vault.Attempts{Mailbox: "a@x", Refusals: i}),
					tx.PutAttempts(vault.Attempts{Mailbox: "b@x", Refusals: i}),
					tx.Audit(entry(i)), putBig(tx, i%50))
			})
			if err != nil {
				stopped <- err
				return
			}
		}
		stopped <- nil
	}()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 25 {
		var b bytes.Buffer
		if n, err := v.Backup(ctx, &b); err != nil || n != int64(b.Len()) {
			t.Fatalf("Backup: %d of %d bytes, %v", n, b.Len(), err)
		}
		path := filepath.Join(dir, "backup.db")
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := vault.VerifyFile(path)
		if err != nil || s.Clients != 10 || s.ID != v.Info().ID {
			t.Fatalf("VerifyFile: %+v, %v", s, err)
		}
		r := o
		r.Path = path
		restored := mustOpen(t, r)
		view(t, restored, func(tx *vault.Tx) error {
			one, _, err1 := tx.Attempts("a@x")
			two, _, err2 := tx.Attempts("b@x")
			if one.Refusals != two.Refusals {
				t.Errorf("the backup is of two moments: %d and %d", one.Refusals, two.Refusals)
			}
			return errors.Join(err1, err2)
		})
		if got, err := read(restored, mailboxOf(3)); got != passwordOf(3) || err != nil {
			t.Errorf("password in the backup: %q, %v", got, err)
		}
		// It is a vault to go on with.
		update(t, restored, func(tx *vault.Tx) error { return tx.Audit(entry(1)) })
		if err := restored.Close(); err != nil {
			t.Fatal(err)
		}
		mustOpen(t, r).Close()
	}
	done.Store(true)
	if err := <-stopped; err != nil {
		t.Errorf("writing beside backups: %v", err)
	}
}

func TestBackupFails(t *testing.T) {
	v := mustOpen(t, options(t))
	fill(t, v, 3)
	oops := errors.New("pipe closed")
	if _, err := v.Backup(context.Background(), failingWriter{oops}); !errors.Is(err, oops) {
		t.Errorf("to a closed pipe: %v, want %v", err, oops)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := v.Backup(ctx, &bytes.Buffer{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	// No transaction stays open: Close would wait for it.
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	if _, err := v.Backup(context.Background(), &bytes.Buffer{}); !errors.Is(err, vault.ErrClosed) {
		t.Errorf("closed: %v, want ErrClosed", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestVerifyFile(t *testing.T) {
	o := made(t)
	if s, err := vault.VerifyFile(o.Path); err != nil || s.Clients != 1 || s.AuditEntries != 1 {
		t.Errorf("good: %+v, %v", s, err)
	}
	// A chain that was cut, with all else in order.
	raw(t, &o, func(kv vault.KV) error {
		return kv.Put("counter/audit", vault.Frame("counter/audit", []byte(`{"seq":9,"hash":"00"}`)))
	})
	if _, err := vault.VerifyFile(o.Path); !errors.Is(err, vault.ErrDamaged) {
		t.Errorf("head changed: %v, want ErrDamaged", err)
	}
	if _, err := vault.VerifyFile(o.Path + "x"); !errors.Is(err, vault.ErrMissing) {
		t.Errorf("absent: %v, want ErrMissing", err)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := vault.VerifyFile(text); !errors.Is(err, vault.ErrForeign) {
		t.Errorf("text: %v, want ErrForeign", err)
	}
}
