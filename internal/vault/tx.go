package vault

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Tx is one transaction, valid until the closure it was given to returns, and
// for one goroutine. Getters answer ok = false when there is no such record;
// lists come in key order; each Put overwrites.
type Tx struct {
	kv      *checkedKV
	now     func() time.Time
	vaultID string
}

// Room says how many more keys and bytes may be written in this Update, for callers that fill a transaction.
func (tx *Tx) Room() (keys, bytes int) {
	return tx.kv.maxKeys - len(tx.kv.written), tx.kv.maxBytes - tx.kv.bytes
}

// get reads one record into rec.
func get[T any](tx *Tx, key string) (rec T, ok bool, err error) {
	b, err := tx.kv.Get(key)
	if err != nil || b == nil {
		return rec, false, err
	}
	if err := json.Unmarshal(b, &rec); err != nil {
		return rec, false, damaged("record %s", nameOf(key))
	}
	if !inPlace(&rec, key) {
		return rec, false, misplaced(key)
	}
	return rec, true, nil
}

// put writes one record.
func put[T any](tx *Tx, key string, rec T) error {
	b, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("writing record %s: %w", nameOf(key), err)
	}
	return tx.kv.Put(key, b)
}

// each calls fn with each record below the prefix.
func each[T any](tx *Tx, prefix string, fn func(T) error) error {
	return tx.kv.Scan(prefix, func(key string, b []byte) error {
		var rec T
		if err := json.Unmarshal(b, &rec); err != nil {
			return damaged("record %s", nameOf(key))
		}
		if !inPlace(&rec, key) {
			return misplaced(key)
		}
		return fn(rec)
	})
}

// all collects each record below the prefix.
func all[T any](tx *Tx, prefix string) ([]T, error) {
	var recs []T
	err := each(tx, prefix, func(rec T) error {
		recs = append(recs, rec)
		return nil
	})
	return recs, err
}

// next counts a counter up and returns the new value, the first being 1.
func (tx *Tx) next(name string) (int, error) {
	n, _, err := get[int](tx, "counter/"+name)
	if err != nil {
		return 0, err
	}
	n++
	return n, put(tx, "counter/"+name, n)
}

// join makes a key of a table and the parts that name a record. Parts are
// never empty and hold no NUL.
func join(table string, parts ...string) (string, error) {
	for _, p := range parts {
		if p == "" || strings.Contains(p, "\x00") {
			return "", fmt.Errorf("%w: key of %s", ErrInvalid, table)
		}
	}
	return table + "/" + strings.Join(parts, "\x00"), nil
}

// maxID is the longest foreign identifier used as a key as it is.
const maxID = 200

// idKey is the key for an identifier that others chose: long ones and those
// with control characters are hashed.
func idKey(table, id string) (string, error) {
	plain := len(id) <= maxID && !strings.HasPrefix(id, hashedID)
	for i := 0; plain && i < len(id); i++ {
		plain = id[i] >= ' ' && id[i] != 0x7f
	}
	if !plain {
		h := sha256.Sum256([]byte(id))
		id = hashedID + hex.EncodeToString(h[:])
	}
	return join(table, id)
}

// hashedID marks an identifier that stands hashed in its key.
const hashedID = "sha256:"

// Job returns when the job last ran.
func (tx *Tx) Job(name string) (time.Time, bool, error) {
	key, err := join("job", name)
	if err != nil {
		return time.Time{}, false, err
	}
	return get[time.Time](tx, key)
}

// PutJob records when the job last ran.
func (tx *Tx) PutJob(name string, t time.Time) error {
	key, err := join("job", name)
	if err != nil {
		return err
	}
	return put(tx, key, second(t))
}
