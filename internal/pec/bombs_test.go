package pec_test

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
	"pec-ingest/internal/pectest/corpus"
)

// A bomb may cost little more than its size: no more memory than twice that
// and 8 MiB, and time in proportion. The time limit is far above what it takes,
// and far below what anything quadratic would.
func TestBombs(t *testing.T) {
	o, err := corpus.Options()
	if err != nil {
		t.Fatal(err)
	}
	head := "From: " + arubaAddress + "\r\nX-Trasporto: posta-certificata\r\nMessage-ID: <x@y>\r\nMIME-Version: 1.0\r\n"
	signed := head + "Content-Type: multipart/signed; boundary=b\r\n\r\n"
	const mb = 1 << 20
	for _, b := range []struct {
		name string
		raw  string
		want pec.Reason
	}{
		{"one line of 64 MB", head + "\r\n" + strings.Repeat("x", 64*mb), pec.ReasonTooLarge},
		{"one line of 20 MB", signed + strings.Repeat("x", 20*mb), pec.ReasonMalformed},
		{"one header line of 20 MB", head + "Subject: " + strings.Repeat("x", 20*mb) + "\r\n\r\n", pec.ReasonMalformed},
		{"20 MB of header fields", head + strings.Repeat("X-Flood: y\r\n", 20*mb/12), pec.ReasonMalformed},
		{"20 MB of empty header fields", strings.Repeat("X:\n", 20*mb/3), pec.ReasonMalformed},
		{"400 kB of folded From", "From: " + strings.Repeat("a\r\n ", 100000) + "\r\nX-Trasporto: posta-certificata\r\n\r\n", pec.ReasonUnsigned},
		{"400 kB of From comments", "From: " + strings.Repeat("(", 400000) + "\r\nX-Trasporto: posta-certificata\r\n\r\n", pec.ReasonUnsigned},
		{"400 kB of encoded words", "Subject: " + strings.Repeat("=?utf-8?q?a?= ", 30000) + "\r\nX-Trasporto: posta-certificata\r\n\r\n", pec.ReasonUnsigned},
		{"400 kB of parameters", head + "Content-Type: multipart/signed" + strings.Repeat(";a*0=b", 60000) + "\r\n\r\n", pec.ReasonMalformed},
		{"100,000 parts", signed + strings.Repeat("--b\r\nX: y\r\n\r\nz\r\n", 100000) + "--b--\r\n", pec.ReasonMalformed},
		{"20 MB of empty parts", signed + strings.Repeat("--b\n", 5*mb) + "--b--\r\n", pec.ReasonMalformed},
		{"20 MB of near delimiters", signed + strings.Repeat("--b-\n", 4*mb) + "--b--\r\n", pec.ReasonMalformed},
		{"20 MB of dashes", signed + strings.Repeat("-", 20*mb), pec.ReasonMalformed},
		{"boundary of dashes", head + "Content-Type: multipart/signed; boundary=" + strings.Repeat("-", 60) + "\r\n\r\n" + strings.Repeat("-", 20*mb), pec.ReasonMalformed},
		{"20 MB of nested multiparts", signed + "--b\r\n" + nested(20000) + "\r\n--b\r\n\r\n--b--\r\n", pec.ReasonUnsigned},
		{"20 MB signature", signed + "--b\r\n\r\n--b\r\nContent-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat("MIAw\r\n", 3*mb) + "--b--\r\n", pec.ReasonBadSignature},
		{"1 MB of nested BER", signed + "--b\r\n\r\n--b\r\nContent-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: binary\r\n\r\n" + strings.Repeat("\x30\x80", mb/2) + "\r\n--b--\r\n", pec.ReasonBadSignature},
		{"1 MB of flat BER", signed + "--b\r\n\r\n--b\r\nContent-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: binary\r\n\r\n" + strings.Repeat("\x30\x80", 35) + strings.Repeat("\x05\x00", mb/2-100) + "\r\n--b--\r\n", pec.ReasonBadSignature},
	} {
		t.Run(b.name, func(t *testing.T) {
			raw := []byte(b.raw)
			j, bytesUsed, took := measure(raw, o)
			if j.Reason != b.want {
				t.Errorf("got %q (%v), want %q", j.Reason, j.Err, b.want)
			}
			checkCost(t, len(raw), bytesUsed, took)
		})
	}
}

func nested(depth int) string {
	var b strings.Builder
	for i := range depth {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=n%d\r\n\r\n--n%d\r\n%s", i, i, strings.Repeat("X-Pad: y\r\n", 90))
	}
	return b.String()
}

// Bombs under a genuine signature: only a provider could send them, or pass
// them on inside the original.
func TestSignedBombs(t *testing.T) {
	o, err := corpus.Options()
	if err != nil {
		t.Fatal(err)
	}
	original := func(body string) func(e *pectest.Envelope) {
		return func(e *pectest.Envelope) {
			e.Original = []byte("From: rossi@pec.it\r\nMessage-ID: <letter1@client.example>\r\n" + body)
		}
	}
	xml := func(f func(string) string) func(e *pectest.Envelope) {
		return func(e *pectest.Envelope) { e.Daticert = f }
	}
	for _, b := range []struct {
		name string
		edit func(e *pectest.Envelope)
		want pec.Reason
	}{
		{"10 MB original", original("\r\n" + strings.Repeat("testo\r\n", 10<<20/7)), ""},
		{"original of 10,000 levels", original(nested(10000)), ""},
		{"original of 100,000 parts", original("Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 100000) + "--b--\r\n"), ""},
		{"original of header fields", original(strings.Repeat("X: y\r\n", 1000000)), pec.ReasonDaticertMismatch},
		{"100,000 children", func(e *pectest.Envelope) {
			e.Children = func(p []pectest.Part) []pectest.Part {
				for range 100000 {
					p = append(p, pectest.Part{Fields: []string{"X: y"}})
				}
				return p
			}
		}, pec.ReasonMalformed},
		{"50,000 recipients", xml(func(s string) string {
			return strings.Replace(s, "<risposte>", strings.Repeat("<destinatari>a@b</destinatari>", 50000)+"<risposte>", 1)
		}), pec.ReasonMalformed},
		{"2 MB of CDATA", xml(func(s string) string {
			return strings.Replace(s, "<oggetto>", "<oggetto>"+strings.Repeat("<![CDATA[x]]>", 2<<20/13), 1)
		}), ""},
		{"2 MB of comments", xml(func(s string) string { return s + strings.Repeat("<!--x-->", 2<<20/8) }), ""},
		{"2 MB of unfinished references", xml(func(s string) string {
			return strings.Replace(s, "<oggetto>", "<oggetto>"+strings.Repeat("&", 2<<20), 1)
		}), pec.ReasonMalformed},
		{"10 MB daticert", xml(func(s string) string { return s + strings.Repeat("\n", 10<<20) }), pec.ReasonMalformed},
	} {
		t.Run(b.name, func(t *testing.T) {
			e := corpus.Envelope()
			b.edit(&e)
			raw := e.Bytes()
			j, bytesUsed, took := measure(raw, o)
			if j.Reason != b.want {
				t.Errorf("got %q (%v), want %q", j.Reason, j.Err, b.want)
			}
			checkCost(t, len(raw), bytesUsed, took)
		})
	}
}

// measure judges and tells what was allocated in all, which is more than was
// ever in use at once, and the time of a processor that it took.
func measure(raw []byte, o pec.Options) (*pec.Judgement, uint64, time.Duration) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var j *pec.Judgement
	took := pectest.CPU(func() { j = pec.Judge(raw, o) })
	runtime.ReadMemStats(&after)
	return j, after.TotalAlloc - before.TotalAlloc, took
}

func checkCost(t *testing.T, size int, bytesUsed uint64, took time.Duration) {
	t.Helper()
	if limit := 2*uint64(size) + 8<<20; bytesUsed > limit {
		t.Errorf("allocated %d bytes for a message of %d, want at most %d", bytesUsed, size, limit)
	}
	if limit := 500*time.Millisecond + time.Duration(size)*200*time.Nanosecond; took > limit {
		t.Errorf("took %v for %d bytes, want at most %v", took, size, limit)
	}
}

// The largest message costs at most two copies of itself, the caller's
// included, with CRLF and with lone LF.
func TestMemoryOfLargeMessage(t *testing.T) {
	o, err := corpus.Options()
	if err != nil {
		t.Fatal(err)
	}
	for _, style := range []pectest.Style{pectest.Aruba2026, pectest.LFStyle} {
		e := corpus.Envelope()
		e.Style = style
		e.Letter.Attachments = []pectest.Attachment{{Name: "bilancio.pdf", Data: bytes.Repeat([]byte("PDF"), 24<<20*3/4/3)}}
		raw := e.Bytes()
		if len(raw) < 24<<20 || len(raw) > 25<<20 {
			t.Fatalf("message of %d bytes", len(raw))
		}
		j, bytesUsed, took := measure(raw, o)
		if !j.Certified() {
			t.Fatal(j.Err)
		}
		ratio := float64(bytesUsed) / float64(len(raw))
		t.Logf("%s: %d bytes in %v, %.2f copies beside the caller's", style.Name, len(raw), took, ratio)
		if ratio > 1.05 {
			t.Errorf("%s: allocated %.2f times the message, want at most 1 beside the caller's copy", style.Name, ratio)
		}
	}
}

// A large message that may be shared is in memory once.
func TestSharedOriginal(t *testing.T) {
	e := corpus.Envelope()
	e.Letter.Attachments = append(e.Letter.Attachments, pectest.Attachment{Name: "x.pdf", Type: "application/pdf", Data: make([]byte, 3<<20)})
	raw := e.Bytes()
	o, err := corpus.Options()
	if err != nil {
		t.Fatal(err)
	}
	own := pec.Judge(raw, o).Message
	o.Share = true
	shared := pec.Judge(raw, o).Message
	if own == nil || shared == nil || !bytes.Equal(own.Original, shared.Original) {
		t.Fatal("not certified, or not the same letter")
	}
	at := bytes.Index(raw, own.Original)
	if &own.Original[0] == &raw[at] {
		t.Error("not shared: got a part of the raw message, want a copy")
	}
	if &shared.Original[0] != &raw[at] {
		t.Error("shared: got a copy, want a part of the raw message")
	}
}
