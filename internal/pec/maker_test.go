package pec_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
	"pec-ingest/internal/pectest/corpus"
)

// Envelopes signed by openssl, which writes MIME and CMS in its own ways.
func TestSignedByOpenSSL(t *testing.T) {
	program := openssl(t)
	o, err := corpus.Options()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args string
		want pec.Reason
	}{
		{"plain", "", ""},
		{"smime", "smime", ""},
		{"binary", "-binary", ""},
		{"stream", "-stream", ""},
		{"indefinite", "-stream -binary", ""},
		{"sha1", "-md sha1", ""},
		{"sha512", "-md sha512", ""},
		{"no attributes", "-noattr", ""},
		{"no capabilities", "-nosmimecap", ""},
		{"crlf", "-crlfeol", ""},
		{"pss", "-keyopt rsa_padding_mode:pss", pec.ReasonUnsupportedSignature},
		{"key id", "-keyid", pec.ReasonUnsupportedSignature},
		{"md5", "-md md5", pec.ReasonUnsupportedSignature},
		{"no certificates", "-nocerts", pec.ReasonBadSignature},
		{"opaque", "-nodetach", pec.ReasonNotPEC},
		{"two signers", "two", pec.ReasonBadSignature},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := corpus.Envelope()
			var content []byte
			var fields []string
			e.Signed = func(b []byte) []byte { content = b; return b }
			e.Fields = func(f []string) []string { fields = f; return f }
			e.Bytes()
			message := append([]byte(strings.Join(fields[:len(fields)-2], "\n")+"\n"), opensslSign(t, program, e, content, c.args)...)
			j := pec.Judge(message, o)
			if j.Reason != c.want {
				t.Errorf("got %q (%v), want %q", j.Reason, j.Err, c.want)
			}
			checkShape(t, j)
		})
	}
}

// opensslSign gives the MIME entity that openssl makes of content.
func opensslSign(t *testing.T, program string, e pectest.Envelope, content []byte, options string) []byte {
	t.Helper()
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, err := x509.MarshalPKCS8PrivateKey(e.Provider.Key)
	if err != nil {
		t.Fatal(err)
	}
	keyFile := file("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	args := []string{"cms", "-sign", "-in", file("content", content),
		"-signer", file("cert.pem", pectest.PEM(e.Provider.Cert)), "-inkey", keyFile, "-certfile", file("ca.pem", ca.IssuingPEM())}
	switch options {
	case "":
	case "smime":
		args[0] = "smime"
	case "two":
		args = append(args, "-signer", file("other.pem", pectest.PEM(ca.Provider("posta-certificata@legalmail.it", "x").Cert)), "-inkey", file("other-key.pem", legalmailKey(t)))
	default:
		args = append(args, strings.Fields(options)...)
	}
	var out, problem bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		t.Fatalf("openssl: %v: %s", err, problem.String())
	}
	return out.Bytes()
}

func legalmailKey(t *testing.T) []byte {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(ca.Provider("posta-certificata@legalmail.it", "x").Key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
}
