package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pec-ingest/internal/vault"
)

func ownWrites(t *testing.T, s vault.Store, _ func() vault.Store) {
	put(t, s, "a", "old", "b", "old")
	update(t, s, func(kv vault.KV) error {
		if err := errors.Join(kv.Put("a", []byte("new")), kv.Delete("b"), kv.Put("c", []byte("new"))); err != nil {
			return err
		}
		a, err1 := kv.Get("a")
		b, err2 := kv.Get("b")
		c, err3 := kv.Get("c")
		if string(a) != "new" || b != nil || string(c) != "new" {
			t.Errorf("own writes: got %q %q %q", a, b, c)
		}
		return errors.Join(err1, err2, err3)
	})
	update(t, s, func(kv vault.KV) error {
		return errors.Join(kv.Put("d", []byte("1")), kv.Delete("d"), kv.Delete("a"), kv.Put("a", []byte("2")))
	})
	want(t, s, "", "a=2", "c=new")
}

// A scan sees what its own transaction has written before it.
func scanInUpdate(t *testing.T, s vault.Store, _ func() vault.Store) {
	put(t, s, "a/1", "1", "a/3", "3", "a/5", "5")
	update(t, s, func(kv vault.KV) error {
		err := errors.Join(kv.Put("a/0", []byte("0")), kv.Put("a/2", []byte("2")), kv.Put("a/3", []byte("three")),
			kv.Delete("a/5"), kv.Put("a/6", []byte("6")), kv.Delete("a/7"), kv.Put("b", []byte("b")))
		if err != nil {
			return err
		}
		var got []string
		if err := list(kv, "a/", &got); err != nil {
			return err
		}
		if want := []string{"a/0=0", "a/1=1", "a/2=2", "a/3=three", "a/6=6"}; !slices.Equal(got, want) {
			t.Errorf("scan: got %q, want %q", got, want)
		}
		return nil
	})
}

// What fn changes meanwhile does not show in the scan that calls it.
func scanWhileWriting(t *testing.T, s vault.Store, _ func() vault.Store) {
	for i := range 300 {
		put(t, s, fmt.Sprintf("a/%03d", i), "old")
	}
	var got int
	update(t, s, func(kv vault.KV) error {
		got = 0
		return kv.Scan("a/", func(key string, v []byte) error {
			if string(v) != "old" || strings.HasSuffix(key, "x") {
				t.Errorf("scan: got %s=%s", key, v)
			}
			got++
			if got > 60 {
				return nil
			}
			return errors.Join(kv.Delete(key), kv.Put(key+"x", []byte("new")))
		})
	})
	if all := content(t, s, "a/"); got != 300 || len(all) != 300 || all[0] != "a/000x=new" || all[299] != "a/299=old" {
		t.Errorf("scanned %d keys, %d are left", got, len(all))
	}
}

func failed(t *testing.T, s vault.Store, another func() vault.Store) {
	put(t, s, "a", "old")
	stop := errors.New("stop")
	err := s.Update(context.Background(), func(kv vault.KV) error {
		return errors.Join(kv.Put("a", []byte("new")), kv.Put("b", []byte("new")), stop)
	})
	if !errors.Is(err, stop) {
		t.Errorf("Update: got %v, want the closure's error", err)
	}
	want(t, another(), "", "a=old")
}

func panics(t *testing.T, s vault.Store, _ func() vault.Store) {
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = s.Update(context.Background(), func(kv vault.KV) error {
			_ = kv.Put("a", []byte("new"))
			panic("oops")
		})
	}()
	put(t, s, "b", "1")
	want(t, s, "", "b=1")
}

func readOnly(t *testing.T, s vault.Store, _ func() vault.Store) {
	err := s.View(context.Background(), func(kv vault.KV) error {
		if err := kv.Put("a", []byte("1")); !errors.Is(err, vault.ErrReadOnly) {
			t.Errorf("Put in a View: got %v, want ErrReadOnly", err)
		}
		if err := kv.Delete("a"); !errors.Is(err, vault.ErrReadOnly) {
			t.Errorf("Delete in a View: got %v, want ErrReadOnly", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want(t, s, "")
}

func cancelled(t *testing.T, s vault.Store, _ func() vault.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	ran := false
	fn := func(vault.KV) error { ran = true; return nil }
	if err := s.View(ctx, fn); !errors.Is(err, context.Canceled) || ran {
		t.Errorf("View: got %v, ran %t, want Canceled", err, ran)
	}
	if err := s.Update(ctx, fn); !errors.Is(err, context.Canceled) || ran {
		t.Errorf("Update: got %v, ran %t, want Canceled", err, ran)
	}
}

// A transaction as large as the vault makes them: the engine's room, less two
// keys for its own.
func largest(t *testing.T, s vault.Store, another func() vault.Store) {
	keys, room := s.Room()
	if keys < vault.MaxKeys || room < vault.MaxBytes {
		t.Errorf("got room for %d keys and %d bytes, want %d and %d at least", keys, room, vault.MaxKeys, vault.MaxBytes)
	}
	keys -= 2
	name := strings.Repeat("n", 240)
	value := bytes.Repeat([]byte("v"), room/keys-len(name)-4)
	update(t, s, func(kv vault.KV) error {
		for i := range keys {
			if err := kv.Put(fmt.Sprintf("%s%04d", name, i), value); err != nil {
				return err
			}
		}
		return nil
	})
	big := bytes.Repeat([]byte("w"), room-100)
	update(t, s, func(kv vault.KV) error { return kv.Put("big", big) })
	all := content(t, another(), "n")
	if len(all) != keys || !strings.HasSuffix(all[keys-1], string(value)) {
		t.Errorf("got %d keys, want %d", len(all), keys)
	}
	if got := content(t, another(), "big"); len(got) != 1 || got[0] != "big="+string(big) {
		t.Error("the largest value is not what was written")
	}
}

func closed(t *testing.T, s vault.Store, _ func() vault.Store) {
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	fn := func(vault.KV) error { return nil }
	if err := s.View(context.Background(), fn); !errors.Is(err, vault.ErrClosed) {
		t.Errorf("View: got %v, want ErrClosed", err)
	}
	if err := s.Update(context.Background(), fn); !errors.Is(err, vault.ErrClosed) {
		t.Errorf("Update: got %v, want ErrClosed", err)
	}
}
