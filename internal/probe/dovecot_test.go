package probe_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/probe"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/servertest"
)

func at(d *servertest.Dovecot) probe.Target {
	return probe.Target{Addr: d.Addr(), RootCAs: d.CA().Pool()}
}

func TestDovecot(t *testing.T) {
	passwords := map[string]string{
		"guide@pec.example":  "1$lhW",
		"euro@pec.example":   `€ "quoted" \back\ `,
		"blanks@pec.example": "  two  blanks  ",
		"braces@pec.example": "{5}%s*()",
		"long@pec.example":   strings.Repeat("Aa1!", 100),
		"accent@pec.example": "perché-ñ-日本",
	}
	users := []servertest.User{{Name: "off@pec.example", Password: "right", Disabled: true}}
	for name, pw := range passwords {
		users = append(users, servertest.User{Name: name, Password: pw})
	}
	d := servertest.StartDovecot(t, servertest.DovecotOptions{Users: users})
	noPlain := proxy(t, d, rewrite(func(s string) string { return strings.ReplaceAll(s, "AUTH=PLAIN", "") }))

	for name, pw := range passwords {
		for _, target := range []probe.Target{at(d), noPlain} {
			if r := tryOn(t, target, name, pw); r.Outcome != probe.Accepted || !r.Sent {
				t.Errorf("%s, right: got %+v", name, r)
			}
		}
		if r := tryOn(t, at(d), name, pw+"x"); r.Outcome != probe.Refused || !r.Denied {
			t.Errorf("%s, wrong: got %+v", name, r)
		}
		// One login a probe, never a second try.
		if got, want := d.Logins(name), (servertest.LoginCount{OK: 2, Refused: 1}); got != want {
			t.Errorf("%s: got %+v logins, want %+v", name, got, want)
		}
	}
	if r := tryOn(t, noPlain, "euro@pec.example", "wrong €"); r.Outcome != probe.Refused {
		t.Errorf("wrong with LOGIN: got %+v", r)
	}
	if r := tryOn(t, at(d), "nobody@pec.example", "x"); r.Outcome != probe.Refused {
		t.Errorf("unknown user: got %+v", r)
	}
	r := tryOn(t, at(d), "off@pec.example", "right")
	t.Logf("disabled: %+v", r)
	if r.Outcome != probe.NotEnabled || !r.Denied {
		t.Errorf("disabled user: got %+v, want not-enabled", r)
	}
	if got := d.Logins("off@pec.example"); got.OK != 0 || got.Refused != 1 {
		t.Errorf("disabled user: got %+v", got)
	}

	start := probe.Target{Addr: d.StartTLSAddr(), RootCAs: d.CA().Pool(), STARTTLS: true}
	if r := tryOn(t, start, "guide@pec.example", "1$lhW"); r.Outcome != probe.Accepted {
		t.Errorf("STARTTLS: got %+v", r)
	}
	start.STARTTLS = false
	if r := tryOn(t, start, "guide@pec.example", "1$lhW"); r.Outcome != probe.TLS || r.Sent {
		t.Errorf("TLS on a port without: got %+v", r)
	}
	// A name that the certificate lacks, a foreign authority.
	wrong := at(d)
	wrong.ServerName = "imaps.pec.aruba.it"
	if r := tryOn(t, wrong, "guide@pec.example", "1$lhW"); r.Outcome != probe.TLS || r.Sent {
		t.Errorf("wrong name: got %+v", r)
	}
	wrong = at(d)
	wrong.RootCAs = servertest.NewCA(t).Pool()
	if r := tryOn(t, wrong, "guide@pec.example", "1$lhW"); r.Outcome != probe.TLS || r.Sent {
		t.Errorf("foreign authority: got %+v", r)
	}
	if got := d.Logins("guide@pec.example"); got.OK != 3 {
		t.Errorf("got %d logins after those, want 3", got.OK)
	}

	d.Stop()
	if r := tryOn(t, at(d), "guide@pec.example", "1$lhW"); r.Outcome != probe.Network || !strings.Contains(r.Detail, "refused") {
		t.Errorf("server down: got %+v", r)
	}
}

func tryOn(t *testing.T, target probe.Target, login, password string) probe.Result {
	t.Helper()
	r := probe.Login(t.Context(), target, login, secret.FromString(password))
	if strings.Contains(r.Detail, password) && len(password) > 1 || strings.Contains(r.Detail, "@") {
		t.Errorf("detail shows too much: %q", r.Detail)
	}
	return r
}

func TestDovecotExpiredCertificate(t *testing.T) {
	d := servertest.StartDovecot(t, servertest.DovecotOptions{Leaf: servertest.Leaf{Expired: true}})
	r := tryOn(t, at(d), "guide@pec.example", "right")
	if r.Outcome != probe.TLS || !strings.Contains(r.Detail, "expired") || r.Sent {
		t.Errorf("got %+v", r)
	}
}

func TestDovecotWithoutTLS(t *testing.T) {
	d := servertest.StartDovecot(t, servertest.DovecotOptions{Users: []servertest.User{{Name: "a@pec.example", Password: "right"}}})
	// As a server without TLS would look: its STARTTLS fails.
	target := proxyPlain(t, d)
	target.STARTTLS = true
	if r := tryOn(t, target, "a@pec.example", "right"); r.Outcome != probe.TLS || r.Sent {
		t.Errorf("got %+v, want tls and nothing sent", r)
	}
}

// An answer that keeps us waiting longer than we may wait is no answer.
func TestDovecotSlow(t *testing.T) {
	const delay = 90 * time.Second
	d := servertest.StartDovecot(t, servertest.DovecotOptions{
		Users: []servertest.User{{Name: "a@pec.example", Password: "right"}}, Extra: "auth_failure_delay = 90 secs\n",
	})
	target := at(d)
	// As long as a busy machine takes until the password is sent.
	for target.Timeout = time.Second; ; target.Timeout *= 2 {
		start := time.Now()
		r := tryOn(t, target, "nobody@pec.example", "wrong")
		took := time.Since(start)
		if !r.Sent && target.Timeout < probe.MaxTime {
			continue
		}
		if r.Outcome != probe.Network || !r.Sent || took >= delay {
			t.Errorf("got %+v after %v, want network within the time", r, took)
		}
		break
	}
	if r := tryOn(t, at(d), "a@pec.example", "right"); r.Outcome != probe.Accepted {
		t.Errorf("right: got %+v", r)
	}
}

// A directory that can't be read is the server's trouble, not a wrong
// password; and so is a limit on connections.
func TestDovecotTrouble(t *testing.T) {
	d := servertest.StartDovecot(t, servertest.DovecotOptions{
		Users: []servertest.User{{Name: "a@pec.example", Password: "right"}},
		Extra: "passdb {\n driver = checkpassword\n args = /nonexistent/checkpassword\n}\nmail_max_userip_connections = 1\n",
	})
	r := tryOn(t, at(d), "b@pec.example", "right")
	t.Logf("directory: %+v", r)
	if r.Outcome != probe.Unavailable || !r.Denied {
		t.Errorf("unreadable directory: got %+v, want unavailable", r)
	}

	held, err := tls.Dial("tcp", d.Addr(), d.ClientTLS())
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	_ = held.SetDeadline(time.Now().Add(2 * time.Minute))
	_, _ = io.WriteString(held, "a LOGIN a@pec.example right\r\n")
	in := bufio.NewReader(held)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, "a ") {
			if !strings.HasPrefix(line, "a OK") {
				t.Fatalf("holding a session: %s", line)
			}
			break
		}
	}
	r = tryOn(t, at(d), "a@pec.example", "right")
	t.Logf("connections: %+v", r)
	if r.Outcome != probe.RateLimited {
		t.Errorf("too many connections: got %+v, want rate-limited", r)
	}
}

// The connection to a real server is cut in the middle and at the end of each
// line that it sends. Until the whole proof is there, the answer is network.
func TestDovecotCutAtEveryStep(t *testing.T) {
	d := servertest.StartDovecot(t, servertest.DovecotOptions{Users: []servertest.User{{Name: "a@pec.example", Password: "right"}}})
	for _, c := range []struct {
		password string
		want     probe.Outcome
	}{{"right", probe.Accepted}, {"wrong", probe.Refused}} {
		lines, done := 0, false
		for ; !done && lines < 20; lines++ {
			for _, half := range []bool{true, false} {
				n := 0
				target := proxy(t, d, func(line string) (string, bool) {
					n++
					if n <= lines {
						return line, true
					}
					if half {
						return line[:len(line)/2], false
					}
					return "", false
				})
				switch r := tryOn(t, target, "a@pec.example", c.password); r.Outcome {
				case probe.Network:
				case c.want:
					done = true
				default:
					t.Fatalf("%s, cut in line %d: got %+v", c.password, lines+1, r)
				}
			}
		}
		if !done || lines < 4 {
			t.Errorf("%s: got the answer after %d lines (%v), want it after at least four", c.password, lines, done)
		}
	}
}

// lineFilter changes a line of the server, or ends the connection after it.
type lineFilter func(line string) (string, bool)

func rewrite(fn func(string) string) lineFilter {
	return func(s string) (string, bool) { return fn(s), true }
}

// proxy stands before a Dovecot with a certificate of the same authority and
// passes its lines through filter. It serves one connection at a time.
func proxy(t *testing.T, d *servertest.Dovecot, filter lineFilter) probe.Target {
	t.Helper()
	conf := d.CA().ServerConfig(t, servertest.Leaf{})
	addr := listen(t, func(c net.Conn) {
		near := tls.Server(c, conf)
		far, err := tls.Dial("tcp", d.Addr(), d.ClientTLS())
		if err != nil {
			t.Errorf("reaching the server: %v", err)
			return
		}
		pass(near, far, filter)
	})
	return probe.Target{Addr: addr, RootCAs: d.CA().Pool()}
}

// proxyPlain passes lines to the port without TLS and answers STARTTLS itself.
func proxyPlain(t *testing.T, d *servertest.Dovecot) probe.Target {
	t.Helper()
	addr := listen(t, func(c net.Conn) {
		far, err := net.Dial("tcp", d.StartTLSAddr())
		if err != nil {
			t.Errorf("reaching the server: %v", err)
			return
		}
		pass(c, far, func(line string) (string, bool) {
			if tag, rest, _ := strings.Cut(line, " "); tag != "*" && strings.HasPrefix(rest, "OK Begin TLS") {
				return tag + " BAD TLS support isn't enabled.\r\n", true
			}
			return line, true
		})
	})
	return probe.Target{Addr: addr, RootCAs: d.CA().Pool()}
}

// listen serves each connection with serve; everything ends with the test.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	return l.Addr().String()
}

func pass(near, far net.Conn, filter lineFilter) {
	ctx, cancel := context.WithCancel(context.Background())
	stop := context.AfterFunc(ctx, func() { near.Close(); far.Close() })
	defer stop()
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		defer cancel()
		_, _ = io.Copy(far, near)
	}()
	in := bufio.NewReader(far)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			break
		}
		out, more := filter(line)
		if _, err := io.WriteString(near, out); err != nil || !more {
			break
		}
	}
	near.Close()
	far.Close()
	<-copied
}
