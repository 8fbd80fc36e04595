package vault_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pec-ingest/internal/vault"
)

// saved makes a backup file of v and checks it.
func saved(t *testing.T, v *vault.Vault) (path string, sum vault.Summary) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "backups", "b.db")
	sum, err := vault.SaveBackup(path, func(w io.Writer) error {
		_, err := v.Backup(context.Background(), w)
		return err
	})
	if err != nil {
		t.Fatalf("SaveBackup: %v", err)
	}
	return path, sum
}

// A vault goes from a file to etcd and back, and is the same.
func TestMoveBetweenEngines(t *testing.T) {
	o := options(t)
	v := mustOpen(t, o)
	fill(t, v, 300)
	update(t, v, func(tx *vault.Tx) error {
		_, err := tx.PutProof(vault.Proof{N: 1, Raw: bytes.Repeat([]byte("r"), 200_000)})
		return err
	})
	file, before := saved(t, v)

	store := onEtcd(t)
	s := store()
	sum, err := vault.Fill(context.Background(), s, file)
	if err != nil {
		t.Fatalf("Fill: %v", err)
	}
	if sum != before {
		t.Errorf("the copy: got %+v, want %+v", sum, before)
	}
	s.Close()
	o.Create = false
	w := mustOpenStore(t, store, o)
	if w.Info() != v.Info() {
		t.Errorf("the copy says to be %+v, want %+v", w.Info(), v.Info())
	}
	if got, err := w.Check(context.Background()); err != nil || got != before {
		t.Errorf("Check: %+v, %v, want %+v", got, err, before)
	}
	for _, i := range []int{0, 299} {
		if s, err := read(w, mailboxOf(i)); err != nil || s != passwordOf(i) {
			t.Errorf("a password read from etcd: %v, or another", err)
		}
	}
	view(t, w, func(tx *vault.Tx) error {
		p, _, err := tx.Proof(1)
		if len(p.Raw) != 200_000 {
			t.Errorf("a large record: %d bytes, want 200000", len(p.Raw))
		}
		return err
	})
	update(t, w, func(tx *vault.Tx) error { return tx.Audit(vault.AuditEntry{Actor: "a", Event: "moved"}) })

	_, after := saved(t, w)
	if after.AuditEntries != before.AuditEntries+1 || after.Records != before.Records+1 && after.Records != before.Records+2 {
		t.Errorf("the way back: got %+v, want one audit entry more than %+v", after, before)
	}
	s = store()
	defer s.Close()
	if _, err := vault.Fill(context.Background(), s, file); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Fill over a vault: got %v, want ErrExist", err)
	}
}

// A copy that was cut short is no vault, and is done again from nothing.
func TestFillInterrupted(t *testing.T) {
	o := options(t)
	v := mustOpen(t, o)
	fill(t, v, 200)
	file, want := saved(t, v)
	store := onEtcd(t)
	s := store()
	defer s.Close()
	cut := errors.New("cut")
	if _, err := vault.Fill(context.Background(), &cutShort{Store: s, left: 3, err: cut}, file); !errors.Is(err, cut) {
		t.Fatalf("Fill: got %v, want the store's error", err)
	}
	var hint *vault.OpenError
	for _, create := range []bool{false, true} {
		o.Create = create
		if _, err := vault.OpenStore(context.Background(), store(), o); !errors.Is(err, vault.ErrForeign) || !errors.As(err, &hint) ||
			!strings.Contains(hint.Hint, "vault copy") {
			t.Errorf("opening half a copy (create %t): got %v, want that the copy must be done again", create, err)
		}
	}
	if sum, err := vault.Fill(context.Background(), s, file); err != nil || sum != want {
		t.Errorf("Fill again: %+v, %v, want %+v", sum, err, want)
	}
	mustOpenStore(t, store, o)
}

// A vault that is taken away under an open one, or replaced, or in another
// format now, is neither read nor written to any more.
func TestVaultReplaced(t *testing.T) {
	o := options(t)
	store := onEtcd(t)
	v := mustOpenStore(t, store, o)
	fill(t, v, 1)
	other := store()
	defer other.Close()
	refused := func(when string, want error) {
		t.Helper()
		before, after := map[string]string{}, map[string]string{}
		pairs := func(m map[string]string) {
			if err := other.Walk(t.Context(), func(key string, b []byte) error { m[key] = string(b); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		pairs(before)
		put := func(tx *vault.Tx) error { return tx.PutClient(vault.Client{Mailbox: mailboxOf(7)}) }
		for how, err := range map[string]error{
			"View": v.View(t.Context(), func(*vault.Tx) error { return nil }), "Update": v.Update(t.Context(), put), "Fill": v.Fill(t.Context(), put),
		} {
			if !errors.Is(err, want) {
				t.Errorf("%s: %s: got %v, want %v", when, how, err, want)
			}
		}
		if pairs(after); !maps.Equal(after, before) {
			t.Errorf("%s: something was written", when)
		}
	}
	setFormat := func(from, to string) {
		t.Helper()
		err := other.Update(t.Context(), func(kv vault.KV) error {
			b, err := kv.Get("meta/format")
			if err != nil {
				return err
			}
			return kv.Put("meta/format", bytes.Replace(b, []byte(`"format":`+from), []byte(`"format":`+to), 1))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	setFormat("1", "2")
	refused("newer", vault.ErrNewerFormat)
	setFormat("2", "1")
	if got, err := read(v, mailboxOf(0)); err != nil || got != passwordOf(0) {
		t.Errorf("with its format back: %v", err)
	}
	if err := vault.Erase(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	refused("erased", vault.ErrMissing)
	mustOpenStore(t, store, options(t))
	refused("replaced", vault.ErrForeign)
}

// Of two copies to one place at once the later one goes on, undisturbed by the
// other, which fails.
func TestFillTogether(t *testing.T) {
	o := options(t)
	v := mustOpen(t, o)
	fill(t, v, 200)
	file, want := saved(t, v)
	for _, when := range []int{1, 3, 6} { // commits of the first
		store := onEtcd(t)
		s, other := store(), store()
		defer s.Close()
		defer other.Close()
		left := when
		later := func() error {
			if left--; left != 0 {
				return nil
			}
			sum, err := vault.Fill(context.Background(), other, file)
			if err == nil && sum != want {
				t.Errorf("the later copy: got %+v, want %+v", sum, want)
			}
			return err
		}
		if _, err := vault.Fill(context.Background(), &interrupted{s, later}, file); err == nil {
			t.Errorf("after %d commits: the first copy did not fail", when)
		}
		if left > 0 {
			t.Fatalf("the first copy made no %d commits", when)
		}
		w := mustOpenStore(t, store, o)
		if got, err := w.Check(context.Background()); err != nil || got != want {
			t.Errorf("after %d commits: got %+v, %v, want %+v", when, got, err, want)
		}
	}
}

// interrupted calls something before each Update.
type interrupted struct {
	vault.Store
	first func() error
}

func (i *interrupted) Update(ctx context.Context, fn func(vault.KV) error) error {
	if err := i.first(); err != nil {
		return err
	}
	return i.Store.Update(ctx, fn)
}

// cutShort fails after some Updates.
type cutShort struct {
	vault.Store
	left int
	err  error
}

func (c *cutShort) Update(ctx context.Context, fn func(vault.KV) error) error {
	if c.left--; c.left < 0 {
		return c.err
	}
	return c.Store.Update(ctx, fn)
}

func TestFillRefusesABadBackup(t *testing.T) {
	v := mustOpen(t, options(t))
	fill(t, v, 50)
	file, _ := saved(t, v)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, []byte("client/"))+20] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s := onEtcd(t)()
	defer s.Close()
	if _, err := vault.Fill(context.Background(), s, file); !errors.Is(err, vault.ErrDamaged) {
		t.Errorf("Fill: got %v, want ErrDamaged", err)
	}
	if got := keysOf(t, s); len(got) != 0 {
		t.Errorf("a refused backup left %d keys", len(got))
	}
}

func keysOf(t *testing.T, s vault.Store) (keys []string) {
	t.Helper()
	err := s.View(context.Background(), func(kv vault.KV) error {
		keys = nil
		return kv.Scan("", func(key string, _ []byte) error { keys = append(keys, key); return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// Opening on etcd refuses what opening a file refuses.
func TestOpenStore(t *testing.T) {
	ctx := context.Background()
	store := onEtcd(t)
	o := options(t)
	o.Create = false
	if _, err := vault.OpenStore(ctx, store(), o); !errors.Is(err, vault.ErrMissing) {
		t.Errorf("nothing there: got %v, want ErrMissing", err)
	}
	o.Create = true
	v := mustOpenStore(t, store, o)
	fill(t, v, 3)
	if w := mustOpenStore(t, store, o); w.Info() != v.Info() {
		t.Error("a second opening made another vault")
	}
	other := options(t)
	if _, err := vault.OpenStore(ctx, store(), other); !errors.Is(err, vault.ErrWrongKey) {
		t.Errorf("another identity: got %v, want ErrWrongKey", err)
	}
	s := store()
	defer s.Close()
	err := s.Update(ctx, func(kv vault.KV) error { return kv.Put("client/"+mailboxOf(0), []byte("12345678{}")) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vault.OpenStore(ctx, store(), o); !errors.Is(err, vault.ErrDamaged) {
		t.Errorf("a changed record: got %v, want ErrDamaged", err)
	}
	if _, err := v.Check(ctx); !errors.Is(err, vault.ErrDamaged) {
		t.Errorf("Check of a changed record: got %v, want ErrDamaged", err)
	}
}

// Rekey, on etcd as on a file: what was sealed opens with the new key.
func TestRekeyOnEtcd(t *testing.T) {
	store := onEtcd(t)
	o := options(t)
	v := mustOpenStore(t, store, o)
	fill(t, v, 40)
	v.Close()
	recovery := newKeys(t)
	o.Recipients = append(bytes.Clone(o.Recipients), recovery.recipient...)
	v = mustOpenStore(t, store, o)
	if n, err := v.Rekey(context.Background()); err != nil || n == 0 {
		t.Fatalf("Rekey: %d, %v", n, err)
	}
	v.Close()
	o.Identity = recovery.identity
	v = mustOpenStore(t, store, o)
	if s, err := read(v, mailboxOf(7)); err != nil || s != passwordOf(7) {
		t.Errorf("with the recovery key: %v, or another password", err)
	}
	if err := v.VerifyAudit(context.Background()); err != nil {
		t.Error(err)
	}
}
