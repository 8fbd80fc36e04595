package vault_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pec-ingest/internal/vault"
)

// gated is a store whose commits a test holds up, counts and lets fail.
type gated struct {
	vault.Store
	mu      sync.Mutex
	commits int           // that were begun
	hold    chan struct{} // the next one waits here, until it is closed
	held    chan struct{} // closed when it does
	fail    error         // what commits after that end with, nothing being kept
}

func (g *gated) Update(ctx context.Context, fn func(vault.KV) error) error {
	g.mu.Lock()
	g.commits++
	hold, held, fail := g.hold, g.held, g.fail
	g.hold, g.held = nil, nil
	g.mu.Unlock()
	if hold != nil {
		close(held)
		<-hold
		fail = nil
	}
	return g.Store.Update(ctx, func(kv vault.KV) error {
		if err := fn(kv); err != nil {
			return err
		}
		return fail
	})
}

// behind begins a read whose commit is held up, then those of reads, in that
// order, and returns what each said, the first one's before.
func (g *gated) behind(t *testing.T, v *vault.Vault, reads []func() error) []error {
	t.Helper()
	hold, held := make(chan struct{}), make(chan struct{})
	g.mu.Lock()
	g.commits, g.hold, g.held = 0, hold, held
	g.mu.Unlock()
	said := make([]error, len(reads)+1)
	var all sync.WaitGroup
	all.Go(func() { said[0] = recordRead(v, context.Background(), "first") })
	<-held
	for i, read := range reads {
		waiting := vault.Waiting(v)
		all.Go(func() { said[i+1] = read() })
		for vault.Waiting(v) == waiting {
			time.Sleep(100 * time.Microsecond)
		}
	}
	close(hold)
	all.Wait()
	return said
}

// onGates is onStores with a gate between.
func onGates(t *testing.T, test func(t *testing.T, v *vault.Vault, g *gated)) {
	t.Helper()
	t.Run("file", func(t *testing.T) {
		g := &gated{}
		v, err := vault.OpenWrapped(options(t), func(s vault.Store) vault.Store { g.Store = s; return g })
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		defer v.Close()
		test(t, v, g)
	})
	t.Run("etcd", func(t *testing.T) {
		g := &gated{Store: onEtcd(t)()}
		test(t, mustOpenStore(t, func() vault.Store { return g }, options(t)), g)
	})
}

// readers are the actors of the audit log, which must hold.
func readers(t *testing.T, v *vault.Vault) (names []string) {
	t.Helper()
	ctx := context.Background()
	err := v.View(ctx, func(tx *vault.Tx) error {
		names = nil
		return tx.AuditLog(func(e vault.AuditEntry) error { names = append(names, e.Actor); return nil })
	})
	if err := errors.Join(err, v.VerifyAudit(ctx)); err != nil {
		t.Fatal(err)
	}
	return names
}

func recordRead(v *vault.Vault, ctx context.Context, actor string) error {
	return v.ReadSecret(ctx, func(tx *vault.Tx) error { return tx.AuditRead(actor, rossi, rossi, 1) })
}

func recording(v *vault.Vault, ctx context.Context, actor string) func() error {
	return func() error { return recordRead(v, ctx, actor) }
}

// Reads that come while another one is committed share one commit, in their
// order.
func TestReadsTogether(t *testing.T) {
	onGates(t, func(t *testing.T, v *vault.Vault, g *gated) {
		var reads []func() error
		want := []string{"first"}
		for i := range 8 {
			reads = append(reads, recording(v, context.Background(), fmt.Sprint("reader ", i)))
			want = append(want, fmt.Sprint("reader ", i))
		}
		if err := errors.Join(g.behind(t, v, reads)...); err != nil {
			t.Error(err)
		}
		if got := readers(t, v); !slices.Equal(got, want) {
			t.Errorf("got entries of %q, want %q", got, want)
		}
		if g.commits != 2 {
			t.Errorf("got %d commits, want 2", g.commits)
		}
		if err := recordRead(v, context.Background(), "alone"); err != nil {
			t.Error(err)
		}
	})
}

// More than a transaction takes are several, each within its limits.
func TestReadsTogetherMany(t *testing.T) {
	onGates(t, func(t *testing.T, v *vault.Vault, g *gated) {
		const n = 150
		var reads []func() error
		for i := range n {
			reads = append(reads, recording(v, context.Background(), fmt.Sprint("reader ", i)))
		}
		if err := errors.Join(g.behind(t, v, reads)...); err != nil {
			t.Error(err)
		}
		got := readers(t, v)
		if len(got) != n+1 || !slices.Equal(got, slices.Compact(slices.Clone(got))) {
			t.Errorf("got %d entries, want %d: %q", len(got), n+1, got)
		}
		if g.commits < 3 || g.commits > 10 {
			t.Errorf("got %d commits, want a few", g.commits)
		}
	})
}

// A commit that fails is one of all that share it, and of no others.
func TestReadsTogetherFail(t *testing.T) {
	onGates(t, func(t *testing.T, v *vault.Vault, g *gated) {
		full := errors.New("full")
		g.fail = full
		said := g.behind(t, v, []func() error{recording(v, context.Background(), "a"), recording(v, context.Background(), "b")})
		if said[0] != nil || !errors.Is(said[1], full) || !errors.Is(said[2], full) {
			t.Errorf("got %v, want the second commit's failure for its two", said)
		}
		g.mu.Lock()
		g.fail = nil
		g.mu.Unlock()
		if err := recordRead(v, context.Background(), "c"); err != nil {
			t.Error(err)
		}
		if got := readers(t, v); !slices.Equal(got, []string{"first", "c"}) {
			t.Errorf("got entries of %q, want those of the first and c", got)
		}
	})
}

// One that can't be recorded, or whose caller has gone, is no other's concern.
func TestReadsTogetherOthersFail(t *testing.T) {
	onGates(t, func(t *testing.T, v *vault.Vault, g *gated) {
		ctx := context.Background()
		said := g.behind(t, v, []func() error{recording(v, ctx, "a"), recording(v, ctx, ""), recording(v, ctx, "b")})
		if said[1] != nil || !errors.Is(said[2], vault.ErrInvalid) || said[3] != nil {
			t.Errorf("with one that is not valid: got %v", said)
		}
		gone, leave := context.WithCancel(ctx)
		said = g.behind(t, v, []func() error{recording(v, ctx, "c"),
			recording(v, gone, "d"),
			func() error { leave(); return recordRead(v, ctx, "e") }})
		if said[1] != nil || !errors.Is(said[2], context.Canceled) || said[3] != nil {
			t.Errorf("with one that has gone: got %v", said)
		}
		if got := readers(t, v); !slices.Equal(got, []string{"first", "a", "b", "c", "e"}) {
			t.Errorf("got entries of %q", got)
		}
	})
}

// bound is a store that has a condition for some contexts.
type bound struct{ *gated }

func (bound) Bound(ctx context.Context) bool { return ctx.Value(bound{}) != nil }

func (b bound) Update(ctx context.Context, fn func(vault.KV) error) error {
	if b.Bound(ctx) {
		return errBound
	}
	return b.gated.Update(ctx, fn)
}

var errBound = errors.New("under a condition")

// A read under a term's condition waits for no others, whose commit would be
// without it.
func TestReadsTogetherBound(t *testing.T) {
	g := &gated{}
	v, err := vault.OpenWrapped(options(t), func(s vault.Store) vault.Store { g.Store = s; return bound{g} })
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	defer v.Close()
	ctx := context.WithValue(context.Background(), bound{}, true)
	said := g.behind(t, v, []func() error{func() error {
		err := recordRead(v, ctx, "a")
		return errors.Join(err, recordRead(v, context.Background(), "b"))
	}})
	if said[0] != nil || !errors.Is(said[1], errBound) {
		t.Errorf("got %v, want that the condition counted", said)
	}
}

// One that finds nothing to hand out says so to its caller alone, and takes no
// commit of its own.
func TestReadsTogetherNothing(t *testing.T) {
	onGates(t, func(t *testing.T, v *vault.Vault, g *gated) {
		nothing := errors.New("nothing there")
		ctx := context.Background()
		said := g.behind(t, v, []func() error{recording(v, ctx, "a"),
			func() error { return v.ReadSecret(ctx, func(*vault.Tx) error { return nothing }) }, recording(v, ctx, "b")})
		if said[1] != nil || !errors.Is(said[2], nothing) || said[3] != nil {
			t.Errorf("got %v, want its error for the second alone", said)
		}
		if g.commits != 2 {
			t.Errorf("got %d commits, want 2", g.commits)
		}
		if got := readers(t, v); !slices.Equal(got, []string{"first", "a", "b"}) {
			t.Errorf("got entries of %q", got)
		}
	})
}

// A read that begins after another process' commit was acknowledged finds what
// that wrote, though it asks no question before it commits.
func TestReadSecretNewest(t *testing.T) {
	open := onEtcd(t)
	o := options(t)
	writer, reader := mustOpenStore(t, open, o), mustOpenStore(t, open, o)
	for i := range 30 {
		want := fmt.Sprint("client ", i)
		update(t, writer, func(tx *vault.Tx) error { return tx.PutClient(vault.Client{Mailbox: rossi, Name: want, AddedAt: now}) })
		got := ""
		err := reader.ReadSecret(context.Background(), func(tx *vault.Tx) error {
			c, _, err := tx.Client(rossi)
			got = c.Name
			return errors.Join(err, tx.AuditRead("a", rossi, rossi, 1))
		})
		if err != nil || got != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
}
