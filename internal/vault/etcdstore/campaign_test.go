package etcdstore_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"pec-ingest/internal/servertest"
	"pec-ingest/internal/vault/etcdstore"
)

// leaderless stands for a member of etcd that lost the others some times: each
// wait for an election at it ends as it does there.
type leaderless struct {
	begin chan struct{} // closed when it shall lose them
	times atomic.Int32  // how often, yet
	waits chan struct{} // takes one when a wait has begun
}

func (l *leaderless) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := next(ctx, desc, cc, method, opts...)
	md, _ := metadata.FromOutgoingContext(ctx)
	if err != nil || method != "/etcdserverpb.Watch/Watch" || len(md.Get(rpctypes.MetadataRequireLeaderKey)) == 0 {
		return s, err
	}
	return &lostWatch{ClientStream: s, at: l}, nil
}

type lostWatch struct {
	grpc.ClientStream
	at    *leaderless
	heard bool // that the watch exists
}

func (w *lostWatch) RecvMsg(m any) error {
	if !w.heard {
		w.heard = true
		err := w.ClientStream.RecvMsg(m)
		w.at.waits <- struct{}{}
		return err
	}
	select {
	case <-w.at.begin:
	case <-w.Context().Done():
		return w.ClientStream.RecvMsg(m)
	}
	if w.at.times.Add(-1) >= 0 {
		return rpctypes.ErrGRPCNoLeader
	}
	return w.ClientStream.RecvMsg(m)
}

// Who waits to lead goes on waiting, in its place, when the members lose each
// other for a moment: it does not leave the row and begin anew.
func TestCandidateStays(t *testing.T) {
	const times = 3
	c := etcdstore.Config{Endpoints: servertest.StartEtcd(t, servertest.EtcdConfig{Members: 1}).Endpoints, Prefix: prefix(), Member: "first"}
	c.Lease(120) // none ends by itself here, also on a slow machine
	first := open(t, c)
	term, err := first.Campaign(t.Context())
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stand := func(c etcdstore.Config, name string) (won chan *etcdstore.Term) {
		c.Member = name
		won = make(chan *etcdstore.Term, 1)
		s := open(t, c)
		go func() {
			term, err := s.Campaign(ctx)
			if err != nil && ctx.Err() == nil {
				t.Errorf("the %s gave up: %v", name, err)
			}
			won <- term
		}()
		return won
	}
	members := func() []string {
		names, err := first.Members(t.Context())
		must(t, err)
		return names
	}
	lost := &leaderless{begin: make(chan struct{}), waits: make(chan struct{}, times+1)}
	lost.times.Store(times)
	shaky := c
	shaky.OnStream(lost.stream)
	second := stand(shaky, "second")
	waits := func() {
		t.Helper()
		select {
		case <-lost.waits:
		case <-second:
			t.Fatal("the second does not wait any more")
		}
	}
	waits()
	third := stand(c, "third")
	for len(members()) < 3 {
		time.Sleep(time.Millisecond)
	}
	close(lost.begin)
	for range times {
		waits()
	}
	if got, want := members(), []string{"first", "second", "third"}; !slices.Equal(got, want) {
		t.Errorf("in the row: got %q, want %q", got, want)
	}
	term.Resign()
	select {
	case term := <-second:
		if term != nil {
			term.Resign()
		}
		if term := <-third; term != nil {
			term.Resign()
		}
	case <-third:
		t.Error("the third leads, want the second")
	}
	cancel()
}
