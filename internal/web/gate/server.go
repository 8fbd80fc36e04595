package gate

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"

	"pec-ingest/internal/web"
)

// maxConns bounds the connections of one server. When all are taken, the one
// that has waited longest for its other side gives way to the new one: silent
// callers, however many, keep nobody out.
const maxConns = 512

// Server answers for a Gate.
type Server struct {
	http *http.Server
	addr net.Addr
	lock *os.File // of a unix socket
	done chan error
}

// Listen begins to answer on addr, host:port. The page and the feeds are
// there on loopback addresses only: over plain HTTP everything could be read
// on the way. On others monitoring is answered, and nothing else.
func (g *Gate) Listen(addr string) (s *Server, err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", addr, err)
	}
	h := g.open()
	if !OnLoopback(l.Addr()) {
		h = g.words(http.NotFoundHandler())
	}
	return g.serve(l, nil, h), nil
}

// OnLoopback tells whether only this machine can connect.
func OnLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// ListenProxy begins to answer on a unix socket, to the proxy that SetProxy
// named. Every user may connect; who is not the proxy's uid is turned away
// before anything is read.
func (g *Gate) ListenProxy(path string) (*Server, error) {
	lock, l, err := web.OpenSocket(path, 0o666)
	if err != nil {
		return nil, fmt.Errorf("opening the socket %s: %w", path, err)
	}
	return g.serve(&fromUID{UnixListener: l, gate: g}, lock, g.proxied()), nil
}

func (g *Gate) serve(l net.Listener, lock *os.File, h http.Handler) *Server {
	s := &Server{addr: l.Addr(), lock: lock, done: make(chan error, 1), http: &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,

		DisableGeneralOptionsHandler: true, // OPTIONS * is ours to refuse
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		ErrorLog: slog.NewLogLogger(g.opts.Log.Handler(), slog.LevelDebug),
	}}
	go func() { s.done <- s.http.Serve(&crowd{Listener: l, max: maxConns}) }()
	return s
}

// Addr is where it listens.
func (s *Server) Addr() net.Addr { return s.addr }

// Close ends all connections.
func (s *Server) Close() error {
	err := s.http.Close()
	if serveErr := <-s.done; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// fromUID accepts the proxy's connections only.
type fromUID struct {
	*net.UnixListener
	gate *Gate
}

func (l *fromUID) Accept() (net.Conn, error) {
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		uid, err := web.PeerUID(conn)
		if p := l.gate.proxy.Load(); err == nil && p != nil && uid == p.UID {
			return conn, nil
		}
		l.gate.opts.Log.Warn("somebody else than the proxy called on its socket", "event", "page.not_proxy", "uid", uid,
			"hint", "web.proxy_uid names the account that the proxy runs as")
		_ = conn.Close()
	}
}

// crowd accepts connections without end, and has max of them open at most.
type crowd struct {
	net.Listener
	max int

	mu      sync.Mutex
	open    int
	waiting list.List // *member, the longest waiting first
}

// member is one of the crowd. While the gate works for somebody who is inside
// it is not waiting, and never gives way.
type member struct {
	net.Conn
	crowd *crowd
	place *list.Element // nil: not waiting
	gone  bool
}

func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if m := c.enter(conn); m != nil {
			return m, nil
		}
		_ = conn.Close()
	}
}

// enter makes room where there is none; nil where all are at work.
func (c *crowd) enter(conn net.Conn) *member {
	var first *member
	c.mu.Lock()
	if c.open >= c.max {
		e := c.waiting.Front()
		if e == nil {
			c.mu.Unlock()
			return nil
		}
		first = e.Value.(*member)
		c.leave(first)
	}
	m := &member{Conn: conn, crowd: c}
	m.place = c.waiting.PushBack(m)
	c.open++
	c.mu.Unlock()
	if first != nil {
		_ = first.Conn.Close()
	}
	return m
}

// leave is called with the lock held.
func (c *crowd) leave(m *member) {
	if m.gone {
		return
	}
	m.gone = true
	c.open--
	if m.place != nil {
		c.waiting.Remove(m.place)
		m.place = nil
	}
}

func (m *member) Close() error {
	m.crowd.mu.Lock()
	m.crowd.leave(m)
	m.crowd.mu.Unlock()
	return m.Conn.Close()
}

type connKey struct{}

// protect keeps a request's connection from giving way until the function
// that it returns is called.
func protect(r *http.Request) (end func()) {
	m, ok := r.Context().Value(connKey{}).(*member)
	if !ok {
		return func() {}
	}
	m.work(true)
	return func() { m.work(false) }
}

func (m *member) work(busy bool) {
	c := m.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case m.gone:
	case busy && m.place != nil:
		c.waiting.Remove(m.place)
		m.place = nil
	case !busy && m.place == nil:
		m.place = c.waiting.PushBack(m)
	}
}
