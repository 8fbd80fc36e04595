package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"strconv"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"pec-ingest/internal/servertest"
)

// sink is an SMTP server that keeps what it is given.
type sink struct {
	port           int
	user, password string

	mu    sync.Mutex
	mails []sunk
	fetch func() []sunk // what has arrived elsewhere meanwhile; see postfixSink
}

// sunk is one mail that arrived.
type sunk struct {
	To, ID, Subject string
	Raw             []byte
}

func startSink(t *testing.T, ca *servertest.CA, user, password string) *sink {
	t.Helper()
	s := &sink{user: user, password: password}
	l, err := tls.Listen("tcp", "127.0.0.1:0", ca.ServerConfig(t, servertest.Leaf{}))
	if err != nil {
		t.Fatal(err)
	}
	server := smtp.NewServer(s)
	server.Domain = "localhost"
	server.ErrorLog = discard{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // ends with an error when it is closed
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	s.port = l.Addr().(*net.TCPAddr).Port
	return s
}

func (s *sink) portText() string { return strconv.Itoa(s.port) }

func (s *sink) received() []sunk {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fetch != nil {
		s.mails = append(s.mails, s.fetch()...)
	}
	return append([]sunk(nil), s.mails...)
}

// postfixSink is a real Postfix in the sink's place: what it takes is found in
// the mailboxes of the studio's Dovecot that are named.
func postfixSink(t *testing.T, imap *servertest.Dovecot, mailboxes []string) *sink {
	t.Helper()
	p := servertest.StartPostfix(t, servertest.PostfixOptions{Dovecot: imap})
	_, port, _ := net.SplitHostPort(p.Addr())
	s := &sink{}
	s.port, _ = strconv.Atoi(port)
	read := map[string]bool{} // mailbox and UID
	s.fetch = func() (more []sunk) {
		p.Drain()
		for _, to := range mailboxes {
			for _, m := range imap.Messages(to, "INBOX") {
				key := fmt.Sprint(to, m.UID)
				if read[key] {
					continue
				}
				read[key] = true
				raw := imap.Raw(to, "INBOX", m.UID)
				parsed, err := mail.ReadMessage(bytes.NewReader(raw))
				if err != nil {
					t.Errorf("postfix delivered what can't be read: %v", err)
					continue
				}
				more = append(more, sunk{To: to, ID: m.MessageID, Subject: parsed.Header.Get("Subject"), Raw: raw})
			}
		}
		return more
	}
	return s
}

// NewSession implements smtp.Backend.
func (s *sink) NewSession(*smtp.Conn) (smtp.Session, error) { return &sinkSession{sink: s}, nil }

type sinkSession struct {
	sink   *sink
	authed bool
	to     string
}

func (*sinkSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *sinkSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != s.sink.user || password != s.sink.password {
			return smtp.ErrAuthFailed
		}
		s.authed = true
		return nil
	}), nil
}

func (s *sinkSession) Mail(string, *smtp.MailOptions) error {
	if !s.authed {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.to != "" {
		return errors.New("one recipient a message: nobody learns of the others")
	}
	s.to = to
	return nil
}

func (s *sinkSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		// go-smtp would say 554. A real server whose client is gone in the
		// middle of a message says nothing, or that it may come again.
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "the message has no end"}
	}
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	s.sink.mails = append(s.sink.mails, sunk{To: s.to, ID: m.Header.Get("Message-Id"), Subject: m.Header.Get("Subject"), Raw: raw})
	return nil
}

func (s *sinkSession) Reset()      { s.to = "" }
func (*sinkSession) Logout() error { return nil }

// discard swallows what a server says of connections that end.
type discard struct{}

func (discard) Printf(string, ...any) {}
func (discard) Println(...any)        {}
