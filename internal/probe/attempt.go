package probe

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"net"
	"strings"
	"time"

	"pec-ingest/internal/safetext"
	"pec-ingest/internal/secret"
)

// attempt is one probe under way.
type attempt struct {
	ctx      context.Context
	raw      net.Conn
	net      *cappedConn
	wire     *wire
	scrub    *scrubber
	greeting string
	sent     bool // the password has been written
}

// run goes through the exchange and stops at the first thing that is not as
// it must be.
func (a *attempt) run(t Target, login string, password secret.Secret) Result {
	if t.STARTTLS {
		a.wire = newWire(a.net, a.hurry)
		if r := a.greet(); r != nil {
			return *r
		}
		if r := a.startTLS(); r != nil {
			return *r
		}
	}
	conn := tls.Client(a.net, t.tlsConfig())
	if err := conn.HandshakeContext(a.ctx); err != nil {
		return a.failed("beginning TLS", err)
	}
	a.wire = newWire(conn, a.hurry)
	if !t.STARTTLS { // after STARTTLS there is no second greeting (RFC 3501 §6.2.1)
		if r := a.greet(); r != nil {
			return *r
		}
	}
	caps, r := a.capabilities()
	if r != nil {
		return *r
	}
	switch {
	case caps["AUTH=PLAIN"]:
		r = a.plain(login, password)
	case caps["LOGINDISABLED"]:
		a.logout()
		return Result{Outcome: NotEnabled, Detail: "the server offers no login with a password"}
	default:
		r = a.login(login, password)
	}
	if r == nil {
		r = a.confirm()
	}
	if r.Outcome != Network {
		a.logout()
	}
	return *r
}

// greet reads the greeting (RFC 3501 §7.1).
func (a *attempt) greet() *Result {
	l, err := a.wire.line()
	if err != nil {
		return a.fail("reading the greeting", err)
	}
	a.greeting = l.text
	switch {
	case l.tag == "*" && l.status == "OK":
		return nil
	case l.tag == "*" && l.status == "PREAUTH":
		return a.unclear("the server let us in without asking for a password")
	case l.tag == "*" && l.status == "BYE":
		return a.said(classify(answer{line: l}, a.greeting), "the server sent us away", l)
	}
	return a.unclear("the greeting is not one of an IMAP server")
}

// startTLS asks for TLS. Whatever the server sent beyond its answer came
// without protection and would be read as if it had any: refused.
func (a *attempt) startTLS() *Result {
	ans, err := a.command("STARTTLS")
	if err != nil {
		return a.fail("asking for TLS", err)
	}
	if ans.status != "OK" {
		return a.said(TLS, "the server does not begin TLS", ans.line)
	}
	if a.wire.buffered() {
		return &Result{Outcome: TLS, Detail: "the server sent text ahead of TLS"}
	}
	return nil
}

func (a *attempt) capabilities() (map[string]bool, *Result) {
	ans, err := a.command("CAPABILITY")
	if err != nil {
		return nil, a.fail("asking what the server offers", err)
	}
	if ans.status == "OK" && ans.caps != nil {
		return ans.caps, nil
	}
	if ans.status == "BYE" {
		return nil, a.said(classify(ans, a.greeting), "the server sent us away", ans.line)
	}
	return nil, a.unclear("the server does not say what it offers")
}

// plain is AUTHENTICATE PLAIN. The initial response is not used: the
// credentials go out only when the server has asked for them.
func (a *attempt) plain(login string, password secret.Secret) *Result {
	ans, err := a.command("AUTHENTICATE PLAIN")
	if err != nil {
		return a.fail("beginning the login", err)
	}
	if ans.tag != "+" {
		return a.unasked(ans)
	}
	msg := make([]byte, 0, len(login)+password.Len()+2)
	msg = append(msg, 0)
	msg = append(msg, login...)
	msg = append(msg, 0)
	msg = append(msg, password.Reveal()...)
	out := make([]byte, base64.StdEncoding.EncodedLen(len(msg)), base64.StdEncoding.EncodedLen(len(msg))+2)
	base64.StdEncoding.Encode(out, msg)
	clear(msg)
	return a.credentials(append(out, '\r', '\n'))
}

// login is the LOGIN command. What a quoted string can't hold goes as a
// literal (RFC 3501 §4.3), for which the server must ask.
func (a *attempt) login(login string, password secret.Secret) *Result {
	if quotable([]byte(login)) && quotable(password.Reveal()) {
		out := make([]byte, 0, 2*(len(login)+password.Len())+64) // all of it, so that no copy stays behind
		out = append(out, a.wire.newTag()+" LOGIN "...)
		out = append(appendQuoted(out, []byte(login)), ' ')
		out = appendQuoted(out, password.Reveal())
		return a.credentials(append(out, '\r', '\n'))
	}
	ans, err := a.command("LOGIN " + literal(len(login)))
	if err != nil {
		return a.fail("beginning the login", err)
	}
	if ans.tag != "+" {
		return a.unasked(ans)
	}
	ans, err = a.exchange([]byte(login + " " + literal(password.Len()) + "\r\n"))
	if err != nil {
		return a.fail("beginning the login", err)
	}
	if ans.tag != "+" {
		return a.unasked(ans)
	}
	out := append(make([]byte, 0, password.Len()+2), password.Reveal()...)
	return a.credentials(append(out, '\r', '\n'))
}

// credentials writes out, which holds the password and is wiped, and judges
// the answer. nil means that the server said OK.
func (a *attempt) credentials(out []byte) *Result {
	if a.wire.buffered() {
		clear(out)
		return a.unclear("the server answered the login before it had the password")
	}
	a.sent = true
	ans, err := a.exchange(out)
	clear(out)
	if err != nil {
		return a.fail("waiting for the answer to the login", err)
	}
	switch {
	case ans.tag == "+":
		return a.unclear("the server asked for more than name and password")
	case ans.status == "OK":
		return nil
	}
	outcome := classify(ans, a.greeting)
	r := a.said(outcome, sentences[outcome], ans.line)
	r.Denied = ans.status == "NO"
	return r
}

// confirm asks for something that only a session with a mailbox behind it
// answers, and that opens nothing (RFC 3501 §6.3.8).
func (a *attempt) confirm() *Result {
	ans, err := a.command(`LIST "" ""`)
	if err != nil {
		return a.fail("using the login", err)
	}
	if ans.status != "OK" {
		return a.said(Unavailable, "the login was taken, but the mailbox is not served", ans.line)
	}
	return &Result{Outcome: Accepted, Detail: "the server accepted the login", Sent: true}
}

// logout is politeness: the result is known, so its outcome isn't asked for.
func (a *attempt) logout() {
	a.hurry()
	_, _ = a.command("LOGOUT")
}

// hurry leaves logoutTime for what is still to come.
func (a *attempt) hurry() {
	end := time.Now().Add(logoutTime)
	if limit, ok := a.ctx.Deadline(); ok && limit.Before(end) {
		end = limit
	}
	_ = a.raw.SetDeadline(end)
}

// command sends one command under a fresh tag and reads its answer.
func (a *attempt) command(text string) (answer, error) {
	return a.exchange([]byte(a.wire.newTag() + " " + text + "\r\n"))
}

func (a *attempt) exchange(out []byte) (answer, error) {
	if err := a.wire.write(out); err != nil {
		return answer{}, err
	}
	return a.wire.answer()
}

// unasked judges an answer that came before the password was sent: it can't
// say anything about the password, neither good nor bad.
func (a *attempt) unasked(ans answer) *Result {
	if ans.status == "OK" {
		return a.unclear("the server accepted a login that was never sent")
	}
	outcome := classify(ans, a.greeting)
	if outcome == Refused {
		outcome = Unavailable
	}
	return a.said(outcome, "the server refused to begin a login", ans.line)
}

func (a *attempt) unclear(what string) *Result {
	return &Result{Outcome: Unavailable, Detail: what, Sent: a.sent}
}

// said is a result that quotes the server.
func (a *attempt) said(o Outcome, what string, l line) *Result {
	if words := a.scrub.clean(strings.TrimSpace(l.status + " " + l.rest)); words != "" {
		what += ": " + words
	}
	return &Result{Outcome: o, Detail: what, Sent: a.sent}
}

func (a *attempt) fail(step string, err error) *Result {
	r := a.failed(step, err)
	return &r
}

func (a *attempt) failed(step string, err error) Result {
	o := failure(err)
	return Result{Outcome: o, Detail: step + ": " + safetext.Line(cause(a.ctx, err)), Sent: a.sent}
}
