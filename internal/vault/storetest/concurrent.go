package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"pec-ingest/internal/vault"
)

// A View sees one state from beginning to end, large values too.
func snapshots(t *testing.T, s vault.Store, another func() vault.Store) {
	o := another()
	large := func(c byte) string { return strings.Repeat(string(c), 40_000) }
	put(t, s, "a", "1", "b", "1", "large/1", large('x'), "large/2", large('x'))
	written := make(chan error)
	err := o.View(context.Background(), func(kv vault.KV) error {
		a, err := kv.Get("a")
		if err != nil {
			return err
		}
		go func() {
			written <- s.Update(context.Background(), func(kv vault.KV) error {
				return errors.Join(kv.Put("a", []byte("2")), kv.Delete("b"), kv.Put("c", []byte("2")), kv.Put("large/1", []byte(large('y'))),
					kv.Delete("large/2"))
			})
		}()
		if err := <-written; err != nil {
			return err
		}
		var got []string
		if err := list(kv, "", &got); err != nil {
			return err
		}
		if want := []string{"a=" + string(a), "b=1", "large/1=" + large('x'), "large/2=" + large('x')}; !slices.Equal(got, want) {
			t.Errorf("a View saw a later change: %d keys", len(got))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want(t, o, "", "a=2", "c=2", "large/1="+large('y'))
}

// Every increment counts, and records that change together are never seen
// apart.
func increments(t *testing.T, s vault.Store, another func() vault.Store) {
	const writers, rounds = 4, 12
	handles := []vault.Store{s, another(), another()}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			h := handles[w%len(handles)]
			for range rounds {
				err := h.Update(context.Background(), func(kv vault.KV) error {
					v, err := kv.Get("n")
					if err != nil {
						return err
					}
					next := fmt.Appendf(nil, "%d", number(v)+1)
					return errors.Join(kv.Put("n", next), kv.Put("m", next))
				})
				if err != nil {
					t.Errorf("Update: %v", err)
					return
				}
				err = h.View(context.Background(), func(kv vault.KV) error {
					n, err := kv.Get("n")
					m, err2 := kv.Get("m")
					if !bytes.Equal(n, m) {
						t.Errorf("a reader saw %s and %s", n, m)
					}
					return errors.Join(err, err2)
				})
				if err != nil {
					t.Errorf("View: %v", err)
				}
			}
		})
	}
	wg.Wait()
	n := fmt.Sprint(writers * rounds)
	want(t, s, "", "m="+n, "n="+n)
}

func number(v []byte) (n int) {
	_, _ = fmt.Sscan(string(v), &n)
	return n
}

// Two transactions that each count a range and add to it: the second must see
// what the first added, though it never read that key.
func phantoms(t *testing.T, s vault.Store, another func() vault.Store) {
	const writers, rounds = 3, 8
	handles := []vault.Store{s, another(), another()}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for range rounds {
				err := handles[w].Update(context.Background(), func(kv vault.KV) error {
					n := 0
					if err := kv.Scan("item/", func(string, []byte) error { n++; return nil }); err != nil {
						return err
					}
					return kv.Put(fmt.Sprintf("item/%03d", n), []byte{'a' + byte(w)})
				})
				if err != nil {
					t.Errorf("Update: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if got := content(t, s, "item/"); len(got) != writers*rounds {
		t.Errorf("got %d items, want %d: one overwrote another", len(got), writers*rounds)
	}
}

// Of two transactions that read both keys and each take one away, one must
// see what the other did.
func writeSkew(t *testing.T, s vault.Store, another func() vault.Store) {
	o := another()
	for range 10 {
		put(t, s, "on/a", "1", "on/b", "1")
		var wg sync.WaitGroup
		for h, key := range map[vault.Store]string{s: "on/a", o: "on/b"} {
			wg.Go(func() {
				err := h.Update(context.Background(), func(kv vault.KV) error {
					n := 0
					err := kv.Scan("on/", func(string, []byte) error { n++; return nil })
					if err != nil || n < 2 {
						return err
					}
					return kv.Delete(key)
				})
				if err != nil {
					t.Errorf("Update: %v", err)
				}
			})
		}
		wg.Wait()
		if s != o && len(content(t, s, "on/")) != 1 {
			t.Fatalf("left: %q, want one of the two", content(t, s, "on/"))
		}
	}
}
