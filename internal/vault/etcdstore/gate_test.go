package etcdstore_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
)

// mode is what a gate does with what comes.
type mode int

const (
	open1 mode = iota // passes everything
	cut               // closes connections, takes none
	hole              // keeps connections and passes nothing
	deaf              // passes requests, and closes when an answer comes
)

// gate stands in front of an address and can be shut.
type gate struct {
	l      net.Listener
	target string

	mu    sync.Mutex
	mode  mode
	moved chan struct{} // closed when the mode changes
	conns map[net.Conn]bool
	// refuse, if set, tells which peers (their member id, in hexadecimal) are
	// not let through.
	refuse func(from string) bool
}

func newGate(tb testing.TB, target string, refuse func(from string) bool) *gate {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	g := &gate{l: l, target: target, moved: make(chan struct{}), conns: map[net.Conn]bool{}, refuse: refuse}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { g.serve(c) })
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		g.set(cut)
		all.Wait()
	})
	return g
}

func (g *gate) addr() string { return g.l.Addr().String() }

func (g *gate) set(m mode) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mode = m
	close(g.moved)
	g.moved = make(chan struct{})
	if m == cut {
		for c := range g.conns {
			_ = c.Close()
		}
	}
}

func (g *gate) now() (mode, chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mode, g.moved
}

// keep notes a connection, for as long as it is served; false where none is
// taken.
func (g *gate) keep(c net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mode == cut {
		return false
	}
	g.conns[c] = true
	return true
}

func (g *gate) forget(c net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
}

func (g *gate) serve(client net.Conn) {
	defer client.Close()
	if !g.keep(client) {
		return
	}
	defer g.forget(client)
	server, err := net.Dial("tcp", g.target)
	if err != nil {
		return
	}
	defer server.Close()
	var begin []byte
	if g.refuse != nil { // peers say who they are in their first request
		var ok bool
		if begin, ok = g.admit(client); !ok {
			return
		}
		if _, err := server.Write(begin); err != nil {
			return
		}
	}
	if !g.keep(server) {
		return
	}
	defer g.forget(server)
	var both sync.WaitGroup
	both.Go(func() { g.pass(server, client, false) })
	both.Go(func() { g.pass(client, server, true) })
	both.Wait()
}

func (g *gate) admit(client net.Conn) (begin []byte, ok bool) {
	var seen bytes.Buffer
	r, err := http.ReadRequest(bufio.NewReader(io.TeeReader(client, &seen)))
	if err != nil || g.refuse(r.Header.Get("X-Server-From")) {
		return nil, false
	}
	return seen.Bytes(), true
}

func (g *gate) pass(to, from net.Conn, answer bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			m, moved := g.now()
			for m == hole {
				<-moved
				m, moved = g.now()
			}
			if m == cut || m == deaf && answer {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
