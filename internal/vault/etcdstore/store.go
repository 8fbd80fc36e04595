// Package etcdstore keeps a vault's keys in etcd, so that several machines
// work on one vault: the Store of package vault on go.etcd.io/etcd/client/v3.
// There is no replication of our own; what etcd acknowledged is on a majority
// of its members.
//
// One vault is one prefix:
//
//	PREFIX/vault/            the generation: who committed last, and when
//	PREFIX/vault/KEY         a key of the vault
//	PREFIX/writer/ID         the last commit of a process, see commit
//	PREFIX/leader/LEASE      candidates; the oldest one leads, see Term
//	PREFIX/call/ID           what a member asks of the leader, see Call
//	PREFIX/answer/ID         and what came of it
//
// Transactions are serialisable by one comparison: each commit replaces the
// generation, and demands that it is still the one its reads were made under.
// So no read needs a comparison of its own, and no range can have phantoms. It
// costs nothing that the vault has not paid already: its own total changes in
// each commit too, so two commits never were independent.
//
// A daemon follows the prefix with a watch and answers reads from memory
// (mirror), after asking the cluster which generation is the newest: a read
// that begins after a commit was acknowledged anywhere sees it. A short-lived
// command reads what it needs directly, at one revision.
//
// etcd's limits are met by design: a commit puts at most vault.MaxKeys keys,
// two of its own among them (etcd: 128 operations), and vault.MaxBytes bytes
// with 64 kB of names around them (etcd: 1.5 MiB).
package etcdstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"

	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

const (
	// callTimeout bounds one request; the client then asks another endpoint.
	callTimeout = 3 * time.Second
	// patience is how long a transaction goes on asking a cluster that does
	// not answer.
	patience = 15 * time.Second
	// maxPrefix leaves room in a request for MaxKeys names.
	maxPrefix = 200
)

// Config says where the cluster is. Endpoints and Prefix are required.
type Config struct {
	Endpoints []string    // host:port
	Prefix    string      // "/studio"; without a slash at its end
	TLS       *tls.Config // nil: not encrypted
	Username  string      // "" = none
	Password  secret.Secret
	// Member is the name of this process for others, made safe already.
	Member string
	// Follow keeps a copy in memory, for a process that stays.
	Follow bool
	Log    *slog.Logger // nil: nothing is logged

	lease  int64                        // seconds; 0: LeaseTTL
	stream grpc.StreamClientInterceptor // what tests put before streams; nil: nothing
	unary  grpc.UnaryClientInterceptor  // and before other requests
}

// Store is an open prefix. It is safe for concurrent use.
type Store struct {
	client *clientv3.Client
	prefix string
	root   string // of the vault's keys
	own    string // where this process writes down its last commit
	member string
	lease  int64 // of who leads or waits to, in seconds
	log    *slog.Logger

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	ended  sync.WaitGroup

	writer chan struct{} // one token: commits of one process don't race each other
	asker  asker
	mirror *mirror // nil: not following

	putBack atomic.Bool // see putback.go
}

var _ vault.Store = (*Store)(nil)

// Open connects, and waits no longer than ctx until the cluster has answered.
// Errors wrap vault.ErrUnavailable, ErrCredentials, ErrPermission or
// ErrCertificate.
func Open(ctx context.Context, c Config) (*Store, error) {
	if !strings.HasPrefix(c.Prefix, "/") || strings.HasSuffix(c.Prefix, "/") || len(c.Prefix) > maxPrefix {
		return nil, fmt.Errorf("etcd prefix: want /NAME, at most %d bytes", maxPrefix)
	}
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: c.Endpoints,
		TLS:       c.TLS,
		Logger:    zap.NewNop(), // it would write to stderr in its own form
		// etcd's servers take no pings more often than every five seconds.
		DialKeepAliveTime:    6 * time.Second,
		DialKeepAliveTimeout: 3 * time.Second,
		DialTimeout:          callTimeout,
		DialOptions:          dialOptions(c),
		Context:              ctx,
	})
	if err != nil {
		return nil, unavailable(err)
	}
	s := &Store{
		client: client, prefix: c.Prefix, root: c.Prefix + "/vault/", member: c.Member, log: log, lease: cmp.Or(c.lease, LeaseTTL),
		own: c.Prefix + "/writer/" + rand.Text(), writer: make(chan struct{}, 1),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.asker.ask = s.askLatest
	if c.Follow {
		s.mirror = newMirror()
		if err := s.load(ctx, false); err != nil {
			s.cancel()
			_ = client.Close()
			return nil, err
		}
		s.ended.Go(s.follow)
		s.ended.Go(s.sweepEvery)
	} else if _, err := s.latest(ctx); err != nil {
		s.cancel()
		_ = client.Close()
		return nil, err
	}
	return s, nil
}

// Close ends what runs; transactions in other goroutines fail.
func (s *Store) Close() error {
	if s.ctx.Err() != nil {
		return nil
	}
	s.forget()
	s.cancel()
	err := s.client.Close()
	s.ended.Wait()
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("closing etcd: %w", err)
	}
	return nil
}

// View runs fn on the state after every commit acknowledged before it began.
// fn is run again when the cluster compacted that state away under it.
func (s *Store) View(ctx context.Context, fn func(vault.KV) error) error {
	ctx, cancel := s.within(ctx)
	defer cancel()
	for attempt := 1; ; attempt++ {
		snap, err := s.fresh(ctx)
		if err != nil {
			return err
		}
		kv := &viewKV{ctx: ctx, snap: snap}
		if err := fn(kv); !kv.lost {
			return err
		}
		if err := s.pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// Update runs fn and commits what it wrote if nobody committed since the state
// that it read, else runs it again. When ctx carries a term (Term.Bind), the
// commit demands that it still lasts: vault.ErrNotLeading otherwise. An error
// that wraps vault.ErrOutcomeUnknown leaves open whether the commit was made:
// the cluster did not say within the time.
func (s *Store) Update(ctx context.Context, fn func(vault.KV) error) error {
	ctx, cancel := s.within(ctx)
	defer cancel()
	if err := s.alive(ctx); err != nil {
		return err
	}
	select {
	case s.writer <- struct{}{}:
		defer func() { <-s.writer }()
	case <-ctx.Done():
		return s.why(ctx)
	}
	for attempt := 0; ; attempt++ {
		snap, err := s.base(ctx)
		if err != nil {
			return err
		}
		done, err := s.once(ctx, snap, fn)
		if done || err != nil {
			return err
		}
		if err := s.pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// once runs fn on one state and commits; done is false when that state was not
// the newest.
func (s *Store) once(ctx context.Context, snap snapshot, fn func(vault.KV) error) (done bool, err error) {
	kv := newUpdateKV(ctx, snap)
	err = fn(kv)
	if kv.lost {
		return false, nil
	}
	if err == nil && len(kv.writes) > 0 {
		return s.commit(ctx, snap.generation(), kv.writes)
	}
	// Nothing to commit, so nothing was compared: what fn concluded counts
	// only if it saw the newest state.
	if s.mirror != nil {
		newest, aerr := s.latest(ctx)
		if aerr != nil {
			return true, aerr
		}
		if snap.generation().contradicts(newest) {
			return true, s.wasPutBack(ctx, false)
		}
		if newest.modRev != snap.generation().modRev {
			return false, s.mirror.wait(ctx, newest.modRev)
		}
	}
	if err == nil {
		err = s.confirm(ctx)
	}
	return true, err
}

// base is the state that an Update starts from: the newest that is at hand,
// since the commit tells whether it was the newest of all.
func (s *Store) base(ctx context.Context) (snapshot, error) {
	if s.mirror == nil {
		return s.fresh(ctx)
	}
	if err := s.alive(ctx); err != nil {
		return nil, err
	}
	return s.mirror.snapshot(s), nil
}

// fresh is the state now.
func (s *Store) fresh(ctx context.Context) (snapshot, error) {
	if err := s.alive(ctx); err != nil {
		return nil, err
	}
	newest, ok := s.known(ctx)
	if !ok {
		before := s.knows()
		var err error
		if newest, err = s.latest(ctx); err != nil {
			return nil, err
		}
		if before.contradicts(newest) {
			return nil, s.wasPutBack(ctx, false)
		}
	}
	if s.mirror == nil {
		return &direct{store: s, rev: newest.rev, gen: newest}, nil
	}
	if err := s.mirror.wait(ctx, newest.modRev); err != nil {
		return nil, err
	}
	return s.mirror.snapshot(s), nil
}

func (s *Store) alive(ctx context.Context) error {
	if s.ctx.Err() != nil {
		return vault.ErrClosed
	}
	if err := s.accepted(ctx); err != nil {
		return err
	}
	return ctx.Err()
}

// within ends ctx with the store.
func (s *Store) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// patiently ends ctx when the cluster has had time enough to answer.
func patiently(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, patience, vault.ErrUnavailable)
}

// why says why a transaction's context ended.
func (s *Store) why(ctx context.Context) error {
	if s.ctx.Err() != nil {
		return vault.ErrClosed
	}
	if errors.Is(context.Cause(ctx), vault.ErrUnavailable) {
		return vault.ErrUnavailable
	}
	return ctx.Err()
}

// pause waits a little, longer and at random with each attempt, so that
// members who meet get out of each other's way.
func (s *Store) pause(ctx context.Context, attempt int) error {
	if attempt > 0 {
		longest := min(time.Millisecond<<min(attempt, 8), 100*time.Millisecond)
		t := time.NewTimer(mathrand.N(longest))
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		return s.why(ctx)
	}
	return nil
}
