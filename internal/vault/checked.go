package vault

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
)

// Two keys are kept plain, all other values framed.
const (
	keyFormat = "meta/format"
	keySum    = "meta/sum"

	// These stand for what an engine itself writes in each commit; they are
	// only counted.
	keyEngine1 = "meta/engine/1"
	keyEngine2 = "meta/engine/2"
)

// frameLen is the length of the check in front of each value.
const frameLen = 8

// check is over key and value, so that a record under another's key is noticed.
// It is a checksum against accidents: whoever may write the file can compute
// it. What must withstand intent is sealed (secrets) or chained (audit).
func check(key string, value []byte) [frameLen]byte {
	h := sha256.New()
	_, _ = h.Write([]byte(key))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write(value)
	return [frameLen]byte(h.Sum(nil)[:frameLen])
}

func frame(key string, value []byte) []byte {
	c := check(key, value)
	return append(append(make([]byte, 0, frameLen+len(value)), c[:]...), value...)
}

func unframe(key string, framed []byte) ([]byte, error) {
	if len(framed) <= frameLen || [frameLen]byte(framed[:frameLen]) != check(key, framed[frameLen:]) {
		return nil, damaged("record %s", nameOf(key))
	}
	return framed[frameLen:], nil
}

// nameOf shows a key without the addresses in it.
func nameOf(key string) string {
	table, rest := tableOf(key), ""
	if len(table) < len(key) {
		rest = key[len(table)+1:]
	}
	switch table {
	case "audit", "review", "out", "outopen", "meta", "counter", "job":
		return table + "/" + rest
	}
	return table + "/…"
}

// tableOf is the key up to the first slash.
func tableOf(key string) string {
	table, _, _ := strings.Cut(key, "/")
	return table
}

// total counts the records and adds up their checks (modulo 2^64). It is kept
// in the file beside them and shows when one was lost, or when an older one
// came back.
type total struct {
	Records int    `json:"records"`
	Sum     uint64 `json:"sum,string"`
}

func (t *total) add(key string, stored []byte) { t.Records++; t.Sum += weight(key, stored) }
func (t *total) sub(key string, stored []byte) { t.Records--; t.Sum -= weight(key, stored) }

func weight(key string, stored []byte) uint64 {
	if key == keyFormat {
		c := check(key, stored)
		return binary.BigEndian.Uint64(c[:])
	}
	if len(stored) < frameLen {
		return 0
	}
	return binary.BigEndian.Uint64(stored)
}

// checkedKV frames values, keeps the total and holds a transaction to its
// limits. Once a limit is passed the transaction fails whatever fn makes of
// the error.
type checkedKV struct {
	kv       KV
	writable bool
	written  map[string]int // key → bytes
	bytes    int
	maxKeys  int
	maxBytes int
	total    total
	loaded   bool // total was read
	err      error
}

func newCheckedKV(kv KV, writable bool) *checkedKV {
	c := &checkedKV{kv: kv, writable: writable}
	if writable {
		c.written = map[string]int{keySum: 0, keyEngine1: 0, keyEngine2: 0}
	}
	return c
}

// count counts a key that is written, and its bytes; the last write of a key
// is the one that counts. Reads cost an engine nothing in the commit: however
// much was read, one comparison tells whether it still holds.
func (c *checkedKV) count(key string, bytes int) error {
	c.bytes += bytes - c.written[key]
	c.written[key] = bytes
	if len(c.written) > c.maxKeys || c.bytes > c.maxBytes {
		c.err = ErrTooLarge
	}
	return c.err
}

func (c *checkedKV) Get(key string) ([]byte, error) {
	if c.err != nil {
		return nil, c.err
	}
	v, err := c.kv.Get(key)
	if err != nil || v == nil {
		return nil, err
	}
	return unframe(key, v)
}

func (c *checkedKV) Put(key string, v []byte) error {
	if !c.writable {
		return ErrReadOnly
	}
	if err := c.count(key, len(key)+frameLen+len(v)); err != nil {
		return err
	}
	if err := c.uncount(key); err != nil {
		return err
	}
	framed := frame(key, v)
	c.total.add(key, framed)
	return c.kv.Put(key, framed)
}

func (c *checkedKV) Delete(key string) error {
	if !c.writable {
		return ErrReadOnly
	}
	if err := c.count(key, len(key)); err != nil {
		return err
	}
	if err := c.uncount(key); err != nil {
		return err
	}
	return c.kv.Delete(key)
}

// uncount takes what is stored under key out of the total. A record that is
// damaged is not overwritten: its check would no longer add up.
func (c *checkedKV) uncount(key string) error {
	if err := c.load(); err != nil {
		return err
	}
	old, err := c.kv.Get(key)
	if err != nil || old == nil {
		return err
	}
	if _, err := unframe(key, old); err != nil {
		return err
	}
	c.total.sub(key, old)
	return nil
}

func (c *checkedKV) Scan(prefix string, fn func(key string, v []byte) error) error {
	if c.err != nil {
		return c.err
	}
	return c.kv.Scan(prefix, func(key string, framed []byte) error {
		v, err := unframe(key, framed)
		if err != nil {
			return err
		}
		return fn(key, v)
	})
}

// format reads meta/format, which is never framed.
func (c *checkedKV) format() (formatRecord, error) {
	b, err := c.kv.Get(keyFormat)
	if err != nil {
		return formatRecord{}, err
	}
	return parseFormat(b)
}

// putFormat replaces meta/format.
func (c *checkedKV) putFormat(rec formatRecord) error {
	b, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("writing record %s: %w", keyFormat, err)
	}
	if err := c.count(keyFormat, len(keyFormat)+len(b)); err != nil {
		return err
	}
	if err := c.load(); err != nil {
		return err
	}
	old, err := c.kv.Get(keyFormat)
	if err != nil {
		return err
	}
	c.total.sub(keyFormat, old)
	c.total.add(keyFormat, b)
	return c.kv.Put(keyFormat, b)
}

func (c *checkedKV) load() error {
	if c.loaded {
		return nil
	}
	b, err := c.kv.Get(keySum)
	if err != nil {
		return err
	}
	if b != nil {
		if err := json.Unmarshal(b, &c.total); err != nil {
			return damaged("record %s", keySum)
		}
	}
	c.loaded = true
	return nil
}

// finish writes the total; the last thing before a commit.
func (c *checkedKV) finish() error {
	if c.err != nil || !c.loaded {
		return c.err
	}
	b, err := json.Marshal(c.total)
	if err != nil {
		return fmt.Errorf("writing the total: %w", err)
	}
	return c.kv.Put(keySum, b)
}
