package etcdstore

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/btree"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// keepBelow is the size from which values stay in the cluster: receipts and
// letters with pictures are most of the bytes and hardly ever read.
const keepBelow = 16 << 10

// entry is a key as the mirror has it.
type entry struct {
	value []byte // nil: it is large and must be fetched
}

// state is everything under the root as of one revision. Once published it
// never changes.
type state struct {
	tree *btree.Map[string, entry]
	rev  int64
	gen  generation
}

// edit is a copy to change; what is not changed is shared. Only under the
// mirror's lock.
func (st *state) edit() *state {
	next := *st
	next.tree = st.tree.Copy()
	return &next
}

func (st *state) put(key string, v []byte) {
	switch {
	case v == nil:
		st.tree.Delete(key)
	case len(v) >= keepBelow:
		st.tree.Set(key, entry{})
	default:
		st.tree.Set(key, entry{v})
	}
}

// generation is the last one, with the revision of the whole.
func (st *state) generation() generation {
	g := st.gen
	g.rev = st.rev
	return g
}

func (st *state) putGeneration(value []byte, modRev int64) error {
	g, err := parseGeneration(value, modRev)
	if err == nil {
		st.gen = g
	}
	return err
}

// mirror is the newest state that this process knows.
type mirror struct {
	mu      sync.Mutex
	cur     *state
	changed chan struct{} // closed with the next state
	wanted  int64         // newest generation anybody waits for
	foreign func()        // told of commits by others; may be nil
	unwatch func()        // begins the watch anew

	turning sync.Mutex // held by who reads the copy anew, see putback.go
}

func newMirror() *mirror {
	return &mirror{cur: &state{tree: &btree.Map[string, entry]{}}, changed: make(chan struct{})}
}

// publish makes st the newest state. The lock is held.
func (m *mirror) publish(st *state) {
	m.cur = st
	close(m.changed)
	m.changed = make(chan struct{})
}

// wait returns when the state is at least that generation.
func (m *mirror) wait(ctx context.Context, modRev int64) error {
	ctx, cancel := patiently(ctx)
	defer cancel()
	for {
		m.mu.Lock()
		known, changed := m.cur.gen.modRev, m.changed
		m.wanted = max(m.wanted, modRev)
		m.mu.Unlock()
		if known >= modRev {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// behind tells whether somebody waits for a newer state.
func (m *mirror) behind() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wanted > m.cur.gen.modRev
}

func (m *mirror) snapshot(s *Store) snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &view{store: s, state: m.cur}
}

// view reads a published state; large values come from the cluster, as of the
// same revision.
type view struct {
	store   *Store
	state   *state
	fetched map[string][]byte
}

func (v *view) generation() generation { return v.state.generation() }

func (v *view) get(ctx context.Context, key string) ([]byte, error) {
	e, ok := v.state.tree.Get(key)
	if !ok || e.value != nil {
		return e.value, nil
	}
	if b, ok := v.fetched[key]; ok {
		return b, nil
	}
	return v.direct().get(ctx, key)
}

func (v *view) direct() *direct {
	return &direct{store: v.store, rev: v.state.rev, gen: v.state.gen}
}

func (v *view) scan(ctx context.Context, prefix string, fn func(key string, v []byte) error) (err error) {
	v.state.tree.Ascend(prefix, func(key string, e entry) bool {
		if !strings.HasPrefix(key, prefix) {
			return false
		}
		value := e.value
		if value == nil {
			if value, err = v.fetch(ctx, prefix, key); err != nil {
				return false
			}
		}
		err = fn(key, value)
		return err == nil
	})
	return err
}

// fetchAhead is how many bytes of large values a scan reads at once.
const fetchAhead = 8 << 20

// fetch reads the large value of key, and those that a scan of prefix will
// come to next.
func (v *view) fetch(ctx context.Context, prefix, key string) ([]byte, error) {
	if b, ok := v.fetched[key]; ok {
		delete(v.fetched, key)
		return b, nil
	}
	v.fetched = map[string][]byte{}
	size := 0
	err := v.direct().pages(ctx, prefix, key, func(k string, b []byte, _ int64) error {
		if size += len(b); size > fetchAhead && k != key {
			return errEnough
		}
		if len(b) >= keepBelow {
			v.fetched[k] = b
		}
		return nil
	})
	if err != nil && err != errEnough {
		return nil, err
	}
	b := v.fetched[key]
	delete(v.fetched, key)
	return b, nil
}

// load reads everything under the root, and takes it in place of an older
// state, or of any.
func (s *Store) load(ctx context.Context, anyway bool) error {
	ctx, cancel := s.within(ctx)
	defer cancel()
	for attempt := 1; ; attempt++ {
		newest, err := s.latest(ctx)
		if err != nil {
			return err
		}
		st := &state{tree: &btree.Map[string, entry]{}, rev: newest.rev, gen: newest}
		d := &direct{store: s, rev: newest.rev}
		err = d.pages(ctx, "", "", func(key string, v []byte, _ int64) error {
			st.put(key, v)
			return nil
		})
		if err == errCompacted {
			if err := s.pause(ctx, attempt); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		s.mirror.mu.Lock()
		defer s.mirror.mu.Unlock()
		if anyway {
			s.mirror.wanted = 0 // of a past that is no more
		}
		if anyway || st.rev > s.mirror.cur.rev {
			s.mirror.publish(st)
		}
		return nil
	}
}

// follow keeps the mirror at the newest state until the store is closed.
func (s *Store) follow() {
	for attempt := 0; s.ctx.Err() == nil; attempt++ {
		started := time.Now()
		err := s.watch()
		if err == errCompacted {
			// What happened since is no longer told one by one.
			s.log.Info("the cluster compacted its history: reading everything anew", "event", "cluster.reload")
			err = s.load(s.ctx, false)
		}
		if err == errOtherPast {
			err = s.wasPutBack(s.ctx, true)
		}
		if s.ctx.Err() != nil {
			return
		}
		if err != nil {
			s.log.Debug("the watch ended", "event", "cluster.watch_ended", "err", err)
		}
		if time.Since(started) > time.Second {
			attempt = 0
		}
		_ = s.pause(s.ctx, attempt)
	}
}

// stallAfter is how long a watch may be behind what somebody waits for before
// it is begun anew, over another connection.
const stallAfter = time.Second

// watch applies what happens under the root, revision by revision, until the
// watch fails or stalls.
func (s *Store) watch() error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(s.ctx))
	defer cancel()
	s.mirror.mu.Lock()
	from := s.mirror.cur.rev + 1
	s.mirror.unwatch = cancel
	s.mirror.mu.Unlock()
	answers := s.client.Watch(ctx, s.root, clientv3.WithPrefix(), clientv3.WithRev(from))
	stall := time.NewTicker(stallAfter)
	defer stall.Stop()
	late := 0
	for {
		select {
		case resp, ok := <-answers:
			if !ok {
				return context.Canceled
			}
			if resp.CompactRevision > 0 {
				return errCompacted
			}
			if err := resp.Err(); err != nil {
				return err
			}
			if err := s.apply(resp.Events); err != nil {
				return err
			}
			late = 0
		case <-stall.C:
			if late++; !s.mirror.behind() {
				late = 0
			}
			if late >= 2 {
				return errStalled
			}
		}
	}
}

// apply puts events, whole revisions in order, into the mirror.
func (s *Store) apply(events []*clientv3.Event) error {
	m := s.mirror
	m.mu.Lock()
	defer m.mu.Unlock()
	var next *state
	for _, ev := range events {
		rev := ev.Kv.ModRevision
		if rev <= m.cur.rev {
			continue // own commits are in already
		}
		if next == nil {
			next = m.cur.edit()
		}
		key := strings.TrimPrefix(string(ev.Kv.Key), s.root)
		switch {
		case key == "":
			before := next.gen.ID
			if err := next.putGeneration(ev.Kv.Value, rev); err != nil {
				return err
			}
			if next.gen.Prev != "" && before != "" && next.gen.Prev != before {
				return errOtherPast
			}
		case ev.Type == clientv3.EventTypeDelete:
			next.put(key, nil)
		default:
			next.put(key, ev.Kv.Value)
		}
		next.rev = rev
	}
	if next != nil {
		m.publish(next)
		if m.foreign != nil {
			m.foreign()
		}
	}
	return nil
}
