package vault_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"pec-ingest/internal/vault"
)

// emptyBolt opens a store that is closed when the test ends.
func emptyBolt(t *testing.T) vault.Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "v.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := vault.OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// What is read stays right while the mapped memory is given back, by readers
// and by a writer beside them.
func TestMappingGivenBack(t *testing.T) {
	store := emptyBolt(t)
	key := func(i int) string { return fmt.Sprintf("key/%03d", i) }
	value := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 5_000) }
	write := func() error {
		return store.Update(t.Context(), func(kv vault.KV) error {
			for i := range 100 {
				if err := kv.Put(key(i), value(i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := write(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			err := store.View(t.Context(), func(kv vault.KV) error {
				for n := range 1_000 { // 64 KiB each count, of 8 MiB
					i := n * 7 % 100
					got, err := kv.Get(key(i))
					if err != nil || !bytes.Equal(got, value(i)) {
						return fmt.Errorf("key %d: got %d bytes, %v, want its 5,000", i, len(got), err)
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	for range 5 {
		if err := write(); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}

// Small records stand on pages with pieces of large files, which are read when
// the page is written anew; an Update that scans reads all there is. Both count
// what they have read, so that it is given back. (How much a kernel maps for one
// page is its own affair: newer ones take megabytes where the file was written in
// large pieces.)
func TestLargeRecordsCount(t *testing.T) {
	store := emptyBolt(t)
	update := func(fn func(kv vault.KV) error) (read int64, back bool) {
		t.Helper()
		before := vault.Touched(store)
		if err := store.Update(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
		after := vault.Touched(store)
		return after - before, after < before
	}
	piece := bytes.Repeat([]byte{1}, 550_000)
	for i := range 20 {
		update(func(kv vault.KV) error { return kv.Put(fmt.Sprintf("key/%03d", i), piece) })
	}
	given := 0
	for i := range 20 {
		read, back := update(func(kv vault.KV) error { return kv.Put(fmt.Sprintf("key/%03d/small", i), piece[:100]) })
		if back {
			given++
		} else if read < int64(len(piece)) {
			t.Errorf("a small record beside large ones counts %d bytes, want at least %d", read, len(piece))
		}
	}
	if given == 0 {
		t.Error("nothing was given back")
	}
	if _, back := update(func(kv vault.KV) error {
		n := 0
		err := kv.Scan("key/", func(string, []byte) error { n++; return nil })
		if n != 40 {
			t.Errorf("got %d keys, want 40", n)
		}
		return err
	}); !back && vault.Touched(store) < 10_000_000 {
		t.Error("a scan of 11 MB counts nothing")
	}
}
