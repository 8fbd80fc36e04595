package faultproxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Script changes what an IMAP server says. Both functions may be nil; they
// are called by several goroutines.
type Script struct {
	// Command is given each command without its tag ("UID FETCH 1:3 (…)") and
	// how many the connection has seen. If it returns an answer, that is said
	// instead and the server never sees the command; "TAG" in it stands for
	// the command's tag.
	Command func(n int, line string) (answer string, ok bool)
	// Response is given each whole response of the server, literals included,
	// and the last command; what it returns is said instead. It may keep and
	// change resp.
	Response func(command string, resp []byte) []byte
}

// What an answer may end with: the connection is closed, or nothing more is
// ever said on it, or the text before goes on for ever.
const (
	HangUp  = "\x00hang up"
	Silence = "\x00silence"
	Endless = "\x00endless"
)

// Front is an IMAP server made of another one and a Script.
type Front struct {
	l        net.Listener
	target   string
	outgoing *tls.Config
	wg       sync.WaitGroup

	mu      sync.Mutex
	script  Script
	conns   []net.Conn
	said    int64
	stopped bool
}

// ListenFront starts a front on 127.0.0.1 that ends with the test. It shows
// the certificate of incoming, and speaks to the server at target as outgoing
// says.
func ListenFront(tb testing.TB, target string, incoming, outgoing *tls.Config, s Script) *Front {
	tb.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", incoming)
	if err != nil {
		tb.Fatal(err)
	}
	f := &Front{l: l, target: target, outgoing: outgoing, script: s}
	f.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.wg.Go(func() { f.serve(c) })
		}
	})
	tb.Cleanup(f.Stop)
	return f
}

// Addr is host:port to connect to instead of the server.
func (f *Front) Addr() string { return f.l.Addr().String() }

// Set changes the script, also of connections that are open.
func (f *Front) Set(s Script) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script = s
}

// Said is how many bytes the program was sent.
func (f *Front) Said() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.said
}

// Stop closes the listener and every connection and waits for their end.
func (f *Front) Stop() {
	_ = f.l.Close()
	f.mu.Lock()
	f.stopped = true
	for _, c := range f.conns {
		_ = c.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
}

func (f *Front) current() Script {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.script
}

func (f *Front) serve(client net.Conn) {
	defer client.Close()
	server, err := tls.Dial("tcp", f.target, f.outgoing)
	if err != nil {
		return
	}
	defer server.Close()
	f.mu.Lock()
	if f.stopped { // while this one was made
		f.mu.Unlock()
		return
	}
	f.conns = append(f.conns, client, server)
	f.mu.Unlock()
	c := &frontConn{f: f, client: client}
	f.wg.Go(func() {
		defer client.Close()
		defer server.Close()
		for r := bufio.NewReader(server); ; {
			resp, err := readResponse(r)
			if err != nil {
				return
			}
			if s := f.current(); s.Response != nil {
				resp = s.Response(c.command(), resp)
			}
			if !c.say("", string(resp)) {
				return
			}
		}
	})
	for r := bufio.NewReader(client); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		tag, text, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		n := c.begin(text)
		if s := f.current(); s.Command != nil && text != "" {
			if answer, ok := s.Command(n, text); ok {
				if !c.say(tag, answer) {
					return
				}
				continue
			}
		}
		if _, err := io.WriteString(server, line); err != nil {
			return
		}
	}
}

// frontConn is one connection through the front.
type frontConn struct {
	f      *Front
	client net.Conn

	mu   sync.Mutex
	n    int
	last string
}

func (c *frontConn) begin(text string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if text != "" { // a line without a tag goes on with a command
		c.n++
		c.last = text
	}
	return c.n
}

func (c *frontConn) command() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// say sends an answer and tells whether the connection goes on.
func (c *frontConn) say(tag, answer string) bool {
	text, end, special := strings.Cut(answer, "\x00")
	text = strings.ReplaceAll(text, "TAG", tag)
	if tag == "" {
		text = answer // the server's own words, whatever they hold
		special = false
		for _, s := range []string{HangUp, Silence, Endless} {
			if cut, ok := strings.CutSuffix(answer, s); ok {
				text, end, special = cut, s[1:], true
			}
		}
	}
	for {
		n, err := io.WriteString(c.client, text)
		c.f.mu.Lock()
		c.f.said += int64(n)
		c.f.mu.Unlock()
		if err != nil {
			return false
		}
		if !special || "\x00"+end != Endless {
			break
		}
	}
	switch {
	case !special:
		return true
	case "\x00"+end == Silence:
		_, _ = io.Copy(io.Discard, c.client) // until the program gives up
	}
	_ = c.client.Close()
	return false
}

// readResponse reads a line and the literals that it goes on after.
func readResponse(r *bufio.Reader) ([]byte, error) {
	var resp []byte
	for {
		line, err := r.ReadBytes('\n')
		resp = append(resp, line...)
		if err != nil {
			return nil, err
		}
		n, ok := LiteralSize(line)
		if !ok {
			return resp, nil
		}
		at := len(resp)
		resp = append(resp, make([]byte, n)...)
		if _, err := io.ReadFull(r, resp[at:]); err != nil {
			return nil, err
		}
	}
}

// LiteralSize reads the "{123}" at the end of a line.
func LiteralSize(line []byte) (int, bool) {
	line = bytes.TrimRight(line, "\r\n")
	i := bytes.LastIndexByte(line, '{')
	if i < 0 || len(line) == 0 || line[len(line)-1] != '}' {
		return 0, false
	}
	n, err := strconv.Atoi(string(line[i+1 : len(line)-1]))
	return n, err == nil && n >= 0
}
