package vault

import (
	"context"
	"sync"
)

// Reads that are recorded while another one's commit is under way wait for its
// end and are committed together: many programs that ask at once wait for two
// commits and not for each other's. One that comes alone waits for nobody.

// What one read may take of a transaction: its own records, and those of the
// days it closes in passing.
const (
	readKeys  = 2*closeAtOnce + 4
	readBytes = 64 << 10
)

// waitingRead is a read that waits for the commit before its own.
type waitingRead struct {
	ctx    context.Context
	record func(*Tx) error
	done   chan error // takes one
	gone   error      // why it was left out: its caller had gone
}

// readGroup is who waits.
type readGroup struct {
	mu      sync.Mutex
	busy    bool // a commit is under way
	waiting []*waitingRead
}

// enter tells whether w may commit at once; else it waits.
func (g *readGroup) enter(w *waitingRead) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.busy {
		g.waiting = append(g.waiting, w)
		return false
	}
	g.busy = true
	return true
}

// take gives those who commit next: who was left over, then who has come
// since. With none, nothing is under way any more.
func (g *readGroup) take(left []*waitingRead) []*waitingRead {
	g.mu.Lock()
	defer g.mu.Unlock()
	next := append(left, g.waiting...)
	g.waiting = nil
	g.busy = len(next) > 0
	return next
}

// RecordRead is Tx.AuditRead in an Update: nil means that it is committed. It
// may share its commit with other reads; a failure of that is one of each.
// A caller whose ctx ends waits no longer; its read is in the audit log then,
// or not.
func (v *Vault) RecordRead(ctx context.Context, actor, mailbox, login string, version int) error {
	record := func(tx *Tx) error { return tx.AuditRead(actor, mailbox, login, version) }
	if s, ok := v.store.(interface{ Bound(context.Context) bool }); ok && s.Bound(ctx) {
		return v.Update(ctx, record) // under a condition of its own, which others don't share
	}
	w := &waitingRead{ctx: ctx, record: record, done: make(chan error, 1)}
	if v.reads.enter(w) {
		defer func() {
			if next := v.reads.take(nil); len(next) > 0 {
				go v.recordAll(next)
			}
		}()
		return v.Update(ctx, record)
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// recordAll commits reads, and those that come meanwhile, until none wait.
func (v *Vault) recordAll(list []*waitingRead) {
	for len(list) > 0 {
		list = v.reads.take(v.recordTogether(list))
	}
}

// recordTogether commits as many reads as one transaction takes, in their
// order, tells their callers, and returns the others. No caller's ctx ends
// what is committed for several.
func (v *Vault) recordTogether(list []*waitingRead) (left []*waitingRead) {
	taken, failed := 0, false
	err := v.Update(context.Background(), func(tx *Tx) error {
		taken, failed = 0, false
		for _, w := range list {
			if keys, bytes := tx.Room(); taken > 0 && (keys < readKeys || bytes < readBytes) {
				break
			}
			taken++
			if w.gone = w.ctx.Err(); w.gone != nil {
				continue
			}
			if err := w.safely(tx); err != nil {
				failed = true
				return err
			}
		}
		return nil
	})
	if taken == 0 { // it did not come to that
		taken = len(list)
	}
	for _, w := range list[:taken] {
		switch {
		case err != nil && failed: // one of them can't be recorded: the others shall be
			w.done <- v.Update(w.ctx, w.safely)
		case err != nil:
			w.done <- err
		default:
			w.done <- w.gone
		}
	}
	return list[taken:]
}

// safely is record; what would end the caller's request must not end the
// service, now that it happens elsewhere.
func (w *waitingRead) safely(tx *Tx) (err error) {
	defer func() {
		if recover() != nil {
			err = damaged("recording a read stopped")
		}
	}()
	return w.record(tx)
}
