package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// bucketName is the one bucket of the file.
const bucketName = "pec-ingest"

// mapSize is the address space reserved for the file. bbolt must stop all
// readers to enlarge its mapping, so it starts larger than a vault gets.
const mapSize = 256 << 20

// growBy is by how much the file grows when it is full.
const growBy = 1 << 20

// boltStore is the Store in a bbolt file.
//
// bbolt reads through a memory mapping and trusts what it finds: on a damaged
// file, or when the disk fails, it panics or the kernel raises a fault. Each
// call into it is guarded, values are copied under that guard, and after such
// a fault the store refuses all further work.
type boltStore struct {
	db      *bolt.DB
	file    *os.File
	path    string // where file must be found at each commit; "" while it is made
	broken  atomic.Bool
	touched atomic.Int64 // bytes of the mapping read since they were given back
}

// openBolt hands an open and locked file to bbolt. It takes the file over,
// also when it fails.
func openBolt(f *os.File, readOnly bool) (s *boltStore, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			_ = f.Close()
			s, err = nil, damaged("bbolt stopped at opening")
		}
	}()
	db, err := bolt.Open(f.Name(), 0o600, &bolt.Options{
		ReadOnly:        readOnly,
		Timeout:         time.Second, // ours already: the lock belongs to the open file
		InitialMmapSize: mapSize,
		OpenFile:        func(string, int, os.FileMode) (*os.File, error) { return f, nil },
	})
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("opening bbolt: %w", err)
	}
	db.AllocSize = growBy
	return &boltStore{db: db, file: f}, nil
}

func (s *boltStore) Close() error {
	if s.broken.Load() {
		// bbolt may hold its own locks for ever; give back only the file lock.
		_ = syscall.Flock(int(s.file.Fd()), syscall.LOCK_UN)
		return nil
	}
	return s.guard(s.db.Close)
}

func (s *boltStore) View(ctx context.Context, fn func(KV) error) error {
	return s.run(ctx, false, fn)
}

func (s *boltStore) Update(ctx context.Context, fn func(KV) error) error {
	return s.run(ctx, true, fn)
}

// Bound is false: one process works on the file.
func (s *boltStore) Bound(context.Context) bool { return false }

// Room is larger than others': the file has no limit; this one is for the
// memory, and for those who wait meanwhile.
func (s *boltStore) Room() (keys, bytes int) { return 1024, 4 << 20 }

// Walk reads the file, as every View does.
func (s *boltStore) Walk(ctx context.Context, fn func(key string, v []byte) error) error {
	return s.View(ctx, func(kv KV) error { return kv.Scan("", fn) })
}

func (s *boltStore) run(ctx context.Context, writable bool, fn func(KV) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.broken.Load() {
		return damaged("an earlier transaction was stopped")
	}
	var tx *bolt.Tx
	err := s.guard(func() (err error) { tx, err = s.db.Begin(writable); return err })
	if err != nil {
		return err
	}
	// Also after a panic in fn: a transaction left open blocks all others.
	defer func() {
		_ = s.guard(func() error {
			if err := tx.Rollback(); !errors.Is(err, berrors.ErrTxClosed) {
				return err
			}
			return nil
		})
	}()
	if err := ctx.Err(); err != nil { // waiting for the writer may take long
		return err
	}
	kv := &boltKV{store: s, ctx: ctx, tx: tx, writable: writable}
	err = s.guard(func() error {
		kv.bucket = tx.Bucket([]byte(bucketName))
		if kv.bucket != nil || !writable {
			return nil
		}
		kv.bucket, err = tx.CreateBucket([]byte(bucketName))
		return err
	})
	if err != nil {
		return err
	}
	if err := fn(kv); err != nil {
		return err
	}
	if !kv.changed {
		return nil // nothing to write: no page, no sync
	}
	if err := s.inPlace(); err != nil {
		return err
	}
	if err := s.commit(tx); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}

// inPlace tells whether the open file is still the one with its name. What is
// stored in one that was moved away or deleted would be gone with this process.
func (s *boltStore) inPlace() error {
	if s.path == "" {
		return nil
	}
	opened, err := s.file.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(opened, named) {
		return ErrMoved
	}
	return nil // a name that can't be looked at now says nothing
}

// commit commits. When that fails nothing has changed, as a rule: a full disk
// shows before the meta page is written. A disk that fails after that leaves
// it open which state will be found next time; then no more work is done on
// this one.
func (s *boltStore) commit(tx *bolt.Tx) error {
	id := tx.ID()
	err := s.guard(tx.Commit)
	// What stood on the pages written was read for them: pieces of a large file
	// may be beside a small record.
	stats := tx.Stats()
	s.touched.Add(stats.GetPageAlloc())
	if err == nil || s.broken.Load() {
		return err
	}
	again := s.guard(func() error {
		now, err := s.db.Begin(false)
		if err != nil {
			return err
		}
		if now.ID() >= id {
			s.broken.Store(true)
		}
		return now.Rollback()
	})
	if again != nil {
		s.broken.Store(true)
	}
	return err
}

// guard runs one call into bbolt and turns a panic or a memory fault into
// ErrDamaged.
func (s *boltStore) guard(call func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			s.broken.Store(true)
			err = damaged("bbolt stopped in a transaction")
		}
	}()
	err = call()
	switch {
	case errors.Is(err, berrors.ErrDatabaseNotOpen):
		return ErrClosed
	case errors.Is(err, berrors.ErrDatabaseReadOnly):
		return ErrReadOnly
	}
	return err
}

const (
	// touchedByKey is what finding one key adds to the mapped memory at most, in
	// most cases: a page, and what the kernel maps around it.
	touchedByKey = 64 << 10
	// touchedMost is how much may be added before all is given back.
	touchedMost = 4 << 20
)

// touch counts what was read of the mapping, and gives all of it back now and
// then. The pages stay in the kernel's cache and are mapped again when they are
// read; otherwise a process that has once read its whole vault has it in its
// memory for ever. In a transaction, as here, the mapping can't move.
func (kv *boltKV) touch(n int) {
	s := kv.store
	if s.touched.Add(int64(n)) < touchedMost {
		return
	}
	s.touched.Store(0)
	_ = s.guard(func() error {
		// A refusal does no harm.
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, s.db.Info().Data, uintptr(kv.tx.Size()), syscall.MADV_DONTNEED)
		return nil
	})
}

type boltKV struct {
	store    *boltStore
	ctx      context.Context
	tx       *bolt.Tx
	bucket   *bolt.Bucket
	writable bool
	changed  bool // something was put or deleted
}

func (kv *boltKV) Get(key string) (v []byte, err error) {
	if kv.bucket == nil {
		return nil, nil
	}
	err = kv.store.guard(func() error { v = bytes.Clone(kv.bucket.Get([]byte(key))); return nil })
	kv.touch(touchedByKey + len(v))
	return v, err
}

func (kv *boltKV) Put(key string, v []byte) error {
	if !kv.writable {
		return ErrReadOnly
	}
	kv.changed = true
	kv.touch(touchedByKey + 4*len(v)) // what is on the same pages is read for it
	return kv.store.guard(func() error { return kv.bucket.Put([]byte(key), v) })
}

func (kv *boltKV) Delete(key string) error {
	if !kv.writable {
		return ErrReadOnly
	}
	kv.changed = true
	return kv.store.guard(func() error { return kv.bucket.Delete([]byte(key)) })
}

func (kv *boltKV) Scan(prefix string, fn func(key string, v []byte) error) error {
	if kv.bucket == nil {
		return nil
	}
	if kv.writable {
		return kv.scanCopy(prefix, fn)
	}
	c := kv.bucket.Cursor()
	pre := []byte(prefix)
	var k, v []byte
	err := kv.store.guard(func() error { k, v = c.Seek(pre); v = bytes.Clone(v); return nil })
	for n := 0; err == nil && k != nil && bytes.HasPrefix(k, pre); n++ {
		if n%64 == 0 && kv.ctx.Err() != nil {
			return kv.ctx.Err()
		}
		kv.touch(len(k) + len(v))
		if err := fn(string(k), v); err != nil {
			return err
		}
		err = kv.store.guard(func() error { k, v = c.Next(); v = bytes.Clone(v); return nil })
	}
	return err
}

// scanCopy is Scan for an Update: a bbolt cursor loses its place when the
// bucket changes below it, so everything is read before fn sees the first.
func (kv *boltKV) scanCopy(prefix string, fn func(key string, v []byte) error) error {
	type pair struct {
		key   string
		value []byte
	}
	var all []pair
	err := kv.store.guard(func() error {
		c := kv.bucket.Cursor()
		pre := []byte(prefix)
		for k, v := c.Seek(pre); k != nil && bytes.HasPrefix(k, pre); k, v = c.Next() {
			all = append(all, pair{string(k), bytes.Clone(v)})
			kv.touch(len(k) + len(v))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, p := range all {
		if err := fn(p.key, p.value); err != nil {
			return err
		}
	}
	return nil
}
