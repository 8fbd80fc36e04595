package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pec-ingest/internal/secret"
)

// Every way that Go offers to turn a value into text must yield the redaction.
func TestNeverFormatted(t *testing.T) {
	const plain = "hunter2-segretissima"
	s := secret.FromString(plain)
	wrapped := struct {
		S secret.Secret
		P *secret.Secret
	}{s, &s}

	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %v"} {
		fmt.Fprintf(&out, verb+"\n", s)
		fmt.Fprintf(&out, verb+"\n", wrapped)
		fmt.Fprintf(&out, verb+"\n", []secret.Secret{s})
		fmt.Fprintf(&out, verb+"\n", map[string]secret.Secret{"k": s})
	}
	for _, v := range []any{s, &s, wrapped, map[string]any{"s": s}} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "s", s, "w", wrapped)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "s", s, "w", wrapped)
	fmt.Fprintln(&out, fmt.Errorf("oops: %v", s))

	got := out.String()
	hex := fmt.Sprintf("%x", plain)
	for _, leak := range []string{plain, hex, strings.ToUpper(hex), "104 117 110"} {
		if strings.Contains(got, leak) {
			t.Errorf("output holds the secret as %q:\n%s", leak, got)
		}
	}
	if !strings.Contains(got, secret.Redacted) {
		t.Errorf("no redaction mark in the output:\n%s", got)
	}
}

func TestWipeReachesCopies(t *testing.T) {
	s := secret.FromString("abc")
	c := s
	held := s.Reveal()
	s.Wipe()
	if !c.IsZero() || c.Len() != 0 {
		t.Errorf("copy still holds %d bytes after Wipe, want 0", c.Len())
	}
	if !bytes.Equal(held, []byte{0, 0, 0}) {
		t.Errorf("bytes after Wipe = %v, want zeros", held)
	}
}

func TestEqual(t *testing.T) {
	a, b := secret.FromString("x"), secret.FromString("x")
	if !a.Equal(b) || a.Equal(secret.FromString("y")) || a.Equal(secret.Secret{}) {
		t.Error("Equal is wrong")
	}
	if !(secret.Secret{}).Equal(secret.New(nil)) {
		t.Error("two empty secrets differ")
	}
}
