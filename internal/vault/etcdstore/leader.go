package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"pec-ingest/internal/vault"
)

// LeaseTTL is after how many seconds without a sign of life a leader is
// replaced.
const LeaseTTL = 10

// Term is one leadership, from an election to its loss.
//
// Who was replaced may not know: its process was stopped, or the network
// between. Three things hold it off. Commits made under Bind's context demand
// in the same transaction that the leader's key is still the one of this term.
// Confirm asks before something is done that no transaction can take back. And
// Done tells when the lease, or the key, is gone.
type Term struct {
	store   *Store
	session *concurrency.Session
	fence   fence
	lost    context.CancelFunc
	done    <-chan struct{}
}

// fence is the condition of a term.
type fence struct {
	store *Store
	key   string // of the leader
	rev   int64  // in which it was created
	lost  func()
}

func (f fence) compare() clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(f.key), "=", f.rev)
}

type fenceKey struct{}

// fenceOf gives the term that ctx carries for this store.
func fenceOf(ctx context.Context, s *Store) (fence, bool) {
	f, ok := ctx.Value(fenceKey{}).(fence)
	return f, ok && f.store == s
}

func (s *Store) leaders() string { return s.prefix + "/leader" }

// patientPause is an attempt with the longest pause.
const patientPause = 8

// Campaign waits until this process leads, or ctx ends.
func (s *Store) Campaign(ctx context.Context) (*Term, error) {
	ctx, cancel := s.within(ctx)
	defer cancel()
	lease, err := s.grant(ctx, s.lease)
	if err != nil {
		return nil, err
	}
	session, err := concurrency.NewSession(s.client, concurrency.WithLease(lease), concurrency.WithContext(s.ctx))
	if err != nil {
		return nil, unavailable(err)
	}
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	go func() { // a candidate whose lease ended would wait for ever
		select {
		case <-session.Done():
			stop()
		case <-waiting.Done():
		}
	}()
	election := concurrency.NewElection(session, s.leaders())
	err = election.Campaign(clientv3.WithRequireLeader(waiting), s.member)
	for err != nil && waiting.Err() == nil && !refused(err) {
		// A member that lost the others, or does not know a login's token yet,
		// ends the wait. The place in the row is kept as long as the lease.
		_ = s.pause(waiting, patientPause)
		err = election.Campaign(clientv3.WithRequireLeader(waiting), s.member)
	}
	if err != nil {
		s.giveUp(session)
		if ctx.Err() != nil {
			return nil, s.why(ctx)
		}
		return nil, unavailable(err)
	}
	over, lost := context.WithCancel(s.ctx)
	t := &Term{store: s, session: session, lost: lost, done: over.Done(),
		fence: fence{store: s, key: election.Key(), rev: election.Rev(), lost: lost}}
	if err := t.Confirm(ctx); err != nil { // the lease may have ended while it waited
		t.Resign()
		return nil, err
	}
	s.ended.Go(func() { t.observe(over) })
	return t, nil
}

func (s *Store) grant(ctx context.Context, seconds int64) (id clientv3.LeaseID, err error) {
	err = s.read(ctx, func(ctx context.Context) error { // a lease granted unheard just ends
		resp, err := s.client.Grant(ctx, seconds)
		if err == nil {
			id = resp.ID
		}
		return err
	})
	return id, err
}

// giveUp ends a session without waiting for a cluster that does not answer.
func (s *Store) giveUp(session *concurrency.Session) {
	session.Orphan()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, _ = s.client.Revoke(ctx, session.Lease())
}

// observe ends the term when its lease ends or its key is removed.
func (t *Term) observe(over context.Context) {
	defer t.lost()
	watched := t.store.client.Watch(over, t.fence.key, clientv3.WithRev(t.fence.rev+1), clientv3.WithFilterPut())
	for {
		select {
		case <-over.Done():
			return
		case <-t.session.Done():
			return
		case resp, ok := <-watched:
			if !ok || resp.Err() != nil {
				watched = nil // the session tells, later; so do the fence and Confirm
				continue
			}
			if len(resp.Events) > 0 {
				return
			}
		}
	}
}

// Bind gives a context that ends with the term, and under which commits
// demand that the term lasts.
func (t *Term) Bind(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithValue(ctx, fenceKey{}, t.fence))
	go func() {
		select {
		case <-t.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// Done is closed when the term is over.
func (t *Term) Done() <-chan struct{} { return t.done }

// Confirm asks the cluster whether the term lasts: vault.ErrNotLeading when it
// is over, vault.ErrUnavailable when nobody says.
func (t *Term) Confirm(ctx context.Context) error {
	return t.store.confirm(context.WithValue(ctx, fenceKey{}, t.fence))
}

// Confirm is Term.Confirm of the term that ctx carries; nil where it carries
// none.
func (s *Store) Confirm(ctx context.Context) error { return s.confirm(ctx) }

func (s *Store) confirm(ctx context.Context) error {
	f, fenced := fenceOf(ctx, s)
	if !fenced {
		return nil
	}
	leads := false
	err := s.read(ctx, func(ctx context.Context) error {
		resp, err := s.client.Get(ctx, f.key, clientv3.WithKeysOnly())
		if err == nil {
			leads = len(resp.Kvs) > 0 && resp.Kvs[0].CreateRevision == f.rev
		}
		return err
	})
	if err != nil {
		return err
	}
	if !leads {
		f.lost()
		return vault.ErrNotLeading
	}
	return nil
}

// Resign ends the term, so that another member leads at once.
func (t *Term) Resign() {
	t.lost()
	t.store.giveUp(t.session)
}

// Bound tells whether ctx carries a term of this store.
func (s *Store) Bound(ctx context.Context) bool {
	_, bound := fenceOf(ctx, s)
	return bound
}

// Room is what etcd takes in one transaction.
func (s *Store) Room() (keys, bytes int) { return vault.MaxKeys, vault.MaxBytes }

// Member is how this process is called among the others.
func (s *Store) Member() string { return s.member }

// Follows tells whether this process stays and keeps a copy.
func (s *Store) Follows() bool { return s.mirror != nil }

// OnForeign has fn called after commits of other members; it must not block.
// Only for a store that follows.
func (s *Store) OnForeign(fn func()) {
	s.mirror.mu.Lock()
	defer s.mirror.mu.Unlock()
	s.mirror.foreign = fn
}

// Members lists those who lead or wait to, the leader first.
func (s *Store) Members(ctx context.Context) (names []string, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		names = nil
		resp, err := s.client.Get(ctx, s.leaders()+"/", clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend))
		if err != nil {
			return err
		}
		for _, kv := range resp.Kvs {
			names = append(names, string(kv.Value))
		}
		return nil
	})
	if errors.Is(err, errCompacted) {
		err = fmt.Errorf("%w: %w", vault.ErrUnavailable, err)
	}
	return names, err
}
