// Package faultproxy stands between a program and a server, in tests, and
// breaks what passes between them.
//
// Proxy knows bytes only: it cuts, stalls, slows and half-closes TCP
// connections at a given place, TLS inside or not. Front ends the TLS of an
// IMAP connection, opens another one to the server and changes what is said.
//
// It imports nothing of this module.
package faultproxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Kind is what is done to a connection.
type Kind string

const (
	None      Kind = ""
	Cut       Kind = "cut"        // both sides are closed
	Reset     Kind = "reset"      // the same with RST towards the program
	BlackHole Kind = "black hole" // nothing more is passed on, nothing is closed
	HalfClose Kind = "half-close" // the program sees the end of the stream and may go on talking; over TLS a truncation
	Trickle   Kind = "trickle"    // one byte each Delay from there on
	Latency   Kind = "latency"    // each flight from there on waits Delay
)

// Side is the direction whose flights are counted.
type Side int

const (
	Server Side = iota // what the server says
	Client             // what the program says
)

func (s Side) String() string {
	if s == Client {
		return "client"
	}
	return "server"
}

// Fault is one thing that goes wrong, at most once in a Proxy's life (Trickle
// and Latency last).
//
// A flight is what one side says until the other one speaks. The fault comes
// when Bytes bytes of the Flight-th flight (from 1) of Side on the Conn-th
// connection (from 1; 0 is any) have been passed on, and more has come: with
// Bytes 0 it is the answer that is lost, or the command.
type Fault struct {
	Kind   Kind
	Side   Side
	Conn   int
	Flight int
	Bytes  int
	Delay  time.Duration
}

// Proxy passes connections on to one server until its fault comes.
type Proxy struct {
	l      net.Listener
	target string
	wg     sync.WaitGroup

	mu      sync.Mutex
	fault   Fault
	hit     bool
	conns   []net.Conn
	flights [][2][]int // of each connection: bytes of each flight of server and client
	stopped bool
}

// Listen starts a proxy on 127.0.0.1 that ends with the test. target is
// host:port.
func Listen(tb testing.TB, target string, f Fault) *Proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{l: l, target: target, fault: f}
	p.wg.Go(p.accept)
	tb.Cleanup(p.Stop)
	return p
}

// Addr is host:port to connect to instead of the server.
func (p *Proxy) Addr() string { return p.l.Addr().String() }

// Hit tells whether the fault has come.
func (p *Proxy) Hit() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hit
}

// Flights gives, for each connection so far, how many bytes each flight of
// that side had.
func (p *Proxy) Flights(s Side) (all [][]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.flights {
		all = append(all, append([]int(nil), f[s]...))
	}
	return all
}

// Stop closes the listener and every connection and waits for their end.
func (p *Proxy) Stop() {
	p.mu.Lock()
	p.stopped = true
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	_ = p.l.Close()
	p.wg.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		if p.stopped {
			p.mu.Unlock()
			_ = client.Close()
			_ = server.Close()
			return
		}
		p.conns = append(p.conns, client, server)
		p.flights = append(p.flights, [2][]int{})
		c := &conn{p: p, n: len(p.flights), client: client.(*net.TCPConn), server: server.(*net.TCPConn), last: -1}
		p.mu.Unlock()
		p.wg.Go(func() { c.pass(Client, c.client, c.server) })
		p.wg.Go(func() { c.pass(Server, c.server, c.client) })
	}
}

// conn is one connection through the proxy.
type conn struct {
	p              *Proxy
	n              int // from 1
	client, server *net.TCPConn
	last           Side // who spoke last; guarded by p.mu
}

// errFault ends a direction.
var errFault = errors.New("faultproxy: the fault has come")

// pass copies one direction until it ends.
func (c *conn) pass(side Side, from, to *net.TCPConn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if c.forward(side, buf[:n], to) != nil {
				return
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				_ = to.CloseWrite()
			} else {
				_ = to.Close()
			}
			return
		}
	}
}

// forward passes b on, or as much of it as comes before the fault.
func (c *conn) forward(side Side, b []byte, to *net.TCPConn) error {
	p := c.p
	p.mu.Lock()
	list := &p.flights[c.n-1][side]
	begins := c.last != side
	if begins {
		*list = append(*list, 0)
		c.last = side
	}
	flight, before := len(*list), (*list)[len(*list)-1]
	(*list)[len(*list)-1] += len(b)
	f, keep := p.fault, len(b)
	here := f.Side == side && (f.Conn == 0 || f.Conn == c.n)
	comes := false
	switch {
	case f.Kind == None || !here || flight < f.Flight:
	case f.Kind == Trickle || f.Kind == Latency:
		comes = true
	case p.hit && f.Conn == 0: // once is enough, whatever the connection
	case flight == f.Flight && before+len(b) > f.Bytes:
		comes, keep = true, f.Bytes-before
	}
	if comes {
		p.hit = true
	}
	p.mu.Unlock()

	switch {
	case comes && f.Kind == Trickle:
		return trickle(b, to, f.Delay)
	case comes && f.Kind == Latency && begins:
		time.Sleep(f.Delay)
	}
	if _, err := to.Write(b[:max(keep, 0)]); err != nil {
		return err
	}
	if !comes || f.Kind == Latency {
		return nil
	}
	switch f.Kind {
	case Reset:
		_ = c.client.SetLinger(0)
		fallthrough
	case Cut:
		_ = c.client.Close()
		_ = c.server.Close()
	case HalfClose:
		_ = to.CloseWrite()
	case BlackHole:
	}
	return errFault
}

func trickle(b []byte, to net.Conn, delay time.Duration) error {
	for i := range b {
		time.Sleep(delay)
		if _, err := to.Write(b[i : i+1]); err != nil {
			return err
		}
	}
	return nil
}
