package pec_test

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
	"pec-ingest/internal/pectest/corpus"
)

// Properties for every input: no panic, no Message without a certified
// verdict, memory within twice the input and 8 MiB, time in proportion, and
// certified only what openssl accepts too. Found inputs stay in testdata/fuzz.

func seeds(f *testing.F, of func(message []byte) [][]byte) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join(fixtureDir, "*.eml"))
	if err != nil || len(files) < 120 {
		f.Fatalf("got %d fixtures (%v), want at least 120", len(files), err)
	}
	for i, name := range files {
		if base := filepath.Base(name); strings.HasPrefix(base, "kind-") && i%7 != 0 {
			continue // much alike
		}
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, s := range of(b) {
			f.Add(s)
		}
	}
}

// allocated is how much was ever allocated on the heap.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

func FuzzJudge(f *testing.F) {
	seeds(f, func(m []byte) [][]byte { return [][]byte{m} })
	o, err := corpus.Options()
	if err != nil {
		f.Fatal(err)
	}
	program, err := exec.LookPath("openssl")
	if err != nil && os.Getenv("PEC_INGEST_REAL") == "1" {
		f.Fatal("openssl is missing")
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var j *pec.Judgement
		before := allocated()
		took := pectest.CPU(func() { j = pec.Judge(raw, o) })
		used := allocated() - before
		checkShape(t, j)
		if used > 2*uint64(len(raw))+8<<20 {
			t.Errorf("allocated %d bytes for %d", used, len(raw))
		}
		if took > 2*time.Second+time.Duration(len(raw))*time.Microsecond {
			t.Errorf("took %v for %d bytes", took, len(raw))
		}
		// Triage may say "must look", never something else than what is certified.
		if k := pec.Triage(raw); j.Certified() && k != pec.KindEnvelope {
			t.Errorf("certified, but triage says %q", k)
		}
		if !j.Certified() {
			return
		}
		m := j.Message
		if m.ID == "" || m.Sender == "" || m.SentAt.IsZero() || m.Original == nil || m.Signer.Address == "" {
			t.Errorf("certified with gaps: %+v", m)
		}
		content, cms, ok := pec.SignedBytes(raw)
		encoded := base64.StdEncoding.EncodeToString(m.Original[:min(45, len(m.Original))])
		if !ok || !bytes.Contains(crlf(content), firstLine(m.Original)) && !bytes.Contains(content, []byte(encoded)) {
			t.Error("the original is not from under the signature")
		}
		if program != "" && !opensslVerifies(t, program, t.TempDir(), content, cms) && !opensslVerifies(t, program, t.TempDir(), crlf(content), cms) {
			t.Error("certified, but openssl refuses the signature")
		}
	})
}

func firstLine(b []byte) []byte {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}

// The slicer gives parts that lie in the body, in order, without a delimiter in
// them; put together again they are sliced the same way.
func FuzzSplitParts(f *testing.F) {
	f.Add([]byte("--b\r\n1\r\n--b\r\n2\r\n--b--\r\n"), "b")
	f.Add([]byte("--b\n--bc\n--b--"), "b")
	f.Add([]byte("----\r\n--\r\n------"), "--")
	f.Fuzz(func(t *testing.T, body []byte, boundary string) {
		if boundary == "" || strings.ContainsAny(boundary, "\r\n") {
			return // Content-Type can't say so
		}
		parts, err := pec.SplitParts(body, boundary, 50)
		if err != nil {
			if parts != nil {
				t.Error("parts beside an error")
			}
			return
		}
		var again bytes.Buffer
		at := 0
		for _, p := range parts {
			n := bytes.Index(body[at:], p)
			if n < 0 {
				t.Fatal("a part is not in the body, or not in order")
			}
			at += n + len(p)
			again.WriteString("--" + boundary + "\r\n")
			again.Write(p)
			again.WriteString("\r\n")
		}
		again.WriteString("--" + boundary + "--\r\n")
		second, err := pec.SplitParts(again.Bytes(), boundary, 50)
		if err != nil || len(second) != len(parts) {
			t.Fatalf("sliced again: %d parts, %v, want %d", len(second), err, len(parts))
		}
		for i := range parts {
			if !bytes.Equal(parts[i], second[i]) {
				t.Errorf("part %d differs when sliced again", i)
			}
		}
	})
}

// What the strict reader accepts, encoding/xml reads too, with the same sender.
func FuzzDaticert(f *testing.F) {
	seeds(f, func(m []byte) [][]byte {
		var list [][]byte
		for rest := m; ; {
			at := bytes.Index(rest, []byte("\r\nPD94"))
			if at < 0 {
				return list
			}
			text, after, _ := bytes.Cut(rest[at:], []byte("\r\n--"))
			if b, err := pec.DecodeBase64(text); err == nil {
				list = append(list, b)
			}
			rest = after
		}
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		before := allocated()
		sender, err := pec.ParseDaticert(b)
		if used := allocated() - before; used > 2*uint64(len(b))+8<<20 {
			t.Errorf("allocated %d bytes for %d", used, len(b))
		}
		if err != nil {
			if sender != "" {
				t.Error("a sender beside an error")
			}
			return
		}
		var theirs struct {
			XMLName xml.Name `xml:"postacert"`
			Sender  []string `xml:"intestazione>mittente"`
		}
		if err := xml.Unmarshal(bytes.TrimPrefix(b, []byte("\ufeff")), &theirs); err != nil {
			t.Fatalf("accepted, but encoding/xml says %v", err)
		}
		if len(theirs.Sender) != 1 || strings.Trim(theirs.Sender[0], " \t\r\n") != sender {
			t.Errorf("got sender %q, encoding/xml reads %q", sender, theirs.Sender)
		}
	})
}

// A CMS verifies over its own content and over no other.
func FuzzCMS(f *testing.F) {
	content, _, _ := pec.SignedBytes(corpusMessage())
	seeds(f, func(m []byte) [][]byte {
		if _, cms, ok := pec.SignedBytes(m); ok {
			return [][]byte{cms}
		}
		return nil
	})
	f.Fuzz(func(t *testing.T, cms []byte) {
		before := allocated()
		leaf, reason := pec.CheckCMS(cms, content)
		if used := allocated() - before; used > 16*uint64(len(cms))+8<<20 {
			t.Errorf("allocated %d bytes for %d", used, len(cms))
		}
		if reason == "" && leaf == nil {
			t.Error("verified by nobody")
		}
		if der, rest, err := pec.ToDER(cms); err == nil {
			again, none, err := pec.ToDER(der)
			if err != nil || len(none) != 0 || !bytes.Equal(again, der) {
				t.Errorf("DER of DER differs: %v", err)
			}
			_ = rest
		}
		if reason == "" {
			if _, other := pec.CheckCMS(cms, append([]byte("x"), content...)); other == "" {
				t.Error("verifies over another content too")
			}
		}
	})
}
