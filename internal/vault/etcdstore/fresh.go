package etcdstore

import (
	"context"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"pec-ingest/internal/vault"
)

// latest asks the cluster for its newest generation. Those who ask while a
// question is under way share the next one.
func (s *Store) latest(ctx context.Context) (generation, error) { return s.asker.get(ctx) }

func (s *Store) askLatest(ctx context.Context) (g generation, err error) {
	ctx, cancel := s.within(ctx)
	defer cancel()
	err = s.read(ctx, func(ctx context.Context) error {
		resp, err := s.client.Get(ctx, s.root) // linearisable
		if err != nil {
			return err
		}
		if g, err = generationIn(resp.Kvs); err == nil {
			g.rev = resp.Header.Revision
		}
		return err
	})
	return g, err
}

// glance is how old the answer may be that a View under vault.Glance relies on,
// counted from when its question was put.
const glance = 2 * time.Millisecond

// known is the newest generation as of a moment ago, if ctx is content with it.
func (s *Store) known(ctx context.Context) (g generation, ok bool) {
	if s.mirror == nil || !vault.Glances(ctx) {
		return g, false
	}
	s.asker.mu.Lock()
	defer s.asker.mu.Unlock()
	return s.asker.last, !s.asker.lastAt.IsZero() && time.Since(s.asker.lastAt) < glance
}

func generationIn(kvs []*mvccpb.KeyValue) (generation, error) {
	if len(kvs) == 0 {
		return generation{}, nil
	}
	return parseGeneration(kvs[0].Value, kvs[0].ModRevision)
}

// asker puts one question for many. An answer counts for those who asked
// before the question went out.
type asker struct {
	ask func(context.Context) (generation, error)

	mu   sync.Mutex
	now  *question // under way
	next *question // for all who came since

	last   generation // the newest answer
	lastAt time.Time  // when its question was put
}

type question struct {
	done chan struct{}
	gen  generation
	err  error
}

func (a *asker) get(ctx context.Context) (generation, error) {
	a.mu.Lock()
	q := a.next
	if q == nil {
		q = &question{done: make(chan struct{})}
		if a.now == nil {
			a.now = q
			go a.run(q)
		} else {
			a.next = q
		}
	}
	a.mu.Unlock()
	select {
	case <-q.done:
		return q.gen, q.err
	case <-ctx.Done():
		return generation{}, ctx.Err()
	}
}

// run answers q and then those that came meanwhile. A question is nobody's
// own, so no caller's context ends it.
func (a *asker) run(q *question) {
	for q != nil {
		begun := time.Now()
		q.gen, q.err = a.ask(context.Background())
		close(q.done)
		a.mu.Lock()
		if q.err == nil {
			a.last, a.lastAt = q.gen, begun
		}
		a.now, a.next = a.next, nil
		q = a.now
		a.mu.Unlock()
	}
}
