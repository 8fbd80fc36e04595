package probe_test

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pec-ingest/internal/probe"
	"pec-ingest/internal/secret"
)

const (
	login    = "rossi@pec.example"
	password = `se€gr"eto \ 1`
)

func try(t *testing.T, f *fake, target probe.Target) probe.Result {
	t.Helper()
	r := probe.Login(t.Context(), target, login, secret.FromString(password))
	low := strings.ToLower(r.Detail)
	if strings.Contains(low, "gr\"eto") || strings.Contains(low, "rossi") || strings.ContainsAny(r.Detail, "\r\n\x1b") {
		t.Errorf("detail shows too much: %q", r.Detail)
	}
	if r.Detail == "" {
		t.Error("no detail")
	}
	return r
}

// What a server may answer at each step, and what follows from it.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name     string
		greeting string
		steps    []exchangeStep
		want     probe.Outcome
		sent     bool
		denied   bool
	}{
		{"accepted, PLAIN", ready, []exchangeStep{capPlain, askPlain, says("TAG OK in\r\n"), listed}, probe.Accepted, true, false},
		{"accepted, LOGIN", ready, []exchangeStep{capLogin, {"LOGIN {", "+ go\r\n"}, says("+ go\r\n"), says("TAG OK in\r\n"), listed}, probe.Accepted, true, false},
		{"accepted among news", "* OK [CAPABILITY IMAP4rev1] hi\r\n", []exchangeStep{capPlain, askPlain,
			says("* OK Still here\r\n* CAPABILITY IMAP4rev1\r\n* 3 EXISTS\r\nTAG OK [CAPABILITY IMAP4rev1] in\r\n"), listed}, probe.Accepted, true, false},
		{"refused", ready, []exchangeStep{capPlain, askPlain, says("TAG NO [AUTHENTICATIONFAILED] Authentication failed.\r\n")}, probe.Refused, true, true},
		{"refused, LOGIN", ready, []exchangeStep{capLogin, {"LOGIN {", "+\r\n"}, says("+\r\n"), says("TAG NO [AUTHENTICATIONFAILED] no\r\n")}, probe.Refused, true, true},
		{"unclear no", ready, []exchangeStep{capPlain, askPlain, says("TAG NO Login failed.\r\n")}, probe.Unavailable, true, true},
		{"refused, then sent away", ready, []exchangeStep{capPlain, askPlain, says("* BYE bye\r\nTAG NO [AUTHENTICATIONFAILED] no\r\n")}, probe.Refused, true, true},
		{"sent away only", ready, []exchangeStep{capPlain, askPlain, says("* BYE [AUTHENTICATIONFAILED] no\r\n")}, probe.Unavailable, true, false},
		{"password repeated", ready, []exchangeStep{capPlain, askPlain, says("TAG NO [AUTHENTICATIONFAILED] " + password + " is wrong for " + login + "\r\n")}, probe.Refused, true, true},
		{"bad", ready, []exchangeStep{capPlain, askPlain, says("TAG BAD what?\r\n")}, probe.Unavailable, true, false},
		{"asks again", ready, []exchangeStep{capPlain, askPlain, says("+ eyJzdGF0dXMiOiI0MDAifQ==\r\n")}, probe.Unavailable, true, false},
		{"microsoft half in", "* OK The Microsoft Exchange IMAP4 service is ready.\r\n", []exchangeStep{capPlain, askPlain, says("TAG OK AUTHENTICATE completed.\r\n"),
			{"LIST", "TAG BAD User is authenticated but not connected.\r\n"}}, probe.Unavailable, true, false},
		{"no password login", ready, []exchangeStep{{"CAPABILITY", "* CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=XOAUTH2\r\nTAG OK done\r\n"}}, probe.NotEnabled, false, false},
		{"preauth is no proof", "* PREAUTH welcome\r\n", nil, probe.Unavailable, false, false},
		{"OK before the password", ready, []exchangeStep{capPlain, {"AUTHENTICATE", "TAG OK in\r\n"}}, probe.Unavailable, false, false},
		{"OK before the password, LOGIN", ready, []exchangeStep{capLogin, {"LOGIN", "TAG OK in\r\n"}}, probe.Unavailable, false, false},
		{"OK after the name", ready, []exchangeStep{capLogin, {"LOGIN", "+\r\n"}, says("TAG OK in\r\n")}, probe.Unavailable, false, false},
		{"OK ahead of the password", ready, []exchangeStep{capPlain, {"AUTHENTICATE", "+ \r\nTAG OK in\r\n"}}, probe.Unavailable, false, false},
		{"NO ahead of the password", ready, []exchangeStep{capPlain, {"AUTHENTICATE", "+ \r\nTAG NO [AUTHENTICATIONFAILED] no\r\n"}}, probe.Unavailable, false, false},
		{"refused before the password", ready, []exchangeStep{capPlain, {"AUTHENTICATE", "TAG NO [AUTHENTICATIONFAILED] no\r\n"}}, probe.Unavailable, false, false},
		{"later, before the password", ready, []exchangeStep{capPlain, {"AUTHENTICATE", "TAG NO [LIMIT] later\r\n"}}, probe.RateLimited, false, false},
		{"busy", "* BYE Too many connections\r\n", nil, probe.RateLimited, false, false},
		{"closed", "* BYE down for maintenance\r\n", nil, probe.Unavailable, false, false},
		{"busy later", ready, []exchangeStep{{"CAPABILITY", "* BYE Too many connections\r\n"}}, probe.RateLimited, false, false},
		{"no capabilities", ready, []exchangeStep{{"CAPABILITY", "TAG OK done\r\n"}}, probe.Unavailable, false, false},
		{"capabilities refused", ready, []exchangeStep{{"CAPABILITY", "TAG NO why\r\n"}}, probe.Unavailable, false, false},
		{"SMTP", "220 mail ESMTP\r\n", nil, probe.Unavailable, false, false},
		{"POP", "+OK POP3 ready\r\n", nil, probe.Unavailable, false, false},
		{"HTTP", "HTTP/1.1 200 OK\r\n\r\n<html>", nil, probe.Unavailable, false, false},
		{"line without end", strings.Repeat("x", 9000), nil, probe.Unavailable, false, false},
	} {
		run(t, c.name, func(t *testing.T) {
			f := newFake(t, func(s *client) { s.play(c.greeting, c.steps...) })
			r := try(t, f, f.target())
			if r.Outcome != c.want || r.Sent != c.sent || r.Denied != c.denied {
				t.Errorf("got %+v, want %s, sent %v, denied %v", r, c.want, c.sent, c.denied)
			}
			logins := 0
			for _, line := range f.lines() {
				if strings.Contains(line, "AUTHENTICATE") || strings.Contains(line, " LOGIN ") {
					logins++
				}
				for _, opens := range []string{"SELECT", "EXAMINE", "STATUS", "FETCH"} {
					if strings.Contains(line, opens) {
						t.Errorf("the probe sent %q", opens)
					}
				}
			}
			if logins > 1 {
				t.Errorf("got %d logins, want at most one", logins)
			}
		})
	}
}

// A server that says OK to everything, under every tag but the right one, or
// before anybody asked: the tags of a probe can't be foreseen.
func TestForeseenAnswersAreNoProof(t *testing.T) {
	for name, flood := range map[string]string{
		"usual tags": "a OK in\r\na1 OK in\r\nA001 OK in\r\n1 OK in\r\n* OK in\r\n",
		"asking":     "+ \r\n+ go\r\n",
		"both":       "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n+ \r\nA1 OK in\r\n",
	} {
		run(t, name, func(t *testing.T) {
			f := newFake(t, func(s *client) {
				s.send(ready)
				s.drain()
				for range 5000 {
					s.send(flood)
				}
			})
			if r := try(t, f, f.target()); r.Outcome != probe.Unavailable {
				t.Errorf("got %+v, want unavailable", r)
			}
		})
	}
}

// The password must come out of the exchange as it went in, with both ways
// of logging in.
func TestPasswordsArriveWhole(t *testing.T) {
	for _, pw := range []string{"x", "1$lhW", `a"b\c`, `\\""`, " two  blanks ", "€ùñ", "\u200b", "{3}", "%s*", strings.Repeat("long", 200)} {
		var got string
		f := newFake(t, func(s *client) {
			s.send(ready)
			s.command()
			s.send(capPlain.answer)
			s.command()
			s.send("+ \r\n")
			b, _ := base64.StdEncoding.DecodeString(s.line())
			got = string(b)
			s.send("TAG OK in\r\n")
			s.play("", listed)
		})
		r := probe.Login(t.Context(), f.target(), login, secret.FromString(pw))
		f.lines()
		if want := "\x00" + login + "\x00" + pw; r.Outcome != probe.Accepted || got != want {
			t.Errorf("PLAIN %q: got %q, %+v", pw, got, r)
		}

		f = newFake(t, func(s *client) {
			s.send(ready)
			s.command()
			s.send(capLogin.answer)
			got = s.command()
			if strings.HasSuffix(got, "}") {
				s.send("+ \r\n")
				got += "|" + s.line()
				s.send("+ \r\n")
				got += "|" + s.line()
			}
			s.send("TAG OK in\r\n")
			s.play("", listed)
		})
		r = probe.Login(t.Context(), f.target(), login, secret.FromString(pw))
		f.lines()
		want := `LOGIN "` + login + `" "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(pw) + `"`
		if strings.ContainsFunc(pw, func(r rune) bool { return r > '~' }) || len(pw) > 512 {
			want = "LOGIN {17}|" + login + " {" + itoa(len(pw)) + "}|" + pw
		}
		if r.Outcome != probe.Accepted || got != want {
			t.Errorf("LOGIN: got %q, want %q, %+v", got, want, r)
		}
	}
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

// The connection is cut after every single byte that the server sends. Only
// the whole answer counts; a probe without one says nothing.
func TestCutAtEveryByte(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer string // to the credentials
		want   probe.Outcome
	}{
		{"accepting", "TAG OK in\r\n", probe.Accepted},
		{"refusing", "TAG NO [AUTHENTICATIONFAILED] Authentication failed.\r\n", probe.Refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			certain, cuts := false, 0
			for cut := 0; !certain; cut++ {
				f := newFake(t, func(s *client) {
					left := cut
					s.conn = &cutConn{Conn: s.conn, left: &left}
					s.play(ready, capPlain, askPlain, says(c.answer), listed)
				})
				r := try(t, f, f.target())
				switch {
				case r.Outcome == probe.Network:
					cuts++
				case r.Outcome == c.want:
					certain = true
				default:
					t.Fatalf("cut after %d bytes: got %+v", cut, r)
				}
				f.lines()
				if cut > 1000 {
					t.Fatal("never got the answer")
				}
			}
			whole := len(ready) + len(capPlain.answer) + len(askPlain.answer) + len(c.answer) + 2*(12-3)
			if c.want == probe.Accepted {
				whole += len(listed.answer) + 12 - 3
			}
			if cuts != whole {
				t.Errorf("got an answer after %d bytes, want it after all %d", cuts, whole)
			}
		})
	}
}

// What can't be sent, or proves nothing, isn't tried.
func TestNothingToTry(t *testing.T) {
	f := newFake(t, func(s *client) { t.Error("the probe connected") })
	for _, c := range []struct{ login, password string }{
		{"", "x"}, {login, ""}, {login, "a\x00b"}, {login, "a\r\nb"}, {"a\nb", "x"},
	} {
		r := probe.Login(t.Context(), f.target(), c.login, secret.FromString(c.password))
		if r.Outcome != probe.Unavailable || r.Sent || r.Detail == "" {
			t.Errorf("%q %q: got %+v", c.login, c.password, r)
		}
	}
	f.done.Wait()
}

// Before TLS stands with a verified certificate, nothing secret is written.
func TestNoTLS(t *testing.T) {
	other := newFake(t, nil)
	for _, c := range []struct {
		name string
		set  func(f *fake, target *probe.Target)
		want probe.Outcome
	}{
		{"unknown authority", func(f *fake, target *probe.Target) { target.RootCAs = other.roots }, probe.TLS},
		{"empty roots", func(f *fake, target *probe.Target) { target.RootCAs = x509.NewCertPool() }, probe.TLS},
		{"the system's roots", func(f *fake, target *probe.Target) { target.RootCAs = nil }, probe.TLS},
		{"other host", func(f *fake, target *probe.Target) { target.Addr = "imaps.pec.aruba.it:993" }, probe.TLS},
		{"other server name", func(f *fake, target *probe.Target) { target.ServerName = "mail.other.example" }, probe.TLS},
		{"plain server", func(f *fake, target *probe.Target) { f.plain = true }, probe.TLS},
		{"server name given", func(f *fake, target *probe.Target) {
			target.Addr, target.ServerName = "imaps.pec.aruba.it:993", "mail.test.example"
		}, probe.Accepted},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t, func(s *client) {
				s.play(ready, capPlain, askPlain, says("TAG OK in\r\n"), listed)
			})
			target := f.target()
			c.set(f, &target)
			r := try(t, f, target)
			if r.Outcome != c.want || r.Sent != (c.want == probe.Accepted) {
				t.Errorf("got %+v, want %s", r, c.want)
			}
			if got := f.lines(); c.want == probe.TLS && len(got) > 1 {
				t.Errorf("the server got %q", got)
			}
		})
	}
}

func TestCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := newFake(t, func(s *client) {
			s.send(ready)
			s.command()
			cancel()
			s.line()
		})
		start := time.Now()
		r := probe.Login(ctx, f.target(), login, secret.FromString(password))
		if r.Outcome != probe.Network || !strings.Contains(r.Detail, "given up") || time.Since(start) != 0 {
			t.Errorf("got %+v after %v, want network, given up, at once", r, time.Since(start))
		}
		f.lines()
	})
}
