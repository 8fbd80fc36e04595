package pectest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"strings"
	"time"
)

// Letter is an original message as a client's mail program writes it. Text is
// written as UTF-8, quoted-printable; lines end with CRLF.
type Letter struct {
	From, To    string // mailboxes, with or without a display name
	Cc          string
	Subject     string
	Text, HTML  string // with both: multipart/alternative
	Attachments []Attachment
	Date        time.Time
	MessageID   string   // with <>; "" is made from the rest
	Header      []string // more fields, "Name: value"
}

// Attachment is a file in a Letter.
type Attachment struct {
	Name   string
	Type   string // "": application/octet-stream
	Inline bool
	Data   []byte
}

// Bytes is the message.
func (l Letter) Bytes() []byte {
	var b bytes.Buffer
	id := l.MessageID
	if id == "" {
		id = "<" + tag(l.From, l.To, l.Subject, l.Text, l.HTML, l.Date.String()) + "@client.example>"
	}
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\n", l.From, l.To)
	if l.Cc != "" {
		fmt.Fprintf(&b, "Cc: %s\r\n", l.Cc)
	}
	fmt.Fprintf(&b, "Subject: %s\r\nDate: %s\r\nMessage-ID: %s\r\n", encodeWord(l.Subject), l.Date.Format(time.RFC1123Z), id)
	for _, h := range l.Header {
		b.WriteString(h + "\r\n")
	}
	b.WriteString("MIME-Version: 1.0\r\n")
	b.Write(l.body())
	return b.Bytes()
}

// body is the entity: MIME fields, empty line, content.
func (l Letter) body() []byte {
	var text []byte
	switch {
	case l.HTML == "":
		text = textEntity("text/plain", l.Text)
	case l.Text == "":
		text = textEntity("text/html", l.HTML)
	default:
		text = multipart("alternative", "alt-"+tag(l.Text, l.HTML), textEntity("text/plain", l.Text), textEntity("text/html", l.HTML))
	}
	if len(l.Attachments) == 0 {
		return text
	}
	parts := [][]byte{text}
	for _, a := range l.Attachments {
		parts = append(parts, a.entity())
	}
	return multipart("mixed", "mix-"+tag(l.Text, l.HTML, l.Subject), parts...)
}

func (a Attachment) entity() []byte {
	typ, disposition := a.Type, "attachment"
	if typ == "" {
		typ = "application/octet-stream"
	}
	if a.Inline {
		disposition = "inline"
	}
	var b bytes.Buffer
	if typ == "message/rfc822" { // no transfer encoding allowed
		fmt.Fprintf(&b, "Content-Type: message/rfc822; name=%q\r\nContent-Disposition: %s; filename=%q\r\n\r\n", a.Name, disposition, a.Name)
		b.Write(a.Data)
		return b.Bytes()
	}
	fmt.Fprintf(&b, "Content-Type: %s; name=%q\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: %s; filename=%q\r\n\r\n", typ, a.Name, disposition, a.Name)
	b.Write(base64Lines(a.Data))
	return b.Bytes()
}

func textEntity(typ, text string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Content-Type: %s; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n", typ)
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write([]byte(text)) // a Buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

// multipart is an entity around entities.
func multipart(subtype, boundary string, parts ...[]byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Content-Type: multipart/%s; boundary=%q\r\n\r\n", subtype, boundary)
	for _, p := range parts {
		fmt.Fprintf(&b, "--%s\r\n", boundary)
		b.Write(p)
		b.WriteString("\r\n")
	}
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return b.Bytes()
}

func base64Lines(data []byte) []byte {
	text := base64.StdEncoding.EncodeToString(data)
	var b bytes.Buffer
	for len(text) > 76 {
		b.WriteString(text[:76] + "\r\n")
		text = text[76:]
	}
	b.WriteString(text + "\r\n")
	return b.Bytes()
}

func encodeWord(s string) string {
	return strings.ReplaceAll(mime.QEncoding.Encode("utf-8", s), "?= =?", "?=\r\n =?")
}
