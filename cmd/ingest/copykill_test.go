package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/servertest"
	"pec-ingest/internal/vault"
	"pec-ingest/internal/vault/etcdstore"
)

// `vault copy` is killed at any moment, in both directions: what it copies from
// stays as it was, what is half made is no vault, and the next one comes to
// its end.
func TestVaultCopyKilled(t *testing.T) {
	t.Parallel()
	etcd := servertest.StartEtcd(t, servertest.EtcdConfig{})
	s := bareStudio(t, "")
	var csv strings.Builder
	csv.WriteString("mailbox\n")
	for i := range 1500 {
		fmt.Fprintf(&csv, "cliente%04d@pec.example\n", i)
	}
	s.write("clients.csv", csv.String(), 0o600)
	s.ok("client", "import", filepath.Join(s.dir, "clients.csv"))
	whole := s.bytesOf(s.vaultPath())
	want, err := vault.VerifyFile(s.vaultPath())
	if err != nil {
		t.Fatal(err)
	}
	file, url := "bbolt://"+s.vaultPath(), fmt.Sprintf("etcd://%s/copied", etcd.Endpoints[0])
	store, err := etcdstore.Open(t.Context(), etcdstore.Config{Endpoints: etcd.Endpoints, Prefix: "/copied", Member: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	// whole tells that it is a vault: the format comes with the last records. How
	// many there are does not tell, since one marks that a copy goes on.
	copied := func() (n int, whole bool) {
		err := store.Walk(t.Context(), func(key string, _ []byte) error {
			n++
			whole = whole || key == "meta/format"
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n, whole
	}
	isVault := func() bool { _, whole := copied(); return whole }

	for _, at := range []int{1, 400, 1200, 2400} { // records that are there
		done := s.killWhen(func() bool { n, _ := copied(); return n >= at }, "vault", "copy", file, url)
		if !bytes.Equal(s.bytesOf(s.vaultPath()), whole) {
			t.Fatalf("killed at %d records: the vault that is copied has changed", at)
		}
		if done || isVault() {
			break // it was faster
		}
		s.edit(file, url)
		r := s.run("status")
		if isVault() {
			s.edit(url, file)
			break // what it had sent was still on its way when it was killed
		}
		if r.code != exitVault || !strings.Contains(r.stderr, "vault copy") {
			t.Errorf("killed at %d records: status: %s", at, r)
		}
		s.edit(url, file)
	}
	if r := s.run("vault", "copy", file, url); r.code != exitOK && !isVault() {
		t.Fatalf("after the kills: %s", r)
	}

	// The way back. Who was killed leads for ten seconds more.
	back := filepath.Join(s.vaultDir, "back.db")
	there := func(path string) bool { _, err := os.Stat(path); return err == nil }
	s.killWhen(func() bool { return there(back + ".new") }, "vault", "copy", url, "bbolt://"+back)
	if !there(back) {
		s.within(patience, "the way back", func() bool { return s.run("vault", "copy", url, "bbolt://"+back).code == exitOK })
	}
	if got, err := vault.VerifyFile(back); err != nil || got != want {
		t.Errorf("there and back: got %+v, %v, want %+v", got, err, want)
	}
}

func (s *studio) bytesOf(path string) []byte {
	s.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// killWhen runs the program and kills it as soon as when says so; done tells
// that it had ended well before.
func (s *studio) killWhen(when func() bool, args ...string) (done bool) {
	s.t.Helper()
	program, err := buildOnce()
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, kill := context.WithCancel(s.t.Context())
	defer kill()
	cmd := exec.CommandContext(ctx, program, append([]string{"--config", s.configPath()}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			if err != nil {
				s.t.Fatalf("ingest %s: %v\n%s", strings.Join(args, " "), err, out.String())
			}
			return true
		case <-time.After(time.Millisecond):
		}
		if when() {
			kill()
			return <-ended == nil
		}
	}
}
