package pec_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
	"pec-ingest/internal/pectest/corpus"
)

func TestSizeLimit(t *testing.T) {
	o, err := corpus.Options()
	if err != nil {
		t.Fatal(err)
	}
	raw := corpusMessage()
	o.MaxBytes = int64(len(raw))
	if j := pec.Judge(raw, o); !j.Certified() {
		t.Errorf("at the limit: got %q (%v), want certified", j.Reason, j.Err)
	}
	o.MaxBytes--
	j := pec.Judge(raw, o)
	if j.Reason != pec.ReasonTooLarge || j.Kind != pec.KindEnvelope || j.Claimed.Sender != "rossi@pec.it" {
		t.Errorf("above the limit: got %q, %s, %+v, want too-large and what it claims", j.Reason, j.Kind, j.Claimed)
	}
	o.MaxBytes = 0
	if j := pec.Judge(append(raw, make([]byte, pec.DefaultMaxBytes)...), o); j.Reason != pec.ReasonTooLarge {
		t.Errorf("above the default: got %q, want too-large", j.Reason)
	}
}

// Times are compared to the second, borders belong to what is allowed.
func TestTimeLimits(t *testing.T) {
	o, err := corpus.Options()
	if err != nil {
		t.Fatal(err)
	}
	at := corpus.SentAt
	leaf := func(from, to time.Time) *pectest.Provider {
		return ca.Issue(pectest.LeafOptions{Address: arubaAddress, Name: "x", NotBefore: from, NotAfter: to})
	}
	for _, c := range []struct {
		name     string
		provider *pectest.Provider
		received time.Time
		want     pec.Reason
	}{
		{"valid for this second only", leaf(at, at), at, ""},
		{"ended a second ago", leaf(at.Add(-time.Hour), at.Add(-time.Second)), at, pec.ReasonSignerNotValid},
		{"begins in a second", leaf(at.Add(time.Second), at.Add(time.Hour)), at, pec.ReasonSignerNotValid},
		{"received an hour before", leaf(at, at), at.Add(-time.Hour), ""},
		{"received a second more before", leaf(at, at), at.Add(-time.Hour - time.Second), pec.ReasonDaticertMismatch},
		{"received years later", leaf(at, at), at.AddDate(9, 0, 0), ""},
		{"reception not known", leaf(at, at), time.Time{}, ""},
	} {
		e := corpus.Envelope()
		e.Provider = c.provider
		o.ReceivedAt = c.received
		if j := pec.Judge(e.Bytes(), o); j.Reason != c.want {
			t.Errorf("%s: got %q (%v), want %q", c.name, j.Reason, j.Err, c.want)
		}
	}
}

// A key of a million bits would take minutes to try.
func TestHugeKey(t *testing.T) {
	n := new(big.Int).SetBytes(bytes.Repeat([]byte{0xa5}, 1<<17))
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "huge"}, NotBefore: pectest.NotBefore, NotAfter: pectest.NotAfter, EmailAddresses: []string{arubaAddress}}
	der, err := x509.CreateCertificate(nil, template, forger.Issuing, &rsa.PublicKey{N: n, E: 65537}, pectest.Key("forger/issuing"))
	if err != nil {
		t.Fatal(err)
	}
	huge, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	o, err := corpus.Options()
	if err != nil {
		t.Fatal(err)
	}
	e := corpus.Envelope()
	p := *e.Provider
	p.Cert = huge
	e.Provider = &p
	e.CMS = func(s *pectest.CMS) { s.Value = bytes.Repeat([]byte{0x5a}, 1<<17) }
	raw := e.Bytes()
	j, used, took := measure(raw, o)
	if j.Reason != pec.ReasonBadSignature {
		t.Errorf("got %q (%v), want bad-signature", j.Reason, j.Err)
	}
	checkCost(t, len(raw), used, took)
}

// Thirty certificates that all could have issued each other cost a bounded time.
func TestCertificateMaze(t *testing.T) {
	o, err := corpus.Options()
	if err != nil {
		t.Fatal(err)
	}
	subject := pkix.Name{CommonName: "Maze"}
	e := corpus.Envelope()
	var chain []*x509.Certificate
	for i := range 30 {
		key := []string{"maze/a", "maze/b"}[i%2]
		chain = append(chain, forger.CA(pectest.CAOptions{Subject: &subject, Key: key, PathLen: -1, NotAfter: pectest.NotAfter.Add(time.Duration(-i) * time.Hour)}))
	}
	e.Provider = forger.Issue(pectest.LeafOptions{Address: arubaAddress, Name: "x", Issuer: chain[0], IssuerKey: "maze/a"})
	e.Provider.Chain = chain
	raw := e.Bytes()
	j, used, took := measure(raw, o)
	if j.Reason != pec.ReasonUntrustedSigner {
		t.Errorf("got %q (%v), want untrusted-signer", j.Reason, j.Err)
	}
	t.Logf("%d bytes in %v", len(raw), took)
	checkCost(t, len(raw), used, took)
	// A maze too large to walk.
	e.Provider.Chain = append(chain, chain...)
	if j := pec.Judge(e.Bytes(), o); j.Reason != pec.ReasonBadSignature {
		t.Errorf("60 certificates: got %q, want bad-signature", j.Reason)
	}
}
