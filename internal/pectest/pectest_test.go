package pectest_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"io"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
)

var sentAt = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

func envelope(a *pectest.Authority, style pectest.Style) pectest.Envelope {
	return pectest.Envelope{
		Provider: a.Provider("posta-certificata@pec.test.example", "Test PEC"),
		Sender:   "rossi@pec.test.example", Recipients: []string{"studio@pec.test.example"},
		Subject: "Nuova password", SentAt: sentAt, Style: style,
		Letter: pectest.Letter{
			Text: "La password è: abc\n", HTML: "<p>La password è: abc</p>",
			Attachments: []pectest.Attachment{{Name: "a.bin", Data: []byte{0, 1, 2}}},
		},
	}
}

// The same input gives the same bytes, other seeds give other keys.
func TestDeterministic(t *testing.T) {
	for _, style := range pectest.Styles() {
		one := envelope(pectest.NewAuthority("pec"), style)
		two := envelope(pectest.NewAuthority("pec"), style)
		if !bytes.Equal(one.Bytes(), two.Bytes()) {
			t.Errorf("%s: two messages differ", style.Name)
		}
	}
	a, b := pectest.NewAuthority("pec"), pectest.NewAuthority("other")
	if a.Pin() == b.Pin() || bytes.Equal(a.RootPEM(), b.RootPEM()) {
		t.Error("two authorities have the same key or root")
	}
	if _, ok := a.Provider("posta-certificata@pec.test.example", "x").Key.(*rsa.PrivateKey); !ok {
		t.Error("the test provider's key is not RSA")
	}
	if _, ok := b.Provider("posta-certificata@pec.test.example", "x").Key.(*ecdsa.PrivateKey); !ok {
		t.Error("another authority's provider has no derived key")
	}
}

// Messages of another authority are certified under its root, and only there.
func TestOtherAuthority(t *testing.T) {
	a, b := pectest.NewAuthority("one"), pectest.NewAuthority("two")
	trust, err := pec.NewTrust(pec.TrustOptions{PEM: [][]byte{a.RootPEM()}})
	if err != nil {
		t.Fatal(err)
	}
	good, bad := envelope(a, pectest.Aruba2026), envelope(b, pectest.Aruba2026)
	if j := pec.Judge(good.Bytes(), pec.Options{Trust: trust}); !j.Certified() || j.Message.Mailbox != "rossi@pec.test.example" {
		t.Errorf("got %q (%v), want certified", j.Reason, j.Err)
	}
	if j := pec.Judge(bad.Bytes(), pec.Options{Trust: trust}); j.Reason != pec.ReasonUntrustedSigner {
		t.Errorf("got %q (%v), want untrusted-signer", j.Reason, j.Err)
	}
}

// openssl accepts what is made here, chain included.
func TestOpenSSLAccepts(t *testing.T) {
	program, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("PEC_INGEST_REAL") == "1" {
			t.Fatal("openssl is missing")
		}
		t.Skip("SKIPPED: needs openssl")
	}
	a := pectest.NewAuthority("pec")
	dir := t.TempDir()
	root := filepath.Join(dir, "root.pem")
	if err := os.WriteFile(root, a.RootPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, style := range pectest.Styles() {
		for _, kind := range []pec.Kind{pec.KindEnvelope, pec.KindAnomaly, pec.KindDelivery} {
			e := envelope(a, style)
			e.Kind = kind
			file := filepath.Join(dir, "message.eml")
			if err := os.WriteFile(file, e.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(program, "cms", "-verify", "-in", file, "-CAfile", root, "-purpose", "smimesign", "-out", os.DevNull)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s, %s: %v\n%s", style.Name, kind, err, out)
			}
		}
	}
}

// A letter is a message that others can read, too.
func TestLetter(t *testing.T) {
	l := pectest.Letter{From: "a@b.it", To: "c@d.it", Subject: "Perché no", Text: "testo", HTML: "<p>testo</p>", Date: sentAt,
		Attachments: []pectest.Attachment{{Name: "x.pdf", Type: "application/pdf", Data: []byte("%PDF")}}}
	m, err := mail.ReadMessage(bytes.NewReader(l.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(m.Body)
	if err != nil {
		t.Fatal(err)
	}
	if m.Header.Get("From") != "a@b.it" || !strings.HasPrefix(m.Header.Get("Content-Type"), "multipart/mixed") ||
		!bytes.Contains(body, []byte("multipart/alternative")) || !bytes.Contains(body, []byte(`filename="x.pdf"`)) {
		t.Errorf("got header %v, body %s", m.Header, body)
	}
	if d, err := m.Header.Date(); err != nil || !d.Equal(sentAt) {
		t.Errorf("date: got %v, %v", d, err)
	}
}
