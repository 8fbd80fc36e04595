package vault_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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

// mapped is how much of a file's mapping is in this process's memory.
func mapped(t *testing.T, path string) (bytes int64) {
	t.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip("this system does not tell: ", err)
	}
	found, any := false, false
	for line := range strings.Lines(string(smaps)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) >= 6 && strings.Contains(fields[0], "-"):
			found = fields[5] == path
			any = any || found
		case found && fields[0] == "Rss:":
			n, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			bytes += n << 10
		}
	}
	if !any {
		t.Fatalf("%s is not mapped", path)
	}
	return bytes
}

// Small records stand on pages with pieces of large files, which are read when
// the page is written anew; an Update that scans reads all there is. Neither
// leaves a vault of 32 MB in memory.
func TestMappingOfLargeRecords(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "v.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := vault.OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	const most = 16 << 20 // what is given back at once, and a few pieces
	var worst int64
	expect := func(what string) {
		t.Helper()
		got := mapped(t, path)
		worst = max(worst, got)
		if got > most {
			t.Errorf("%s: got %d KiB of the vault in memory, want at most %d", what, got>>10, most>>10)
		}
	}
	update := func(fn func(kv vault.KV) error) {
		t.Helper()
		if err := store.Update(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	piece := bytes.Repeat([]byte{1}, 550_000)
	for i := range 60 {
		update(func(kv vault.KV) error { return kv.Put(fmt.Sprintf("key/%03d", i), piece) })
	}
	expect("after large records")
	for i := range 60 {
		update(func(kv vault.KV) error { return kv.Put(fmt.Sprintf("key/%03d/small", i), piece[:100]) })
		if expect("after small records beside them"); t.Failed() {
			break
		}
	}
	update(func(kv vault.KV) error {
		n := 0
		if err := kv.Scan("key/", func(string, []byte) error { n++; return nil }); err != nil || n != 120 {
			t.Errorf("got %d keys, %v, want 120", n, err)
		}
		return nil
	})
	expect("after a scan")
	t.Logf("%d KiB at most", worst>>10)
}
