package etcdstore_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"pec-ingest/internal/servertest"
	"pec-ingest/internal/vault"
	"pec-ingest/internal/vault/etcdstore"
	"pec-ingest/internal/vault/storetest"
)

var prefixes atomic.Int64

// prefix is one that no other test uses.
func prefix() string { return fmt.Sprintf("/test-%d", prefixes.Add(1)) }

func open(t testing.TB, c etcdstore.Config) *etcdstore.Store {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := etcdstore.Open(ctx, c)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Every rule of the seam, for a process that follows and for one that reads
// directly, on three members.
func TestStore(t *testing.T) {
	cluster := servertest.StartEtcd(t, servertest.EtcdConfig{Members: 3})
	for _, follow := range []bool{true, false} {
		t.Run(fmt.Sprintf("follow=%t", follow), func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) (vault.Store, func() vault.Store) {
				c := etcdstore.Config{Endpoints: cluster.Endpoints, Prefix: prefix(), Follow: follow, Member: "a"}
				return open(t, c), func() vault.Store { return open(t, c) }
			})
		})
	}
}
