package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Health answers monitoring over TCP: GET /healthz (does the service move?)
// and GET /readyz (does it read the inbox?), to anybody who can connect, with
// one word and nothing else: no name, count or version.
type Health struct {
	// Alive and Ready must answer within healthTimeout.
	Alive, Ready func(context.Context) bool
	Log          *slog.Logger // nil: nothing is logged
}

const (
	healthTimeout = 3 * time.Second
	maxHealth     = 32 // connections at a time; more wait in the kernel
)

// HealthServer is a Health that listens.
type HealthServer struct {
	http *http.Server
	addr net.Addr
	done chan error
}

// ListenHealth begins to answer on addr, host:port.
func ListenHealth(addr string, h Health) (*HealthServer, error) {
	if h.Log == nil {
		h.Log = slog.New(slog.DiscardHandler)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", addr, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", word(h.Alive))
	mux.HandleFunc("GET /readyz", word(h.Ready))
	s := &HealthServer{addr: l.Addr(), done: make(chan error, 1), http: &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       headerTimeout,
		WriteTimeout:      healthTimeout + headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(h.Log.Handler(), slog.LevelDebug),
	}}
	s.http.SetKeepAlivesEnabled(false)
	go func() {
		s.done <- s.http.Serve(&few{Listener: l, slots: make(chan struct{}, maxHealth), closed: make(chan struct{})})
	}()
	return s, nil
}

// Addr is where it listens.
func (s *HealthServer) Addr() string { return s.addr.String() }

// Close ends all connections.
func (s *HealthServer) Close() error {
	err := s.http.Close()
	if serveErr := <-s.done; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

func word(ask func(context.Context) bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
		defer cancel()
		h := w.Header()
		h.Set("Content-Type", "text/plain; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		if !ask(ctx) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "no\n")
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	}
}

// few accepts as many connections as there are slots.
type few struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

func (f *few) Close() error {
	f.once.Do(func() { close(f.closed) })
	return f.Listener.Close()
}

func (f *few) Accept() (net.Conn, error) {
	select {
	case f.slots <- struct{}{}:
	case <-f.closed:
		return nil, net.ErrClosed
	}
	c, err := f.Listener.Accept()
	if err != nil {
		<-f.slots
		return nil, err
	}
	return &slotted{Conn: c, slots: f.slots}, nil
}

// slotted gives its slot back once, when it is closed.
type slotted struct {
	net.Conn
	slots  chan struct{}
	closed sync.Once
}

func (c *slotted) Close() error {
	c.closed.Do(func() { <-c.slots })
	return c.Conn.Close()
}
