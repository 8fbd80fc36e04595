package vault

import (
	"io"
	"os"
)

// OpenWrapped is Open with a hand on the store.
func OpenWrapped(o Options, wrap func(Store) Store) (*Vault, error) { return open(o, wrap) }

// RawStore gives the engine below the checks.
func RawStore(v *Vault) Store { return v.store }

// Frame and FramedKey make a record as the checks want it.
func Frame(key string, value []byte) []byte { return frame(key, value) }

// HashOf is the hash of the audit chain.
func HashOf(body []byte) string { return hashOf(body) }

// Walk exposes the page reader.
func Walk(r io.ReaderAt, size int64, fn func(key, value []byte) error) error {
	return walkFile(r, size, fn)
}

// Lookup exposes the search for one key.
func Lookup(r io.ReaderAt, size int64, key string) ([]byte, error) { return lookup(r, size, key) }

// Inspect exposes the whole check of a file.
func Inspect(r io.ReaderAt, size int64) error {
	_, err := inspect(r, size)
	return err
}

// OpenBolt opens a file with no check at all.
func OpenBolt(path string) (Store, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return openBolt(f, false)
}

// Touched is how much was read of the mapping since it was given back.
func Touched(s Store) int64 { return s.(*boltStore).touched.Load() }

// Waiting is how many reads wait to be recorded together.
func Waiting(v *Vault) int {
	v.reads.mu.Lock()
	defer v.reads.mu.Unlock()
	return len(v.reads.waiting)
}
