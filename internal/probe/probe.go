// Package probe tries one credential against one mailbox over IMAP and says
// what the server's answer means.
//
// A probe is a greeting, TLS, CAPABILITY, one login (RFC 3501 §6.2.2 and
// §6.2.3; SASL PLAIN, RFC 4616), LIST "" "" and LOGOUT. It opens no mailbox,
// reads at most MaxBytes and lasts at most MaxTime. It logs in once: there is
// no second try and no second mechanism, since each refusal brings a mailbox
// nearer to a lock.
//
// The exchange is written by hand, without go-imap: five commands whose
// answers are single lines need no client, and a client with a reading
// goroutine, unbounded literals and waits that ignore deadlines would have to
// be fenced in line by line to keep these bounds.
package probe

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"time"

	"pec-ingest/internal/secret"
)

const (
	// MaxBytes is how much a probe reads from the network, TLS included.
	MaxBytes = 64 << 10
	// MaxTime is how long a probe lasts, from dialling to the end.
	MaxTime = 30 * time.Second
	// logoutTime is how long goodbyes may take, ours and the server's.
	logoutTime = 2 * time.Second
)

// Outcome is what a probe found.
type Outcome string

const (
	// Accepted: the server took the login and serves the mailbox.
	Accepted Outcome = "accepted"
	// Refused: the server clearly said that these credentials are wrong or
	// expired. The only outcome that closes a secret.
	Refused Outcome = "refused"
	// NotEnabled: the account or the server doesn't let mail programs in with
	// a password (disabled, blocked, IMAP off, OAuth2 only). It says nothing
	// about the password, and trying again won't help: a person must act.
	NotEnabled Outcome = "not-enabled"
	// Unavailable: the server answered, but not now, or not in a way that
	// can be understood. Every unclear answer is this.
	Unavailable Outcome = "unavailable"
	// RateLimited: too many connections or logins.
	RateLimited Outcome = "rate-limited"
	// Network: no connection, a cut one, or no answer in time.
	Network Outcome = "network"
	// TLS: no TLS, or a certificate that doesn't verify. Nothing was sent.
	TLS Outcome = "tls"
)

// Trouble tells whether the outcome says nothing about the password and may
// pass by itself: another probe later is in order.
func (o Outcome) Trouble() bool {
	switch o {
	case Network, TLS, Unavailable, RateLimited:
		return true
	}
	return false
}

// Target is where to try.
type Target struct {
	Addr       string         // host:port
	ServerName string         // the name in the certificate; "" means the host of Addr
	STARTTLS   bool           // TLS begins with STARTTLS (required) instead of at once
	RootCAs    *x509.CertPool // nil means the system's

	// Timeout shortens MaxTime; 0, or anything longer, means MaxTime.
	Timeout time.Duration
	// Dial makes the connection; nil means a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Result is the outcome and what to tell people.
type Result struct {
	Outcome Outcome
	// Detail is one English line, safe to show: neither the password nor a
	// mail address is in it.
	Detail string
	// Sent: the password left this machine. A probe that ended in trouble
	// after that may have counted as a failed login.
	Sent bool
	// Denied: the server said no to the login, for whatever reason. It counts
	// among the refusals that a mailbox may get in a day, also where the
	// reason is too unclear for Refused.
	Denied bool
}

// Login tries one credential, once. password is revealed only after the
// server's certificate has been verified, and is never part of the Result.
//
// Accepted means: the server asked for the credentials, said OK to them under
// a tag that it could not foresee, and then served LIST "" "". (Exchange says
// OK and then "authenticated but not connected".) PREAUTH, or an OK before the
// credentials were sent, is Unavailable.
//
// Login returns when ctx ends; it leaves no goroutine and no connection.
func Login(ctx context.Context, t Target, login string, password secret.Secret) Result {
	if reason := unusable(login, password); reason != "" {
		return Result{Outcome: Unavailable, Detail: reason}
	}
	limit := MaxTime
	if t.Timeout > 0 && t.Timeout < limit {
		limit = t.Timeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()

	dial := t.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	raw, err := dial(ctx, "tcp", t.Addr)
	if err != nil {
		return Result{Outcome: Network, Detail: "connecting: " + cause(ctx, err)}
	}
	defer raw.Close()
	// Two guards: the deadline bounds every read and write whatever happens,
	// the AfterFunc brings the end of the caller's context forward.
	deadline, _ := ctx.Deadline()
	_ = raw.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()

	a := &attempt{ctx: ctx, raw: raw, net: &cappedConn{Conn: raw, left: MaxBytes}}
	a.scrub = newScrubber(login, password)
	defer a.scrub.wipe()
	return a.run(t, login, password)
}

// unusable names what IMAP can't carry, or what must not be tried: an empty
// password is an anonymous login to some directories.
func unusable(login string, password secret.Secret) string {
	if login == "" {
		return "no login name to try"
	}
	if password.IsZero() {
		return "no password to try"
	}
	if strings.ContainsAny(login, "\x00\r\n") || bytes.ContainsAny(password.Reveal(), "\x00\r\n") {
		return "the login or password holds a character that IMAP can't carry"
	}
	return ""
}

func (t Target) tlsConfig() *tls.Config {
	name := t.ServerName
	if name == "" {
		if host, _, err := net.SplitHostPort(t.Addr); err == nil {
			name = host
		}
	}
	return &tls.Config{ServerName: name, RootCAs: t.RootCAs, MinVersion: tls.VersionTLS12}
}
