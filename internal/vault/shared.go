package vault

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Vaults on other engines than a bbolt file. Records are the same, byte for
// byte, so a vault moves between engines by copying them; a backup is always
// a bbolt file.

// pairsOf walks through a store as of one moment.
func pairsOf(ctx context.Context, s Store) walk {
	return func(fn func(key, value []byte) error) error {
		return s.Walk(ctx, func(key string, v []byte) error { return fn([]byte(key), v) })
	}
}

// OpenStore opens the vault in s, or makes one there if o.Create and s is
// empty. It takes s over, also when it fails. o.Path is the name of the store
// for errors, which are those of Open.
func OpenStore(ctx context.Context, s Store, o Options) (*Vault, error) {
	v, err := openStore(ctx, s, o)
	if err != nil {
		_ = s.Close()
		return nil, explain(o.Path, err)
	}
	return v, nil
}

func openStore(ctx context.Context, s Store, o Options) (*Vault, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	k, err := parseKeys(o.Recipients, o.Identity)
	if err == nil {
		err = k.selfTest()
	}
	if err != nil {
		return nil, err
	}
	rec, err := storedFormat(ctx, s)
	if errors.Is(err, ErrMissing) && o.Create && !o.ReadOnly {
		rec, err = createIn(ctx, s, o, k)
	}
	if err != nil {
		return nil, err
	}
	if !o.SkipCheck {
		var all walk = func(fn func(key, value []byte) error) error {
			return s.View(ctx, func(kv KV) error {
				return kv.Scan("", func(key string, v []byte) error { return fn([]byte(key), v) })
			})
		}
		if rec, err = inspectAll(all); err != nil {
			return nil, err
		}
	}
	if len(k.identities) > 0 {
		if _, err := k.unseal(purposeProof, rec.label(), rec.Proof); err != nil {
			return nil, err
		}
	}
	return &Vault{store: s, keys: k, rec: rec, now: o.Now}, nil
}

// storedFormat reads meta/format; ErrMissing when there is none, errCopying
// when there will be.
func storedFormat(ctx context.Context, s Store) (rec formatRecord, err error) {
	err = s.View(ctx, func(kv KV) error {
		b, err := kv.Get(keyFormat)
		if err != nil {
			return err
		}
		if b != nil {
			rec, err = parseFormat(b)
			return err
		}
		switch b, err := kv.Get(keyCopying); {
		case err != nil:
			return err
		case b != nil:
			return errCopying
		}
		return ErrMissing
	})
	return rec, err
}

// createIn makes a vault in an empty store. Of several who try, one does.
func createIn(ctx context.Context, s Store, o Options, k *keys) (formatRecord, error) {
	rec, err := newFormat(o.Now(), k)
	if err != nil {
		return rec, err
	}
	err = s.Update(ctx, func(kv KV) error {
		b, err := kv.Get(keyFormat)
		if err != nil {
			return err
		}
		if b != nil {
			return fs.ErrExist
		}
		if err := kv.Scan("", func(string, []byte) error { return errStop }); errors.Is(err, errStop) {
			return fmt.Errorf("%w: there are records but no format", ErrForeign)
		} else if err != nil {
			return err
		}
		return putFormat(kv, rec)
	})
	if errors.Is(err, fs.ErrExist) {
		return storedFormat(ctx, s)
	}
	return rec, err
}

// keyCopying marks a store that is being filled: it is no vault yet. Its value
// names who fills it.
const keyCopying = "meta/copying"

var (
	// errCopying: somebody fills the store, or was interrupted at it.
	errCopying = fmt.Errorf("%w yet: a copy into it goes on, or did not come to its end", ErrForeign)
	// errTaken: another process began to fill the store.
	errTaken = errors.New("vault: another copy to the same place has begun")
)

// fillKeys bounds the keys of one transaction while a store is filled.
const fillKeys = 100

// Fill makes the vault in s, which must hold none (fs.ErrExist), from a backup
// file. The backup is checked before and the store after. What an interrupted
// Fill left is removed first; of two at once the one that began last goes on.
func Fill(ctx context.Context, s Store, backup string) (Summary, error) {
	var sum Summary
	err := readLocked(backup, func(f *os.File, size int64) (err error) {
		sum, err = fillFrom(ctx, s, func(fn func(key, value []byte) error) error { return walkFile(f, size, fn) })
		return err
	})
	if err != nil {
		return Summary{}, explain(backup, err)
	}
	return compared(ctx, s, sum)
}

// Copy is Fill from another store, in which nobody may write meanwhile.
func Copy(ctx context.Context, to, from Store) (Summary, error) {
	if _, err := storedFormat(ctx, from); err != nil {
		return Summary{}, err
	}
	sum, err := fillFrom(ctx, to, pairsOf(ctx, from))
	if err != nil {
		return Summary{}, err
	}
	return compared(ctx, to, sum)
}

// fillFrom checks what all gives, puts it into s, and tells what it was.
func fillFrom(ctx context.Context, s Store, all walk) (Summary, error) {
	sum, err := summarizeAll(all)
	if err != nil {
		return Summary{}, err
	}
	return sum, fill(ctx, s, all)
}

// compared returns sum if s holds what it counts, and else empties s.
func compared(ctx context.Context, s Store, sum Summary) (Summary, error) {
	got, err := summarizeAll(pairsOf(ctx, s))
	if err == nil && got != sum {
		err = damaged("the copy has %d records, want %d, or others", got.Records, sum.Records)
	}
	if err != nil {
		return Summary{}, fmt.Errorf("checking the copy: %w", errors.Join(err, Erase(ctx, s)))
	}
	return sum, nil
}

// readLocked opens a vault's file as it is, kept from being changed meanwhile.
func readLocked(path string, fn func(f *os.File, size int64) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := lock(f, true, DefaultLockTimeout); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return fn(f, info.Size())
}

func fill(ctx context.Context, s Store, all walk) error {
	ours, err := claim(ctx, s)
	if err != nil {
		return err
	}
	s = ours
	type pair struct {
		key   string
		value []byte
	}
	var last []pair // make a vault of it
	err = putAll(ctx, s, fillKeys, MaxBytes, func(fn func(key, value []byte) error) error {
		return all(func(key, value []byte) error {
			if k := string(key); k == keyFormat || k == keySum {
				last = append(last, pair{k, bytes.Clone(value)})
				return nil
			}
			return fn(key, value)
		})
	})
	if err != nil {
		return fmt.Errorf("copying: %w", err)
	}
	return s.Update(ctx, func(kv KV) error { // now it is a vault
		for _, p := range last {
			if err := kv.Put(p.key, p.value); err != nil {
				return err
			}
		}
		return kv.Delete(keyCopying)
	})
}

// claimed is a store that this process fills; its Updates fail when another one
// has begun to.
type claimed struct {
	Store
	by []byte // what stands under keyCopying
}

func (c claimed) Update(ctx context.Context, fn func(KV) error) error {
	return c.Store.Update(ctx, func(kv KV) error {
		b, err := kv.Get(keyCopying)
		if err != nil {
			return err
		}
		if !bytes.Equal(b, c.by) {
			return errTaken
		}
		return fn(kv)
	})
}

// claim makes s ready to be filled by what it returns.
func claim(ctx context.Context, s Store) (Store, error) {
	c := claimed{s, []byte(rand.Text())}
	err := s.Update(ctx, func(kv KV) error {
		format, err := kv.Get(keyFormat)
		if err != nil {
			return err
		}
		if format != nil {
			return fs.ErrExist
		}
		copying, err := kv.Get(keyCopying)
		if err != nil {
			return err
		}
		if copying == nil {
			err = kv.Scan("", func(string, []byte) error { return errStop })
		}
		switch {
		case errors.Is(err, errStop):
			return fmt.Errorf("%w: there are records but no format", ErrForeign)
		case err != nil:
			return err
		}
		return kv.Put(keyCopying, c.by)
	})
	if err != nil {
		return nil, err
	}
	return c, remove(ctx, c, func(key string) bool { return key != keyCopying })
}

// Export writes the vault in a store to w, as a file that Open takes.
func Export(ctx context.Context, s Store, w io.Writer) error {
	if _, err := storedFormat(ctx, s); err != nil {
		return err
	}
	_, err := writeFile(ctx, pairsOf(ctx, s), w)
	return err
}

// Erase removes everything that a store holds: a vault that was just made and
// can't be used.
func Erase(ctx context.Context, s Store) error {
	return remove(ctx, s, func(string) bool { return true })
}

func remove(ctx context.Context, s Store, which func(key string) bool) error {
	for {
		n := 0
		err := s.Update(ctx, func(kv KV) error {
			n = 0
			err := kv.Scan("", func(key string, _ []byte) error {
				if !which(key) {
					return nil
				}
				if n++; n > fillKeys {
					return errStop
				}
				return kv.Delete(key)
			})
			if errors.Is(err, errStop) {
				return nil
			}
			return err
		})
		if err != nil || n <= fillKeys {
			return err
		}
	}
}

// What bounds one transaction while a file is written.
const (
	fileKeys  = 10_000
	fileBytes = 8 << 20
)

// writeFile writes a vault's records to w as a bbolt file, by way of a
// temporary one (all secrets in it are sealed), and returns its size.
func writeFile(ctx context.Context, all walk, w io.Writer) (int64, error) {
	f, err := os.CreateTemp("", "pec-ingest-backup-*")
	if err != nil {
		return 0, fmt.Errorf("backing up: %w", err)
	}
	in, err := os.Open(f.Name())
	// Without a name from now on, so that nothing is left of it whatever happens.
	if err = errors.Join(err, os.Remove(f.Name())); err != nil {
		_ = f.Close()
		return 0, fmt.Errorf("backing up: %w", err)
	}
	defer in.Close()
	s, err := openBolt(f, false)
	if err != nil {
		return 0, fmt.Errorf("backing up: %w", err)
	}
	s.db.NoSync = true // it goes to w, who syncs
	if err := errors.Join(putAll(ctx, s, fileKeys, fileBytes, all), s.Close()); err != nil {
		return 0, fmt.Errorf("backing up: %w", err)
	}
	n, err := io.Copy(w, contextReader{ctx, in})
	if err != nil {
		return n, fmt.Errorf("backing up: %w", err)
	}
	return n, nil
}

// putAll stores everything that all gives, in transactions of so many keys and
// bytes.
func putAll(ctx context.Context, s Store, maxKeys, maxBytes int, all walk) error {
	type pair struct {
		key   string
		value []byte
	}
	var some []pair
	size := 0
	flush := func() error {
		err := s.Update(ctx, func(kv KV) error {
			for _, p := range some {
				if err := kv.Put(p.key, p.value); err != nil {
					return err
				}
			}
			return nil
		})
		some, size = nil, 0
		return err
	}
	err := all(func(key, value []byte) error {
		n := len(key) + len(value)
		if len(some) == maxKeys || len(some) > 0 && size+n > maxBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		some, size = append(some, pair{string(key), bytes.Clone(value)}), size+n
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}
