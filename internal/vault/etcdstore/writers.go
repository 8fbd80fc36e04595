package etcdstore

import (
	"context"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A process that ended in order takes its own key away; what crashed ones
// left is swept by the next daemon that begins. An age of an hour is plenty:
// who asks for its own commit gives up after patience.
const sweepAfter = time.Hour

// forget removes this process's own key.
func (s *Store) forget() {
	ctx, cancel := context.WithTimeout(s.ctx, time.Second)
	defer cancel()
	_, _ = s.client.Delete(ctx, s.own)
}

// sweep removes the keys of processes that are no more.
func (s *Store) sweep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := s.client.Get(ctx, s.prefix+"/writer/", clientv3.WithPrefix())
	if err != nil {
		return
	}
	for _, kv := range resp.Kvs {
		_, at, _ := strings.Cut(string(kv.Value), " ")
		if t, err := time.Parse(time.RFC3339, at); err != nil || time.Since(t) > sweepAfter {
			_, _ = s.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(string(kv.Key)), "=", kv.ModRevision)).
				Then(clientv3.OpDelete(string(kv.Key))).Commit()
		}
	}
}
