package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime/quotedprintable"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
)

// formsOf are the ways in which a secret may stand in a file or a log without
// being readable at first sight.
func formsOf(secret string) map[string][]byte {
	forms := map[string][]byte{
		"clear":     []byte(secret),
		"backwards": []byte(backwards(secret)),
		"hex":       []byte(hex.EncodeToString([]byte(secret))),
		"HEX":       []byte(strings.ToUpper(hex.EncodeToString([]byte(secret)))),
		"url":       []byte(url.QueryEscape(secret)),
		"go":        []byte(strings.Trim(strconv.Quote(secret), `"`)),
		"bytes":     []byte(strings.Trim(fmt.Sprint([]byte(secret)), "[]")),
	}
	quoted, _ := json.Marshal(secret)
	forms["json"] = bytes.Trim(quoted, `"`)
	var qp bytes.Buffer
	w := quotedprintable.NewWriter(&qp)
	_, _ = w.Write([]byte(secret))
	_ = w.Close()
	forms["quoted-printable"] = qp.Bytes()
	var all strings.Builder
	for _, b := range []byte(secret) {
		fmt.Fprintf(&all, "=%02X", b)
	}
	forms["quoted-printable, every byte"] = []byte(all.String())
	var le, be []byte
	for _, u := range utf16.Encode([]rune(secret)) {
		le = append(le, byte(u), byte(u>>8))
		be = append(be, byte(u>>8), byte(u))
	}
	forms["UTF-16LE"], forms["UTF-16BE"] = le, be
	for before := range 3 {
		for name, enc := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			text := enc.EncodeToString(append(make([]byte, before), secret...))
			// Only the characters that hold nothing but bits of the secret.
			from, to := (before*8+5)/6, (before+len(secret))*8/6
			forms[fmt.Sprintf("%s, %d bytes before", name, before)] = []byte(text[from:to])
		}
	}
	return forms
}

func backwards(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

// leaks names the forms in which any of the secrets stands in data.
func leaks(data []byte, secrets map[string]string) (found []string) {
	for name, secret := range secrets {
		for form, needle := range formsOf(secret) {
			if i := bytes.Index(data, needle); i >= 0 {
				found = append(found, fmt.Sprintf("%s (%s) at %d", name, form, i))
			}
		}
	}
	return found
}

// The search itself finds what is hidden in each of these ways.
func TestLeaksFindsEachForm(t *testing.T) {
	const secret = `qX7"alfa%39\TwKé`
	secrets := map[string]string{"secret": secret}
	var qp bytes.Buffer
	w := quotedprintable.NewWriter(&qp)
	fmt.Fprintf(w, "La password è %s.", secret)
	_ = w.Close()
	quoted, _ := json.Marshal(map[string]string{"a": "x" + secret})
	tests := map[string][]byte{
		"clear":            []byte("password=" + secret + " "),
		"base64, aligned":  []byte(base64.StdEncoding.EncodeToString([]byte("abc" + secret + "tail"))),
		"base64, one off":  []byte(base64.StdEncoding.EncodeToString([]byte("abcd" + secret + "tail"))),
		"base64, two off":  []byte(base64.URLEncoding.EncodeToString([]byte("abcde" + secret))),
		"quoted-printable": qp.Bytes(),
		"hex":              fmt.Appendf(nil, "%x", "abc"+secret),
		"json":             quoted,
		"%q":               fmt.Appendf(nil, "%q", "x"+secret),
		"%v of bytes":      fmt.Append(nil, []byte("x"+secret+"y")),
		"url":              []byte("?p=" + url.QueryEscape(secret)),
	}
	for name, data := range tests {
		if len(leaks(data, secrets)) == 0 {
			t.Errorf("%s: not found in %q", name, data)
		}
	}
	if got := leaks([]byte("nothing of the kind, only qX7 and alfa"), secrets); len(got) > 0 {
		t.Errorf("got %v, want nothing", got)
	}
}
