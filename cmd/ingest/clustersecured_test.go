package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pec-ingest/internal/servertest"
)

// A studio whose etcd wants certificates and a user: the way of a letter, and
// what is said where etcd does not let it in.
func TestClusterSecured(t *testing.T) {
	t.Parallel()
	const password = "di-rose-e-di-viole"
	ca := servertest.NewCA(t)
	etcd := servertest.StartEtcd(t, servertest.EtcdConfig{TLS: ca, Args: []string{"--bcrypt-cost", "4"}})
	dir := filepath.Join(t.TempDir(), "private")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	certificate := func(l servertest.Leaf) {
		t.Helper()
		certPEM, keyPEM := ca.Issue(t, l)
		write("cert.pem", certPEM)
		write("key.pem", keyPEM)
	}
	write("ca.pem", ca.PEM())
	write("password", []byte(password+"\n"))
	certificate(servertest.Leaf{Client: true})
	conf := onCluster(etcd.Endpoints)
	s := newStudio(t, studioOptions{smtp: true, clients: []string{}, config: func(text string) string {
		return strings.Replace(conf(text), "[vault]\n", strings.ReplaceAll(`[vault]
etcd_ca_file = "DIR/ca.pem"
etcd_cert_file = "DIR/cert.pem"
etcd_key_file = "DIR/key.pem"
etcd_username = "studio"
etcd_password_file = "DIR/password"
`, "DIR", dir), 1)
	}})
	prefix := "/" + between(readText(t, s.configPath()), etcd.Endpoints[0]+"/", "\"") + "/"
	etcd.EnableUsers(t, servertest.EtcdUser{Name: "studio", Password: password, Prefix: prefix},
		servertest.EtcdUser{Name: "other", Password: password, Prefix: "/other/"})

	s.ok("client", "add", rossi)
	s.deliver(s.submission(rossi, 5, passwords[rossi]))
	m := s.members(1)[0]
	m.start()
	s.within(patience, "the submission is accepted", func() bool { return m.run("", "get", rossi).stdout == passwords[rossi]+"\n" })
	s.within(patience, "and answered", func() bool { return len(s.sink.received()) == 1 })

	refused := func(what, want, hint string) {
		t.Helper()
		r := s.run("status")
		for end := time.Now().Add(patience); r.code == exitVault && !strings.Contains(r.stderr, want) && time.Now().Before(end); {
			r = s.run("status") // a busy machine's time may be over before etcd has said why
		}
		if r.code != exitVault || !strings.Contains(r.stderr, want) || !strings.Contains(r.stderr, hint) {
			t.Errorf("%s: got exit %d, want %d with %q and the hint %q:\n%s", what, r.code, exitVault, want, hint, r.stderr)
		}
		if strings.Contains(r.stdout+r.stderr, "viole") {
			t.Errorf("%s: the password is shown:\n%s", what, r.stderr)
		}
	}
	write("password", []byte("sbagliata-viole\n"))
	refused("a wrong password", "does not take the user name", "vault.etcd_username")
	write("password", []byte(password+"\n"))
	text := readText(t, s.configPath())
	s.edit(`etcd_username = "studio"`, `etcd_username = "other"`)
	refused("another studio's user", "read and write here", "grant-permission")
	s.edit(`etcd_username = "other"`, `etcd_username = "studio"`)
	if readText(t, s.configPath()) != text {
		t.Fatal("the configuration is not what it was")
	}
	certificate(servertest.Leaf{Client: true, Expired: true})
	refused("an expired certificate", "no encrypted connection", "vault.etcd_cert_file")
	refused("an expired certificate, which no member need look at", "has expired on ", "vault.etcd_cert_file")
	write("ca.pem", servertest.NewCA(t).PEM())
	refused("another authority", "no encrypted connection", "vault.etcd_ca_file")
	write("ca.pem", ca.PEM())

	// The service that runs goes on, and takes a renewed certificate for its
	// next connections: here those to a member that starts again.
	certificate(servertest.Leaf{Client: true})
	etcd.Kill(0)
	etcd.Restart(0)
	if err := etcd.Await(0); err != nil {
		t.Fatal(err)
	}
	s.within(patience, "the service answers again", func() bool { return m.run("", "get", rossi).stdout == passwords[rossi]+"\n" })
	m.signal(syscall.SIGTERM)
	if log := m.log.String(); strings.Contains(log, "viole") {
		t.Errorf("the log shows the password:\n%s", log)
	}
}

func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
