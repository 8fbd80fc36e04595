package main

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"syscall"
	"testing"
	"time"

	"pec-ingest/internal/servertest"
	"pec-ingest/internal/vault"
	"pec-ingest/internal/vault/etcdstore"
)

// A later version of the program has changed the vault's format: services of
// this one, which run or are started, write nothing into it, do not lead, and
// end so that it shows; with the format that they know they go on.
func TestClusterNewerFormat(t *testing.T) {
	t.Parallel()
	etcd := servertest.StartEtcd(t, servertest.EtcdConfig{})
	s := newStudio(t, studioOptions{clients: []string{rossi, bianchi}, config: onCluster(etcd.Endpoints)})
	s.deliver(s.submission(rossi, 2, passwords[rossi]))
	members := s.members(2)
	running := members[0]
	running.start()
	s.within(patience, "the submission is accepted", func() bool {
		return running.run("", "get", rossi).stdout == passwords[rossi]+"\n" && len(s.folder(processed)) == 1
	})
	prefix := "/" + between(s.read("config.toml"), etcd.Endpoints[0]+"/", "\"")
	store, err := etcdstore.Open(t.Context(), etcdstore.Config{Endpoints: etcd.Endpoints, Prefix: prefix, Member: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	setFormat := func(was, is int) {
		t.Helper()
		err := store.Update(t.Context(), func(kv vault.KV) error {
			old, err := kv.Get("meta/format")
			if err != nil {
				return err
			}
			b := bytes.Replace(old, fmt.Appendf(nil, `"format":%d`, was), fmt.Appendf(nil, `"format":%d`, is), 1)
			if bytes.Equal(b, old) {
				t.Errorf("the vault's format is not %d", was)
			}
			return kv.Put("meta/format", b)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	content := func() map[string]string {
		t.Helper()
		all := map[string]string{}
		if err := store.Walk(t.Context(), func(key string, v []byte) error { all[key] = string(v); return nil }); err != nil {
			t.Fatal(err)
		}
		return all
	}

	setFormat(vault.Format, vault.Format+1)
	before := content()
	s.deliver(s.submission(bianchi, 1, passwords[bianchi]))
	for _, command := range [][]string{{"get", rossi}, {"status"}, {"client", "add", neri}} {
		if r := running.run("", command...); r.code != exitVault || r.stdout != "" || !strings.Contains(r.stderr, "install the version") {
			t.Errorf("ingest %s: got %s\nwant exit %d and which version to install", strings.Join(command, " "), r, exitVault)
		}
	}
	joining := members[1]
	joining.start()
	for _, m := range []*member{running, joining} {
		select {
		case <-m.ended:
		case <-time.After(patience):
			t.Fatalf("%s goes on", m.name)
		}
		if code := m.cmd.ProcessState.ExitCode(); code != exitVault || !strings.Contains(m.log.String(), "newer version") {
			t.Errorf("%s ended with exit %d, want %d and why", m.name, code, exitVault)
		}
	}
	// Who ends asks a busy cluster for a second only to forget it; then it does so
	// when the lease has run out.
	s.within(patience, "nobody leads or waits to", func() bool {
		names, err := store.Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(names) == 0
	})
	if after := content(); !maps.Equal(after, before) {
		t.Error("something was written into a vault of a newer format")
	}

	setFormat(vault.Format+1, vault.Format)
	running.start()
	s.within(patience, "the service goes on", func() bool { return running.run("", "get", bianchi).code == exitOK && len(s.folder(processed)) == 2 })
	if r := running.run("", "audit", "--verify"); r.code != exitOK {
		t.Errorf("audit: %s", r)
	}
	running.signal(syscall.SIGTERM)
}
