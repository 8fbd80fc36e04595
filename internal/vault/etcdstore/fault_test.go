package etcdstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"pec-ingest/internal/servertest"
	"pec-ingest/internal/vault"
	"pec-ingest/internal/vault/etcdstore"
)

// long tells whether there is time for the long form: `make test-cluster`.
func long() bool { return os.Getenv("PEC_INGEST_LONG") == "1" }

// patience is for a machine that is very busy with other things.
const patience = 2 * time.Minute

// bookkeeper is a member that does countable work: each step adds one record
// and counts it, in one transaction. What it was told about each is kept.
type bookkeeper struct {
	name  string
	store *etcdstore.Store
	gates []*gate

	steps   atomic.Int64 // acknowledged so far
	made    []string     // acknowledged
	not     []string     // failed for certain
	unknown []string
}

func (b *bookkeeper) step(ctx context.Context, i int) {
	key := fmt.Sprintf("done/%s-%05d", b.name, i)
	err := b.store.Update(ctx, func(kv vault.KV) error {
		v, err := kv.Get("count")
		if err != nil {
			return err
		}
		n := 0
		_, _ = fmt.Sscan(string(v), &n)
		return errors.Join(kv.Put("count", fmt.Append(nil, n+1)), kv.Put(key, []byte("x")))
	})
	switch {
	case err == nil:
		b.made = append(b.made, key)
		b.steps.Add(1)
	case errors.Is(err, vault.ErrOutcomeUnknown):
		b.unknown = append(b.unknown, key)
	default:
		b.not = append(b.not, key)
	}
}

// balance compares what is there with what the bookkeepers were told.
func balance(t *testing.T, s vault.Store, books []*bookkeeper) {
	t.Helper()
	var there []string
	count := ""
	err := s.View(context.Background(), func(kv vault.KV) error {
		there = nil
		v, err := kv.Get("count")
		if err != nil {
			return err
		}
		count = string(v)
		return kv.Scan("done/", func(key string, _ []byte) error { there = append(there, key); return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(len(there)) != count {
		t.Errorf("%d records are there, %s were counted: a step was made twice or lost", len(there), count)
	}
	known := 0
	for _, b := range books {
		t.Logf("%s: %d made, %d failed, %d unknown", b.name, len(b.made), len(b.not), len(b.unknown))
		for _, key := range b.made {
			known++
			if _, ok := slices.BinarySearch(there, key); !ok {
				t.Errorf("%s was acknowledged and is lost", key)
			}
		}
		for _, key := range b.not {
			if _, ok := slices.BinarySearch(there, key); ok {
				t.Errorf("%s was refused and is there", key)
			}
		}
		for _, key := range b.unknown {
			if _, ok := slices.BinarySearch(there, key); ok {
				known++
			}
		}
		if len(b.made) == 0 {
			t.Errorf("%s made no step at all", b.name)
		}
	}
	if known != len(there) {
		t.Errorf("%d records are there, want the %d that somebody made", len(there), known)
	}
}

// newBooks starts members that reach etcd through gates of their own.
func newBooks(t *testing.T, etcd *servertest.Etcd, names ...string) (books []*bookkeeper) {
	t.Helper()
	p := prefix()
	for i, name := range names {
		b := &bookkeeper{name: name}
		var through []string
		for _, e := range etcd.Endpoints {
			g := newGate(t, e, nil)
			b.gates, through = append(b.gates, g), append(through, g.addr())
		}
		b.store = open(t, etcdstore.Config{Endpoints: through, Prefix: p, Member: name, Follow: i%2 == 0})
		books = append(books, b)
	}
	return books
}

// work has all make steps until stop is closed.
func work(books []*bookkeeper, stop <-chan struct{}) *sync.WaitGroup {
	var all sync.WaitGroup
	for _, b := range books {
		all.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				b.step(ctx, i)
				cancel()
			}
		})
	}
	return &all
}

// goOn waits until each has made a step since: what was broken is whole again.
func goOn(t *testing.T, books []*bookkeeper) {
	t.Helper()
	for _, b := range books {
		before, end := b.steps.Load(), time.Now().Add(patience)
		for b.steps.Load() == before {
			if time.Now().After(end) {
				t.Errorf("%s does not go on", b.name)
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// Members that work meanwhile lose nothing and do nothing twice, whatever
// happens to their connections: cut, answers lost, silent.
func TestFaultsOfConnections(t *testing.T) {
	etcd := servertest.StartEtcd(t, servertest.EtcdConfig{Members: 3})
	books := newBooks(t, etcd, "a", "b", "c")
	p := currentPrefix()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 2))
	rounds := 12
	if long() {
		rounds = 200
	}
	stop := make(chan struct{})
	all := work(books, stop)
	for i := range rounds {
		b := books[r.IntN(len(books))]
		m := []mode{cut, deaf, deaf, hole}[i%4]
		some := 1 + r.IntN(len(b.gates)) // all of them: cut off from the cluster
		for _, g := range b.gates[:some] {
			g.set(m)
		}
		time.Sleep(time.Duration(50+r.IntN(400)) * time.Millisecond)
		for _, g := range b.gates {
			g.set(open1)
		}
		time.Sleep(time.Duration(r.IntN(200)) * time.Millisecond)
	}
	goOn(t, books)
	close(stop)
	all.Wait()
	balance(t, open(t, etcdstore.Config{Endpoints: etcd.Endpoints, Prefix: p, Member: "z"}), books)
}

func currentPrefix() string { return fmt.Sprintf("/test-%d", prefixes.Load()) }

// The same while members of etcd are killed, stopped, kept from each other,
// lost and replaced, and while the history is compacted under everybody.
func TestFaultsOfTheCluster(t *testing.T) {
	var peers []*gate
	var cutOff atomic.Value // id of the member that nobody may hear, and that hears nobody
	cutOff.Store("")
	etcd := servertest.StartEtcd(t, servertest.EtcdConfig{Members: 3, Peer: func(i int, addr string) string {
		g := newGate(t, addr, func(from string) bool { return from != "" && from == cutOff.Load() })
		peers = append(peers, g)
		return g.addr()
	}})
	admin, err := clientv3.New(clientv3.Config{Endpoints: etcd.Endpoints, DialTimeout: 3 * time.Second, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	books := newBooks(t, etcd, "a", "b")
	p := currentPrefix()
	stop := make(chan struct{})
	all := work(books, stop)
	rounds := 1
	if long() {
		rounds = 8
	}
	for range rounds {
		lead := leaderOf(t, admin, etcd)
		t.Logf("member %d, which leads, is killed", lead)
		etcd.Kill(lead)
		time.Sleep(2 * time.Second)
		etcd.Restart(lead)
		must(t, etcd.Await(lead))

		lead = leaderOf(t, admin, etcd)
		t.Logf("member %d, which leads, is kept from the others", lead)
		id := memberID(t, admin, etcd, lead)
		cutOff.Store(fmt.Sprintf("%x", id))
		peers[lead].set(cut)
		for i, g := range peers { // what it opened to the others ends, too
			if i != lead {
				g.set(cut)
				g.set(open1)
			}
		}
		time.Sleep(3 * time.Second)
		cutOff.Store("")
		peers[lead].set(open1)
		must(t, etcd.Await(lead))

		t.Log("member 1 is stopped for three seconds")
		etcd.Pause(1)
		time.Sleep(3 * time.Second)
		etcd.Resume(1)
		must(t, etcd.Await(1))

		t.Log("the history is compacted while one is cut off")
		for _, g := range books[0].gates {
			g.set(cut)
		}
		time.Sleep(200 * time.Millisecond)
		must(t, whenHealthy(func(ctx context.Context) error {
			resp, err := admin.Get(ctx, "x")
			if err == nil {
				_, err = admin.Compact(ctx, resp.Header.Revision, clientv3.WithCompactPhysical())
			}
			return err
		}))
		for _, g := range books[0].gates {
			g.set(open1)
		}

		t.Log("member 2 is lost, and another takes its place")
		id = memberID(t, admin, etcd, 2)
		etcd.Kill(2)
		must(t, whenHealthy(func(ctx context.Context) error {
			_, err := admin.MemberRemove(ctx, id)
			if errors.Is(err, rpctypes.ErrMemberNotFound) { // an answer was lost
				return nil
			}
			return err
		}))
		must(t, whenHealthy(func(ctx context.Context) error {
			_, err := admin.MemberAdd(ctx, []string{"http://" + etcd.Peers[2]})
			if errors.Is(err, rpctypes.ErrPeerURLExist) {
				return nil
			}
			return err
		}))
		etcd.Replace(2)
		must(t, etcd.Await(2))
	}
	goOn(t, books)
	close(stop)
	all.Wait()
	balance(t, open(t, etcdstore.Config{Endpoints: etcd.Endpoints, Prefix: p, Member: "z"}), books)
	for _, b := range books { // each sees what is there, its copy too
		balance(t, b.store, books)
	}
}

// whenHealthy repeats a change of the members: etcd refuses one until those
// that stay have seen each other well for some seconds, and never answers one
// that was lost with its leader.
func whenHealthy(change func(context.Context) error) (err error) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err = change(ctx)
		cancel()
		if err == nil {
			return nil
		}
	}
	return err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// leaderOf is the member of etcd that leads.
func leaderOf(t *testing.T, admin *clientv3.Client, etcd *servertest.Etcd) int {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		for i, e := range etcd.Endpoints {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			st, err := admin.Status(ctx, e)
			cancel()
			if err == nil && st.Leader == st.Header.MemberId {
				return i
			}
		}
	}
	t.Fatal("no member of etcd leads")
	return 0
}

func memberID(t *testing.T, admin *clientv3.Client, etcd *servertest.Etcd, i int) uint64 {
	t.Helper()
	var resp *clientv3.MemberListResponse
	must(t, whenHealthy(func(ctx context.Context) (err error) {
		resp, err = admin.MemberList(ctx)
		return err
	}))
	for _, m := range resp.Members {
		if m.Name == fmt.Sprintf("m%d", i) {
			return m.ID
		}
	}
	t.Fatalf("etcd has no member %d", i)
	return 0
}

// A cluster that is full refuses commits and answers reads; when there is
// room again it goes on, and nothing of what it refused is there.
func TestNoSpace(t *testing.T) {
	etcd := servertest.StartEtcd(t, servertest.EtcdConfig{Quota: 4 << 20})
	c := etcdstore.Config{Endpoints: etcd.Endpoints, Prefix: prefix(), Member: "a", Follow: true}
	s := open(t, c)
	ctx := context.Background()
	big := make([]byte, 200_000)
	put := func(key string) error {
		return s.Update(ctx, func(kv vault.KV) error { return errors.Join(kv.Put(key, big), kv.Put("last", []byte(key))) })
	}
	stored := 0
	var err error
	for ; err == nil && stored < 100; stored++ {
		err = put(fmt.Sprintf("big/%03d", stored))
	}
	stored--
	if !errors.Is(err, vault.ErrNoSpace) {
		t.Fatalf("a full cluster: got %v after %d records, want ErrNoSpace", err, stored)
	}
	state := func() {
		t.Helper()
		err := s.View(ctx, func(kv vault.KV) error {
			last, err := kv.Get("last")
			if want := fmt.Sprintf("big/%03d", stored-1); string(last) != want {
				t.Errorf("the last record is %s, want %s", last, want)
			}
			n := 0
			err2 := kv.Scan("big/", func(string, []byte) error { n++; return nil })
			if n != stored {
				t.Errorf("%d records are there, want %d", n, stored)
			}
			return errors.Join(err, err2)
		})
		if err != nil {
			t.Errorf("reading from a full cluster: %v", err)
		}
	}
	state()
	if err := put("big/999"); !errors.Is(err, vault.ErrNoSpace) {
		t.Errorf("again: got %v, want ErrNoSpace", err)
	}
	admin, err := clientv3.New(clientv3.Config{Endpoints: etcd.Endpoints, Logger: zap.NewNop()})
	must(t, err)
	defer admin.Close()
	resp, err := admin.Delete(ctx, c.Prefix+"/vault/big/", clientv3.WithPrefix(), clientv3.WithPrevKV()) // an administrator makes room
	must(t, err)
	_, err = admin.Compact(ctx, resp.Header.Revision, clientv3.WithCompactPhysical())
	must(t, err)
	_, err = admin.Defragment(ctx, etcd.Endpoints[0])
	must(t, err)
	_, err = admin.AlarmDisarm(ctx, &clientv3.AlarmMember{})
	must(t, err)
	if err := put("big/000"); err != nil {
		t.Errorf("with room again: %v", err)
	}
	stored = 1
	state()
}

// Who led and was replaced can't write any more, knows it when it asks, and
// hears of it.
func TestTerm(t *testing.T) {
	etcd := servertest.StartEtcd(t, servertest.EtcdConfig{Members: 1})
	p := prefix()
	ctx := context.Background()
	conf := func(name string) etcdstore.Config {
		c := etcdstore.Config{Endpoints: etcd.Endpoints, Prefix: p, Member: name, Follow: true}
		c.Lease(60) // none ends by itself here, also on a slow machine
		return c
	}
	a, b := open(t, conf("a")), open(t, conf("b"))
	first, err := a.Campaign(ctx)
	must(t, err)
	elected := make(chan *etcdstore.Term, 1)
	go func() {
		second, err := b.Campaign(ctx)
		if err != nil {
			t.Error(err)
		}
		elected <- second
	}()
	for names := []string(nil); len(names) < 2; {
		names, err = b.Members(ctx)
		must(t, err)
		if names[0] != "a" {
			t.Fatalf("members: got %q, want a first", names)
		}
	}
	bound, cancel := first.Bind(ctx)
	defer cancel()
	write := func(s *etcdstore.Store, ctx context.Context, value string) error {
		return s.Update(ctx, func(kv vault.KV) error { return kv.Put("k", []byte(value)) })
	}
	must(t, write(a, bound, "in term"))
	must(t, first.Confirm(ctx))
	must(t, write(b, ctx, "of no term"))

	// Its lease ends, as when it was stopped for too long; it does not know.
	admin, err := clientv3.New(clientv3.Config{Endpoints: etcd.Endpoints, Logger: zap.NewNop()})
	must(t, err)
	defer admin.Close()
	resp, err := admin.Get(ctx, p+"/leader/", clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend))
	must(t, err)
	late := context.WithoutCancel(bound) // what was begun goes on, whatever it hears
	_, err = admin.Revoke(ctx, clientv3.LeaseID(resp.Kvs[0].Lease))
	must(t, err)
	if err := write(a, late, "too late"); !errors.Is(err, vault.ErrNotLeading) {
		t.Errorf("a commit after the term: got %v, want ErrNotLeading", err)
	}
	if err := a.Confirm(late); !errors.Is(err, vault.ErrNotLeading) {
		t.Errorf("Confirm after the term: got %v, want ErrNotLeading", err)
	}
	err = a.Update(late, func(kv vault.KV) error { _, err := kv.Get("k"); return err })
	if !errors.Is(err, vault.ErrNotLeading) {
		t.Errorf("an Update that writes nothing, after the term: got %v, want ErrNotLeading", err)
	}
	second := <-elected
	<-first.Done()
	<-bound.Done()
	in, cancel2 := second.Bind(ctx)
	defer cancel2()
	must(t, write(b, in, "of the second"))
	if err := write(a, late, "too late"); !errors.Is(err, vault.ErrNotLeading) {
		t.Errorf("a commit in another's term: got %v, want ErrNotLeading", err)
	}
	must(t, write(a, ctx, "by hand"))
	third := make(chan *etcdstore.Term, 1)
	go func() {
		term, err := a.Campaign(ctx)
		if err != nil {
			t.Error(err)
		}
		third <- term
	}()
	second.Resign()
	(<-third).Resign()
}

// What a member asks is handled once, by whoever leads; what nobody takes was
// not done.
func TestCalls(t *testing.T) {
	etcd := servertest.StartEtcd(t, servertest.EtcdConfig{Members: 1})
	p := prefix()
	ctx := context.Background()
	conf := func(name string) etcdstore.Config {
		c := etcdstore.Config{Endpoints: etcd.Endpoints, Prefix: p, Member: name}
		c.Lease(60) // none ends by itself here, also on a slow machine
		return c
	}
	a, b := open(t, conf("a")), open(t, conf("b"))
	term, err := a.Campaign(ctx)
	must(t, err)
	var handled atomic.Int64
	much := bytes.Repeat([]byte("0123456789"), 300_000) // more than etcd takes at once
	serving := make(chan struct{})
	go func() {
		defer close(serving)
		term.Serve(ctx, func(ctx context.Context, request []byte) []byte {
			handled.Add(1)
			if string(request) == "die" {
				term.Resign()
				<-ctx.Done()
				return nil
			}
			if !a.Bound(ctx) {
				t.Error("a request is handled outside of the term")
			}
			if string(request) == "much" {
				return much
			}
			return append([]byte("answer to "), request...)
		})
	}()
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			got, err := b.Ask(ctx, fmt.Append(nil, i))
			if want := fmt.Sprint("answer to ", i); err != nil || string(got) != want {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		})
	}
	all.Wait()
	if got, err := b.Ask(ctx, []byte("much")); err != nil || !bytes.Equal(got, much) {
		t.Errorf("a long answer: got %d bytes, %v, want %d", len(got), err, len(much))
	}
	if _, err := b.Ask(ctx, []byte("die")); !errors.Is(err, vault.ErrOutcomeUnknown) {
		t.Errorf("the leader dies over it: got %v, want ErrOutcomeUnknown", err)
	}
	<-serving
	if n := handled.Load(); n != 22 {
		t.Errorf("%d requests were handled, want 22", n)
	}
	for wait := time.Second; ; wait *= 2 {
		short, cancel := context.WithTimeout(ctx, wait)
		_, err := b.Ask(short, []byte("nobody"))
		cancel()
		// On a busy machine the time may be over before the request is there.
		if errors.Is(err, vault.ErrOutcomeUnknown) && wait < patience {
			continue
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody leads: got %v, want the caller's deadline", err)
		}
		break
	}
	next, err := b.Campaign(ctx)
	must(t, err)
	defer next.Resign()
	quick, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	next.Serve(quick, func(context.Context, []byte) []byte { t.Error("a withdrawn request was handled"); return nil })
}
