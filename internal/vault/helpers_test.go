package vault_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"

	"pec-ingest/internal/servertest"
	"pec-ingest/internal/vault"
	"pec-ingest/internal/vault/etcdstore"
)

// now is when everything in these tests happens, unless said otherwise.
var now = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

// keyPair is an age identity and its recipient, as files hold them.
type keyPair struct{ identity, recipient []byte }

func newKeys(t testing.TB) keyPair {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{[]byte(id.String() + "\n"), []byte(id.Recipient().String() + "\n")}
}

// options are those of a new vault in a folder of its own.
func options(t testing.TB) vault.Options {
	t.Helper()
	k := newKeys(t)
	return vault.Options{
		Path:        filepath.Join(t.TempDir(), "state", "vault.db"),
		Recipients:  k.recipient,
		Identity:    k.identity,
		Create:      true,
		LockTimeout: 50 * time.Millisecond,
		Now:         func() time.Time { return now },
	}
}

// mustOpen opens a vault and closes it when the test ends.
func mustOpen(t testing.TB, o vault.Options) *vault.Vault {
	t.Helper()
	v, err := vault.Open(o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

// onStores runs a test on a new vault over the plain store, over one that runs
// each closure twice, and over etcd.
func onStores(t *testing.T, test func(t *testing.T, v *vault.Vault)) {
	t.Helper()
	wraps := map[string]func(vault.Store) vault.Store{
		"plain": func(s vault.Store) vault.Store { return s },
		"twice": func(s vault.Store) vault.Store { return twice{t, s} },
	}
	for name, wrap := range wraps {
		t.Run(name, func(t *testing.T) {
			v, err := vault.OpenWrapped(options(t), wrap)
			if err != nil {
				t.Fatalf("Open: %v", err)
			}
			defer v.Close()
			test(t, v)
		})
	}
	t.Run("etcd", func(t *testing.T) {
		v := mustOpenStore(t, onEtcd(t), options(t))
		test(t, v)
	})
}

// etcdPrefixes counts the vaults on the shared member.
var etcdPrefixes atomic.Int64

// onEtcd is a way to open one new prefix of an etcd member, again and again.
func onEtcd(t testing.TB) func() vault.Store {
	t.Helper()
	c := etcdstore.Config{Endpoints: []string{servertest.SharedEtcd(t)}, Prefix: fmt.Sprintf("/vault-%d", etcdPrefixes.Add(1)),
		Member: "test", Follow: true}
	return func() vault.Store {
		s, err := etcdstore.Open(context.Background(), c)
		if err != nil {
			t.Fatalf("opening etcd: %v", err)
		}
		return s
	}
}

// mustOpenStore opens a vault in a store and closes it when the test ends.
func mustOpenStore(t testing.TB, store func() vault.Store, o vault.Options) *vault.Vault {
	t.Helper()
	v, err := vault.OpenStore(context.Background(), store(), o)
	if err != nil {
		t.Fatalf("OpenStore: %v", err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

func TestMain(m *testing.M) {
	code := m.Run()
	servertest.StopEtcd()
	os.Exit(code)
}

func update(t testing.TB, v *vault.Vault, fn func(tx *vault.Tx) error) {
	t.Helper()
	if err := v.Update(context.Background(), fn); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

func view(t testing.TB, v *vault.Vault, fn func(tx *vault.Tx) error) {
	t.Helper()
	if err := v.View(context.Background(), fn); err != nil {
		t.Fatalf("View: %v", err)
	}
}

// twice is a store that conflicts once in each Update, as an optimistic engine
// may, and has no more room than every engine: the first run is thrown away. It
// demands that both runs write alike and that the second keeps to the limits.
type twice struct {
	t *testing.T
	vault.Store
}

func (twice) Room() (keys, bytes int) { return vault.MaxKeys, vault.MaxBytes }

var errAgain = errors.New("conflict")

func (s twice) Update(ctx context.Context, fn func(vault.KV) error) error {
	var first, second *recorder
	err := s.Store.Update(ctx, func(kv vault.KV) error {
		first = &recorder{KV: kv, written: map[string]int{}}
		if err := fn(first); err != nil {
			return err
		}
		return errAgain
	})
	if !errors.Is(err, errAgain) {
		return err
	}
	err = s.Store.Update(ctx, func(kv vault.KV) error {
		second = &recorder{KV: kv, written: map[string]int{}}
		return fn(second)
	})
	if err != nil {
		return err
	}
	// As many, not the same: other goroutines may have come between the runs.
	if a, b := len(first.written), len(second.written); a != b {
		s.t.Errorf("the closure run again wrote %d keys, want %d as at first", b, a)
	}
	bytes := 0
	for _, n := range second.written {
		bytes += n
	}
	if n := len(second.written); n > vault.MaxKeys-2 || bytes > vault.MaxBytes+4096 {
		s.t.Errorf("a transaction wrote %d keys and %d bytes", n, bytes)
	}
	return nil
}

// recorder notes what a transaction writes.
type recorder struct {
	vault.KV
	written map[string]int
}

func (r *recorder) Put(key string, v []byte) error {
	r.written[key] = len(key) + len(v)
	return r.KV.Put(key, v)
}

func (r *recorder) Delete(key string) error {
	r.written[key] = len(key)
	return r.KV.Delete(key)
}
