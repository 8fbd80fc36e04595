package etcdstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"pec-ingest/internal/servertest"
	"pec-ingest/internal/vault"
	"pec-ingest/internal/vault/etcdstore"
)

// A commit that turns out to be made has succeeded, also when the caller's
// time is over before this process hears of it.
func TestCommitFoundAgain(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if done, err := etcdstore.FoundAgain(ctx); !done || err != nil {
		t.Errorf("got done %t, %v, want it done", done, err)
	}
}

// etcd says "no space" of commits that it refuses, and, where it comes to that
// while it carries one out, of one that is made: the first are refused, the
// other is a commit, and what comes after builds on it.
func TestFullWhileCommitting(t *testing.T) {
	endpoint := servertest.SharedEtcd(t)
	for _, follow := range []bool{false, true} {
		c := etcdstore.Config{Endpoints: []string{endpoint}, Prefix: prefix(), Member: "a", Follow: follow}
		const refuses, makes = 1, 2
		full := 0
		c.OnRequest(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			if !strings.HasSuffix(method, "/Txn") || full == 0 {
				return next(ctx, method, req, reply, cc, opts...)
			}
			if full == makes {
				if err := next(ctx, method, req, reply, cc, opts...); err != nil {
					return err
				}
			}
			return rpctypes.ErrGRPCNoSpace
		})
		s := open(t, c)
		put := func(how int, value string) error {
			full = how
			defer func() { full = 0 }()
			return s.Update(t.Context(), func(kv vault.KV) error { return kv.Put("k", []byte(value)) })
		}
		want := func(value string) {
			t.Helper()
			must(t, s.View(t.Context(), func(kv vault.KV) error {
				got, err := kv.Get("k")
				if string(got) != value {
					t.Errorf("got %q, want %q", got, value)
				}
				return err
			}))
		}
		must(t, put(0, "before"))
		if err := put(refuses, "refused"); !errors.Is(err, vault.ErrNoSpace) {
			t.Errorf("refused: got %v, want ErrNoSpace", err)
		}
		want("before")
		if err := put(makes, "made"); err != nil {
			t.Errorf("made: got %v, want it done", err)
		}
		want("made")
		must(t, put(0, "after"))
		want("after")
	}
}
