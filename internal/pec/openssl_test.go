package pec_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest/corpus"
)

// openssl finds the program. `make test` sets PEC_INGEST_REAL=1: then it must
// be there.
func openssl(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("PEC_INGEST_REAL") == "1" {
			t.Fatal("openssl is missing")
		}
		t.Skip("SKIPPED: the cross-check of signatures needs openssl")
	}
	return path
}

// opensslVerifies asks openssl about a detached signature, not about the chain.
func opensslVerifies(t testing.TB, program, dir string, content, cms []byte) bool {
	t.Helper()
	if len(content) == 0 {
		return false // openssl takes an empty file for no content at all
	}
	contentFile, cmsFile := filepath.Join(dir, "content"), filepath.Join(dir, "cms")
	for name, b := range map[string][]byte{contentFile: content, cmsFile: cms} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Error(err)
		}
	}
	cmd := exec.Command(program, "cms", "-verify", "-noverify", "-binary", "-inform", "DER",
		"-in", cmsFile, "-content", contentFile, "-out", os.DevNull)
	return cmd.Run() == nil
}

// Verdicts in which openssl differs, and why ours is meant.
var opensslDiffers = map[string]string{
	"sig-md5":           "openssl still verifies MD5",
	"sig-sha224":        "SHA-224 is not used in PEC and left out",
	"sig-pss":           "RSA-PSS is not used in PEC and left out",
	"sig-key-id":        "PEC names signers by issuer and number; the key identifier is left out",
	"sig-trailing":      "openssl ignores what follows the CMS value",
	"sig-content-type":  "openssl does not compare the contentType attribute with the content type",
	"sig-embedded-same": "openssl verifies the part beside content that should not be there",
}

// The signature verdict of the whole corpus agrees with openssl's.
func TestOpenSSLAgrees(t *testing.T) {
	program := openssl(t)
	var mu sync.Mutex
	compared, differed := 0, 0
	fixtures := make(chan corpus.Fixture)
	var workers sync.WaitGroup
	for range 4 {
		dir := t.TempDir()
		workers.Go(func() {
			for f := range fixtures {
				content, cms, ok := pec.SignedBytes(f.Message)
				if !ok {
					continue
				}
				_, reason := pec.CheckCMS(cms, content)
				ours := reason == ""
				theirs := opensslVerifies(t, program, dir, content, cms)
				if !theirs && lonesome(content) { // what openssl does without -binary
					theirs = opensslVerifies(t, program, dir, crlf(content), cms)
				}
				why, listed := opensslDiffers[f.Name]
				switch {
				case ours != theirs && !listed:
					t.Errorf("%s: we say %v (%s), openssl says %v", f.Name, ours, reason, theirs)
				case ours == theirs && listed:
					t.Errorf("%s: listed as different (%s), but both say %v", f.Name, why, ours)
				case ours && !theirs:
					t.Errorf("%s: we accept what openssl refuses", f.Name)
				}
				mu.Lock()
				compared++
				if listed {
					differed++
				}
				mu.Unlock()
			}
		})
	}
	for _, f := range corpus.All() {
		fixtures <- f
	}
	close(fixtures)
	workers.Wait()
	if compared < 120 || differed != len(opensslDiffers) {
		t.Errorf("compared %d messages, want at least 120; %d listed differences of %d seen", compared, differed, len(opensslDiffers))
	}
}

// lonesome tells whether there is an LF without its CR.
func lonesome(b []byte) bool {
	return bytes.Count(b, []byte("\n")) > bytes.Count(b, []byte("\r\n"))
}

func crlf(b []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}
