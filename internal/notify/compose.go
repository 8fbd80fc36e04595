package notify

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"pec-ingest/internal/safetext"
)

// ErrMail: a Mail or the sender's address can't be made into a message.
var ErrMail = errors.New("notify: message")

// Header fields that callers set.
const (
	// HeaderReceiptType asks the PEC provider for a kind of delivery receipt.
	// "breve" spares the recipient's whole message in it (RFC 6109 §3.3.2.2).
	HeaderReceiptType = "X-TipoRicevuta"
	ReceiptBrief      = "breve"
)

// Mail is one message to one recipient.
type Mail struct {
	To        string // an address, alone or with a name
	MessageID string // "<…@…>", chosen by the caller and kept for every try
	Subject   string
	Text      string
	HTML      string            // "" = plain text only
	Headers   map[string]string // further fields; those made here can't be overridden
	Date      time.Time         // chosen by the caller; zero is an error
}

// Compose gives the bytes of a message, lines ending in CRLF. The same Mail
// always gives the same bytes, so that a message sent again is the same one.
// Errors wrap ErrMail.
func Compose(from string, m Mail) ([]byte, error) {
	sender, err := mail.ParseAddress(from)
	if err != nil {
		return nil, fmt.Errorf("%w: the sender is not a mail address", ErrMail)
	}
	to, err := mail.ParseAddress(m.To)
	if err != nil {
		return nil, fmt.Errorf("%w: the recipient is not a mail address", ErrMail)
	}
	for _, a := range []string{sender.Address, to.Address} {
		if !plainAddress(a) {
			return nil, fmt.Errorf("%w: an address is not plain ASCII", ErrMail)
		}
	}
	id, err := bareMessageID(m.MessageID)
	if err != nil {
		return nil, err
	}
	if m.Date.IsZero() {
		return nil, fmt.Errorf("%w: no date", ErrMail)
	}

	sum := sha256.Sum256([]byte(id))
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent(), gomail.WithBoundary(hex.EncodeToString(sum[:16])),
		gomail.WithEncoding(gomail.EncodingQP), gomail.WithCharset(gomail.CharsetUTF8))
	sender.Name, to.Name = safetext.LineN(sender.Name, 100), safetext.LineN(to.Name, 100)
	msg.FromMailAddress(sender)
	msg.ToMailAddress(to)
	msg.Subject(safetext.LineN(m.Subject, 200))
	msg.SetMessageIDWithValue(id)
	msg.SetDateWithValue(m.Date)
	// RFC 3834 §5: other machines are not to answer this one.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	for _, name := range sortedNames(m.Headers) {
		value := m.Headers[name]
		if err := checkHeader(name, value); err != nil {
			return nil, err
		}
		msg.SetGenHeader(gomail.Header(name), value)
	}
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	if m.HTML != "" {
		msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	}
	var b bytes.Buffer
	if _, err := msg.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMail, err)
	}
	return b.Bytes(), nil
}

func sortedNames(headers map[string]string) []string {
	names := make([]string, 0, len(headers))
	for name := range headers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// plainAddress tells whether an address can stand in an SMTP command as it is.
func plainAddress(a string) bool {
	if len(a) > 254 || strings.Count(a, "@") != 1 {
		return false
	}
	for _, r := range a {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune(`<>()[]\,;:"`, r) {
			return false
		}
	}
	return true
}

// bareMessageID checks a Message-ID and takes its brackets off.
func bareMessageID(id string) (string, error) {
	bare := strings.TrimSuffix(strings.TrimPrefix(id, "<"), ">")
	if !plainAddress(bare) || strings.HasPrefix(bare, "@") || strings.HasSuffix(bare, "@") {
		return "", fmt.Errorf("%w: the Message-ID is not of the form <…@…>", ErrMail)
	}
	return bare, nil
}

// ownHeaders are made by Compose from other fields.
var ownHeaders = []string{"from", "to", "cc", "bcc", "sender", "reply-to", "subject", "date", "message-id", "mime-version",
	"content-type", "content-transfer-encoding", "return-path", "received"}

func checkHeader(name, value string) error {
	if name == "" || slices.Contains(ownHeaders, strings.ToLower(name)) {
		return fmt.Errorf("%w: header field %q can't be set", ErrMail, safetext.LineN(name, 40))
	}
	for _, r := range name {
		if r <= ' ' || r >= 0x7f || r == ':' {
			return fmt.Errorf("%w: a header field's name is malformed", ErrMail)
		}
	}
	for _, r := range value {
		if r < ' ' || r == 0x7f {
			return fmt.Errorf("%w: header field %q has a control character", ErrMail, safetext.LineN(name, 40))
		}
	}
	return nil
}
