package ingest

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/vault"
)

// Judging runs beside the download and the commits: a pass over a large inbox
// is bound by whichever of the three is slowest, not by their sum. What is in
// memory at once is bounded: this many bytes, or one message that is larger.
const judgingBytes = 4 << 20

// line is the way of the messages of one scan from the download to their
// commit: one goroutine hands them over, some judge, one commits, in the order
// in which they were handed over. Only that one touches the summary and the
// candidates held while it runs; wait makes it stand still.
type line struct {
	p         *pass
	room      *judgingRoom
	work      chan *judging
	order     chan *judging
	committed chan error
}

// judging is one message on its way from the download to its commit, or a mark
// between two of them.
type judging struct {
	header  inbox.Header
	message inbox.Message
	size    int64
	done    chan judged // one value, buffered

	cursor *vault.Cursor // a mark: all before it are handed over
	count  int           // how many these are
	now    bool          // at once
	still  chan struct{} // a mark: all before it are committed once it is closed
}

func (p *pass) startLine(ctx context.Context) *line {
	l := &line{p: p, room: newJudgingRoom(judgingBytes), work: make(chan *judging, 256), order: make(chan *judging, 256), committed: make(chan error, 1)}
	for range runtime.GOMAXPROCS(0) {
		go func() {
			for one := range l.work {
				j := p.judgeSafely(ctx, one.header, one.message)
				one.message.Raw = nil
				one.done <- j
			}
		}()
	}
	go func() { l.committed <- l.commitAll(ctx) }()
	return l
}

// judge hands over a message. It waits while too much is on its way, and
// returns what made commits impossible.
func (l *line) judge(h inbox.Header, m inbox.Message) error {
	one := &judging{header: h, message: m, size: max(int64(len(m.Raw)), 1), done: make(chan judged, 1)}
	if err := l.room.enter(one.size); err != nil {
		return err
	}
	l.order <- one
	l.work <- one
	return nil
}

// add hands over what is judged already.
func (l *line) add(all []judged) {
	for _, j := range all {
		one := &judging{done: make(chan judged, 1)}
		one.done <- j
		l.order <- one
	}
}

// passed moves the cursor behind what was handed over so far, soon or now; count
// is how many messages that are.
func (l *line) passed(cur vault.Cursor, count int, now bool) {
	l.order <- &judging{cursor: &cur, count: count, now: now}
}

// wait returns when all that was handed over is committed.
func (l *line) wait() error {
	mark := &judging{still: make(chan struct{})}
	l.order <- mark
	<-mark.still
	return l.room.failure()
}

// close commits what was handed over, also before an error of the download,
// and moves the cursor.
func (l *line) close() error {
	close(l.work)
	close(l.order)
	return <-l.committed
}

// scanError is the error of a download: the inbox's, or what made commits
// impossible.
func (l *line) scanError(err error) error {
	if failed := l.room.failure(); failed != nil {
		return failed
	}
	return l.p.inboxError(err)
}

// commitAll is commitInOrder, and lets nobody wait for it whatever happens.
func (l *line) commitAll(ctx context.Context) error {
	err := l.p.caught("committing judged messages", func() error { return l.commitInOrder(ctx) })
	if errors.Is(err, errFault) {
		l.room.close(err)
		for one := range l.order {
			if one.still != nil {
				close(one.still)
			}
		}
	}
	return err
}

// commitInOrder commits what is judged, in the order of the messages. After an
// error it goes on taking what comes, so that nobody waits for it.
func (l *line) commitInOrder(ctx context.Context) (failed error) {
	p := l.p
	var batch []judged     // those with a trace first; what follows them waits to be told
	var cur *vault.Cursor  // behind all that came, to be moved to
	var safe *vault.Cursor // behind what is committed
	keys, moved := 0, time.Now()
	room, _ := p.vault.Room()
	room = min(commitKeys, room-8)
	flush := func() {
		if failed == nil {
			failed = p.commitJudged(ctx, batch)
		}
		if failed != nil {
			l.room.close(failed)
		}
		batch, keys = batch[:0], 0
	}
	for one := range l.order {
		switch {
		case one.still != nil:
			func() {
				defer close(one.still)
				flush()
			}()
			continue
		case one.cursor != nil:
			cur = one.cursor
			p.step(one.count)
			soon := one.now || time.Since(moved) >= cursorEvery
			if soon {
				flush()
			}
			if len(batch) == 0 && failed == nil {
				safe = cur
			}
			if soon && failed == nil {
				failed, moved = p.moveCursor(ctx, *cur), time.Now()
			}
			continue
		}
		j := <-one.done
		l.room.leave(one.size)
		p.sum.Errors += j.faults
		for i, sub := range j.subs {
			p.held[sub.ID] = j.held[i]
		}
		if len(batch) == 0 && failed == nil && !p.leavesTrace(&j) {
			p.report(ctx, j)
			continue
		}
		if keys += p.keysOf(&j); len(batch) > 0 && (keys > room || len(batch) >= commitMost) {
			flush()
			keys = p.keysOf(&j)
		}
		batch = append(batch, j)
	}
	if flush(); failed == nil {
		safe = cur
	}
	if safe == nil {
		return failed
	}
	// Also when the pass is interrupted: this is not looked at again.
	return firstError(failed, p.moveCursor(context.WithoutCancel(ctx), *safe))
}

// keysOf estimates how many keys the first commit of a message touches.
func (p *pass) keysOf(j *judged) int {
	switch {
	case !p.leavesTrace(j):
		return 0
	case j.id == "":
		return 8 // a record of the refused one, and a message that asks for a PEC
	}
	return 2 + 3*len(j.subs)
}

// judgingRoom bounds the bytes of messages in memory.
type judgingRoom struct {
	mu    sync.Mutex
	free  sync.Cond
	limit int64
	used  int64
	err   error
}

func newJudgingRoom(limit int64) *judgingRoom {
	q := &judgingRoom{limit: limit}
	q.free.L = &q.mu
	return q
}

// enter waits until there is room for size bytes; what is larger than the
// whole room has it for itself.
func (q *judgingRoom) enter(size int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.err == nil && q.used > 0 && q.used+size > q.limit {
		q.free.Wait()
	}
	q.used += size
	return q.err
}

func (q *judgingRoom) leave(size int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.used -= size
	q.free.Broadcast()
}

// close makes enter fail from now on.
func (q *judgingRoom) close(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
	}
	q.free.Broadcast()
}

// failure is what close was called with.
func (q *judgingRoom) failure() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.err
}
