package vault_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

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
	for range 12 {
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

// A backup may lie in a folder that others see into, not in one in which they
// could replace it; a vault is restored into a folder of its own only.
func TestFolderOfBackup(t *testing.T) {
	v := mustOpen(t, options(t))
	save := func(w io.Writer) error { _, err := v.Backup(t.Context(), w); return err }
	for _, c := range []struct {
		mode            os.FileMode
		backup, restore bool
	}{{0o700, true, true}, {0o755, true, false}, {0o750, true, false}, {0o770, false, false}, {0o777 | os.ModeSticky, false, false}} {
		dir := filepath.Join(t.TempDir(), "backups")
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, c.mode)); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "b.db")
		_, err := vault.SaveBackup(path, save)
		if (err == nil) != c.backup || err != nil && !errors.Is(err, vault.ErrPermissions) {
			t.Errorf("%v: SaveBackup: got %v, want done %v", c.mode, err, c.backup)
		}
		if info, err := os.Stat(path); c.backup && (err != nil || info.Mode().Perm() != 0o600) {
			t.Errorf("%v: the backup is %v, %v, want 0600", c.mode, info, err)
		}
		good := filepath.Join(t.TempDir(), "own", "b.db")
		if _, err := vault.SaveBackup(good, save); err != nil {
			t.Fatal(err)
		}
		if _, err := vault.Restore(filepath.Join(dir, "vault.db"), good); (err == nil) != c.restore || err != nil && !errors.Is(err, vault.ErrPermissions) {
			t.Errorf("%v: Restore: got %v, want done %v", c.mode, err, c.restore)
		}
	}
}

func TestSaveBackupAndRestore(t *testing.T) {
	o := options(t)
	v := mustOpen(t, o)
	fill(t, v, 3)
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "backups")
	backup := filepath.Join(dir, "vault-1.db")
	save := func(w io.Writer) error { _, err := v.Backup(ctx, w); return err }
	s, err := vault.SaveBackup(backup, save)
	if err != nil || s.Clients != 3 {
		t.Fatalf("SaveBackup: %+v, %v", s, err)
	}
	if info, err := os.Stat(backup); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("backup: %v, %v, want mode 0600", info.Mode(), err)
	}
	// Of folders that are not there only the last is made: no disk, no backup.
	away := filepath.Join(t.TempDir(), "disk")
	const typo = "/pec-ingest-no-such-folder"
	t.Cleanup(func() { os.RemoveAll(typo) })
	if _, err := vault.SaveBackup(filepath.Join(typo, "backup.db"), save); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder right below the root: got %v, want ErrNotExist", err)
	}
	if _, err := vault.SaveBackup(filepath.Join(away, "pec-ingest", "backup.db"), save); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("on a disk that isn't there: got %v, want fs.ErrNotExist", err)
	}
	if _, err := os.Stat(away); err == nil {
		t.Error("the missing disk's folder was made")
	}
	if err := os.Mkdir(away, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := vault.SaveBackup(filepath.Join(away, "pec-ingest", "backup.db"), save); err != nil {
		t.Errorf("in a new folder: %v", err)
	}
	if _, err := vault.SaveBackup(backup, save); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a backup: %v, want ErrExist", err)
	}
	if _, err := vault.Restore(o.Path, backup); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over the vault: %v, want ErrExist", err)
	}
	// What is no whole vault gets no name.
	for name, write := range map[string]func(io.Writer) error{
		"cut":   func(w io.Writer) error { return v.View(ctx, func(*vault.Tx) error { return errors.New("cut") }) },
		"empty": func(io.Writer) error { return nil },
		"text":  func(w io.Writer) error { _, err := io.WriteString(w, "text"); return err },
	} {
		path := filepath.Join(dir, name+".db")
		if _, err := vault.SaveBackup(path, write); err == nil {
			t.Errorf("%s: saved", name)
		}
	}
	names, _ := os.ReadDir(dir)
	if len(names) != 1 {
		t.Errorf("%d files, want the one good backup", len(names))
	}
	// The vault is lost.
	v.Close()
	if err := os.Remove(o.Path); err != nil {
		t.Fatal(err)
	}
	if _, err := vault.Restore(o.Path, backup); err != nil {
		t.Fatalf("Restore: %v", err)
	}
	o.Create = false
	if got, err := read(mustOpen(t, o), mailboxOf(2)); got != passwordOf(2) || err != nil {
		t.Errorf("restored password: %q, %v", got, err)
	}
}

func TestNewestGoodBackup(t *testing.T) {
	v := mustOpen(t, options(t))
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "backups")
	if _, _, err := vault.NewestGoodBackup(dir, "*.db"); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("no folder: %v, want ErrNotFound", err)
	}
	for i, name := range []string{"c.db", "a.db", "b.db"} { // written in this order
		fill(t, v, i+1)
		path := filepath.Join(dir, name)
		_, err := vault.SaveBackup(path, func(w io.Writer) error { _, err := v.Backup(ctx, w); return err })
		if err != nil {
			t.Fatal(err)
		}
		when := now.Add(time.Duration(i) * time.Hour)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	path, s, err := vault.NewestGoodBackup(dir, "*.db")
	if filepath.Base(path) != "b.db" || s.Clients != 3 || err != nil {
		t.Errorf("got %q with %d clients, %v, want b.db with 3", path, s.Clients, err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[4096*3+100] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if vault.Inspect(bytes.NewReader(b), int64(len(b))) == nil {
		clear(b[4096*4:])
		_ = os.WriteFile(path, b, 0o600)
	}
	path, s, err = vault.NewestGoodBackup(dir, "*.db")
	if filepath.Base(path) != "a.db" || s.Clients != 2 || err != nil {
		t.Errorf("the newest damaged: got %q with %d clients, %v, want a.db with 2", path, s.Clients, err)
	}
}
