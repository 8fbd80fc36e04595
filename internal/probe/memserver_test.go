package probe_test

import (
	"crypto/tls"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"

	"pec-ingest/internal/probe"
	"pec-ingest/internal/servertest"
)

// A second real server, of another make than Dovecot: the one
// that stands behind demonstrations.
func TestGoIMAPServer(t *testing.T) {
	mem := imapmemserver.New()
	user := imapmemserver.NewUser("a@pec.example", "perché \"\\ €")
	if err := user.Create("INBOX", nil); err != nil {
		t.Fatal(err)
	}
	mem.AddUser(user)
	ca := servertest.NewCA(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", ca.ServerConfig(t, servertest.Leaf{}))
	if err != nil {
		t.Fatal(err)
	}
	srv := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return mem.NewSession(), nil, nil
		},
		Caps: imap.CapSet{imap.CapIMAP4rev1: {}},
	})
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-served })

	target := probe.Target{Addr: l.Addr().String(), RootCAs: ca.Pool()}
	if r := tryOn(t, target, "a@pec.example", "perché \"\\ €"); r.Outcome != probe.Accepted {
		t.Errorf("right: got %+v", r)
	}
	if r := tryOn(t, target, "a@pec.example", "wrong"); r.Outcome != probe.Refused {
		t.Errorf("wrong: got %+v", r)
	}
}
