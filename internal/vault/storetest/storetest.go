// Package storetest is what every engine below a vault must do: one suite,
// run on each.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"pec-ingest/internal/vault"
)

// Run tests an engine. open gives an empty store of its own to each test, and
// every call of the second function another handle to the same one, where an
// engine has several (nil: it has not).
func Run(t *testing.T, open func(t *testing.T) (vault.Store, func() vault.Store)) {
	tests := map[string]func(t *testing.T, s vault.Store, another func() vault.Store){
		"values": values, "scan": scan, "own writes": ownWrites, "scan in update": scanInUpdate, "scan while writing": scanWhileWriting,
		"failed": failed, "panic": panics, "read only": readOnly, "cancelled": cancelled, "largest": largest, "walk": walk,
		"snapshot": snapshots, "increments": increments, "phantoms": phantoms, "write skew": writeSkew, "random": random, "closed": closed,
	}
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		t.Run(name, func(t *testing.T) {
			s, another := open(t)
			if another == nil {
				another = func() vault.Store { return s }
			}
			tests[name](t, s, another)
		})
	}
}

func update(t *testing.T, s vault.Store, fn func(kv vault.KV) error) {
	t.Helper()
	if err := s.Update(context.Background(), fn); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

func put(t *testing.T, s vault.Store, pairs ...string) {
	t.Helper()
	update(t, s, func(kv vault.KV) error {
		for i := 0; i < len(pairs); i += 2 {
			if err := kv.Put(pairs[i], []byte(pairs[i+1])); err != nil {
				return err
			}
		}
		return nil
	})
}

// content lists what is below a prefix as "key=value".
func content(t *testing.T, s vault.Store, prefix string) (all []string) {
	t.Helper()
	err := s.View(context.Background(), func(kv vault.KV) error {
		all = nil
		return list(kv, prefix, &all)
	})
	if err != nil {
		t.Fatalf("View: %v", err)
	}
	return all
}

func list(kv vault.KV, prefix string, all *[]string) error {
	return kv.Scan(prefix, func(key string, v []byte) error {
		*all = append(*all, key+"="+string(v))
		return nil
	})
}

func want(t *testing.T, s vault.Store, prefix string, pairs ...string) {
	t.Helper()
	if got := content(t, s, prefix); !slices.Equal(got, pairs) {
		t.Errorf("below %q: got %q, want %q", prefix, got, pairs)
	}
}

func values(t *testing.T, s vault.Store, another func() vault.Store) {
	put(t, s, "a/1", "x", "a/nul\x00b", "\x00\xff")
	o := another()
	for key, value := range map[string][]byte{"a/1": []byte("x"), "a/nul\x00b": {0, 0xff}, "a/": nil, "a/2": nil, "b": nil} {
		err := o.View(context.Background(), func(kv vault.KV) error {
			v, err := kv.Get(key)
			if !bytes.Equal(v, value) || (v == nil) != (value == nil) {
				t.Errorf("Get(%q): got %q, want %q", key, v, value)
			}
			if len(v) > 0 {
				v[0] ^= 1 // ours to change
			}
			again, err2 := kv.Get(key)
			if !bytes.Equal(again, value) {
				t.Errorf("Get(%q) again: got %q, want %q", key, again, value)
			}
			return errors.Join(err, err2)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	update(t, o, func(kv vault.KV) error { return errors.Join(kv.Delete("a/1"), kv.Delete("never")) })
	want(t, s, "a/", "a/nul\x00b=\x00\xff")
	put(t, s, "a/nul\x00b", "new")
	want(t, o, "", "a/nul\x00b=new")
}

func scan(t *testing.T, s vault.Store, another func() vault.Store) {
	put(t, s, "a/1", "1", "a/10", "2", "a/2", "3", "a", "4", "a0", "5", "b/1", "6", "a/\x00", "7", "a/\xff", "8", "\xff\xff", "9")
	o := another()
	want(t, o, "a/", "a/\x00=7", "a/1=1", "a/10=2", "a/2=3", "a/\xff=8")
	want(t, o, "a/1", "a/1=1", "a/10=2")
	want(t, o, "\xff", "\xff\xff=9")
	want(t, o, "c")
	if got := content(t, o, ""); len(got) != 9 {
		t.Errorf("everything: got %q, want 9 keys", got)
	}
	stop := errors.New("stop")
	n := 0
	err := o.View(context.Background(), func(kv vault.KV) error {
		n = 0
		return kv.Scan("a/", func(string, []byte) error {
			if n++; n == 2 {
				return stop
			}
			return nil
		})
	})
	if !errors.Is(err, stop) || n != 2 {
		t.Errorf("a scan that was stopped: %v after %d, want stop after 2", err, n)
	}
}

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

// Walk shows what a View shows, large values too, and ends when it is told.
func walk(t *testing.T, s vault.Store, another func() vault.Store) {
	put(t, s, "b", "2", "a/nul\x00b", "1", "large", strings.Repeat("l", 40_000))
	for i := range 20 {
		put(t, s, "b", fmt.Sprint(i), "c", fmt.Sprint(i))
	}
	var got []string
	err := another().Walk(context.Background(), func(key string, v []byte) error {
		got = append(got, key+"="+string(v))
		return nil
	})
	if all := content(t, s, ""); err != nil || !slices.Equal(got, all) || len(all) != 4 {
		t.Errorf("got %d keys, %v, want the %d of a View", len(got), err, len(all))
	}
	stop := errors.New("stop")
	n := 0
	err = another().Walk(context.Background(), func(string, []byte) error { n++; return stop })
	if !errors.Is(err, stop) || n != 1 {
		t.Errorf("stopped: got %v after %d keys, want its own error after one", err, n)
	}
}

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

// Random transactions on all handles in turn do what they do to a map.
func random(t *testing.T, s vault.Store, another func() vault.Store) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	handles := []vault.Store{s, another()}
	model := map[string]string{}
	for range 150 {
		h := handles[r.IntN(len(handles))]
		next := maps.Clone(model)
		type op struct{ key, value string }
		var ops []op
		for range 1 + r.IntN(6) {
			o := op{key: fmt.Sprintf("%c/%d", 'a'+r.IntN(3), r.IntN(20))}
			delete(next, o.key)
			if r.IntN(3) > 0 {
				o.value = strings.Repeat(fmt.Sprint(r.IntN(1000)), 1+r.IntN(2)*9000)
				next[o.key] = o.value
			}
			ops = append(ops, o)
		}
		fail := r.IntN(4) == 0
		err := h.Update(context.Background(), func(kv vault.KV) error {
			for _, o := range ops {
				var err error
				if o.value == "" {
					err = kv.Delete(o.key)
				} else {
					err = kv.Put(o.key, []byte(o.value))
				}
				if err != nil {
					return err
				}
			}
			if fail {
				return vault.ErrInvalid
			}
			return nil
		})
		if fail != (err != nil) {
			t.Fatalf("Update: %v, want an error: %t", err, fail)
		}
		if !fail {
			model = next
		}
		var all []string
		for _, k := range slices.Sorted(maps.Keys(model)) {
			all = append(all, k+"="+model[k])
		}
		if got := content(t, handles[r.IntN(len(handles))], ""); !slices.Equal(got, all) {
			t.Fatalf("the store has %d keys, or others than the model's %d", len(got), len(all))
		}
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
