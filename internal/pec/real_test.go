package pec_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pec-ingest/internal/pec"
)

// Real messages are read in place; they are no part of this repository.
const realDir = "../../../shared/reference/real"

func readReal(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(realDir, name))
	if os.IsNotExist(err) {
		t.Skipf("SKIPPED: the collection of real messages is not here (%s)", realDir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRealMessages(t *testing.T) {
	trust := pec.BuiltinTrust()
	for _, c := range []struct {
		name   string
		kind   pec.Kind
		reason pec.Reason
		weak   bool
	}{
		// SHA-1 certificates below a CA of 2011: crypto/x509 refuses such chains.
		{"aruba-2014/transport.eml", pec.KindEnvelope, pec.ReasonUntrustedSigner, true},
		{"aruba-2014/accettazione.eml", pec.KindAcceptance, pec.ReasonUntrustedSigner, true},
		{"aruba-2014/consegna.eml", pec.KindDelivery, pec.ReasonUntrustedSigner, true},
		// Addresses were replaced after signing.
		{"aruba-2026-anonymised/busta-trasporto.eml", pec.KindEnvelope, pec.ReasonBadSignature, false},
		{"aruba-2026-anonymised/errore-consegna.eml", pec.KindDeliveryError, pec.ReasonBadSignature, false},
		{"sogei-2018-edited/invio-file.eml", pec.KindEnvelope, pec.ReasonBadSignature, false},
		{"sogei-2018-edited/invio-file-broken-xml.eml", pec.KindEnvelope, pec.ReasonBadSignature, false},
		{"sogei-2018-edited/mancata-consegna-no-daticert.eml", pec.KindEnvelope, pec.ReasonBadSignature, false},
		// Dummy signatures.
		{"go-pec/accettazione.eml", pec.KindAcceptance, pec.ReasonBadSignature, false},
		{"go-pec/consegna.eml", pec.KindDeliveryError, pec.ReasonBadSignature, false},
		{"go-pec/email_2.eml", pec.KindDelivery, pec.ReasonBadSignature, false},
		{"go-pec/email_3.eml", pec.KindEnvelope, pec.ReasonBadSignature, false},
		// Original messages without their envelopes.
		{"php-pec/postacert_standard_html.eml", pec.KindOrdinary, pec.ReasonNotPEC, false},
		{"php-pec/postacert_standard_newline.eml", pec.KindOrdinary, pec.ReasonNotPEC, false},
		{"php-pec/postacert_standard_plain.eml", pec.KindOrdinary, pec.ReasonNotPEC, false},
		{"php-pec/postacert_standard_plain_and_html.eml", pec.KindOrdinary, pec.ReasonNotPEC, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := pec.Judge(readReal(t, c.name), pec.Options{Trust: trust})
			if j.Kind != c.kind || j.Reason != c.reason || (len(j.Weak) > 0) != c.weak {
				t.Errorf("got %s %q %v (%v), want %s %q weak %v", j.Kind, j.Reason, j.Weak, j.Err, c.kind, c.reason, c.weak)
			}
			checkShape(t, j)
		})
	}
}

// With the signer itself as anchor the messages of 2014 are judged in full.
func TestRealArubaLeafAsAnchor(t *testing.T) {
	raw := readReal(t, "aruba-2014/transport.eml")
	trust, err := pec.NewTrust(pec.TrustOptions{PEM: [][]byte{leafPEM(t, raw)}})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2014, 11, 7, 15, 52, 1, 0, time.UTC)
	j := pec.Judge(raw, pec.Options{Trust: trust, Recipients: []string{"l.battistini@pec.it"}, ReceivedAt: at})
	if !j.Certified() {
		t.Fatalf("got %q (%v), want certified", j.Reason, j.Err)
	}
	m := j.Message
	if m.Mailbox != "thinkstudio@pec.it" || m.ID != "opec275.20141107165200.03048.08.1.17@pec.aruba.it" ||
		m.SentAt.Format(time.RFC3339) != "2014-11-07T15:52:00Z" || m.Provider != "ARUBA PEC S.p.A." ||
		m.Subject != "Re: archetipo" || m.Signer.Address != "posta-certificata@pec.aruba.it" || m.ReceiptType != "completa" {
		t.Errorf("got %+v", *m)
	}
	if len(j.Weak) != 1 || j.Weak[0] != pec.WeakSHA1 {
		t.Errorf("weak: got %v, want %s", j.Weak, pec.WeakSHA1)
	}
	for name, kind := range map[string]pec.Kind{"aruba-2014/accettazione.eml": pec.KindAcceptance, "aruba-2014/consegna.eml": pec.KindDelivery} {
		j := pec.Judge(readReal(t, name), pec.Options{Trust: trust})
		if j.Reason != pec.ReasonReceipt || j.Receipt == nil || j.Receipt.Kind != kind {
			t.Errorf("%s: got %q (%v), want a receipt of kind %s", name, j.Reason, j.Err, kind)
		}
	}
	// One changed byte anywhere under the signature.
	forged := append([]byte{}, raw...)
	forged[len(forged)/3] ^= 1
	if j := pec.Judge(forged, pec.Options{Trust: trust}); j.Reason != pec.ReasonBadSignature {
		t.Errorf("changed byte: got %q, want bad-signature", j.Reason)
	}
}

func leafPEM(t *testing.T, raw []byte) []byte {
	t.Helper()
	content, cms, ok := pec.SignedBytes(raw)
	if !ok {
		t.Fatal("no signature")
	}
	leaf, reason := pec.CheckCMS(cms, content)
	if reason != "" {
		t.Fatalf("signature: %s", reason)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})
}

// The chain of the 2026 messages is intact: it must end in the built-in anchor.
func TestRealArubaChain(t *testing.T) {
	for _, name := range []string{"busta-trasporto.eml", "errore-consegna.eml"} {
		_, cms, ok := pec.SignedBytes(readReal(t, "aruba-2026-anonymised/"+name))
		if !ok {
			t.Fatal("no signature")
		}
		at := time.Date(2026, 9, 19, 13, 41, 19, 0, time.UTC)
		if trusted, problem := pec.BuiltinTrust().ChainOf(cms, at); !trusted || problem != nil {
			t.Errorf("%s: trusted %v, problem %v", name, trusted, problem)
		}
		nobody, err := pec.NewTrust(pec.TrustOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if trusted, _ := nobody.ChainOf(cms, at); trusted {
			t.Errorf("%s: trusted without an anchor", name)
		}
		if _, problem := pec.BuiltinTrust().ChainOf(cms, time.Date(2029, 1, 1, 0, 0, 0, 0, time.UTC)); problem == nil {
			t.Errorf("%s: the signer is valid in 2029", name)
		}
	}
}

// Every re-issue of AgID CA1 has the key that is built in.
func TestRealAnchors(t *testing.T) {
	readReal(t, "README.md")
	files, err := filepath.Glob(filepath.Join(realDir, "ca", "AgID*CA1*.pem"))
	if err != nil || len(files) < 5 {
		t.Fatalf("got %d files (%v), want at least 5", len(files), err)
	}
	want := pec.BuiltinTrust().Anchors()[0].SPKI
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		trust, err := pec.NewTrust(pec.TrustOptions{PEM: [][]byte{b}})
		if err != nil {
			t.Fatalf("%s: %v", filepath.Base(f), err)
		}
		if got := trust.Anchors()[0].SPKI; got != want {
			t.Errorf("%s: got key %s, want %s", filepath.Base(f), got, want)
		}
		block, _ := pem.Decode(b)
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		// The list of signing domains is that of the newest certificate.
		if cert.NotBefore.Year() == 2025 {
			known := map[string]bool{}
			for _, d := range pec.SigningDomains {
				known[d] = true
			}
			for _, d := range cert.PermittedEmailAddresses {
				if !known[d] {
					t.Errorf("signing domain %s is not in the list", d)
				}
			}
			t.Logf("%d permitted, %d listed", len(cert.PermittedEmailAddresses), len(known))
		}
	}
}
