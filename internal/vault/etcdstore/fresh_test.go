package etcdstore_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pec-ingest/internal/servertest"
	"pec-ingest/internal/vault"
	"pec-ingest/internal/vault/etcdstore"
)

// A glance sees what its own process committed, at once, what others did as
// soon as it asks again.
func TestGlance(t *testing.T) {
	etcd := servertest.StartEtcd(t, servertest.EtcdConfig{})
	c := etcdstore.Config{Endpoints: etcd.Endpoints, Prefix: prefix(), Member: "a", Follow: true}
	a := open(t, c)
	c.Member = "b"
	b := open(t, c)
	ctx := context.Background()
	write := func(s *etcdstore.Store, v string) {
		t.Helper()
		must(t, s.Update(ctx, func(kv vault.KV) error { return kv.Put("k", []byte(v)) }))
	}
	read := func(ctx context.Context, s *etcdstore.Store) (v string) {
		t.Helper()
		must(t, s.View(ctx, func(kv vault.KV) error { b, err := kv.Get("k"); v = string(b); return err }))
		return v
	}
	glance := vault.Glance(ctx)
	for i := range 20 {
		own, other := fmt.Sprint("a", i), fmt.Sprint("b", i)
		write(a, own)
		if got := read(glance, a); got != own {
			t.Fatalf("a glance after an own commit: got %q, want %q", got, own)
		}
		write(b, other)
		acknowledged := time.Now()
		for got := ""; got != other; {
			begun := time.Now()
			if got = read(glance, a); got != other && begun.Sub(acknowledged) > 2*time.Millisecond {
				t.Fatalf("a glance %v after another's commit: got %q, want %q", begun.Sub(acknowledged), got, other)
			}
		}
		write(b, own)
		if got := read(ctx, a); got != own {
			t.Fatalf("a read after another's commit: got %q, want %q", got, own)
		}
	}
}

// An answer counts for two milliseconds from when the question was put.
func TestGlanceAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		latest, known := etcdstore.NewKnown(func() { time.Sleep(time.Millisecond) })
		glance := vault.Glance(context.Background())
		check := func(when string, want bool) {
			t.Helper()
			if got := known(glance); got != want {
				t.Errorf("%s: known %t, want %t", when, got, want)
			}
		}
		check("before any question", false)
		latest()
		synctest.Wait()
		check("after the answer", true)
		if known(context.Background()) {
			t.Error("a read that is no glance relies on an old answer")
		}
		time.Sleep(999 * time.Microsecond)
		check("after 1.999 ms", true)
		time.Sleep(time.Microsecond)
		check("after 2 ms", false)
	})
}
