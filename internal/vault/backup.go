package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	bolt "go.etcd.io/bbolt"
)

// Summary is what a check of a whole file found.
type Summary struct {
	Info
	Records      int    `json:"records"`
	Clients      int    `json:"clients"`
	Versions     int    `json:"versions"`
	AuditEntries int    `json:"audit_entries"`
	AuditHash    string `json:"audit_hash"` // of the newest entry
}

// VerifyFile checks a vault or a backup as Open does, and its audit chain. It
// needs no key and demands no permissions. Errors are *OpenError; a broken
// chain is an *AuditError inside.
func VerifyFile(path string) (Summary, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Summary{}, openError(path, "", ErrMissing)
	}
	if err != nil {
		return Summary{}, openError(path, "", err)
	}
	defer f.Close()
	if err := lock(f, true, DefaultLockTimeout); err != nil {
		return Summary{}, explain(path, err)
	}
	info, err := f.Stat()
	if err != nil {
		return Summary{}, explain(path, err)
	}
	s, err := summarize(f, info.Size())
	if err != nil {
		return Summary{}, explain(path, err)
	}
	return s, nil
}

// summarize is inspect with counts and the audit chain.
func summarize(r io.ReaderAt, size int64) (Summary, error) {
	return summarizeAll(func(fn func(key, value []byte) error) error { return walkFile(r, size, fn) })
}

// summarizeAll is summarize for what any engine holds; it goes through it
// twice.
func summarizeAll(all walk) (Summary, error) {
	rec, err := inspectAll(all)
	if err != nil {
		return Summary{}, err
	}
	s := Summary{Info: rec.Info}
	c := newChain(rec.ID)
	head := auditHead{Hash: c.last.Hash}
	err = all(func(key, value []byte) error {
		k := string(key)
		if k != keySum {
			s.Records++
		}
		switch tableOf(k) {
		case "client":
			s.Clients++
		case "ver":
			s.Versions++
		case "audit":
			return c.add(k, value)
		}
		if k == keyAuditHead {
			b, err := unframe(k, value)
			if err != nil {
				return err
			}
			return json.Unmarshal(b, &head)
		}
		return nil
	})
	if err == nil {
		err = c.end(head)
	}
	s.AuditEntries, s.AuditHash = c.last.Seq, c.last.Hash
	return s, err
}

// Check reads the whole file of an open vault again, as Open did. Meanwhile
// nothing is written; Views go on. On another engine than bbolt it reads all
// records as of one moment, past what the process keeps in memory.
func (v *Vault) Check(ctx context.Context) (Summary, error) {
	var s Summary
	if v.bolt == nil {
		return summarizeAll(pairsOf(ctx, v.store))
	}
	err := v.bolt.still(ctx, func(f *os.File, _ *bolt.Tx) error {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		s, err = summarize(f, info.Size())
		return err
	})
	return s, err
}

// Backup writes the state of this moment to w, as a file that Open takes, and
// returns its size. Others go on reading and writing meanwhile. What w got
// counts only when the error is nil; then it should be checked (VerifyFile).
func (v *Vault) Backup(ctx context.Context, w io.Writer) (int64, error) {
	s := v.bolt
	if s == nil {
		return writeFile(ctx, pairsOf(ctx, v.store), w)
	}
	// The two meta pages must be of one state, so they are read while nobody
	// writes. All other pages of that state stay as they are for as long as a
	// reading transaction of it is open.
	var metas []byte
	var reader *bolt.Tx
	err := s.still(ctx, func(f *os.File, tx *bolt.Tx) (err error) {
		metas = make([]byte, 2*tx.DB().Info().PageSize)
		if _, err := f.ReadAt(metas, 0); err != nil {
			return fmt.Errorf("reading meta pages: %w", err)
		}
		reader, err = s.db.Begin(false)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("backing up: %w", err)
	}
	defer func() { _ = s.guard(reader.Rollback) }()
	size := reader.Size()
	n, err := w.Write(metas)
	if err != nil {
		return int64(n), fmt.Errorf("backing up: %w", err)
	}
	rest := io.NewSectionReader(s.file, int64(len(metas)), size-int64(len(metas)))
	m, err := io.Copy(w, contextReader{ctx, rest})
	total := int64(n) + m
	if err != nil {
		return total, fmt.Errorf("backing up: %w", err)
	}
	if total != size {
		return total, fmt.Errorf("backing up: %w", damaged("the file is truncated"))
	}
	return total, nil
}

// still calls fn while no transaction writes, with an open file and a
// transaction of the state it holds. What fn writes in it is thrown away.
func (s *boltStore) still(ctx context.Context, fn func(f *os.File, tx *bolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.broken.Load() {
		return damaged("an earlier transaction was stopped")
	}
	readOnly := s.db.IsReadOnly() // then other processes don't write either
	var tx *bolt.Tx
	err := s.guard(func() (err error) { tx, err = s.db.Begin(!readOnly); return err })
	if err != nil {
		return err
	}
	defer func() { _ = s.guard(tx.Rollback) }()
	return s.guard(func() error { return fn(s.file, tx) })
}

// contextReader ends with the context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
