package notify_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"pec-ingest/internal/notify"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/servertest"
)

// sink is go-smtp's server: an SMTP implementation that is not the test's own.
type sink struct {
	mu    sync.Mutex
	mails []string
	users []string
}

func (s *sink) NewSession(*smtp.Conn) (smtp.Session, error) { return &sinkSession{sink: s}, nil }

type sinkSession struct {
	*sink
	user, from, to string
}

func (*sinkSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *sinkSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, u, p string) error {
		if u != user || p != password {
			return smtp.ErrAuthFailed
		}
		s.user = u
		return nil
	}), nil
}

func (s *sinkSession) Mail(from string, _ *smtp.MailOptions) error {
	if s.user == "" {
		return smtp.ErrAuthRequired
	}
	s.from = from
	return nil
}

func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user " + to}
	}
	s.to = to
	return nil
}

func (s *sinkSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails, s.users = append(s.mails, string(b)), append(s.users, s.user+" "+s.from+" "+s.to)
	return nil
}

func (*sinkSession) Reset()        {}
func (*sinkSession) Logout() error { return nil }

func startSink(t *testing.T, conf *tls.Config, implicit bool) (*sink, int) {
	t.Helper()
	s := &sink{}
	server := smtp.NewServer(s)
	server.Domain = "sink.test.example"
	server.TLSConfig = conf
	server.ErrorLog = discard{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if implicit {
		l = tls.NewListener(l, conf)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return s, port
}

type discard struct{}

func (discard) Printf(string, ...any) {}
func (discard) Println(...any)        {}

func TestSendToGoSMTP(t *testing.T) {
	ca := servertest.NewCA(t)
	for name, mode := range map[string]string{"implicit": "implicit", "STARTTLS": "starttls"} {
		t.Run(name, func(t *testing.T) {
			s, port := startSink(t, ca.ServerConfig(t, servertest.Leaf{}), mode == "implicit")
			c := notify.SMTPConfig{Host: "127.0.0.1", Port: port, TLS: mode, Username: user, Password: secret.FromString(password),
				From: "Studio Rossi <" + user + ">", RootCAs: ca.Pool()}
			if _, err := notify.Send(t.Context(), c, letter, nil); err != nil {
				t.Fatal(err)
			}
			if len(s.mails) != 1 || s.users[0] != user+" "+user+" rossi@pec.it" {
				t.Fatalf("got %d mails for %q, want one", len(s.mails), s.users)
			}
			checkLetter(t, s.mails[0])

			gone := letter
			gone.To = "nobody@pec.it"
			_, err := notify.Send(t.Context(), c, gone, nil)
			var e *notify.SendError
			if !errors.As(err, &e) || e.Stage != notify.StageTo || e.Temporary || e.Enhanced != "5.1.1" {
				t.Errorf("got %v, want the recipient refused", err)
			}
			checkSafe(t, err)

			c.Password = secret.FromString("wrong")
			_, err = notify.Send(t.Context(), c, letter, nil)
			if !errors.As(err, &e) || !e.Refused {
				t.Errorf("got %v, want the login refused", err)
			}
			if len(s.mails) != 1 {
				t.Errorf("got %d mails, want still one", len(s.mails))
			}
		})
	}
}
