package pec_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest/corpus"
)

// message8K is a certified message of 8 kB.
func message8K() []byte {
	e := corpus.Envelope()
	e.Letter.Text += strings.Repeat("Cordiali saluti dallo studio dei signori Rossi.\n", 30)
	return e.Bytes()
}

// BenchmarkJudge judges a certified message of 8 kB in full, and compares with
// what can't be avoided and with what is usual:
//
//	×rsa      our time, in RSA verifications with Go's own crypto (one a message: the chain is cached)
//	×openssl  messages judged while openssl cms -verify, run per message, does one
func BenchmarkJudge(b *testing.B) {
	o, err := corpus.Options()
	if err != nil {
		b.Fatal(err)
	}
	raw := message8K()
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if j := pec.Judge(raw, o); !j.Certified() {
			b.Fatal(j.Err)
		}
	}
	ours := b.Elapsed() / time.Duration(b.N)
	b.ReportMetric(float64(ours)/float64(rsaTime(b)), "×rsa")
	if theirs := opensslTime(b, raw); theirs > 0 {
		b.ReportMetric(float64(theirs)/float64(ours), "×openssl")
	}
}

// rsaTime is how long one RSA-2048 verification takes here and now.
func rsaTime(b *testing.B) time.Duration {
	p := corpus.Envelope().Provider
	key := p.Key.(*rsa.PrivateKey)
	sum := sha256.Sum256([]byte("x"))
	sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		b.Fatal(err)
	}
	const n = 3000
	start := time.Now()
	for range n {
		if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], sig); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start) / n
}

// opensslTime is how long openssl takes for one message; 0 without openssl.
func opensslTime(b *testing.B, raw []byte) time.Duration {
	program, err := exec.LookPath("openssl")
	if err != nil {
		return 0
	}
	file := filepath.Join(b.TempDir(), "message.eml")
	anchor := filepath.Join(b.TempDir(), "anchor.pem")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(anchor, corpus.TrustPEM(), 0o600); err != nil {
		b.Fatal(err)
	}
	const n = 20
	start := time.Now()
	for range n {
		cmd := exec.Command(program, "cms", "-verify", "-in", file, "-CAfile", anchor, "-out", os.DevNull)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("openssl: %v: %s", err, out)
		}
	}
	return time.Since(start) / n
}

// BenchmarkTriage tells receipts and ordinary mail apart by their header.
func BenchmarkTriage(b *testing.B) {
	raw := message8K()
	head := raw[:strings.Index(string(raw), "\r\n\r\n")+4]
	b.ReportAllocs()
	for b.Loop() {
		if pec.Triage(head) != pec.KindEnvelope {
			b.Fatal("wrong kind")
		}
	}
}

// BenchmarkJudgeOrdinary judges ordinary mail of 5 MB: its body is not looked at.
func BenchmarkJudgeOrdinary(b *testing.B) {
	raw := []byte("From: a@b.it\r\nSubject: x\r\nContent-Type: text/plain\r\n\r\n" + strings.Repeat("testo\r\n", 5<<20/7))
	b.ReportAllocs()
	for b.Loop() {
		if j := pec.Judge(raw, pec.Options{}); j.Reason != pec.ReasonNotPEC {
			b.Fatal(j.Reason)
		}
	}
}

// Receipts and ordinary mail are told apart without their bodies: what it
// costs doesn't grow with them.
func TestTriageCostsNothing(t *testing.T) {
	allocs := func(body int) float64 {
		raw := []byte("From: a@b.it\r\nSubject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", body))
		return testing.AllocsPerRun(10, func() { pec.Judge(raw, pec.Options{}) })
	}
	if small, large := allocs(1), allocs(100000); small != large {
		t.Errorf("got %v allocations for a large body, %v for a small one", large, small)
	}
}
