package probe

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// maxLine is the longest line of a server that is read. Capability lists of
// real servers stay under 1 kB.
const maxLine = 8 << 10

var (
	errTooMuch = errors.New("probe: the server sends without end")
	errLine    = errors.New("probe: the server's answer is not one of IMAP")
)

// cappedConn is a connection of which at most left bytes are read.
type cappedConn struct {
	net.Conn
	left int
}

func (c *cappedConn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, errTooMuch
	}
	if len(b) > c.left {
		b = b[:c.left]
	}
	n, err := c.Conn.Read(b)
	c.left -= n
	return n, err
}

// wire reads lines and writes commands.
type wire struct {
	w   io.Writer
	r   *bufio.Reader
	tag string // of the command under way
	// hurry brings the connection's deadline forward: the rest is politeness.
	hurry func()
}

func newWire(c net.Conn, hurry func()) *wire {
	return &wire{w: c, r: bufio.NewReaderSize(c, maxLine), hurry: hurry}
}

func (w *wire) buffered() bool { return w.r.Buffered() > 0 }

// newTag returns the tag of the next command: random, so that no server can
// answer before it was asked.
func (w *wire) newTag() string {
	w.tag = rand.Text()[:12]
	return w.tag
}

func (w *wire) write(b []byte) error {
	_, err := w.w.Write(b)
	return err
}

// line is one line of a server (RFC 3501 §7).
type line struct {
	tag    string // the command's, "*" or "+"
	status string // OK NO BAD BYE PREAUTH, or another first word
	code   string // of [CODE argument], upper case
	text   string // what follows the code
	rest   string // everything after the status, code included
}

// answer is the tagged line, continuation request or BYE that ends the wait
// for an answer, with what came before it.
type answer struct {
	line
	caps     map[string]bool // from * CAPABILITY; nil when there was none
	warnings []line          // untagged NO, BAD, BYE and alerts
}

func (w *wire) line() (line, error) {
	b, err := w.r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return line{}, errLine
	case err != nil:
		return line{}, err
	}
	return parseLine(string(bytes.TrimRight(b, "\r\n"))), nil
}

// answer reads up to the end of the answer to the command under way.
func (w *wire) answer() (answer, error) {
	var a answer
	for {
		l, err := w.line()
		if err != nil {
			return answer{}, err
		}
		switch l.tag {
		case w.tag, "+":
			a.line = l
			return a, nil
		case "*":
			switch {
			case l.status == "CAPABILITY":
				a.caps = map[string]bool{}
				for _, c := range strings.Fields(l.rest) {
					a.caps[strings.ToUpper(c)] = true
				}
			case l.status == "BYE":
				// The server ends the session; a tagged line may follow, and
				// only that one speaks about the command.
				a.warnings = append(a.warnings, l)
				return w.afterBye(a, l)
			case l.status == "NO", l.status == "BAD", strings.HasSuffix(l.code, "ALERT"):
				a.warnings = append(a.warnings, l)
			}
		}
		// Anything else is untagged news that a probe doesn't need, or
		// nonsense; the limits on bytes and time bound both.
	}
}

func (w *wire) afterBye(a answer, bye line) (answer, error) {
	w.hurry()
	for {
		l, err := w.line()
		if err != nil {
			a.line = bye
			return a, nil
		}
		if l.tag == w.tag {
			a.line = l
			return a, nil
		}
	}
}

// parseLine takes a line apart. It never fails: what has no meaning has no
// tag or status that a caller asks for.
func parseLine(s string) line {
	var l line
	if s == "+" || strings.HasPrefix(s, "+ ") {
		return line{tag: "+", rest: strings.TrimPrefix(strings.TrimPrefix(s, "+"), " ")}
	}
	var ok bool
	if l.tag, l.rest, ok = strings.Cut(s, " "); !ok {
		return line{rest: s}
	}
	l.status, l.rest, _ = strings.Cut(l.rest, " ")
	l.status = strings.ToUpper(l.status)
	l.text = l.rest
	if strings.HasPrefix(l.rest, "[") {
		if code, text, closed := strings.Cut(l.rest[1:], "]"); closed {
			code, _, _ = strings.Cut(code, " ")
			l.code = strings.ToUpper(code)
			l.text = strings.TrimPrefix(text, " ")
		}
	}
	return l
}

// quotable tells whether b may stand in a quoted string (RFC 3501 §9: 7-bit
// TEXT-CHAR), short enough for any server's line limit.
func quotable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return len(b) <= 512
}

// appendQuoted appends b as a quoted string; only \ and " are escaped. It
// needs at most 2*len(b)+2 bytes: with that capacity nothing is copied about.
func appendQuoted(dst, b []byte) []byte {
	dst = append(dst, '"')
	for _, c := range b {
		if c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

func literal(n int) string { return "{" + strconv.Itoa(n) + "}" }

// failure tells TLS trouble and senseless servers from network trouble.
func failure(err error) Outcome {
	var (
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
		op     *net.OpError
		timed  net.Error
	)
	switch {
	case errors.Is(err, errTooMuch), errors.Is(err, errLine):
		return Unavailable
	case errors.As(err, &cert), errors.As(err, &record):
		return TLS
	case errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"):
		return TLS // an alert, RFC 8446 §6
	case errors.As(err, &timed), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Network
	case strings.HasPrefix(err.Error(), "tls: "): // crypto/tls has no types for these
		return TLS
	}
	return Network
}

// cause is err in a few words, without addresses.
func cause(ctx context.Context, err error) string {
	var (
		dns  *net.DNSError
		cert *tls.CertificateVerificationError
		rec  tls.RecordHeaderError
		host x509.HostnameError
		inv  x509.CertificateInvalidError
		unk  x509.UnknownAuthorityError
	)
	switch {
	case errors.Is(err, errTooMuch), errors.Is(err, errLine):
		return strings.TrimPrefix(err.Error(), "probe: ")
	case errors.As(err, &host):
		return "the certificate is for another host"
	case errors.As(err, &unk):
		return "the certificate comes from an unknown authority"
	case errors.As(err, &inv) && inv.Reason == x509.Expired:
		return "the certificate has expired or is not valid yet"
	case errors.As(err, &cert):
		return "the certificate does not verify"
	case errors.As(err, &rec):
		return "the server does not speak TLS there"
	case errors.Is(ctx.Err(), context.Canceled):
		return "given up"
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	case errors.As(err, &dns):
		return "the host name is not known"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the connection was cut"
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err.Error()
	}
	return err.Error()
}
