package etcdstore

import (
	"context"
	"log/slog"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// FoundAgain is how a commit ends whose answer was lost, and which the next
// request found made, in a process that no news of it reach.
func FoundAgain(ctx context.Context) (done bool, err error) {
	s := &Store{mirror: newMirror(), log: slog.New(slog.DiscardHandler)}
	get := func(value string) *etcdserverpb.ResponseOp {
		return &etcdserverpb.ResponseOp{Response: &etcdserverpb.ResponseOp_ResponseRange{ResponseRange: &etcdserverpb.RangeResponse{
			Kvs: []*mvccpb.KeyValue{{Value: []byte(value), ModRevision: 5}}}}}
	}
	resp := &clientv3.TxnResponse{Responses: []*etcdserverpb.ResponseOp{get("{}"), get("id")}}
	return s.lostRace(ctx, resp, generation{}, "id", fence{}, false)
}

// NewKnown gives what puts a question to the cluster that ask stands for, and
// what tells whether its answer is young enough for ctx.
func NewKnown(ask func()) (latest func(), known func(context.Context) bool) {
	s := &Store{mirror: newMirror()}
	s.asker.ask = func(context.Context) (generation, error) { ask(); return generation{}, nil }
	latest = func() { _, _ = s.latest(context.Background()) }
	return latest, func(ctx context.Context) bool { _, ok := s.known(ctx); return ok }
}

// Lease gives those who lead, or wait to, so many seconds without a sign of
// life.
func (c *Config) Lease(seconds int64) { c.lease = seconds }

// OnStream puts a function before each stream from the cluster.
func (c *Config) OnStream(fn grpc.StreamClientInterceptor) { c.stream = fn }

// OnRequest puts a function before each request to the cluster.
func (c *Config) OnRequest(fn grpc.UnaryClientInterceptor) { c.unary = fn }

// Sweep is one round of sweepEvery.
func (s *Store) Sweep(before map[string]int64) map[string]int64 { return s.sweep(before) }
