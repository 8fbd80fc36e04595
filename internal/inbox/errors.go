package inbox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/emersion/go-imap/v2"

	"pec-ingest/internal/safetext"
)

var (
	// ErrRefused: the server has refused the password, clearly. Trying again
	// with the same one brings the mailbox nearer to a lock.
	ErrRefused = errors.New("inbox: the server refuses the password")
	// ErrUnavailable: the server answers, but doesn't serve: not now, not
	// this account, not this way of logging in.
	ErrUnavailable = errors.New("inbox: the server does not do what it was asked, or ends the session")
	// ErrDenied: the server's answer to the login was no, for another reason
	// than the password. Such an error is ErrUnavailable, too.
	ErrDenied = errors.New("inbox: the server denies the login")
	// ErrTLS: no trusted encrypted connection.
	ErrTLS = errors.New("inbox: no trusted TLS connection")
	// ErrNetwork: the connection fails, or the server is silent. A new
	// session may work.
	ErrNetwork = errors.New("inbox: the connection failed")
	// ErrProtocol: the server sends what IMAP doesn't allow, or more than was
	// asked for. Such an error is ErrNetwork, too: the session is over, a new
	// one may work.
	ErrProtocol = errors.New("inbox: the server does not keep to IMAP")
	// ErrNoFolder: the folder isn't there, or can't be opened.
	ErrNoFolder = errors.New("inbox: the folder cannot be opened")
	// ErrUIDValidity: the folder's UIDs are no longer those that were given.
	// Nothing was done.
	ErrUIDValidity = errors.New("inbox: UIDVALIDITY has changed")
	// ErrCannotFile: the server offers no safe way to move or delete single
	// messages (neither MOVE nor UIDPLUS), or it refuses to. Nothing is lost.
	ErrCannotFile = errors.New("inbox: messages cannot be filed")
	// ErrClosed: the session was closed before.
	ErrClosed = errors.New("inbox: the session is closed")
)

// MessageError is a failure in the middle of one message. The session is
// over; whoever meets the same UID again and again should leave it out.
type MessageError struct {
	UID uint32
	Err error
}

func (e *MessageError) Error() string { return fmt.Sprintf("reading message %d: %v", e.UID, e.Err) }
func (e *MessageError) Unwrap() error { return e.Err }

// dialError classifies a failed connection or handshake.
func dialError(what string, err error) error {
	var (
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
		alert  tls.AlertError
		x509e  x509.UnknownAuthorityError
	)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w: %w", what, ErrNetwork, err)
	case errors.As(err, &cert), errors.As(err, &x509e):
		return fmt.Errorf("%s: %w: %s", what, ErrTLS, safetext.LineN(err.Error(), 200))
	case errors.As(err, &record):
		return fmt.Errorf("%s: %w: the server does not speak TLS on this port", what, ErrTLS)
	case errors.As(err, &alert), strings.HasPrefix(err.Error(), "tls: "), strings.HasPrefix(err.Error(), "remote error: tls: "):
		return fmt.Errorf("%s: %w: %s", what, ErrTLS, safetext.LineN(err.Error(), 200))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%s: %w: the server closed the connection", what, ErrNetwork)
	}
	return fmt.Errorf("%s: %w: %s", what, ErrNetwork, safetext.LineN(err.Error(), 200))
}

// refusedWords and troubleWords are texts of servers that give no response
// code (RFC 5530), lower-cased. A text with any of troubleWords says nothing
// about the password, whatever else it says.
var (
	refusedWords = []string{
		"authentication fail", "auth failed", "login fail", "invalid credentials", "invalid login", "invalid user",
		"bad username", "bad user", "wrong password", "incorrect password", "invalid password", "username or password",
		"user name or password", "authenticate failed", "authentication rejected", "autenticazione fallita",
		"autenticazione non riuscita", "credenziali",
	}
	troubleWords = []string{
		"temporar", "try again", "later", "too many", "rate limit", "limit exceeded", "unavailable", "internal",
		"maintenance", "not enabled", "disabled", "not allowed", "overload", "timeout", "timed out", "backend",
		"riprova", "temporane", "non abilitat",
	}
)

// loginError classifies the answer to a login. Only a clear statement about
// the password is ErrRefused; everything else says nothing about it.
func loginError(e *imap.Error, text string) error {
	low := strings.ToLower(text)
	refused := false
	switch e.Code {
	case imap.ResponseCodeExpired:
		refused = true
	case imap.ResponseCodeAuthenticationFailed:
		refused = !containsAny(low, troubleWords)
	case "":
		refused = containsAny(low, refusedWords) && !containsAny(low, troubleWords)
	}
	if refused && e.Type == imap.StatusResponseTypeNo {
		return fmt.Errorf("logging in: %w%s", ErrRefused, quoted(text))
	}
	return fmt.Errorf("%w: %w%s", ErrDenied, ErrUnavailable, coded(e.Code, text))
}

func containsAny(s string, words []string) bool {
	for _, w := range words {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

func quoted(text string) string {
	if text == "" {
		return ""
	}
	return fmt.Sprintf(" (it says %q)", text)
}

func coded(code imap.ResponseCode, text string) string {
	if code == "" {
		return quoted(text)
	}
	return fmt.Sprintf(" (it says [%s] %q)", safetext.LineN(string(code), 40), text)
}

// cleanText makes a server's text fit for errors and logs: one harmless line
// without addresses, the user's name or the password, which servers are known
// to repeat.
func (s *Session) cleanText(text string) string {
	if s.trace.in(text) {
		return "[withheld]"
	}
	if u := s.c.Username; u != "" {
		text = strings.ReplaceAll(text, u, "[user]")
	}
	words := strings.Fields(safetext.LineN(text, 160))
	for i, w := range words {
		if strings.Contains(w, "@") {
			words[i] = "[address]"
		}
	}
	return strings.Join(words, " ")
}
