package inbox_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// fault is what the proxy does once limit bytes have come from the server.
type fault int

const (
	cut       fault = iota // closes both sides
	reset                  // the same with RST
	blackHole              // passes nothing more, closes nothing
	halfClose              // ends the server's direction, leaves ours open
)

// proxy stands between client and server and breaks one connection.
type proxy struct {
	addr   string
	l      net.Listener
	target string
	what   fault
	limit  int64
	passed atomic.Int64 // bytes from the server

	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
}

// startProxy passes the first limit bytes of the server on; limit < 0 passes
// everything.
func startProxy(t testing.TB, target string, what fault, limit int64) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), l: l, target: target, what: what, limit: limit}
	p.wg.Add(1)
	go p.accept()
	t.Cleanup(p.stop)
	return p
}

func (p *proxy) stop() {
	p.l.Close()
	p.mu.Lock()
	for _, c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *proxy) accept() {
	defer p.wg.Done()
	for {
		client, err := p.l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.wg.Add(2)
		go func() { defer p.wg.Done(); _, _ = io.Copy(server, client); server.Close() }()
		go func() { defer p.wg.Done(); p.forward(client.(*net.TCPConn), server) }()
	}
}

func (p *proxy) forward(client *net.TCPConn, server net.Conn) {
	buf := make([]byte, 4096)
	for {
		room := int64(len(buf))
		if p.limit >= 0 {
			room = min(room, p.limit-p.passed.Load())
		}
		if room == 0 {
			break
		}
		n, err := server.Read(buf[:room])
		if n > 0 {
			// A client that has a whole answer speaks again: of what it says
			// after the fault nothing may reach the server, where it would be
			// done while the test goes on.
			if p.passed.Add(int64(n)) == p.limit && (p.what == cut || p.what == reset) {
				server.Close()
			}
			if _, werr := client.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			client.Close()
			return
		}
	}
	switch p.what {
	case reset:
		_ = client.SetLinger(0)
		client.Close()
		server.Close()
	case cut:
		client.Close()
		server.Close()
	case halfClose:
		_ = client.CloseWrite()
	case blackHole:
	}
}
