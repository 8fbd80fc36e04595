package pec_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
	"pec-ingest/internal/pectest/corpus"
)

var (
	ca     = pectest.NewAuthority("pec")
	forger = pectest.NewAuthority("forger")
)

const arubaAddress = "posta-certificata@pec.aruba.it"

func newTrust(t testing.TB, o pec.TrustOptions) *pec.Trust {
	t.Helper()
	trust, err := pec.NewTrust(o)
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// Which anchors stand for a genuine message whose signer sends the issuing CA
// along, and for one whose signer sends nothing but itself.
func TestAnchors(t *testing.T) {
	full := corpus.Envelope()
	alone := corpus.Envelope()
	p := *alone.Provider
	p.Chain = nil
	alone.Provider = &p
	leafPEM, leafPin := pectest.PEM(p.Cert), pectest.Pin(p.Cert)

	// A re-issue of the issuing CA: same key, other name, dates and limits.
	reissued := ca.CA(pectest.CAOptions{
		Name: "Test PEC CA pec", Key: "pec/issuing", Parent: forger.Root, ParentKey: "forger/root",
		NotBefore: corpus.SentAt.AddDate(-3, 0, 0), NotAfter: corpus.SentAt.AddDate(-1, 0, 0), PermittedEmail: []string{"other.example"},
	})
	expired := corpus.Envelope()
	q := *expired.Provider
	q.Chain = []*x509.Certificate{reissued}
	expired.Provider = &q

	for _, c := range []struct {
		name                 string
		o                    pec.TrustOptions
		full, alone, expired bool
	}{
		{"nobody", pec.TrustOptions{}, false, false, false},
		{"builtin only", pec.TrustOptions{Builtin: true}, false, false, false},
		{"root", pec.TrustOptions{PEM: [][]byte{ca.RootPEM()}}, true, false, false},
		{"issuing CA", pec.TrustOptions{PEM: [][]byte{ca.IssuingPEM()}}, true, true, true},
		{"re-issue as anchor", pec.TrustOptions{PEM: [][]byte{pectest.PEM(reissued)}}, true, true, true},
		{"root and issuing in one file", pec.TrustOptions{PEM: [][]byte{append(ca.RootPEM(), ca.IssuingPEM()...)}}, true, true, true},
		{"pin of the issuing CA", pec.TrustOptions{Pins: []string{ca.Pin()}}, true, false, true},
		{"pin of the root, which no message carries", pec.TrustOptions{Pins: []string{pectest.Pin(ca.Root)}}, false, false, false},
		{"signer itself", pec.TrustOptions{PEM: [][]byte{leafPEM}}, true, true, true},
		{"pin of the signer itself", pec.TrustOptions{Pins: []string{leafPin}}, true, true, true},
		{"another authority", pec.TrustOptions{PEM: [][]byte{forger.RootPEM(), forger.IssuingPEM()}}, false, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			trust := newTrust(t, c.o)
			for _, m := range []struct {
				name string
				e    pectest.Envelope
				want bool
			}{{"full", full, c.full}, {"alone", alone, c.alone}, {"expired re-issue", expired, c.expired}} {
				for range 2 { // the second time from the cache
					j := pec.Judge(m.e.Bytes(), pec.Options{Trust: trust})
					if j.Certified() != m.want || !m.want && j.Reason != pec.ReasonUntrustedSigner {
						t.Errorf("%s: got %q (%v), want certified %v", m.name, j.Reason, j.Err, m.want)
					}
				}
			}
		})
	}
}

// A certificate given as PEM is the anchor as it stands: another one around
// the same key, which anybody can put beside a genuine signature, is not.
func TestSwappedCertificate(t *testing.T) {
	e := corpus.Envelope()
	genuine := e.Provider
	swapped := forger.Issue(pectest.LeafOptions{Address: arubaAddress, Name: genuine.Name, Key: "pec/" + arubaAddress, NotAfter: pectest.NotAfter.AddDate(1, 0, 0)})
	p := *genuine
	p.Cert, p.Chain = swapped.Cert, nil
	e.Provider = &p
	if j := pec.Judge(e.Bytes(), pec.Options{Trust: newTrust(t, pec.TrustOptions{PEM: [][]byte{pectest.PEM(genuine.Cert)}})}); j.Reason != pec.ReasonUntrustedSigner {
		t.Errorf("got %q (%v), want untrusted-signer", j.Reason, j.Err)
	}
}

// Nil trusts nobody, above all not the system's roots.
func TestNilTrust(t *testing.T) {
	e := corpus.Envelope()
	if j := pec.Judge(e.Bytes(), pec.Options{}); j.Reason != pec.ReasonUntrustedSigner {
		t.Errorf("got %q, want untrusted-signer", j.Reason)
	}
}

// An anchor with a list of signing domains stands for these only, and for the
// certificates directly below it.
func TestSigningDomains(t *testing.T) {
	sub := ca.CA(pectest.CAOptions{Name: "Sub", Key: "sub", Parent: ca.Issuing, ParentKey: "pec/issuing", PathLen: -1})
	subProvider := ca.Issue(pectest.LeafOptions{Address: arubaAddress, Name: "x", Issuer: sub, IssuerKey: "sub"})
	subProvider.Chain = append(subProvider.Chain, ca.Issuing)
	for _, c := range []struct {
		name     string
		provider *pectest.Provider
		domains  []string
		want     pec.Reason
	}{
		{"listed", ca.Provider(arubaAddress, "x"), []string{"legalmail.it", "pec.aruba.it"}, ""},
		{"not listed", ca.Provider(arubaAddress, "x"), []string{"legalmail.it"}, pec.ReasonUntrustedSigner},
		{"listed parent domain", ca.Provider(arubaAddress, "x"), []string{"aruba.it"}, pec.ReasonUntrustedSigner},
		{"capitals", ca.Issue(pectest.LeafOptions{Address: arubaAddress, Name: "x", Emails: []string{"Posta-Certificata@PEC.ARUBA.IT"}}), []string{"pec.aruba.it"}, ""},
		{"one of two not listed", ca.Issue(pectest.LeafOptions{Address: arubaAddress, Name: "x", Emails: []string{arubaAddress, "a@evil.example"}}), []string{"pec.aruba.it"}, pec.ReasonUntrustedSigner},
		{"below a further CA", subProvider, []string{"pec.aruba.it"}, pec.ReasonUntrustedSigner},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := corpus.Envelope()
			e.Provider = c.provider
			j := pec.Judge(e.Bytes(), pec.Options{Trust: pec.Restricted(ca.Pin(), c.domains...)})
			if j.Reason != c.want {
				t.Errorf("got %q (%v), want %q", j.Reason, j.Err, c.want)
			}
		})
	}
}

// The path length of a CA that only the message carries binds too.
func TestPathLengthOfPin(t *testing.T) {
	sub := ca.CA(pectest.CAOptions{Name: "Sub", Key: "sub", Parent: ca.Root, ParentKey: "pec/root", PathLen: 0})
	below := ca.CA(pectest.CAOptions{Name: "Below", Key: "below", Parent: sub, ParentKey: "sub", PathLen: -1})
	e := corpus.Envelope()
	e.Provider = ca.Issue(pectest.LeafOptions{Address: arubaAddress, Name: "x", Issuer: below, IssuerKey: "below"})
	e.Provider.Chain = []*x509.Certificate{below, sub}
	if j := pec.Judge(e.Bytes(), pec.Options{Trust: newTrust(t, pec.TrustOptions{PEM: [][]byte{ca.RootPEM()}})}); j.Reason != pec.ReasonUntrustedSigner {
		t.Errorf("two CAs below one of path length 0: got %q, want untrusted-signer", j.Reason)
	}
	// A key that is pinned stands for itself.
	if j := pec.Judge(e.Bytes(), pec.Options{Trust: newTrust(t, pec.TrustOptions{Pins: []string{pectest.Pin(sub)}})}); !j.Certified() {
		t.Errorf("below a pin: got %q (%v), want certified", j.Reason, j.Err)
	}
}

func TestCRL(t *testing.T) {
	day := 24 * time.Hour
	now := corpus.SentAt
	leaf := corpus.Envelope().Provider
	other := ca.Provider("posta-certificata@legalmail.it", "x")
	der := func(pemBytes []byte) []byte { b, _ := pem.Decode(pemBytes); return b.Bytes }
	for _, c := range []struct {
		name string
		crl  []byte
		want pec.Reason
	}{
		{"revoked", ca.CRL(now.Add(-day), now.Add(day), leaf.Cert), pec.ReasonSignerNotValid},
		{"revoked, DER", der(ca.CRL(now.Add(-day), now.Add(day), leaf.Cert)), pec.ReasonSignerNotValid},
		{"revoked in an expired list", ca.CRL(now.Add(-9*day), now.Add(-8*day), leaf.Cert), pec.ReasonSignerNotValid},
		{"revoked after the certified time", ca.CRL(now.Add(30*day), now.Add(31*day), leaf.Cert), pec.ReasonSignerNotValid},
		{"another one revoked", ca.CRL(now.Add(-day), now.Add(day), other.Cert), ""},
		{"empty list", ca.CRL(now.Add(-day), now.Add(day)), ""},
		{"list signed by somebody else", ca.SignCRL(ca.Issuing, "forger/issuing", now.Add(-day), now.Add(day), leaf.Cert), ""},
		{"list of another CA", forger.CRL(now.Add(-day), now.Add(day), leaf.Cert), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for anchor, o := range map[string]pec.TrustOptions{"root": {PEM: [][]byte{ca.RootPEM()}}, "pin": {Pins: []string{ca.Pin()}}} {
				o.CRLs = [][]byte{c.crl}
				j := pec.Judge(corpusMessage(), pec.Options{Trust: newTrust(t, o)})
				if j.Reason != c.want {
					t.Errorf("%s: got %q (%v), want %q", anchor, j.Reason, j.Err, c.want)
				}
			}
		})
	}
	t.Run("signer itself is the anchor", func(t *testing.T) {
		trust := newTrust(t, pec.TrustOptions{PEM: [][]byte{pectest.PEM(leaf.Cert)}, CRLs: [][]byte{ca.CRL(now.Add(-day), now.Add(day), leaf.Cert)}})
		if j := pec.Judge(corpusMessage(), pec.Options{Trust: trust}); j.Reason != pec.ReasonSignerNotValid {
			t.Errorf("got %q, want signer-not-valid", j.Reason)
		}
	})
	t.Run("the issuing CA is revoked", func(t *testing.T) {
		crl := ca.SignCRL(ca.Root, "pec/root", now.Add(-day), now.Add(day), ca.Issuing)
		trust := newTrust(t, pec.TrustOptions{PEM: [][]byte{ca.RootPEM()}, CRLs: [][]byte{crl}})
		if j := pec.Judge(corpusMessage(), pec.Options{Trust: trust}); j.Reason != pec.ReasonSignerNotValid {
			t.Errorf("got %q, want signer-not-valid", j.Reason)
		}
	})
	info := newTrust(t, pec.TrustOptions{CRLs: [][]byte{ca.CRL(now, now.Add(day))}}).CRLs()
	if len(info) != 1 || !info[0].ThisUpdate.Equal(now) || !info[0].NextUpdate.Equal(now.Add(day)) || !strings.Contains(info[0].Issuer, "Test PEC CA") {
		t.Errorf("got %+v", info)
	}
}

func corpusMessage() []byte {
	e := corpus.Envelope()
	return e.Bytes()
}

func TestNewTrustErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		o    pec.TrustOptions
		want error
	}{
		{"no certificate", pec.TrustOptions{PEM: [][]byte{[]byte("hello")}}, pec.ErrBadAnchor},
		{"empty file", pec.TrustOptions{PEM: [][]byte{nil}}, pec.ErrBadAnchor},
		{"a key", pec.TrustOptions{PEM: [][]byte{pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte{1}})}}, pec.ErrBadAnchor},
		{"broken certificate", pec.TrustOptions{PEM: [][]byte{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{0x30, 0}})}}, pec.ErrBadAnchor},
		{"short pin", pec.TrustOptions{Pins: []string{"spki-sha256:39e3"}}, pec.ErrBadAnchor},
		{"pin of another kind", pec.TrustOptions{Pins: []string{"sha256:" + strings.Repeat("00", 32)}}, pec.ErrBadAnchor},
		{"no hex", pec.TrustOptions{Pins: []string{"spki-sha256:" + strings.Repeat("zz", 32)}}, pec.ErrBadAnchor},
		{"broken list", pec.TrustOptions{CRLs: [][]byte{[]byte("hello")}}, pec.ErrBadCRL},
	} {
		if trust, err := pec.NewTrust(c.o); !errors.Is(err, c.want) || trust != nil {
			t.Errorf("%s: got %v, %v, want %v", c.name, trust, err, c.want)
		}
	}
}

func TestAnchorInfo(t *testing.T) {
	trust := newTrust(t, pec.TrustOptions{Builtin: true, PEM: [][]byte{ca.RootPEM()}, Pins: []string{"spki-sha256:" + strings.ToUpper(strings.TrimPrefix(ca.Pin(), "spki-sha256:"))}})
	list := trust.Anchors()
	if len(list) != 3 || !list[0].Builtin || list[0].Name != "AgID CA1" || !list[0].NotAfter.IsZero() ||
		list[1].Builtin || !list[1].NotAfter.Equal(pectest.NotAfter) || len(list[1].SPKI) != 64 || "spki-sha256:"+list[2].SPKI != ca.Pin() {
		t.Errorf("got %+v", list)
	}
}

// The built-in anchor stands for the providers' domains only.
func TestBuiltinDomains(t *testing.T) {
	if got := newTrust(t, pec.TrustOptions{Builtin: true}).Domains(); got != len(pec.SigningDomains) || got < 30 {
		t.Errorf("got %d domains, want %d", got, len(pec.SigningDomains))
	}
}

// Many messages at once, more certificate sets than the cache keeps.
func TestTrustConcurrent(t *testing.T) {
	trust := newTrust(t, pec.TrustOptions{PEM: [][]byte{ca.RootPEM()}})
	var messages [][]byte
	for i := range 80 {
		e := corpus.Envelope()
		e.Provider = ca.Issue(pectest.LeafOptions{Address: arubaAddress, Name: fmt.Sprint("x", i), Key: fmt.Sprint("key ", i%4)})
		messages = append(messages, e.Bytes())
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, m := range messages {
				if j := pec.Judge(m, pec.Options{Trust: trust}); !j.Certified() {
					t.Errorf("got %q (%v)", j.Reason, j.Err)
				}
			}
		})
	}
	wg.Wait()
}
