package bench

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy passes connections on and counts their bytes: what is on the wire, TLS
// included, as somebody else sees it.
type proxy struct {
	l        net.Listener
	to       string
	fromIMAP atomic.Int64 // server to program
	toIMAP   atomic.Int64
	conns    sync.WaitGroup

	waiting atomic.Bool  // for the first bytes from the server after a mark
	first   atomic.Int64 // when they came, in Unix nanoseconds
}

func startProxy(tb testing.TB, to string) *proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{l: l, to: to}
	go p.serve()
	tb.Cleanup(func() { _ = l.Close(); p.conns.Wait() })
	return p
}

func (p *proxy) addr() string { return p.l.Addr().String() }

func (p *proxy) serve() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		p.conns.Go(func() { p.pass(c) })
	}
}

func (p *proxy) pass(c net.Conn) {
	s, err := net.Dial("tcp", p.to)
	if err != nil {
		_ = c.Close()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(counter{s, &p.toIMAP}, c)
		_ = s.Close()
	}()
	_, _ = io.Copy(counter{watch{c, p}, &p.fromIMAP}, s)
	_ = c.Close()
	<-done
}

// take returns the bytes counted since the last call.
func (p *proxy) take() (fromIMAP, toIMAP int64) { return p.fromIMAP.Swap(0), p.toIMAP.Swap(0) }

// mark begins to wait for the server's next word.
func (p *proxy) mark() { p.waiting.Store(true) }

// firstAfterMark is when the server said something since then, unasked if
// nobody asked.
func (p *proxy) firstAfterMark() time.Time { return time.Unix(0, p.first.Load()) }

type watch struct {
	io.Writer
	p *proxy
}

func (w watch) Write(b []byte) (int, error) {
	if w.p.waiting.CompareAndSwap(true, false) {
		w.p.first.Store(time.Now().UnixNano())
	}
	return w.Writer.Write(b)
}

type counter struct {
	io.Writer
	n *atomic.Int64
}

// Write counts first: who has read the bytes finds them counted.
func (c counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return c.Writer.Write(b)
}
