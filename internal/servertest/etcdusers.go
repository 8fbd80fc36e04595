package servertest

import (
	"context"
	"crypto/tls"
	"testing"

	"go.uber.org/zap"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// EtcdUser may read and write below one prefix.
type EtcdUser struct {
	Name, Password string
	Prefix         string // "" = nothing at all
}

// EnableUsers makes the cluster ask who somebody is: these users, and root,
// whose password is "root".
func (c *Etcd) EnableUsers(tb testing.TB, users ...EtcdUser) {
	tb.Helper()
	admin, err := clientv3.New(clientv3.Config{Endpoints: c.Endpoints, TLS: c.cfg.TLS.ClientConfig(tb, Leaf{Client: true, CommonName: "root"}), Logger: zap.NewNop()})
	if err != nil {
		tb.Fatal(err)
	}
	defer admin.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	do := func(_ any, err error) {
		tb.Helper()
		if err != nil {
			tb.Fatalf("users of etcd: %v", err)
		}
	}
	for _, u := range append(users, EtcdUser{Name: "root", Password: "root"}) {
		do(admin.RoleAdd(ctx, u.Name))
		do(admin.UserAdd(ctx, u.Name, u.Password))
		do(admin.UserGrantRole(ctx, u.Name, u.Name))
		if u.Prefix != "" {
			do(admin.RoleGrantPermission(ctx, u.Name, u.Prefix, clientv3.GetPrefixRangeEnd(u.Prefix), clientv3.PermissionType(clientv3.PermReadWrite)))
		}
	}
	do(admin.AuthEnable(ctx))
}

// ClientConfig trusts the authority, and shows a certificate of it where l is
// a client's. It is nil for no authority: no encryption.
func (c *CA) ClientConfig(tb testing.TB, l Leaf) *tls.Config {
	tb.Helper()
	if c == nil {
		return nil
	}
	conf := &tls.Config{RootCAs: c.Pool(), MinVersion: tls.VersionTLS12}
	if l.Client {
		certPEM, keyPEM := c.Issue(tb, l)
		pair, err := tls.X509KeyPair(certPEM, keyPEM)
		if err != nil {
			tb.Fatal(err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf
}
