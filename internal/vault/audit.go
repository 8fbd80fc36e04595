package vault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// AuditEntry is one line of the audit log.
//
// Each entry carries the hash of the one before it, the first that of the
// vault's id, and the last hash stands beside the chain as its head: an entry
// that is changed, removed or put in breaks the chain there, and one removed
// at the end misses from the head. Who may write the file can write a new
// chain; he can't make it end in a head that was published before, which is
// why the daily digest carries it (see VerifyAudit, AuditHead).
type AuditEntry struct {
	Seq     int       `json:"seq"` // from 1
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"` // who: "service", "uid 1000 (rossi)"
	Event   string    `json:"event"`
	Mailbox string    `json:"mailbox,omitempty"`
	Login   string    `json:"login,omitempty"`
	Version int       `json:"version,omitempty"`
	Detail  string    `json:"detail,omitempty"`
	Count   int       `json:"count,omitempty"`
	Prev    string    `json:"prev"` // hex SHA-256
	Hash    string    `json:"-"`    // hex SHA-256 of the entry's JSON as stored
}

// The events that this package writes itself.
const (
	// EventRead: a secret was handed out, for the first time on that day to
	// that actor. Count is 1.
	EventRead = "credential.read"
	// EventReads closes a day on which it was handed out more than once:
	// Detail is the day, Count how often in all.
	EventReads = "credential.reads"
)

// auditHead stands under counter/audit.
type auditHead struct {
	Seq  int    `json:"seq"`
	Hash string `json:"hash"`
}

const keyAuditHead = "counter/audit"

func auditKey(seq int) string { return fmt.Sprintf("audit/%012d", seq) }

// Audit appends an entry. Actor and Event are required; sequence, time and
// hashes are filled in here.
func (tx *Tx) Audit(e AuditEntry) error {
	if e.Actor == "" || e.Event == "" {
		return fmt.Errorf("%w: audit entry without actor or event", ErrInvalid)
	}
	head, err := tx.auditHead()
	if err != nil {
		return err
	}
	e.Seq, e.Prev, e.At = head.Seq+1, head.Hash, second(tx.now())
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("writing audit entry: %w", err)
	}
	hash := hashOf(body)
	line := make([]byte, 0, len(hash)+1+len(body))
	line = append(line, hash...)
	line = append(line, '\n')
	line = append(line, body...)
	if err := tx.kv.Put(auditKey(e.Seq), line); err != nil {
		return err
	}
	return put(tx, keyAuditHead, auditHead{e.Seq, hash})
}

func hashOf(body []byte) string {
	h := sha256.Sum256(body)
	return hex.EncodeToString(h[:])
}

func (tx *Tx) auditHead() (auditHead, error) {
	head, ok, err := get[auditHead](tx, keyAuditHead)
	if err == nil && !ok {
		head = newChain(tx.vaultID).last
	}
	return head, err
}

// AuditHead returns number and hash of the newest entry; 0 and the vault's
// own hash when there is none.
func (tx *Tx) AuditHead() (seq int, hash string, err error) {
	head, err := tx.auditHead()
	return head.Seq, head.Hash, err
}

// AuditLog calls fn with each entry, oldest first. It checks no chain.
func (tx *Tx) AuditLog(fn func(AuditEntry) error) error {
	return tx.kv.Scan("audit/", func(key string, line []byte) error {
		e, err := parseEntry(line)
		if err != nil {
			return damaged("record %s", key)
		}
		return fn(e)
	})
}

// AuditEntry returns entry seq of the log; it checks no chain.
func (tx *Tx) AuditEntry(seq int) (e AuditEntry, ok bool, err error) {
	line, err := tx.kv.Get(auditKey(seq))
	if err != nil || line == nil {
		return e, false, err
	}
	if e, err = parseEntry(line); err != nil {
		return e, false, damaged("record %s", auditKey(seq))
	}
	return e, true, nil
}

func parseEntry(line []byte) (AuditEntry, error) {
	var e AuditEntry
	hash, body, ok := bytes.Cut(line, []byte("\n"))
	if !ok {
		return e, ErrAudit
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return e, ErrAudit
	}
	e.Hash = string(hash)
	if hashOf(body) != e.Hash {
		return e, ErrAudit
	}
	return e, nil
}

// AuditError names the first entry at which the chain is broken.
type AuditError struct {
	Seq    int
	Reason string
}

func (e *AuditError) Error() string {
	return fmt.Sprintf("vault: audit entry %d: %s", e.Seq, e.Reason)
}
func (e *AuditError) Unwrap() error { return ErrAudit }

// VerifyAudit walks the whole chain. Its error is an *AuditError (ErrAudit),
// or the engine's.
func (v *Vault) VerifyAudit(ctx context.Context) error {
	return v.VerifyAuditHead(ctx, 0, "")
}

// VerifyAuditHead is VerifyAudit and demands that entry seq has the given
// hash, as an earlier digest said; seq 0 asks for nothing more.
func (v *Vault) VerifyAuditHead(ctx context.Context, seq int, hash string) error {
	return v.View(ctx, func(tx *Tx) error {
		c := newChain(tx.vaultID)
		c.seq, c.hash = seq, hash
		// Below the checks of records: those would stop at a damaged entry
		// without saying what is wrong with the chain.
		if err := tx.kv.kv.Scan("audit/", c.add); err != nil {
			return err
		}
		head, err := tx.auditHead()
		if err != nil {
			return err
		}
		return c.end(head)
	})
}

// chain follows the entries one by one.
type chain struct {
	last auditHead
	seq  int    // the entry that must have
	hash string // this hash; 0: none
}

func newChain(vaultID string) *chain {
	return &chain{last: auditHead{Hash: hashOf([]byte("pec-ingest audit " + vaultID))}}
}

// add takes the next entry, framed as it is stored.
func (c *chain) add(key string, framed []byte) error {
	want := c.last.Seq + 1
	if key != auditKey(want) {
		return &AuditError{want, "is missing"}
	}
	line, err := unframe(key, framed)
	if err != nil {
		return &AuditError{want, "is damaged"}
	}
	e, err := parseEntry(line)
	switch {
	case err != nil:
		return &AuditError{want, "is not what its hash says"}
	case e.Seq != want:
		return &AuditError{want, "has another number"}
	case e.Prev != c.last.Hash:
		return &AuditError{want, "does not follow the one before"}
	case want == c.seq && e.Hash != c.hash:
		return &AuditError{want, "is not the one that was published"}
	}
	c.last = auditHead{want, e.Hash}
	return nil
}

// end compares with the head that stands beside the chain.
func (c *chain) end(head auditHead) error {
	if head != c.last {
		return &AuditError{c.last.Seq + 1, "is missing at the end"}
	}
	if c.seq > c.last.Seq {
		return &AuditError{c.last.Seq + 1, "is missing, though published"}
	}
	return nil
}
