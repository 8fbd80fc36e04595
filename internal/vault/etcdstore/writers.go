package etcdstore

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A process that ended in order takes its own key away; what crashed ones
// left, daemons sweep: keys that did not change for an hour. That is plenty,
// who asks for its own commit gives up after patience. The hour is the
// daemon's own, so that nobody's wrong clock takes a key away that is needed.
const sweepAfter = time.Hour

// forget removes this process's own key.
func (s *Store) forget() {
	ctx, cancel := context.WithTimeout(s.ctx, time.Second)
	defer cancel()
	_, _ = s.client.Delete(ctx, s.own)
}

// sweepEvery sweeps until the store is closed.
func (s *Store) sweepEvery() {
	t := time.NewTicker(sweepAfter)
	defer t.Stop()
	var seen map[string]int64
	for {
		seen = s.sweep(seen)
		select {
		case <-t.C:
		case <-s.ctx.Done():
			return
		}
	}
}

// sweep removes the keys of writers that are as they were seen before, by
// their revisions, and returns the others.
func (s *Store) sweep(before map[string]int64) (seen map[string]int64) {
	ctx, cancel := context.WithTimeout(s.ctx, callTimeout)
	defer cancel()
	resp, err := s.client.Get(ctx, s.prefix+"/writer/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return before
	}
	seen = map[string]int64{}
	for _, kv := range resp.Kvs {
		key := string(kv.Key)
		if before[key] != kv.ModRevision {
			seen[key] = kv.ModRevision
			continue
		}
		_, _ = s.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", kv.ModRevision)).Then(clientv3.OpDelete(key)).Commit()
	}
	return seen
}
