package etcdstore_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/zap"

	clientv3 "go.etcd.io/etcd/client/v3"

	"pec-ingest/internal/servertest"
	"pec-ingest/internal/vault"
	"pec-ingest/internal/vault/etcdstore"
)

// Of the writers' keys those are swept that nobody changed between two rounds.
func TestSweep(t *testing.T) {
	etcd := servertest.StartEtcd(t, servertest.EtcdConfig{})
	c := etcdstore.Config{Endpoints: etcd.Endpoints, Prefix: prefix(), Member: "a"}
	lives, crashed, ended := open(t, c), open(t, c), open(t, c)
	ctx := context.Background()
	admin, err := clientv3.New(clientv3.Config{Endpoints: etcd.Endpoints, Logger: zap.NewNop()})
	must(t, err)
	defer admin.Close()
	commit := func(s *etcdstore.Store) {
		t.Helper()
		must(t, s.Update(ctx, func(kv vault.KV) error { return kv.Put("k", []byte("v")) }))
	}
	left := func(when string, want int64) {
		t.Helper()
		resp, err := admin.Get(ctx, c.Prefix+"/writer/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		must(t, err)
		if resp.Count != want {
			t.Errorf("%s: %d keys of writers, want %d", when, resp.Count, want)
		}
	}
	for _, s := range []*etcdstore.Store{lives, crashed, ended} {
		commit(s)
	}
	begun, two := time.Now(), int64(2)
	must(t, ended.Close())
	if time.Since(begun) > time.Second { // as long as a busy cluster is asked to forget
		resp, err := admin.Get(ctx, c.Prefix+"/writer/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		must(t, err)
		two = max(two, resp.Count)
	}
	left("after one ended", two)
	seen := lives.Sweep(nil)
	left("after a first round", two)
	commit(lives)
	seen = lives.Sweep(seen)
	left("after a second round", 1)
	lives.Sweep(seen)
	left("after a third round, with nothing committed", 0)
	commit(lives)
	left("after another commit", 1)
}
