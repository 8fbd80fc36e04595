package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	clientv3 "go.etcd.io/etcd/client/v3"

	"pec-ingest/internal/servertest"
)

// TestClusterKillPoints is TestKill on etcd: a pass is killed at each of its
// kill points, once, and what it leaves after another one is what an
// undisturbed pass leaves on a file.
func TestClusterKillPoints(t *testing.T) {
	if os.Getenv("PEC_INGEST_LONG") != "1" {
		t.Skip("takes minutes: make test-cluster")
	}
	etcd := servertest.StartEtcd(t, servertest.EtcdConfig{})
	admin, err := clientv3.New(clientv3.Config{Endpoints: etcd.Endpoints, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	program := buildKillable(t)
	day := time.Now().Truncate(time.Second)
	log := filepath.Join(t.TempDir(), "points")
	want := newKillStudio(t, program, day, 1).play(0, "PEC_INGEST_KILL_LOG="+log)
	names := declaredPoints(t)
	s := newKillStudio(t, program, day, len(names))
	s.afterKill = func() { revokeLeases(t, admin) }
	s.write("vault/base.db", string(s.base), 0o600)
	url := "bbolt://" + s.vaultDir + "/vault.db"
	for i, name := range names {
		if name == "before-dot" {
			continue // waits an hour for a receipt: another story
		}
		next := fmt.Sprintf("etcd://%s/points-%d", etcd.Endpoints[0], i)
		s.ok("vault", "copy", "bbolt://"+filepath.Join(s.vaultDir, "base.db"), next)
		s.edit(url, next)
		url = next
		got := s.play(i, "PEC_INGEST_KILL="+name+":1")
		if !got.killed {
			t.Errorf("%s: the pass was not killed", name)
		}
		if diff := cmp.Diff(want.text, got.text); diff != "" {
			t.Errorf("killed at %s, then done again: the end is another one (-undisturbed +got):\n%s", name, diff)
		}
		for mailbox, n := range want.logins {
			if got.logins[mailbox] > n+1 {
				t.Errorf("killed at %s: %s saw %d logins, want %d or one more", name, mailbox, got.logins[mailbox], n)
			}
		}
	}
	t.Logf("%d kill points", len(names))
}

// revokeLeases ends the term of who was killed at once; by itself it takes
// ten seconds.
func revokeLeases(t *testing.T, admin *clientv3.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	all, err := admin.Leases(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all.Leases {
		if _, err := admin.Revoke(ctx, l.ID); err != nil {
			t.Fatal(err)
		}
	}
}
