// Package demo runs the whole job on an embedded example: IMAP servers over
// TLS, an SMTP sink, a throw-away vault, and messages signed by a test
// authority at the moment they are needed, so that they never go stale.
//
// Only the servers and the messages are made here; what is shown is the real
// pipeline at work, reached through a real configuration file.
package demo

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// servers are the embedded IMAP and SMTP servers, all on loopback.
type servers struct {
	caPEM  []byte
	imap   *imapserver.Server
	smtp   *smtp.Server
	imapAt string
	smtpAt string
	mail   *imapmemserver.Server
	studio *imapmemserver.User
	sink   *sink
	done   sync.WaitGroup
}

const inboxName = "INBOX"

// startServers starts one IMAP server with the studio's mailbox and those of
// the clients, and an SMTP sink. passwords is by address; the studio's is
// among them.
func startServers(studio string, passwords map[string]string) (*servers, error) {
	s := &servers{mail: imapmemserver.New(), sink: &sink{user: studio, password: passwords[studio]}}
	tlsConf, err := s.certificate()
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	for address, password := range passwords {
		u, err := s.addUser(address, password)
		if err != nil {
			return nil, err
		}
		if address == studio {
			s.studio = u
		}
	}
	s.imap = imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return s.mail.NewSession(), nil, nil
		},
		Caps:   imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}},
		Logger: quiet{},
	})
	s.smtp = smtp.NewServer(s.sink)
	s.smtp.Domain = "localhost"
	s.smtp.ErrorLog = quiet{}
	if s.imapAt, err = s.serve(tlsConf, s.imap.Serve); err != nil {
		return nil, err
	}
	if s.smtpAt, err = s.serve(tlsConf, s.smtp.Serve); err != nil {
		return nil, err
	}
	return s, nil
}

// addUser makes a mailbox.
func (s *servers) addUser(address, password string) (*imapmemserver.User, error) {
	u := imapmemserver.NewUser(address, password)
	if err := u.Create(inboxName, nil); err != nil {
		return nil, fmt.Errorf("making a mailbox: %w", err)
	}
	s.mail.AddUser(u)
	return u, nil
}

func (s *servers) serve(conf *tls.Config, serve func(net.Listener) error) (addr string, err error) {
	l, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		return "", fmt.Errorf("listening on loopback: %w", err)
	}
	s.done.Add(1)
	go func() {
		defer s.done.Done()
		_ = serve(l) // it ends with an error when it is closed
	}()
	return l.Addr().String(), nil
}

// close stops the servers and waits for them.
func (s *servers) close() error {
	err := errors.Join(s.imap.Close(), s.smtp.Close())
	s.done.Wait()
	return err
}

// deliver puts a message into the studio's inbox.
func (s *servers) deliver(raw []byte, at time.Time) error {
	_, err := s.studio.Append(inboxName, literal{bytes.NewReader(raw), int64(len(raw))}, &imap.AppendOptions{Time: at})
	return err
}

type literal struct {
	io.Reader
	size int64
}

func (l literal) Size() int64 { return l.size }

// certificate makes a certificate for 127.0.0.1, its own authority.
func (s *servers) certificate() (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pec-ingest demo"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	s.caPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}, nil
}

// sink takes mail and keeps it.
type sink struct {
	user, password string

	mu   sync.Mutex
	mail []sunk
}

type sunk struct {
	to   string
	body []byte
}

// NewSession implements smtp.Backend.
func (s *sink) NewSession(*smtp.Conn) (smtp.Session, error) { return &sinkSession{sink: s}, nil }

func (s *sink) received() []sunk {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]sunk(nil), s.mail...)
}

type sinkSession struct {
	sink   *sink
	authed bool
	to     string
}

func (s *sinkSession) AuthMechanisms() []string { return []string{sasl.Plain} }

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

func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error { s.to = to; return nil }

func (s *sinkSession) Data(r io.Reader) error {
	body, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil {
		return err
	}
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	s.sink.mail = append(s.sink.mail, sunk{s.to, body})
	return nil
}

func (*sinkSession) Reset()        {}
func (*sinkSession) Logout() error { return nil }

// quiet swallows what the embedded servers say of connections that end.
type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}
