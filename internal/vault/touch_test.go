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

// What is read stays right while the mapped memory is given back, by readers
// and by a writer beside them.
func TestMappingGivenBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "v.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := vault.OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
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
