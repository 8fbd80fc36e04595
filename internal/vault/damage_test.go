package vault_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"testing"

	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// aged makes a vault whose passwords have changed several times, so that the
// free pages of the file are full of old states. It returns the passwords that
// are right.
func aged(t testing.TB, mailboxes, versions int) (vault.Options, map[string]string) {
	t.Helper()
	o := options(t)
	v := mustOpen(t, o)
	right := map[string]string{}
	for n := 1; n <= versions; n++ {
		for i := range mailboxes {
			m := mailboxOf(i)
			right[m] = fmt.Sprintf("segreta-%d-%s", n, m)
			l := vault.Label{Mailbox: m, Login: m, Version: n, Source: "opec"}
			sealed, err := v.Seal(l, secret.FromString(right[m]))
			if err != nil {
				t.Fatal(err)
			}
			update(t, v, func(tx *vault.Tx) error {
				return errors.Join(
					tx.PutCredential(vault.Credential{Mailbox: m, Login: m, Last: n, Current: n}),
					tx.PutVersion(vault.Version{Mailbox: m, Login: m, N: n, Label: l, Sealed: sealed}),
					tx.Audit(vault.AuditEntry{Actor: "service", Event: "credential.accepted", Mailbox: m}))
			})
		}
	}
	v.Close()
	o.Create = false
	return o, right
}

// Flipped bytes in a copy of the vault never give a wrong password: there is
// an error, or the right one. With the whole check at opening, and without.
func TestFlippedBytes(t *testing.T) {
	o, right := aged(t, 12, 5)
	whole, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	// Most of the file is room to grow; flip where something is.
	used := len(bytes.TrimRight(whole, "\x00"))
	rounds := 500
	if testing.Short() {
		rounds = 150
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	refused, unread := 0, 0
	for i := range rounds {
		bad := bytes.Clone(whole)
		flips := 1 + rnd.IntN(4)
		for range flips {
			bad[rnd.IntN(used)] ^= 1 << rnd.IntN(8)
		}
		if err := os.WriteFile(o.Path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		o.SkipCheck = i%2 == 1
		v, err := vault.Open(o)
		if err != nil {
			refused++
			continue
		}
		for m, want := range right {
			got, err := read(v, m)
			if err != nil {
				unread++
			} else if got != want && !o.SkipCheck {
				t.Fatalf("round %d: %q has password %q, want %q", i, m, got, want)
			} else if got != want && !stale(got, m) {
				t.Fatalf("round %d, unchecked: %q has password %q, want %q", i, m, got, want)
			}
		}
		v.Close()
	}
	if refused == 0 || refused == rounds {
		t.Errorf("%d of %d files refused: the test tests nothing", refused, rounds)
	}
	t.Logf("%d of %d files refused at opening, %d reads refused in the others", refused, rounds, unread)
}

// stale tells whether a password was one of that mailbox once: what a page
// pointer turned to an old page gives when the file is opened unchecked.
func stale(got, mailbox string) bool {
	return bytes.HasPrefix([]byte(got), []byte("segreta-")) && bytes.HasSuffix([]byte(got), []byte("-"+mailbox))
}

// Every page of the file counts: whatever is written over a page in use, the
// file is refused.
func TestEachPageIsChecked(t *testing.T) {
	o, _ := aged(t, 12, 5)
	whole, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	judge := func(b []byte) error { return vault.Inspect(bytes.NewReader(b), int64(len(b))) }
	if err := judge(whole); err != nil {
		t.Fatalf("the file as written: %v", err)
	}
	refused := 0
	for at := 0; at < len(whole); at += page {
		blank := bytes.Clone(whole)
		clear(blank[at : at+page])
		if err := judge(blank); err != nil {
			refused++
			if !errors.Is(err, vault.ErrDamaged) && !errors.Is(err, vault.ErrForeign) {
				t.Errorf("page %d blank: %v, want ErrDamaged", at/page, err)
			}
		}
	}
	if refused < 10 {
		t.Errorf("only %d blank pages noticed", refused)
	}
	// Cut at any page before the end of what is in use.
	for at := 0; at < 10*page; at += page / 2 {
		if err := judge(whole[:at]); err == nil {
			t.Errorf("cut at %d: not noticed", at)
		}
	}
}

// What an attacker or a failing disk can do to records, below the checks but
// with a sound file around them.
func TestTamperedRecords(t *testing.T) {
	a, b := mailboxOf(0), mailboxOf(1)
	ver := func(m string) string { return "ver/" + m + "\x00" + m + "\x00000001" }
	tests := []struct {
		name   string
		change func(kv vault.KV) error
		open   error // at opening
		read   error // of a's password, when opened unchecked
	}{
		{"a record changed", func(kv vault.KV) error {
			v, err := kv.Get(ver(a))
			if err != nil {
				return err
			}
			v[len(v)-5] ^= 1
			return kv.Put(ver(a), v)
		}, vault.ErrDamaged, vault.ErrDamaged},
		{"a record cut", func(kv vault.KV) error { return kv.Put(ver(a), []byte("abc")) }, vault.ErrDamaged, vault.ErrDamaged},
		{"records swapped", func(kv vault.KV) error {
			va, err1 := kv.Get(ver(a))
			vb, err2 := kv.Get(ver(b))
			return errors.Join(err1, err2, kv.Put(ver(a), vb), kv.Put(ver(b), va))
		}, vault.ErrDamaged, vault.ErrDamaged},
		{"swapped with checks made right", func(kv vault.KV) error {
			vb, err := kv.Get(ver(b))
			return errors.Join(err, kv.Put(ver(a), vault.Frame(ver(a), vb[8:])))
		}, vault.ErrDamaged, vault.ErrSwapped},
		{"a record lost", deleteKey(ver(a)), vault.ErrDamaged, vault.ErrNotFound},
		{"a record more", func(kv vault.KV) error {
			return kv.Put("seen/x", vault.Frame("seen/x", []byte(`{"id":"x"}`)))
		}, vault.ErrDamaged, nil},
		{"no JSON", func(kv vault.KV) error { return kv.Put(ver(a), vault.Frame(ver(a), []byte("{"))) }, vault.ErrDamaged, vault.ErrDamaged},
		{"total lost", deleteKey("meta/sum"), vault.ErrDamaged, nil},
		{"total unreadable", func(kv vault.KV) error { return kv.Put("meta/sum", []byte("x")) }, vault.ErrDamaged, nil},
		{"format unreadable", func(kv vault.KV) error { return kv.Put("meta/format", []byte("x")) }, vault.ErrDamaged, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := options(t)
			v := mustOpen(t, o)
			fill(t, v, 3)
			v.Close()
			raw(t, &o, test.change)
			if _, err := vault.Open(o); !errors.Is(err, test.open) {
				t.Errorf("Open: %v, want %v", err, test.open)
			}
			o.SkipCheck = true
			v, err := vault.Open(o)
			if err != nil {
				if !errors.Is(err, test.open) {
					t.Errorf("Open unchecked: %v", err)
				}
				return
			}
			defer v.Close()
			got, err := read(v, a)
			if !errors.Is(err, test.read) || (err == nil && got != passwordOf(0)) {
				t.Errorf("read unchecked: %q, %v, want error %v", got, err, test.read)
			}
		})
	}
}

// A damaged record is not overwritten, and stops only what needs it.
func TestDamagedRecordStaysDamaged(t *testing.T) {
	o := made(t)
	key := "client/" + mailboxOf(0)
	raw(t, &o, func(kv vault.KV) error { return kv.Put(key, []byte("not what it was")) })
	o.SkipCheck = true
	v := mustOpen(t, o)
	err := v.Update(context.Background(), func(tx *vault.Tx) error {
		return tx.PutClient(vault.Client{Mailbox: mailboxOf(0)})
	})
	if !errors.Is(err, vault.ErrDamaged) {
		t.Errorf("overwriting: %v, want ErrDamaged", err)
	}
	if got, err := read(v, mailboxOf(0)); got != passwordOf(0) || err != nil {
		t.Errorf("reading beside it: %q, %v", got, err)
	}
}

// A page number far outside the file is a fault in mapped memory: an error,
// not the end of the process, and the vault refuses further work.
func TestFaultInMappedMemory(t *testing.T) {
	o, _ := aged(t, 40, 3)
	s, err := vault.OpenBolt(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := context.Background()
	scan := func() error {
		return s.View(ctx, func(kv vault.KV) error {
			return kv.Scan("", func(string, []byte) error { return nil })
		})
	}
	if err := scan(); err != nil {
		t.Fatalf("before: %v", err)
	}
	if err := os.Truncate(o.Path, 3*4096); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := scan(); !errors.Is(err, vault.ErrDamaged) {
			t.Errorf("after: %v, want ErrDamaged", err)
		}
	}
	// Given up, it gives the file back: what comes next is told what is wrong.
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := vault.Open(o); !errors.Is(err, vault.ErrDamaged) {
		t.Errorf("Open: %v, want ErrDamaged", err)
	}
}

// sumMeta makes the checksum of a meta page right, so that the fields get past
// it.
func sumMeta(b []byte, at int) {
	if len(b) < at+80 {
		return
	}
	h := fnv.New64a()
	_, _ = h.Write(b[at+16 : at+72])
	binary.NativeEndian.PutUint64(b[at+72:], h.Sum64())
}

func FuzzWalk(f *testing.F) {
	o, _ := aged(f, 3, 2)
	whole, err := os.ReadFile(o.Path)
	if err != nil {
		f.Fatal(err)
	}
	whole = bytes.TrimRight(whole, "\x00")
	whole = append(whole, make([]byte, 4096-len(whole)%4096)...)
	f.Add(whole)
	f.Add(whole[:8192])
	f.Add([]byte("text"))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b)
		sumMeta(b, 0)
		sumMeta(b, 4096)
		r := bytes.NewReader(b)
		last := ""
		err := vault.Walk(r, int64(len(b)), func(key, value []byte) error {
			if string(key) <= last || len(value) == 0 {
				t.Errorf("key %q after %q", key, last)
			}
			last = string(key)
			return nil
		})
		if err != nil && !errors.Is(err, vault.ErrDamaged) && !errors.Is(err, vault.ErrForeign) && !errors.Is(err, vault.ErrNewerFormat) {
			t.Errorf("error %v is none of the known", err)
		}
		_, _ = vault.Lookup(r, int64(len(b)), "meta/format")
	})
}
