package probe_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pec-ingest/internal/probe"
	"pec-ingest/internal/secret"
)

// cutConn ends the connection after so many bytes were written.
type cutConn struct {
	net.Conn
	left *int
}

func (c *cutConn) Write(b []byte) (int, error) {
	if len(b) > *c.left {
		b = b[:*c.left]
	}
	*c.left -= len(b)
	n, err := c.Conn.Write(b)
	if *c.left == 0 {
		c.Close()
	}
	return n, err
}

// countConn counts what is read from the network.
type countConn struct {
	net.Conn
	read *int
}

func (c countConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	*c.read += n
	return n, err
}

// A server that never ends, at each step: no more than the limit is read, and
// the answer is trouble.
func TestEndlessOutput(t *testing.T) {
	for name, flood := range map[string]string{
		"untagged lines": "* OK still here\r\n",
		"capabilities":   "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n",
		"one line":       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
		"empty lines":    "\r\n",
		"goodbyes":       "* BYE\r\n",
	} {
		for step := range 5 {
			f := newFake(t, func(s *client) {
				steps := []exchangeStep{capPlain, askPlain, says("TAG OK in\r\n"), listed}
				s.send(ready)
				for _, x := range steps[:step] {
					if x.command == "" {
						s.line()
					} else {
						s.command()
					}
					s.send(x.answer)
				}
				s.drain()
				chunk := []byte(strings.Repeat(flood, 100))
				for {
					if _, err := s.conn.Write(chunk); err != nil {
						return
					}
				}
			})
			read := 0
			target := f.target()
			target.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := f.dial(ctx, network, addr)
				return countConn{c, &read}, err
			}
			r := try(t, f, target)
			f.lines()
			want := probe.Unavailable
			if step == 4 { // the proof was complete before the flood
				want = probe.Accepted
			}
			if r.Outcome != want {
				t.Errorf("%s, step %d: got %+v, want %s", name, step, r, want)
			}
			if read > probe.MaxBytes {
				t.Errorf("%s, step %d: read %d bytes, want at most %d", name, step, read, probe.MaxBytes)
			}
		}
	}
}

// A server that falls silent at each step, one that stops reading, and one
// that sends a byte now and then: the probe ends on time.
func TestTimeLimit(t *testing.T) {
	steps := []exchangeStep{capPlain, askPlain, says("TAG OK in\r\n"), listed}
	for step := range len(steps) + 1 {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t, func(s *client) {
				if step == 0 {
					time.Sleep(time.Hour) // no greeting, no reading
					return
				}
				s.send(ready)
				for i, x := range steps[:step] {
					if x.command == "" {
						s.line()
					} else {
						s.command()
					}
					if i == step-1 {
						time.Sleep(time.Hour)
						return
					}
					s.send(x.answer)
				}
			})
			start := time.Now()
			r := try(t, f, f.target())
			took := time.Since(start)
			if r.Outcome != probe.Network || !strings.Contains(r.Detail, "no answer in time") || took != probe.MaxTime {
				t.Errorf("step %d: got %+v after %v, want network after %v", step, r, took, probe.MaxTime)
			}
			f.lines()
		})
	}
}

func TestDrippingServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, func(s *client) {
			s.send(ready)
			s.command()
			for {
				if _, err := s.conn.Write([]byte("* OK still here\r\n")); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		})
		start := time.Now()
		r := try(t, f, f.target())
		if took := time.Since(start); r.Outcome != probe.Network || took != probe.MaxTime {
			t.Errorf("got %+v after %v", r, took)
		}
		f.lines()
	})
}

// A server that was right and then is slow to say goodbye doesn't change the
// outcome, and holds the probe for a moment only.
func TestSilentGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, func(s *client) {
			s.send(ready)
			for _, x := range []exchangeStep{capPlain, askPlain, says("TAG OK in\r\n"), listed} {
				if x.command == "" {
					s.line()
				} else {
					s.command()
				}
				s.send(x.answer)
			}
			time.Sleep(time.Hour)
		})
		start := time.Now()
		r := try(t, f, f.target())
		if took := time.Since(start); r.Outcome != probe.Accepted || took > 3*time.Second {
			t.Errorf("got %+v after %v", r, took)
		}
		f.lines()
	})
}

// A server that says goodbye and then leaves the connection open is not waited
// for.
func TestGoodbyeWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, func(s *client) {
			s.send(ready)
			s.command()
			s.send("* BYE Too many connections\r\n")
			time.Sleep(time.Hour)
		})
		start := time.Now()
		r := try(t, f, f.target())
		if took := time.Since(start); r.Outcome != probe.RateLimited || took > 3*time.Second {
			t.Errorf("got %+v after %v", r, took)
		}
		f.lines()
	})
}

func TestTimeoutIsOnlyEverShortened(t *testing.T) {
	for given, want := range map[time.Duration]time.Duration{
		0: probe.MaxTime, -1: probe.MaxTime, time.Hour: probe.MaxTime, 5 * time.Second: 5 * time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t, func(s *client) { time.Sleep(2 * time.Hour) })
			target := f.target()
			target.Timeout = given
			start := time.Now()
			if r := try(t, f, target); r.Outcome != probe.Network || time.Since(start) != want {
				t.Errorf("%v: got %+v after %v, want %v", given, r, time.Since(start), want)
			}
			f.lines()
		})
	}
}

// STARTTLS: what stands before TLS counts for nothing, and nothing secret is
// sent there.
func TestStartTLS(t *testing.T) {
	good := []exchangeStep{capPlain, askPlain, says("TAG OK in\r\n"), listed}
	for _, c := range []struct {
		name     string
		greeting string
		answer   string // to STARTTLS
		want     probe.Outcome
	}{
		{"good", ready, "TAG OK begin\r\n", probe.Accepted},
		{"not offered", ready, "TAG BAD unknown command\r\n", probe.TLS},
		{"refused", ready, "TAG NO not now\r\n", probe.TLS},
		{"text ahead of TLS", ready, "TAG OK begin\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n", probe.TLS},
		{"let in without TLS", "* PREAUTH in\r\n", "", probe.Unavailable},
		{"then no TLS", ready, "TAG OK begin\r\n", probe.TLS},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f *fake
			f = newFake(t, func(s *client) {
				s.send(c.greeting)
				if s.command() != "STARTTLS" {
					return
				}
				s.send(c.answer)
				if c.name == "then no TLS" {
					s.line()
					s.send("* OK who needs it\r\n")
					return
				}
				if c.want == probe.Accepted {
					s.conn = tls.Server(s.conn, f.tls)
					s.r = bufio.NewReader(s.conn)
					s.play("", good...)
				}
			})
			f.plain = true
			target := f.target()
			target.STARTTLS = true
			r := try(t, f, target)
			if r.Outcome != c.want || r.Sent != (c.want == probe.Accepted) {
				t.Errorf("got %+v, want %s", r, c.want)
			}
			f.lines()
		})
	}
}

// Whatever a server sends at whatever step: no panic, no acceptance without
// the whole exchange, no refusal without a NO to the password.
func FuzzServer(f *testing.F) {
	f.Add(byte(0), "* OK ready\r\n* OK\r\n")
	f.Add(byte(1), "* CAPABILITY IMAP4rev1 LOGINDISABLED\r\nTAG OK\r\n")
	f.Add(byte(2), "+\r\nTAG NO [AUTHENTICATIONFAILED] x\r\n")
	f.Add(byte(3), "TAG NO [AUTHENTICATIONFAILED] x\r\n")
	f.Add(byte(4), "TAG OK\r\n")
	f.Fuzz(func(t *testing.T, step byte, words string) {
		at := int(step % 5)
		srv := newFake(t, func(s *client) {
			answers := []exchangeStep{{"", ready}, capPlain, askPlain, says("TAG OK in\r\n"), listed}
			for i, x := range answers {
				if i > 0 {
					if x.command == "" {
						s.line()
					} else {
						s.command()
					}
				}
				if i == at {
					s.send(words)
					return
				}
				s.send(x.answer)
			}
		})
		r := probe.Login(t.Context(), srv.target(), login, secret.FromString(password))
		srv.lines()
		if r.Outcome == probe.Accepted && (at != 4 || !strings.Contains(words, "TAG ")) {
			t.Fatalf("step %d, %q: accepted", at, words)
		}
		if r.Outcome == probe.Refused && !(at == 3 && r.Denied && strings.Contains(strings.ToUpper(words), "TAG NO")) {
			t.Fatalf("step %d, %q: refused", at, words)
		}
		if strings.ContainsAny(r.Detail, "\r\n\x00\x1b") {
			t.Fatalf("unsafe detail %q", r.Detail)
		}
	})
}
