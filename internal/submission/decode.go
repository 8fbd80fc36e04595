package submission

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message/charset"
	"golang.org/x/text/encoding/charmap"
)

// decodeBody undoes the transfer encoding, passing over what is invalid: mail
// programs show such letters, so we read them. It stops behind limit bytes, a
// few more may come.
func decodeBody(p part, limit int) []byte {
	switch {
	case strings.HasPrefix(p.encoding, "quoted-printable"):
		return decodeQP(p.body, limit)
	case strings.HasPrefix(p.encoding, "base64"):
		return decodeBase64(p.body, limit)
	}
	return p.body[:min(len(p.body), limit)]
}

// decodeQP is quoted-printable (RFC 2045 §6.7); "=" without two hex digits
// stands for itself.
func decodeQP(b []byte, limit int) []byte {
	out := make([]byte, 0, min(len(b), limit))
	for i := 0; i < len(b) && len(out) < limit; i++ {
		if b[i] != '=' {
			out = append(out, b[i])
			continue
		}
		// Soft break: "=", optional blanks, end of line.
		j := i + 1
		for j < len(b) && (b[j] == ' ' || b[j] == '\t') {
			j++
		}
		if j >= len(b) {
			break
		}
		if b[j] == '\n' {
			i = j
			continue
		}
		if b[j] == '\r' && j+1 < len(b) && b[j+1] == '\n' {
			i = j + 1
			continue
		}
		if i+2 < len(b) {
			hi, ok1 := unhex(b[i+1])
			lo, ok2 := unhex(b[i+2])
			if ok1 && ok2 {
				out = append(out, hi<<4|lo)
				i += 2
				continue
			}
		}
		out = append(out, '=')
	}
	return out
}

func unhex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

func decodeBase64(b []byte, limit int) []byte {
	out := make([]byte, 0, min(base64.RawStdEncoding.DecodedLen(len(b)), limit+3*base64Chunk/4))
	var chunk [base64Chunk]byte
	n := 0
	for _, c := range b {
		if isBase64(c) {
			chunk[n] = c
			n++
		}
		if n < len(chunk) {
			continue
		}
		out, _ = base64.RawStdEncoding.AppendDecode(out, chunk[:]) // of these characters there is none wrong
		n = 0
		if len(out) >= limit {
			return out
		}
	}
	end, _ := base64.RawStdEncoding.AppendDecode(nil, chunk[:n]) // what came before a fault is good
	return append(out, end...)
}

func isBase64(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/'
}

const base64Chunk = 1024 // characters that are decoded at once, a multiple of 4

// decodeText turns bytes into UTF-8. Valid UTF-8 with bytes above 127 is
// practically never anything else, whatever the label says; Latin-1 labels
// mean Windows-1252, as in every mail program.
func decodeText(b []byte, label string) string {
	if len(b) > maxText {
		b = b[:maxText]
		for len(b) > 0 && !utf8.RuneStart(b[len(b)-1]) {
			b = b[:len(b)-1]
		}
	}
	label = strings.ToLower(strings.TrimSpace(label))
	switch {
	case strings.HasPrefix(label, "utf-16"), strings.HasPrefix(label, "utf-32"), strings.HasPrefix(label, "iso-2022"), label == "utf-7":
		if s, err := convert(b, label); err == nil {
			return s
		}
	case utf8.Valid(b):
		return unmojibake(string(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))))
	case label != "" && label != "utf-8" && label != "utf8" && label != "us-ascii" && label != "iso-8859-1":
		if s, err := convert(b, label); err == nil {
			return s
		}
	}
	s, err := charmap.Windows1252.NewDecoder().Bytes(b)
	if err != nil {
		return strings.ToValidUTF8(string(b), "?")
	}
	return string(s)
}

func convert(b []byte, label string) (string, error) {
	r, err := charset.Reader(label, bytes.NewReader(b))
	if err != nil {
		return "", err
	}
	out, err := io.ReadAll(r)
	return string(out), err
}

// unmojibake repairs UTF-8 that was read as Windows-1252 and encoded again
// ("Ã¨" for "è"), if that works for the whole text.
func unmojibake(s string) string {
	if !strings.Contains(s, "Ã") && !strings.Contains(s, "â€") && !strings.Contains(s, "Â") {
		return s
	}
	b, err := charmap.Windows1252.NewEncoder().String(s)
	if err != nil || !utf8.ValidString(b) {
		return s
	}
	return b
}

// decodeHeader decodes RFC 2047 words and raw 8-bit bytes.
func decodeHeader(s string) string {
	if s == "" {
		return ""
	}
	d := mime.WordDecoder{CharsetReader: charset.Reader}
	if out, err := d.DecodeHeader(s); err == nil {
		s = out
	}
	return decodeText([]byte(s), "")
}
