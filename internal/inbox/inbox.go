// Package inbox is the IMAP side of the studio's mailbox: it finds, fetches
// and files messages, and waits for new ones.
//
// It is written for an inbox that people read too. Reading goes through
// EXAMINE and BODY.PEEK, so nothing is ever marked read; the mailbox is
// opened for writing in File alone, which touches only the messages that it
// was given, after it has made sure that they are still the same; nothing is
// expunged but by UID.
//
// It is also written for servers and networks that fail or lie. Every read
// has a deadline, every command a bound on time and bytes (guard.go, where
// the IMAP library's own weaknesses are dealt with), and no error holds an
// address, a password or a byte of a message.
//
// Source: RFC 3501 (IMAP4rev1), RFC 4315 (UIDPLUS), RFC 6851 (MOVE), RFC 2177
// (IDLE), RFC 4731 (ESEARCH), RFC 2342 (NAMESPACE), RFC 5530 (response codes).
package inbox

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"pec-ingest/internal/secret"
)

// DefaultTimeout is how long a silent server is waited for.
const DefaultTimeout = 60 * time.Second

// DefaultMaxMessage is the size above which a message is not downloaded.
const DefaultMaxMessage = 25 << 20

// Config says which mailbox to open and how.
type Config struct {
	Addr       string // host:port, TLS from the first byte
	ServerName string // name in the certificate; "" means the host of Addr
	// TLS is cloned; nil means the system's roots. Verification can't be
	// switched off in any other way than by setting it here.
	TLS      *tls.Config
	Auth     string // "password", also when empty, or "oauth2"
	Username string
	Password secret.Secret // with Auth "oauth2" the access token

	Folder          string // "" means INBOX
	ProcessedFolder string // relative to the server's prefix, "/" between levels; made when missing
	MaxMessage      int64  // bytes; 0 means DefaultMaxMessage
	Timeout         time.Duration
	Logger          *slog.Logger // nil: silent

	// Dial opens the TCP connection; nil means net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

func (c Config) withDefaults() Config {
	if c.Folder == "" {
		c.Folder = "INBOX"
	}
	if c.MaxMessage <= 0 {
		c.MaxMessage = DefaultMaxMessage
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Dial == nil {
		d := &net.Dialer{Timeout: c.Timeout}
		c.Dial = d.DialContext
	}
	if c.ServerName == "" {
		c.ServerName = c.Addr
		if host, _, err := net.SplitHostPort(c.Addr); err == nil {
			c.ServerName = host
		}
	}
	return c
}

// Mailbox is what the server says of the folder when it is opened.
type Mailbox struct {
	// UIDValidity changes when the UIDs known so far mean nothing any more.
	UIDValidity uint32
	// UIDNext is greater than every UID in use; 0 where the server doesn't
	// say.
	UIDNext  uint32
	Messages uint32
}

// Header is what triage looks at. None of it is under any signature.
type Header struct {
	UID          uint32
	Size         int64 // RFC822.SIZE of the whole message
	InternalDate time.Time
	Flags        []string
	// Raw holds the fields asked for (HeaderFields), as the server has them,
	// with the empty line at the end. It belongs to the callee.
	Raw []byte
	// Truncated tells that there was more than MaxHeader: what is missing
	// from Raw may still be in the message.
	Truncated bool
}

// HeaderFields are the fields that Headers fetches.
var HeaderFields = []string{
	"X-Trasporto", "X-Ricevuta", "X-Riferimento-Message-ID", "Message-ID", "Content-Type", "From", "Subject",
}

// MaxHeader bounds the bytes of Header.Raw.
const MaxHeader = 32 << 10

// Message is one message, whole or (from Peek) its beginning.
type Message struct {
	UID          uint32
	Size         int64 // RFC822.SIZE
	InternalDate time.Time
	Raw          []byte // belongs to the callee; nil when TooLarge
	TooLarge     bool   // over Config.MaxMessage, and not downloaded
}
