package etcdstore

import (
	"context"
	"errors"
	"fmt"

	"pec-ingest/internal/vault"
)

// An etcd that was put back, from a snapshot of its own, forgets what it had
// acknowledged. Who keeps a copy in memory knows better, and must neither
// answer from it nor go on as if nothing had happened: what was sent since
// would be sent again. So the copy is read anew, and until somebody has drawn
// the conclusions (PutBack, Accept) every transaction fails.
//
// It shows in the cluster's own counting: an answer to a question that was put
// after a revision was known is of that revision or a later one. And in a
// generation whose predecessor is another one than the copy holds.

// errPutBack is vault.ErrUnavailable, too: it passes.
var errPutBack = fmt.Errorf("%w: etcd was put back to an earlier state", vault.ErrUnavailable)

// errOtherPast: a commit was made on something else than what is known here.
var errOtherPast = errors.New("etcdstore: not the past that is known")

// contradicts tells whether the cluster can't have said now when g was known
// before it was asked.
func (g generation) contradicts(now generation) bool {
	if g.rev == 0 {
		return false // nothing was known
	}
	same := now.modRev == g.modRev && now.text == g.text
	return now.rev < g.rev || now.modRev <= g.rev && !same
}

// knows is the generation of the copy, and its revision; zero where there is
// no copy.
func (s *Store) knows() (g generation) {
	if s.mirror == nil {
		return g
	}
	s.mirror.mu.Lock()
	defer s.mirror.mu.Unlock()
	return s.mirror.cur.generation()
}

// wasPutBack reads the copy anew, unless the cluster turns out to be where it
// was, and has all transactions fail from then on. The error is never nil.
func (s *Store) wasPutBack(ctx context.Context, sure bool) error {
	s.mirror.turning.Lock()
	defer s.mirror.turning.Unlock()
	known := s.knows()
	now, err := s.latest(ctx)
	if err != nil {
		return err
	}
	if !sure && !known.contradicts(now) {
		return errPutBack // another goroutine was here before
	}
	s.log.Error("etcd was put back to an earlier state", "event", "cluster.put_back", "known", known.rev, "now", now.rev,
		"hint", "was it restored from a snapshot? what was committed since is lost to the vault; the service reads the processed folder again, as after `ingest restore`")
	s.putBack.Store(true)
	if err := s.load(ctx, true); err != nil {
		return err
	}
	s.mirror.mu.Lock()
	defer s.mirror.mu.Unlock()
	if s.mirror.unwatch != nil {
		s.mirror.unwatch() // it waits for revisions that may never come
	}
	return errPutBack
}

// PutBack tells whether the cluster was put back to an earlier state, which
// nobody has accepted yet. It asks the cluster.
func (s *Store) PutBack(ctx context.Context) bool {
	if s.mirror != nil && !s.putBack.Load() {
		_, _ = s.fresh(ctx)
	}
	return s.putBack.Load()
}

type acceptingKey struct{}

// Accepting gives a context under which transactions are made although the
// cluster was put back: to draw the conclusions.
func Accepting(ctx context.Context) context.Context {
	return context.WithValue(ctx, acceptingKey{}, true)
}

// Accept lets all transactions be made again.
func (s *Store) Accept() { s.putBack.Store(false) }

// accepted is nil if a transaction under ctx may go on.
func (s *Store) accepted(ctx context.Context) error {
	if s.putBack.Load() && ctx.Value(acceptingKey{}) == nil {
		return errPutBack
	}
	return nil
}
