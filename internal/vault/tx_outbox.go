package vault

import (
	"fmt"
	"strings"
	"time"
)

// causeRecord is what stands under cause/: when, and what its maker noted.
type causeRecord struct {
	Cause string    `json:"cause"`
	At    time.Time `json:"at,omitzero"`
	Value string    `json:"value,omitempty"`
}

// Queue stores o as queued under the next free number, once for each Cause
// ever: when the cause has been marked before, queued is false and nothing
// changes.
func (tx *Tx) Queue(o Outgoing) (n int, queued bool, err error) {
	done, err := tx.Caused(o.Cause)
	if err != nil || done {
		return 0, false, err
	}
	if o.N, err = tx.next("out"); err != nil {
		return 0, false, err
	}
	o.State = OutQueued
	if o.QueuedAt.IsZero() {
		o.QueuedAt = tx.now()
	}
	if err := tx.PutOutgoing(o); err != nil {
		return 0, false, err
	}
	return o.N, true, tx.MarkCause(o.Cause, fmt.Sprintf("out/%d", o.N))
}

// Outgoing returns message n of the outbox.
func (tx *Tx) Outgoing(n int) (Outgoing, bool, error) {
	return get[Outgoing](tx, outKey(n))
}

// PutOutgoing stores o under its number, and keeps it on the list of open
// ones while it is OutQueued or OutInDoubt. A change of its state is dated.
func (tx *Tx) PutOutgoing(o Outgoing) error {
	if o.N < 1 {
		return fmt.Errorf("%w: outgoing message %d", ErrInvalid, o.N)
	}
	was, ok, err := tx.Outgoing(o.N)
	if err != nil {
		return err
	}
	if !ok || was.State != o.State {
		o.StateAt = tx.now()
	}
	if err := put(tx, outKey(o.N), o.normal()); err != nil {
		return err
	}
	if o.MessageID != "" {
		key, err := idKey("outid", o.MessageID)
		if err != nil {
			return err
		}
		if err := put(tx, key, o.N); err != nil {
			return err
		}
	}
	return tx.list(fmt.Sprintf("outopen/%08d", o.N), o.N, o.open())
}

// OutgoingByID returns the message sent with that Message-ID, which receipts
// name.
func (tx *Tx) OutgoingByID(messageID string) (Outgoing, bool, error) {
	key, err := idKey("outid", messageID)
	if err != nil {
		return Outgoing{}, false, err
	}
	n, ok, err := get[int](tx, key)
	if err != nil || !ok {
		return Outgoing{}, false, err
	}
	return tx.Outgoing(n)
}

// OpenOutgoing returns what is queued or in doubt, oldest first.
func (tx *Tx) OpenOutgoing() ([]Outgoing, error) {
	numbers, err := all[int](tx, "outopen/")
	if err != nil {
		return nil, err
	}
	msgs := make([]Outgoing, 0, len(numbers))
	for _, n := range numbers {
		o, ok, err := tx.Outgoing(n)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, damaged("the outbox lists message %d, which is not there", n)
		}
		msgs = append(msgs, o)
	}
	return msgs, nil
}

// AllOutgoing calls fn with each message there ever was.
func (tx *Tx) AllOutgoing(fn func(Outgoing) error) error {
	return each(tx, "out/", fn)
}

func outKey(n int) string { return fmt.Sprintf("out/%08d", n) }

// Caused tells whether the cause was marked.
func (tx *Tx) Caused(cause string) (bool, error) {
	key, err := idKey("cause", cause)
	if err != nil {
		return false, err
	}
	_, ok, err := get[causeRecord](tx, key)
	return ok, err
}

// MarkCause marks a cause for ever, with a note.
func (tx *Tx) MarkCause(cause, value string) error {
	key, err := idKey("cause", cause)
	if err != nil {
		return err
	}
	return put(tx, key, causeRecord{Cause: cause, At: second(tx.now()), Value: value})
}

// Causes calls fn with each marked cause that begins with prefix. Those that
// stand hashed (longer than 200 bytes) come last.
func (tx *Tx) Causes(prefix string, fn func(cause string) error) error {
	err := each(tx, "cause/"+prefix, func(r causeRecord) error {
		if !strings.HasPrefix(r.Cause, prefix) {
			return nil // hashed, and prefix asks for those
		}
		return fn(r.Cause)
	})
	if err != nil || strings.HasPrefix(hashedID, prefix) {
		return err
	}
	return each(tx, "cause/"+hashedID, func(r causeRecord) error {
		if !strings.HasPrefix(r.Cause, prefix) {
			return nil
		}
		return fn(r.Cause)
	})
}
