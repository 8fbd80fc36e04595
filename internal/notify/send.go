package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/mail"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"pec-ingest/internal/safetext"
	"pec-ingest/internal/secret"
)

// SMTPConfig is how to send.
type SMTPConfig struct {
	Host     string
	Port     int    // 0 = 465, or 587 with STARTTLS
	TLS      string // "implicit" (also "") or "starttls", which is then required
	Username string
	Password secret.Secret  // with Auth "oauth2" the access token
	From     string         // address, or "Name <address>"
	RootCAs  *x509.CertPool // nil = the system's
	Auth     string         // "password" (also "") or "oauth2"
	// Timeout bounds each step; 0 = DefaultTimeout. The answer to the final
	// dot may take five times as long: giving up there leaves the message in
	// doubt (RFC 5321 §4.5.3.2 asks for ten minutes).
	Timeout time.Duration
}

// DefaultTimeout is how long a server may take for one step.
const DefaultTimeout = 60 * time.Second

// maxSteps bounds a whole delivery: so many timeouts, however busy the server
// keeps each step with a byte now and then.
const maxSteps = 15

// maxReplies bounds what a server may say in one delivery, in bytes.
const maxReplies = 256 << 10

// Receipt is a server's acceptance of a message. It says that the server has
// it, not that it arrived.
type Receipt struct {
	Code     int
	Response string // one safe line without addresses; often names the server's queue id
}

// Send delivers one message: connect, TLS (never without), one login, one
// recipient. beforeDot, if not nil, is called when everything but the final
// dot has been sent and the connection still stood: what it commits is true
// from the moment the dot leaves. If it fails the message is not sent.
//
// The error is a *SendError. If InDoubt, the message may have been accepted.
// Send never logs in twice: not with another mechanism, not after a refusal.
func Send(ctx context.Context, c SMTPConfig, m Mail, beforeDot func() error) (Receipt, error) {
	d := &delivery{config: c, hidden: hiddenWords(c.Username, c.Password.RevealString())}
	var cancel context.CancelFunc
	d.ctx, cancel = context.WithTimeout(ctx, maxSteps*d.timeout())
	defer cancel()
	receipt, err := d.run(m, beforeDot)
	if err != nil {
		return Receipt{}, err
	}
	return receipt, nil
}

// LogIn connects and logs in as Send does, once, and sends nothing. The error
// is a *SendError.
func LogIn(ctx context.Context, c SMTPConfig) error {
	d := &delivery{config: c, hidden: hiddenWords(c.Username, c.Password.RevealString())}
	var cancel context.CancelFunc
	d.ctx, cancel = context.WithTimeout(ctx, maxSteps*d.timeout())
	defer cancel()
	if e := d.open(); e != nil {
		return e
	}
	defer d.conn.Close()
	_ = d.client.Quit()
	return nil
}

// delivery is one message on its way.
type delivery struct {
	ctx    context.Context
	config SMTPConfig
	hidden []string // never to appear in an error
	conn   *guardedConn
	client *smtp.Client
}

func (d *delivery) timeout() time.Duration {
	if d.config.Timeout > 0 {
		return d.config.Timeout
	}
	return DefaultTimeout
}

func (d *delivery) run(m Mail, beforeDot func() error) (Receipt, *SendError) {
	body, err := Compose(d.config.From, m)
	if err != nil {
		return Receipt{}, d.localError(StageCompose, err, err.Error())
	}
	if e := d.open(); e != nil {
		return Receipt{}, e
	}
	// Closing the connection, and nothing else, ends whatever is waiting; a
	// QUIT after an unfinished message would end the message with a dot.
	defer d.conn.Close()
	return d.transfer(m, body, beforeDot)
}

// open gets to a session that is logged in; the caller closes its connection,
// which the end of the context closes, too.
func (d *delivery) open() *SendError {
	if e := d.connect(); e != nil {
		return e
	}
	conn := d.conn
	context.AfterFunc(d.ctx, func() { _ = conn.Close() }) // at the latest when the delivery's context is cancelled
	if e := d.greet(); e != nil {
		_ = conn.Close()
		return e
	}
	if e := d.login(); e != nil {
		_ = conn.Close()
		return e
	}
	return nil
}

func (d *delivery) connect() *SendError {
	c := d.config
	port := c.Port
	if port == 0 {
		port = 465
		if d.starttls() {
			port = 587
		}
	}
	dialer := net.Dialer{Timeout: d.timeout()}
	conn, err := dialer.DialContext(d.ctx, "tcp", net.JoinHostPort(c.Host, strconv.Itoa(port)))
	if err != nil {
		return d.failure(StageConnect, err)
	}
	d.conn = &guardedConn{Conn: conn, timeout: d.timeout(), left: maxReplies}
	return nil
}

func (d *delivery) starttls() bool { return d.config.TLS == "starttls" }

func (d *delivery) tlsConfig() *tls.Config {
	return &tls.Config{ServerName: d.config.Host, RootCAs: d.config.RootCAs, MinVersion: tls.VersionTLS12}
}

// greet gets to an encrypted session.
func (d *delivery) greet() *SendError {
	var conn net.Conn = d.conn
	if !d.starttls() {
		secured := tls.Client(conn, d.tlsConfig())
		if err := secured.HandshakeContext(d.ctx); err != nil {
			return d.failure(StageTLS, err)
		}
		conn = secured
	}
	client, err := smtp.NewClient(conn, d.config.Host)
	if err != nil {
		return d.failure(StageGreeting, err)
	}
	client.SkipSMTPUTF8(true) // addresses are ASCII, see Compose
	d.client = client
	if err := client.Hello(helloName(d.conn.LocalAddr())); err != nil {
		return d.failure(StageHello, err)
	}
	if !d.starttls() {
		return nil
	}
	if ok, _ := client.Extension("STARTTLS"); !ok {
		e := d.localError(StageTLS, nil, "the server offers no STARTTLS on this port")
		e.Hint = "nothing was sent in clear; tls = \"implicit\" with port 465 may be right"
		return e
	}
	if err := client.StartTLS(d.tlsConfig()); err != nil {
		return d.failure(StageTLS, err)
	}
	return nil
}

// helloName is this machine's address as a literal: true, and needs no name
// (RFC 5321 §4.1.3).
func helloName(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || tcp.IP == nil {
		return "localhost"
	}
	if v4 := tcp.IP.To4(); v4 != nil {
		return "[" + v4.String() + "]"
	}
	return "[IPv6:" + tcp.IP.String() + "]"
}

// login tries the password once, with the first mechanism both sides have.
func (d *delivery) login() *SendError {
	c := d.config
	_, offered := d.client.Extension("AUTH")
	mechanisms := strings.Fields(strings.ToUpper(offered))
	has := func(name string) bool {
		for _, m := range mechanisms {
			if m == name {
				return true
			}
		}
		return false
	}
	var auth smtp.Auth
	switch {
	case c.Auth == "oauth2" && has("XOAUTH2"):
		auth = smtp.XOAuth2Auth(c.Username, c.Password.RevealString())
	case c.Auth == "oauth2":
	case has("PLAIN"):
		auth = smtp.PlainAuth("", c.Username, c.Password.RevealString(), c.Host, false)
	case has("LOGIN"):
		auth = smtp.LoginAuth(c.Username, c.Password.RevealString(), c.Host, false)
	}
	if auth == nil {
		e := d.localError(StageAuth, nil, "the server does not offer this way to log in")
		if has("XOAUTH2") && c.Auth != "oauth2" {
			e.Detail, e.Hint = "the server takes no passwords", oauthHint
			e.Refused, e.Temporary = true, false
		}
		return e
	}
	if err := d.client.Auth(auth); err != nil {
		return d.failure(StageAuth, err)
	}
	return nil
}

// transfer hands the message over.
func (d *delivery) transfer(m Mail, body []byte, beforeDot func() error) (Receipt, *SendError) {
	// Compose has parsed both before.
	sender, err := mail.ParseAddress(d.config.From)
	if err != nil {
		return Receipt{}, d.localError(StageCompose, err, "the sender is not a mail address")
	}
	to, err := mail.ParseAddress(m.To)
	if err != nil {
		return Receipt{}, d.localError(StageCompose, err, "the recipient is not a mail address")
	}
	if err := d.client.Mail("<" + sender.Address + ">"); err != nil {
		return Receipt{}, d.failure(StageFrom, err)
	}
	if err := d.client.Rcpt("<" + to.Address + ">"); err != nil {
		return Receipt{}, d.failure(StageTo, err)
	}
	w, err := d.client.Data()
	if err != nil {
		return Receipt{}, d.failure(StageData, err)
	}
	if _, err := w.Write(body); err != nil {
		return Receipt{}, d.failure(StageData, err)
	}
	// Out of the buffer, so that a dead connection shows before the hook.
	if err := d.client.Text.W.Flush(); err != nil {
		return Receipt{}, d.failure(StageData, err)
	}
	if beforeDot != nil {
		if err := d.ctx.Err(); err != nil {
			return Receipt{}, d.localError(StageHook, err, "")
		}
		if err := beforeDot(); err != nil {
			return Receipt{}, &SendError{Stage: StageHook, Temporary: true, Detail: d.redact(err.Error()), err: err}
		}
	}
	d.conn.patience(5)
	if err := w.Close(); err != nil {
		return Receipt{}, d.failure(StageDot, err)
	}
	receipt := Receipt{Code: 250}
	if closer, ok := w.(*smtp.DataCloser); ok {
		receipt.Response = d.redact(closer.ServerResponse())
	}
	d.conn.patience(1)
	_ = d.client.Quit() // the message is accepted, however this ends
	return receipt, nil
}

// guardedConn gives every read and write a deadline of its own and reads no
// more than a bounded number of bytes: no server can hold or fill this
// process.
type guardedConn struct {
	net.Conn
	timeout time.Duration
	factor  int // of timeout; 0 = 1
	left    int // bytes that may still be read
}

var errTalkative = errors.New("the server sends without end")

// patience multiplies the time the next steps may take. It must not be called
// while another goroutine reads.
func (g *guardedConn) patience(factor int) { g.factor = factor }

func (g *guardedConn) deadline() time.Time {
	return time.Now().Add(g.timeout * time.Duration(max(g.factor, 1)))
}

func (g *guardedConn) Read(p []byte) (int, error) {
	if g.left <= 0 {
		return 0, errTalkative
	}
	if err := g.Conn.SetReadDeadline(g.deadline()); err != nil {
		return 0, err
	}
	n, err := g.Conn.Read(p[:min(len(p), g.left)])
	g.left -= n
	return n, err
}

func (g *guardedConn) Write(p []byte) (int, error) {
	if err := g.Conn.SetWriteDeadline(g.deadline()); err != nil {
		return 0, err
	}
	return g.Conn.Write(p)
}

// plainNetError says in a few words what happened to a connection, without
// addresses and ports that only the configuration should name.
func plainNetError(err error) string {
	var dns *net.DNSError
	var network net.Error
	var op *net.OpError
	switch {
	case errors.Is(err, errTalkative):
		return errTalkative.Error()
	case errors.As(err, &dns):
		if dns.IsNotFound {
			return "the server's name is not known"
		}
		return "the server's name could not be looked up"
	case errors.As(err, &network) && network.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		return "the server did not answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return "the server closed the connection"
	case errors.As(err, &op):
		return safetext.LineN(op.Err.Error(), 100)
	}
	return safetext.LineN(err.Error(), 100)
}

// tlsHint says what can be done about a handshake that failed.
func tlsHint(err error) string {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		return "the certificate is of an unknown authority: for a private server name it with tls_ca_file"
	case errors.As(err, &host):
		return "the certificate is for another name: check the host"
	case errors.As(err, &invalid):
		return "the certificate is not valid now: check this machine's clock, else it is the server's fault"
	case errors.As(err, &record):
		return "the server does not speak TLS from the start on this port: tls = \"starttls\" with port 587 may be right"
	}
	return ""
}
