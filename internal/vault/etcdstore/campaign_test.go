package etcdstore_test

import (
	"testing"
	"time"

	"pec-ingest/internal/servertest"
	"pec-ingest/internal/vault/etcdstore"
)

// Who waits to lead goes on waiting, in its place, when the members lose each
// other for a moment: it does not leave the row and begin anew.
func TestCandidateStays(t *testing.T) {
	etcd := servertest.StartEtcd(t, servertest.EtcdConfig{Members: 3})
	ctx := t.Context()
	c := etcdstore.Config{Endpoints: etcd.Endpoints, Prefix: prefix(), Member: "a"}
	term, err := open(t, c).Campaign(ctx)
	must(t, err)
	c.Member = "b"
	second := open(t, c)
	type elected struct {
		term *etcdstore.Term
		err  error
	}
	won := make(chan elected, 1)
	go func() {
		term, err := second.Campaign(ctx)
		won <- elected{term, err}
	}()
	members := func() int {
		names, err := second.Members(ctx)
		if err != nil {
			return 0
		}
		return len(names)
	}
	for end := time.Now().Add(patience); members() != 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the second does not stand for election")
		}
	}
	// Long enough that the member that is left says that it has no leader, and
	// shorter than a lease where the machine has time for that.
	begun := time.Now()
	etcd.Kill(1)
	etcd.Kill(2)
	time.Sleep(3 * time.Second)
	etcd.Restart(1)
	etcd.Restart(2)
	must(t, etcd.Await(1))
	must(t, etcd.Await(2))
	short := time.Since(begun) < etcdstore.LeaseTTL*time.Second/2
	term.Resign()
	select {
	case w := <-won:
		switch {
		case w.err == nil:
			w.term.Resign()
		case short:
			t.Errorf("the second gave up after %v: %v", time.Since(begun), w.err)
		default:
			t.Logf("the members were away for %v: %v", time.Since(begun), w.err)
		}
	case <-time.After(patience):
		t.Error("the second does not lead")
	}
}
