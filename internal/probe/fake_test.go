package probe_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pec-ingest/internal/probe"
	"pec-ingest/internal/servertest"
)

// No test may leave a goroutine behind.
func TestMain(m *testing.M) { servertest.ExitWithoutLeaks(m) }

// run is a subtest in simulated time: a server that keeps us waiting costs
// nothing.
func run(t *testing.T, name string, fn func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, fn) })
}

// fake is a server over an in-memory connection: real TLS, no sockets, so that
// it also runs where time is simulated.
type fake struct {
	serve func(c *client) // one connection, after TLS unless plain
	plain bool            // no TLS from the server's side
	tls   *tls.Config
	roots *x509.CertPool

	mu   sync.Mutex
	got  []string // every line that clients sent, over all connections
	done sync.WaitGroup
}

func newFake(t testing.TB, serve func(c *client)) *fake {
	t.Helper()
	ca := servertest.NewCA(t)
	return &fake{serve: serve, tls: ca.ServerConfig(t, servertest.Leaf{}), roots: ca.Pool()}
}

func (f *fake) target() probe.Target {
	return probe.Target{Addr: "localhost:993", RootCAs: f.roots, Dial: f.dial}
}

func (f *fake) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	f.done.Add(1)
	go func() {
		defer f.done.Done()
		out := buffer(far, true)
		defer out.Close()
		conn := net.Conn(out)
		if !f.plain {
			conn = tls.Server(out, f.tls)
		}
		f.serve(&client{f: f, conn: conn, r: bufio.NewReader(conn)})
	}()
	return buffer(near, false), nil
}

// buffered gives one end of a net.Pipe what a socket has: writes that don't
// wait for the other side to read.
type buffered struct {
	net.Conn
	queue chan []byte
	quit  chan struct{} // closed by Close
	dead  chan struct{} // closed when nothing can be written any more
	once  sync.Once
	// linger: Close lets what was written arrive, and returns when it has.
	linger bool
}

func buffer(c net.Conn, linger bool) *buffered {
	b := &buffered{Conn: c, queue: make(chan []byte, 64), quit: make(chan struct{}), dead: make(chan struct{}), linger: linger}
	go b.run()
	return b
}

func (b *buffered) run() {
	defer close(b.dead)
	defer b.Conn.Close()
	for {
		select {
		case p := <-b.queue:
			if _, err := b.Conn.Write(p); err != nil {
				return
			}
			continue
		case <-b.quit:
		}
		for len(b.queue) > 0 {
			if _, err := b.Conn.Write(<-b.queue); err != nil {
				return
			}
		}
		return
	}
}

func (b *buffered) Write(p []byte) (int, error) {
	select {
	case <-b.dead:
		return 0, io.ErrClosedPipe
	case b.queue <- append([]byte(nil), p...):
		return len(p), nil
	}
}

// SetWriteDeadline does nothing: crypto/tls calls it on closing, which would
// drop what is still queued.
func (b *buffered) SetWriteDeadline(time.Time) error { return nil }

func (b *buffered) SetDeadline(t time.Time) error { return b.Conn.SetReadDeadline(t) }

func (b *buffered) Close() error {
	b.once.Do(func() { close(b.quit) })
	if b.linger {
		<-b.dead
		return nil
	}
	return b.Conn.Close()
}

// lines waits for the server's end and returns what was sent to it.
func (f *fake) lines() []string {
	f.done.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.got...)
}

// client is the server's view of a connection.
type client struct {
	f    *fake
	conn net.Conn
	r    *bufio.Reader
	tag  string // of the command read last
}

// send writes s, in which TAG stands for the tag of the command read last.
func (c *client) send(s string) {
	_, _ = io.WriteString(c.conn, strings.ReplaceAll(s, "TAG", c.tag))
}

// line reads one line as it comes; "" at the end.
func (c *client) line() string {
	s, err := c.r.ReadString('\n')
	if err != nil {
		return ""
	}
	s = strings.TrimRight(s, "\r\n")
	c.f.mu.Lock()
	c.f.got = append(c.f.got, s)
	c.f.mu.Unlock()
	return s
}

// drain reads whatever still comes, so that the other side can write (an
// in-memory connection has no buffer). The connection's end ends it.
func (c *client) drain() {
	c.f.done.Add(1)
	go func() {
		defer c.f.done.Done()
		for c.line() != "" {
		}
	}()
}

// command reads a command and returns it without its tag.
func (c *client) command() string {
	var rest string
	c.tag, rest, _ = strings.Cut(c.line(), " ")
	return rest
}

// script answers the commands of one session in turn: each element is the
// name of a command, a blank line, and the answer. It ends the connection
// when a command is not the one expected.
type exchangeStep struct{ command, answer string }

func (c *client) play(greeting string, steps ...exchangeStep) {
	c.send(greeting)
	for _, s := range steps {
		got := ""
		if s.command == "" { // a continuation line, without tag
			got = c.line()
		} else {
			got = c.command()
		}
		if got == "" || !strings.HasPrefix(got, s.command) {
			return
		}
		c.send(s.answer)
	}
	for c.command() != "" { // LOGOUT and whatever follows
		c.send("* BYE bye\r\nTAG OK done\r\n")
	}
}

const ready = "* OK ready\r\n"

var (
	capPlain = exchangeStep{"CAPABILITY", "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nTAG OK done\r\n"}
	capLogin = exchangeStep{"CAPABILITY", "* CAPABILITY IMAP4rev1\r\nTAG OK done\r\n"}
	askPlain = exchangeStep{"AUTHENTICATE PLAIN", "+ \r\n"}
	listed   = exchangeStep{`LIST "" ""`, "* LIST (\\Noselect) \"/\" \"\"\r\nTAG OK done\r\n"}
)

func says(answer string) exchangeStep { return exchangeStep{"", answer} }
