package ingest

import (
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"

	"pec-ingest/internal/probe"
	"pec-ingest/internal/provider"
	"pec-ingest/internal/vault"
)

// providerOf says who runs a client's mailbox: the record's word first, then
// the verified signer of what the client sent. Text in a message is never
// asked (DESIGN §8).
func (s *Service) providerOf(c vault.Client, signer string) (provider.Provider, bool) {
	if c.Provider != "" {
		if p, ok := s.providers.ByID(c.Provider); ok {
			return p, true
		}
	}
	if signer == "" {
		signer = c.Signer
	}
	if signer == "" {
		return provider.Provider{}, false
	}
	return s.providers.BySigner(signer)
}

// targetOf is the server on which a new password of this client is tried; ok
// is false where nothing trustworthy names one.
func (s *Service) targetOf(c vault.Client, signer string) (t probe.Target, providerID string, ok bool, err error) {
	p, known := s.providerOf(c, signer)
	if c.IMAPAddr != "" {
		t, err = target(c.IMAPAddr, p)
		return t, p.ID, err == nil, err
	}
	if !known || p.IMAP.Host == "" {
		return probe.Target{}, "", false, nil
	}
	t, err = target(p.IMAP.Addr(), p)
	return t, p.ID, err == nil, err
}

// storedTarget is the server for a stored secret: only one that accepted it
// before. The provider entry still says how its certificate is checked. One
// that no server has accepted yet goes where a new one would: signer is what
// sourceSigner says, "" if nothing is known.
func (s *Service) storedTarget(c vault.Client, v vault.Version, signer string) (t probe.Target, providerID string, ok bool, err error) {
	if v.Addr == "" {
		return s.targetOf(c, signer)
	}
	p, _ := s.providerOf(c, signer)
	t, err = target(v.Addr, p)
	return t, p.ID, err == nil, err
}

// sourceSigner is the verified signer of the message that brought a version;
// where a person decided on it, or typed it, the one that the credential is
// known by.
func sourceSigner(tx *vault.Tx, v vault.Version) (string, error) {
	sub, ok, err := tx.Submission(v.Source)
	if err != nil || ok {
		return sub.Signer, err
	}
	cred, _, err := tx.Credential(v.Mailbox, v.Login)
	return cred.Signer, err
}

func target(addr string, p provider.Provider) (probe.Target, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return probe.Target{}, fmt.Errorf("reading the IMAP address of provider %q: %w", p.ID, err)
	}
	t := probe.Target{Addr: addr, ServerName: host, STARTTLS: strings.EqualFold(p.IMAP.TLS, "starttls")}
	if p.TLSCAFile != "" {
		if t.RootCAs, err = rootsWith(p.TLSCAFile); err != nil {
			return probe.Target{}, err
		}
	}
	return t, nil
}

// rootsWith is the system's TLS roots and those of one PEM file. These serve
// TLS only; PEC's trust anchors never come from here.
func rootsWith(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading tls_ca_file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading tls_ca_file %q: no PEM certificate in it", file)
	}
	return pool, nil
}
