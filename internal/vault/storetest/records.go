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
	"testing"

	"pec-ingest/internal/vault"
)

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
