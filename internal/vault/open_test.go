package vault_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	bolt "go.etcd.io/bbolt"

	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// made makes a vault with one client and one sealed version, and closes it.
func made(t testing.TB) vault.Options {
	t.Helper()
	o := options(t)
	v := mustOpen(t, o)
	fill(t, v, 1)
	if err := v.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	o.Create = false
	return o
}

func mailboxOf(i int) string {
	return string(rune('a'+i%26)) + strings.Repeat("z", i/26) + "@pec.example"
}
func passwordOf(i int) string { return "segreta-" + mailboxOf(i) }

// fill stores n clients, each with a sealed password.
func fill(t testing.TB, v *vault.Vault, n int) {
	t.Helper()
	for i := range n {
		m := mailboxOf(i)
		l := vault.Label{Mailbox: m, Login: m, Version: 1, Source: "opec"}
		sealed, err := v.Seal(l, secret.FromString(passwordOf(i)))
		if err != nil {
			t.Fatalf("Seal: %v", err)
		}
		update(t, v, func(tx *vault.Tx) error {
			return errors.Join(
				tx.PutClient(vault.Client{Mailbox: m}),
				tx.PutCredential(vault.Credential{Mailbox: m, Login: m, Last: 1, Current: 1}),
				tx.PutVersion(vault.Version{Mailbox: m, Login: m, N: 1, Label: l, Sealed: sealed}),
				tx.Audit(vault.AuditEntry{Actor: "service", Event: "credential.accepted", Mailbox: m}))
		})
	}
}

// read gives the current password of a mailbox as the pipeline gets it.
func read(v *vault.Vault, mailbox string) (string, error) {
	var password string
	err := v.View(context.Background(), func(tx *vault.Tx) error {
		c, ok, err := tx.Credential(mailbox, mailbox)
		if err != nil || !ok {
			return errors.Join(vault.ErrNotFound, err)
		}
		ver, ok, err := tx.Version(mailbox, mailbox, c.Current)
		if err != nil || !ok {
			return errors.Join(vault.ErrNotFound, err)
		}
		want := vault.Label{Mailbox: mailbox, Login: mailbox, Version: c.Current, Source: ver.Label.Source}
		s, err := v.Unseal(want, ver.Sealed)
		password = s.RevealString()
		return err
	})
	return password, err
}

func TestReopen(t *testing.T) {
	o := made(t)
	for _, skip := range []bool{false, true} {
		o.SkipCheck = skip
		v := mustOpen(t, o)
		if got, err := read(v, mailboxOf(0)); got != passwordOf(0) || err != nil {
			t.Errorf("skip %t: password %q, %v, want %q", skip, got, err, passwordOf(0))
		}
		if i := v.Info(); i.Format != vault.Format || len(i.ID) != 32 || !i.Created.Equal(now) {
			t.Errorf("info %+v", i)
		}
		v.Close()
	}
}

// A file that is moved away, deleted or replaced while it is open takes nothing
// more: it would be gone with this process. Back in its place it does.
func TestMovedWhileOpen(t *testing.T) {
	for _, fresh := range []bool{true, false} {
		o := options(t)
		v := mustOpen(t, o)
		if !fresh {
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
			v = mustOpen(t, o)
		}
		defer v.Close()
		fill(t, v, 1)
		change := func() error {
			return v.Update(t.Context(), func(tx *vault.Tx) error { return tx.PutClient(vault.Client{Mailbox: mailboxOf(7)}) })
		}
		wants := func(when string, want error) {
			t.Helper()
			if err := v.InPlace(); !errors.Is(err, want) {
				t.Errorf("%s: InPlace: got %v, want %v", when, err, want)
			}
			if err := change(); !errors.Is(err, want) {
				t.Errorf("%s: Update: got %v, want %v", when, err, want)
			}
		}
		away := o.Path + ".away"
		if err := os.Rename(o.Path, away); err != nil {
			t.Fatal(err)
		}
		wants("moved away", vault.ErrMoved)
		if err := os.WriteFile(o.Path, []byte("another"), 0o600); err != nil {
			t.Fatal(err)
		}
		wants("replaced", vault.ErrMoved)
		if got, err := read(v, mailboxOf(0)); err != nil || got != passwordOf(0) {
			t.Errorf("reading: %v", err)
		}
		if err := os.Rename(away, o.Path); err != nil {
			t.Fatal(err)
		}
		wants("back again", nil)
		if err := os.Remove(o.Path); err != nil {
			t.Fatal(err)
		}
		wants("deleted", vault.ErrMoved)
	}
}

func TestCreateMakesTightFiles(t *testing.T) {
	o := options(t)
	mustOpen(t, o)
	for path, want := range map[string]os.FileMode{
		o.Path:               0o600,
		filepath.Dir(o.Path): 0o700 | os.ModeDir,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s is %v, want %v", filepath.Base(path), info.Mode(), want)
		}
	}
	names, _ := os.ReadDir(filepath.Dir(o.Path))
	if len(names) != 1 {
		t.Errorf("%d files in the folder, want the vault alone: %v", len(names), names)
	}
}

// A vault that a crash left half made is made again from nothing.
func TestCreateAfterCrash(t *testing.T) {
	other := made(t)
	whole, err := os.ReadFile(other.Path)
	if err != nil {
		t.Fatal(err)
	}
	for name, left := range map[string][]byte{
		"empty": nil, "garbage": []byte("garbage"), "half": whole[:5000], "whole": whole,
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			if err := os.MkdirAll(filepath.Dir(o.Path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(o.Path+".new", left, 0o644); err != nil {
				t.Fatal(err)
			}
			// A reading command sees no vault.
			r := o
			r.Create = false
			if _, err := vault.Open(r); !errors.Is(err, vault.ErrMissing) {
				t.Errorf("reading: error %v, want ErrMissing", err)
			}
			v := mustOpen(t, o)
			if _, err := read(v, mailboxOf(0)); !errors.Is(err, vault.ErrNotFound) {
				t.Errorf("a record of the old file: %v, want ErrNotFound", err)
			}
			if info, _ := os.Stat(o.Path); info.Mode().Perm() != 0o600 {
				t.Errorf("mode %v, want 0600", info.Mode())
			}
		})
	}
}

// Two that make the vault at once end with one vault; each may find it locked.
func TestCreateAtOnce(t *testing.T) {
	for range 20 {
		o := options(t)
		o.LockTimeout = 2 * time.Minute // as long as a busy machine needs
		ids := make(chan string)
		for range 4 {
			go func() {
				v, err := vault.Open(o)
				if err != nil {
					ids <- err.Error()
					return
				}
				id := v.Info().ID
				v.Close()
				ids <- id
			}()
		}
		first := <-ids
		for range 3 {
			if id := <-ids; id != first {
				t.Fatalf("got vaults %q and %q, want one", first, id)
			}
		}
	}
}

// Everything that Open refuses, and that the file stays as it was.
func TestRefused(t *testing.T) {
	foreign := newKeys(t)
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(t *testing.T, o *vault.Options)
		want   error
		hint   string
	}{
		{"no file", func(t *testing.T, o *vault.Options) { os.Remove(o.Path) }, vault.ErrMissing, "ingest client add"},
		{"no folder", func(t *testing.T, o *vault.Options) { os.RemoveAll(filepath.Dir(o.Path)) }, vault.ErrMissing, ""},
		{"folder in its place", func(t *testing.T, o *vault.Options) { os.Remove(o.Path); os.Mkdir(o.Path, 0o700) }, vault.ErrForeign, ""},
		{"empty", func(t *testing.T, o *vault.Options) { os.Truncate(o.Path, 0) }, vault.ErrDamaged, "backup"},
		{"empty, though it may be made", func(t *testing.T, o *vault.Options) { os.Truncate(o.Path, 0); o.Create = true }, vault.ErrDamaged, "backup"},
		{"cut in the first page", func(t *testing.T, o *vault.Options) { os.Truncate(o.Path, 500) }, vault.ErrDamaged, ""},
		{"cut after the meta pages", func(t *testing.T, o *vault.Options) { os.Truncate(o.Path, 8192) }, vault.ErrDamaged, "backup"},
		{"text", func(t *testing.T, o *vault.Options) { overwrite(t, o, bytes.Repeat([]byte("hello world\n"), 900)) }, vault.ErrForeign, "vault.url"},
		{"zeros", func(t *testing.T, o *vault.Options) { overwrite(t, o, make([]byte, 65536)) }, vault.ErrForeign, ""},
		{"other bbolt file", otherBolt, vault.ErrForeign, ""},
		{"bbolt file without free list", noFreelist, vault.ErrForeign, ""},
		{"our bucket without format", func(t *testing.T, o *vault.Options) { raw(t, o, deleteKey("meta/format")) }, vault.ErrForeign, ""},
		{"newer format", newerFormat, vault.ErrNewerFormat, "install"},
		{"first meta page", flip(16 + 40), vault.ErrDamaged, "backup"},
		{"magic of the first meta page", flip(16), vault.ErrDamaged, "backup"},
		{"second meta page", flip(4096 + 16 + 20), vault.ErrDamaged, "backup"},
		{"file readable by others", func(t *testing.T, o *vault.Options) { os.Chmod(o.Path, 0o640) }, vault.ErrPermissions, "chmod 600"},
		{"folder open to others", func(t *testing.T, o *vault.Options) { os.Chmod(filepath.Dir(o.Path), 0o750) }, vault.ErrPermissions, "chmod 700"},
		{"foreign identity", func(t *testing.T, o *vault.Options) { o.Identity = foreign.identity }, vault.ErrWrongKey, "identity_file"},
		{"foreign pair", func(t *testing.T, o *vault.Options) { o.Identity, o.Recipients = foreign.identity, foreign.recipient }, vault.ErrWrongKey, ""},
		{"recipients that the identity is not among", func(t *testing.T, o *vault.Options) { o.Recipients = foreign.recipient }, vault.ErrWrongKey, ""},
		{"empty identity", func(t *testing.T, o *vault.Options) { o.Identity = []byte{} }, vault.ErrIdentityMissing, "age-keygen"},
		{"identity that is none", func(t *testing.T, o *vault.Options) { o.Identity = []byte("AGE-SECRET-KEY-OOPS\n") }, vault.ErrIdentityMissing, ""},
		{"recipients that are none", func(t *testing.T, o *vault.Options) { o.Recipients = []byte("hello\n") }, vault.ErrRecipients, "recipients_file"},
		{"post-quantum and other recipients", func(t *testing.T, o *vault.Options) {
			o.Recipients = append(bytes.Clone(o.Recipients), hybrid.Recipient().String()+"\n"...)
		}, vault.ErrRecipients, "post-quantum"},
		{"open elsewhere", func(t *testing.T, o *vault.Options) { mustOpen(t, *o) }, vault.ErrLocked, "another ingest"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, skip := range []bool{false, true} {
				o := made(t)
				o.SkipCheck = skip
				test.change(t, &o)
				before, _ := os.ReadFile(o.Path)
				_, err := vault.Open(o)
				var oe *vault.OpenError
				if !errors.Is(err, test.want) || !errors.As(err, &oe) {
					t.Fatalf("skip %t: error %v (%T), want an OpenError with %v", skip, err, err, test.want)
				}
				if oe.Path != o.Path || !strings.Contains(oe.Hint, test.hint) {
					t.Errorf("hint %q, want one with %q", oe.Hint, test.hint)
				}
				if strings.Contains(err.Error(), "AGE-SECRET") {
					t.Errorf("the error quotes the identity file: %v", err)
				}
				after, _ := os.ReadFile(o.Path)
				if !bytes.Equal(before, after) {
					t.Error("the file was changed")
				}
				if _, err := os.Stat(o.Path + ".new"); err == nil {
					t.Error("a new file was begun")
				}
			}
		})
	}
}

func overwrite(t *testing.T, o *vault.Options, b []byte) {
	if err := os.WriteFile(o.Path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func flip(offset int) func(t *testing.T, o *vault.Options) {
	return func(t *testing.T, o *vault.Options) {
		b, err := os.ReadFile(o.Path)
		if err != nil {
			t.Fatal(err)
		}
		b[offset] ^= 0x10
		overwrite(t, o, b)
	}
}

// raw changes a closed vault below the checks.
func raw(t testing.TB, o *vault.Options, fn func(kv vault.KV) error) {
	t.Helper()
	s, err := vault.OpenBolt(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Update(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

func deleteKey(key string) func(kv vault.KV) error {
	return func(kv vault.KV) error { return kv.Delete(key) }
}

// newerFormat is a vault of format 2 whose records this program can't know.
func newerFormat(t *testing.T, o *vault.Options) {
	raw(t, o, func(kv vault.KV) error {
		b, err := kv.Get("meta/format")
		if err != nil {
			return err
		}
		b = bytes.Replace(b, []byte(`"format":1`), []byte(`"format":2`), 1)
		return errors.Join(kv.Put("meta/format", b), kv.Put("audit/new", []byte("x")), kv.Put("meta/sum", []byte("new")))
	})
}

func otherBolt(t *testing.T, o *vault.Options) { foreignBolt(t, o, &bolt.Options{}) }
func noFreelist(t *testing.T, o *vault.Options) {
	foreignBolt(t, o, &bolt.Options{NoFreelistSync: true})
}

func foreignBolt(t *testing.T, o *vault.Options, bo *bolt.Options) {
	os.Remove(o.Path)
	db, err := bolt.Open(o.Path, 0o600, bo)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte("accounts"))
		if err != nil {
			return err
		}
		return b.Put([]byte("meta/format"), []byte(`{"format":1}`))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestReadersShareAndWritersDoNot(t *testing.T) {
	o := made(t)
	r := o
	r.ReadOnly = true
	one := mustOpen(t, r)
	mustOpen(t, r)
	if _, err := vault.Open(o); !errors.Is(err, vault.ErrLocked) {
		t.Errorf("writer beside readers: %v, want ErrLocked", err)
	}
	err := one.Update(context.Background(), func(tx *vault.Tx) error { return nil })
	if !errors.Is(err, vault.ErrReadOnly) {
		t.Errorf("Update of a reader: %v, want ErrReadOnly", err)
	}
}

func TestWithoutIdentity(t *testing.T) {
	o := made(t)
	o.Identity = nil
	v := mustOpen(t, o)
	if v.CanOpen() {
		t.Error("CanOpen = true, want false")
	}
	l := vault.Label{Mailbox: rossi}
	sealed, err := v.Seal(l, secret.FromString("x"))
	if err != nil {
		t.Errorf("Seal: %v", err)
	}
	if _, err := v.Unseal(l, sealed); !errors.Is(err, vault.ErrNoIdentity) {
		t.Errorf("Unseal: %v, want ErrNoIdentity", err)
	}
	// And with neither: still readable.
	v.Close()
	o.Recipients, o.ReadOnly = nil, true
	v = mustOpen(t, o)
	if _, err := v.Seal(l, secret.FromString("x")); !errors.Is(err, vault.ErrNoRecipients) {
		t.Errorf("Seal: %v, want ErrNoRecipients", err)
	}
}

func TestCreateNeedsRecipients(t *testing.T) {
	o := options(t)
	o.Recipients = nil
	if _, err := vault.Open(o); !errors.Is(err, vault.ErrNoRecipients) {
		t.Errorf("error %v, want ErrNoRecipients", err)
	}
	if _, err := os.Stat(filepath.Dir(o.Path)); err == nil {
		t.Error("the folder was made")
	}
}

func TestClosed(t *testing.T) {
	v := mustOpen(t, options(t))
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	err := v.View(context.Background(), func(*vault.Tx) error { return nil })
	if !errors.Is(err, vault.ErrClosed) {
		t.Errorf("View: %v, want ErrClosed", err)
	}
	if err := v.Close(); err != nil {
		t.Errorf("second Close: %v, want nil", err)
	}
}

func TestReadSecretFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	path := filepath.Join(dir, "identity")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("k"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name      string
		path      string
		dir, file os.FileMode
		exempt    bool
		want      error
	}{
		{"tight", path, 0o700, 0o600, false, nil},
		{"read-only", path, 0o500, 0o400, false, nil},
		{"group may read", path, 0o700, 0o640, false, vault.ErrPermissions},
		{"others may read", path, 0o700, 0o604, false, vault.ErrPermissions},
		{"open folder", path, 0o755, 0o600, false, vault.ErrPermissions},
		{"credential of systemd", path, 0o755, 0o440, true, nil},
		{"absent", path + "x", 0o700, 0o600, false, vault.ErrIdentityMissing},
		{"absent credential", path + "x", 0o700, 0o600, true, vault.ErrIdentityMissing},
	}
	for _, test := range tests {
		os.Chmod(path, test.file)
		os.Chmod(dir, test.dir)
		b, err := vault.ReadSecretFile(test.path, test.exempt)
		if !errors.Is(err, test.want) || (err == nil) != (string(b) == "k") {
			t.Errorf("%s: %q, %v, want error %v", test.name, b, err, test.want)
		}
	}
	os.Chmod(dir, 0o700)
}
