package vault

import (
	"context"
	"sync"
)

// Reads of secrets that come while another one's commit is under way wait for
// its end and are committed together: many programs that ask at once wait for two
// commits and not for each other's. One that comes alone waits for nobody.

// What one read may take of a transaction: its own records, and those of the
// days it closes in passing.
const (
	readKeys  = 2*closeAtOnce + 4
	readBytes = 64 << 10
)

// waitingRead is a read that waits for the commit before its own.
type waitingRead struct {
	ctx  context.Context
	read func(*Tx) error
	done chan error // takes one
	own  error      // why nothing was recorded of it: its caller had gone, or it failed
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

// ReadSecret runs read in an Update: it finds what shall be handed out, and
// records who is given it (Tx.AuditRead). nil means that this is committed, so
// that what was found was the newest there was; on a cluster that takes one
// question instead of two. read may share its commit with others, and so may
// be run in another goroutine; a failed commit is one of each. A caller whose
// ctx ends waits no longer; its read is in the audit log then, or not, and read
// may still be run.
func (v *Vault) ReadSecret(ctx context.Context, read func(*Tx) error) error {
	if v.store.Bound(ctx) {
		return v.Update(ctx, read) // under a condition of its own, which others don't share
	}
	w := &waitingRead{ctx: ctx, read: read, done: make(chan error, 1)}
	if v.reads.enter(w) {
		defer func() {
			if next := v.reads.take(nil); len(next) > 0 {
				go v.readAll(next)
			}
		}()
		return v.Update(ctx, read)
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// readAll commits reads, and those that come meanwhile, until none wait.
func (v *Vault) readAll(list []*waitingRead) {
	for len(list) > 0 {
		list = v.reads.take(v.readTogether(list))
	}
}

// readTogether commits as many reads as one transaction takes, in their
// order, tells their callers, and returns the others. No caller's ctx ends
// what is committed for several.
func (v *Vault) readTogether(list []*waitingRead) (left []*waitingRead) {
	taken, failed := 0, false
	err := v.Update(context.Background(), func(tx *Tx) error {
		taken, failed = 0, false
		for _, w := range list {
			if keys, bytes := tx.Room(); taken > 0 && (keys < readKeys || bytes < readBytes) {
				break
			}
			taken++
			if w.own = w.ctx.Err(); w.own != nil {
				continue
			}
			before, _ := tx.Room()
			w.own = w.safely(tx)
			if after, _ := tx.Room(); w.own != nil && after != before { // half recorded
				failed = true
				return w.own
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
			w.done <- w.own
		}
	}
	return list[taken:]
}

// safely is read; what would end the caller's request must not end the
// service, now that it happens elsewhere.
func (w *waitingRead) safely(tx *Tx) (err error) {
	defer func() {
		if recover() != nil {
			err = damaged("a read stopped")
		}
	}()
	return w.read(tx)
}
