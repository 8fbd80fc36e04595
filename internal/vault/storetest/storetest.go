// Package storetest is what every engine below a vault must do: one suite,
// run on each.
package storetest

import (
	"context"
	"maps"
	"slices"
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
