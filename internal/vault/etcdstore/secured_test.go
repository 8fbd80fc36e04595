package etcdstore_test

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"pec-ingest/internal/secret"
	"pec-ingest/internal/servertest"
	"pec-ingest/internal/vault"
	"pec-ingest/internal/vault/etcdstore"
)

// studioUser may do what a studio needs, nobody nothing.
const (
	studioUser     = "studio"
	studioPrefix   = "/studio"
	studioPassword = "di-rose-e-di-viole"
)

// startSecured starts a member that asks who somebody is; with an authority
// by certificates, else by user and password.
func startSecured(t *testing.T, ca *servertest.CA) *servertest.Etcd {
	t.Helper()
	c := servertest.StartEtcd(t, servertest.EtcdConfig{TLS: ca, Args: []string{"--bcrypt-cost", "4"}})
	c.EnableUsers(t, servertest.EtcdUser{Name: studioUser, Password: studioPassword, Prefix: studioPrefix + "/"},
		servertest.EtcdUser{Name: "nobody", Password: studioPassword})
	return c
}

// works has a store do all that a service does.
func works(t *testing.T, c etcdstore.Config) *etcdstore.Store {
	t.Helper()
	ctx := context.Background()
	s := open(t, c)
	put(t, s, ctx)
	term, err := s.Campaign(ctx)
	must(t, err)
	bound, cancel := term.Bind(ctx)
	defer cancel()
	put(t, s, bound)
	serving := make(chan struct{})
	go func() {
		defer close(serving)
		term.Serve(ctx, func(_ context.Context, request []byte) []byte { return request })
	}()
	if got, err := s.Ask(ctx, []byte("ciao")); err != nil || string(got) != "ciao" {
		t.Errorf("Ask: got %q, %v", got, err)
	}
	if names, err := s.Members(ctx); err != nil || len(names) != 1 {
		t.Errorf("Members: got %q, %v, want one", names, err)
	}
	must(t, s.Walk(ctx, func(string, []byte) error { return nil }))
	term.Resign()
	<-serving
	return s
}

// put changes a key and reads it back.
func put(t *testing.T, s *etcdstore.Store, ctx context.Context) {
	t.Helper()
	want := time.Now().String()
	must(t, s.Update(ctx, func(kv vault.KV) error { return kv.Put("k", []byte(want)) }))
	must(t, s.View(ctx, func(kv vault.KV) error {
		got, err := kv.Get("k")
		if err == nil && string(got) != want {
			t.Errorf("read back: got %s, want %s", got, want)
		}
		return err
	}))
}

// refusedFor opens a store that must not open, in which the reason shows and
// no password does.
func refusedFor(t *testing.T, what string, c etcdstore.Config, want error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var err error
	for { // on a busy machine its time may be over before a connection is refused
		var s *etcdstore.Store
		if s, err = etcdstore.Open(ctx, c); err == nil {
			_ = s.Close()
		}
		if err == nil || errors.Is(err, want) || ctx.Err() != nil || !errors.Is(err, vault.ErrUnavailable) {
			break
		}
	}
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
	if err != nil && strings.Contains(err.Error(), studioPassword) {
		t.Errorf("%s: the error shows the password: %v", what, err)
	}
	t.Logf("%s: %v", what, err)
}

// A cluster that wants certificates, and takes who shows one for the user it
// names.
func TestCertificates(t *testing.T) {
	ca := servertest.NewCA(t)
	etcd := startSecured(t, ca)
	good := servertest.Leaf{Client: true, CommonName: studioUser}
	config := func(prefix string, l servertest.Leaf) etcdstore.Config {
		return etcdstore.Config{Endpoints: etcd.Endpoints, Prefix: prefix, Member: "a", TLS: ca.ClientConfig(t, l)}
	}
	for _, follow := range []bool{true, false} {
		c := config(studioPrefix, good)
		c.Follow = follow
		works(t, c)
	}
	refusedFor(t, "a user without the role", config(studioPrefix, servertest.Leaf{Client: true, CommonName: "nobody"}), etcdstore.ErrPermission)
	refusedFor(t, "another studio's prefix", config(studioPrefix+"2", good), etcdstore.ErrPermission)
	var all sync.WaitGroup
	defer all.Wait()
	refuse := func(what string, conf *tls.Config, want error) {
		c := config(studioPrefix, good)
		c.TLS = conf
		all.Go(func() { refusedFor(t, what, c, want) })
	}
	expired := good
	expired.Expired = true
	other := servertest.NewCA(t)
	refuse("no certificate", ca.ClientConfig(t, servertest.Leaf{}), etcdstore.ErrCertificate)
	refuse("an expired certificate", ca.ClientConfig(t, expired), etcdstore.ErrCertificate)
	refuse("a certificate that is no client's", certificateOf(t, ca, ca, servertest.Leaf{}), etcdstore.ErrCertificate)
	refuse("another authority's certificate", certificateOf(t, ca, other, good), etcdstore.ErrCertificate)
	refuse("members of another authority", certificateOf(t, other, ca, good), etcdstore.ErrCertificate)
	refuse("no encryption", nil, etcdstore.ErrCertificate)
}

func certificateOf(t *testing.T, trusted, signer *servertest.CA, l servertest.Leaf) *tls.Config {
	t.Helper()
	certPEM, keyPEM := signer.Issue(t, l)
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	must(t, err)
	// Shown whatever the server says that it takes.
	return &tls.Config{RootCAs: trusted.Pool(), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }}
}

// A cluster with users: what a login gives is a token, and tokens are lost
// when a member starts again; services go on.
func TestUsers(t *testing.T) {
	etcd := startSecured(t, nil)
	config := func(prefix, user, password string) etcdstore.Config {
		c := etcdstore.Config{Endpoints: etcd.Endpoints, Prefix: prefix, Member: "a", Username: user}
		if password != "" {
			c.Password = secret.FromString(password)
		}
		return c
	}
	refuse := func(what, prefix, user, password string, want error) {
		t.Helper()
		refusedFor(t, what, config(prefix, user, password), want)
	}
	refuse("no user", studioPrefix, "", "", etcdstore.ErrCredentials)
	refuse("a wrong password", studioPrefix, studioUser, "sbagliata", etcdstore.ErrCredentials)
	refuse("no such user", studioPrefix, "chi", studioPassword, etcdstore.ErrCredentials)
	refuse("a user without the role", studioPrefix, "nobody", studioPassword, etcdstore.ErrPermission)
	refuse("another studio's prefix", studioPrefix+"2", studioUser, studioPassword, etcdstore.ErrPermission)

	c := config(studioPrefix, studioUser, studioPassword)
	reader := works(t, c)
	c.Follow = true
	follower := works(t, c)
	ctx := context.Background()
	term, err := follower.Campaign(ctx)
	must(t, err)
	bound, cancel := term.Bind(ctx)
	defer cancel()
	for range 2 {
		begun := time.Now()
		etcd.Kill(0)
		etcd.Restart(0)
		must(t, etcd.Await(0))
		put(t, reader, ctx)
		// The lease outlives the member, unless a busy machine took as long as
		// a lease lasts.
		if err := term.Confirm(ctx); errors.Is(err, vault.ErrNotLeading) && time.Since(begun) > etcdstore.LeaseTTL*time.Second/3 {
			t.Logf("the member was away for %v", time.Since(begun))
			term, err = follower.Campaign(ctx)
			must(t, err)
			bound, cancel = term.Bind(ctx)
			defer cancel()
		}
		put(t, follower, bound)
		put(t, follower, ctx)
		must(t, term.Confirm(ctx))
		must(t, follower.View(ctx, func(kv vault.KV) error { _, err := kv.Get("k"); return err }))
	}
	term.Resign()
	term, err = reader.Campaign(ctx)
	must(t, err)
	term.Resign()
}
