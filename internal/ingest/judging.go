package ingest

import (
	"context"
	"runtime"
	"sync"

	"pec-ingest/internal/inbox"
)

// Judging runs beside the download and the commits: a pass over a large inbox
// is bound by whichever of the three is slowest, not by their sum. What is in
// memory at once is bounded: this many bytes, or one message that is larger.
const judgingBytes = 4 << 20

// judging is one message on its way from the download to its commit.
type judging struct {
	size int64
	done chan judged // one value, buffered
}

// judgeAll judges the messages that get hands over to next and commits them
// in their order, also what came before an error of get.
func (p *pass) judgeAll(ctx context.Context, headers map[uint32]inbox.Header, get func(next func(inbox.Message) error) ([]uint32, error)) (missing []uint32, err error) {
	q := newJudgingRoom(judgingBytes)
	workers := make(chan struct{}, runtime.GOMAXPROCS(0))
	order := make(chan *judging, 256)
	committed := make(chan error, 1)
	go func() { committed <- p.commitInOrder(ctx, order, q) }()

	next := func(m inbox.Message) error {
		one := &judging{size: max(int64(len(m.Raw)), 1), done: make(chan judged, 1)}
		if err := q.enter(one.size); err != nil {
			return err
		}
		order <- one
		workers <- struct{}{}
		go func() {
			defer func() { <-workers }()
			one.done <- p.judge(ctx, headers[m.UID], m)
		}()
		return nil
	}
	missing, err = get(next)
	close(order)
	if cerr := <-committed; cerr != nil {
		return missing, cerr
	}
	return missing, err
}

// commitInOrder commits what is judged, in the order of the messages. After an
// error it goes on taking what comes, so that nobody waits for it.
func (p *pass) commitInOrder(ctx context.Context, order <-chan *judging, q *judgingRoom) error {
	var batch []judged
	var failed error
	keys := 0
	flush := func() {
		if failed == nil {
			failed = p.commitJudged(ctx, batch)
		}
		if failed != nil {
			q.close(failed)
		}
		batch, keys = batch[:0], 0
	}
	for one := range order {
		j := <-one.done
		q.leave(one.size)
		p.sum.Errors += j.faults
		for i, sub := range j.subs {
			p.held[sub.ID] = j.held[i]
		}
		if !p.leavesTrace(&j) && failed == nil {
			flush() // keeps the order of what is told
			p.report(ctx, j)
			continue
		}
		if keys += keysOf(&j); keys > commitKeys && len(batch) > 0 {
			flush()
			keys = keysOf(&j)
		}
		batch = append(batch, j)
	}
	flush()
	return failed
}

// keysOf estimates how many keys the first commit of a message touches.
func keysOf(j *judged) int { return 2 + 6*len(j.subs) }

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
