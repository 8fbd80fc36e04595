package ingest_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"
	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"

	"pec-ingest/internal/config"
	"pec-ingest/internal/inbox"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/schedule"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/servertest"
	"pec-ingest/internal/vault"
)

const studioUser = "studio@pec.studio.example"

// bubble is a daemon's world inside a synctest bubble: an inbox on an
// embedded server, a vault, and a configuration. Its network is under the
// test's control.
type bubble struct {
	t       testing.TB
	dir     string
	service *ingest.Service
	user    *imapmemserver.User
	tls     *tls.Config
	ca      *servertest.CA
	born    time.Time

	mu    sync.Mutex
	fail  func() error // nil: the server answers
	dials []time.Time
	conns []net.Conn
	hang  bool      // connections are made, and nobody answers
	heard io.Writer // gets what the server hears and says; nil: nobody listens
}

func newBubble(t testing.TB, extra string) *bubble {
	t.Helper()
	dir := t.TempDir()
	layBubble(t, dir, extra)
	return openBubble(t, dir)
}

// layBubble writes configuration and keys of a bubble.
func layBubble(t testing.TB, dir, extra string) {
	t.Helper()
	b := &bubble{t: t, dir: dir}
	write := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	write("recipients.txt", key.Recipient().String()+"\n", 0o644)
	write("identity", key.String()+"\n", 0o600)
	write("inbox-password", "giusta\n", 0o600)
	write("config.toml", fmt.Sprintf(`[inbox]
host = "imap.example"
username = %q
[vault]
url = "bbolt://%s/vault/vault.db"
[warnings]
to_studio = ["capo@studio.example"]
%s`, studioUser, b.dir, extra), 0o644)
	if err := os.Mkdir(filepath.Join(b.dir, "vault"), 0o700); err != nil {
		t.Fatal(err)
	}
}

// openBubble opens a service on what layBubble wrote; a vault of an earlier
// bubble goes on. Time begins anew in each bubble, on 1 January 2000.
func openBubble(t testing.TB, dir string) *bubble {
	t.Helper()
	return openLogging(t, dir, slog.NewTextHandler(io.Discard, nil))
}

// openLogging is openBubble with a log that somebody reads.
func openLogging(t testing.TB, dir string, log slog.Handler) *bubble {
	t.Helper()
	b := &bubble{t: t, dir: dir, born: time.Now()}
	cfg, err := config.Load(filepath.Join(b.dir, "config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if b.service, err = ingest.Open(cfg, ingest.Writing, slog.New(log)); err != nil {
		t.Fatal(err)
	}
	b.ca = servertest.NewCA(t)
	b.tls = b.ca.ServerConfig(t, servertest.Leaf{Names: []string{"imap.example"}})
	b.user = imapmemserver.NewUser(studioUser, "giusta")
	if err := b.user.Create("INBOX", nil); err != nil {
		t.Fatal(err)
	}
	b.service.DialInbox = b.dial
	b.service.InboxPassword = func() (secret.Secret, error) {
		return config.ReadSecretFile(filepath.Join(b.dir, "inbox-password"))
	}
	return b
}

// dial is inbox.Dial over a pipe.
func (b *bubble) dial(ctx context.Context, c inbox.Config) (*inbox.Session, error) {
	b.mu.Lock()
	b.dials = append(b.dials, time.Now())
	fail, hang := b.fail, b.hang
	b.mu.Unlock()
	if fail != nil {
		if err := fail(); err != nil {
			return nil, err
		}
	}
	c.TLS = &tls.Config{RootCAs: b.ca.Pool(), Time: func() time.Time { return b.born }} // the test certificate lives a day
	c.Dial = func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		b.mu.Lock()
		b.conns = append(b.conns, far)
		b.mu.Unlock()
		if !hang {
			go b.serve(far)
		}
		return near, nil
	}
	return inbox.Dial(ctx, c)
}

func (b *bubble) serve(conn net.Conn) {
	mem := imapmemserver.New()
	b.mu.Lock()
	mem.AddUser(b.user)
	heard := b.heard
	b.mu.Unlock()
	server := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return mem.NewSession(), nil, nil
		},
		Caps:   imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIdle: {}, imap.CapUIDPlus: {}, imap.CapMove: {}, imap.CapNamespace: {}},
		Logger: nopLogger{}, DebugWriter: heard,
	})
	l := &oneConn{conn: tls.Server(conn, b.tls), closed: make(chan struct{})}
	_ = server.Serve(l)
}

type nopLogger struct{}

func (nopLogger) Printf(string, ...any) {}

// oneConn is a listener for one connection.
type oneConn struct {
	conn   net.Conn
	closed chan struct{}
	given  bool
}

func (l *oneConn) Accept() (net.Conn, error) {
	if !l.given {
		l.given = true
		return l.conn, nil
	}
	return nil, net.ErrClosed
}
func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{} }

// cut ends all connections, as a network does.
func (b *bubble) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.conns {
		c.Close()
	}
	b.conns = nil
}

func (b *bubble) setFail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail = nil
	if err != nil {
		b.fail = func() error { return err }
	}
}

func (b *bubble) dialCount() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.dials)
}

// run runs the daemon while during does what it does, and then ends it.
func (b *bubble) run(during func()) {
	b.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ready := make(chan struct{})
	done := make(chan error, 1)
	go func() { done <- b.service.Run(ctx, ingest.Hooks{Ready: func() { close(ready) }}) }()
	<-ready
	synctest.Wait()
	during()
	begun := time.Now()
	stop()
	if err := <-done; err != nil {
		b.t.Errorf("stopping: %v", err)
	}
	if d := time.Since(begun); d > 5*time.Second {
		b.t.Errorf("took %v to stop, want 5 s at most", d)
	}
	b.cut()
}

func (b *bubble) close() {
	if err := b.service.Close(); err != nil {
		b.t.Errorf("closing: %v", err)
	}
}

func (b *bubble) state() ingest.DaemonState {
	b.t.Helper()
	d, err := b.service.Daemon(context.Background())
	if err != nil || d == nil {
		b.t.Fatalf("state: got %v, %v", d, err)
	}
	return *d
}

func (b *bubble) update(fn func(*vault.Tx) error) {
	b.t.Helper()
	if err := b.service.Vault().Update(context.Background(), fn); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bubble) lastRun(job string) (at time.Time) {
	b.t.Helper()
	err := b.service.Vault().View(context.Background(), func(tx *vault.Tx) (err error) {
		at, _, err = tx.Job(job)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return at
}

// storePassword puts a client with a proven password into the vault.
func (b *bubble) storePassword(mailbox, provider string) {
	b.t.Helper()
	label := vault.Label{Mailbox: mailbox, Login: mailbox, Version: 1, Source: "test"}
	p := secret.FromString("Xk9mQ2pL")
	sealed, err := b.service.Vault().Seal(label, p)
	if err != nil {
		b.t.Fatal(err)
	}
	now := time.Now()
	b.update(func(tx *vault.Tx) error {
		return errors.Join(
			tx.PutClient(vault.Client{Mailbox: mailbox, Provider: provider, AddedAt: now}),
			tx.PutVersion(vault.Version{Mailbox: mailbox, Login: mailbox, N: 1, Source: "test", Label: label, Sealed: sealed, ReceivedAt: now, StoredAt: now,
				ProvenAt: now, Expires: schedule.Day(now, roma()).AddDate(0, 0, 90), ValidityDays: 90, Addr: provider + ".example:993", State: ingest.VersionProven}),
			tx.PutCredential(vault.Credential{Mailbox: mailbox, Login: mailbox, Last: 1, Current: 1, Proven: 1}))
	})
}

// syncBuffer keeps what several goroutines write: a log, or what is said on a
// connection.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
