package pec

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"strings"
)

// isIdentity tells whether a transfer encoding leaves the bytes as they are.
func isIdentity(encoding string) bool {
	switch encoding {
	case "", "7bit", "8bit", "binary":
		return true
	}
	return false
}

// firstToken is a value without comments, in lower case.
func firstToken(v string) string {
	p := scanner{s: v}
	p.skipCFWS()
	start := p.i
	for p.i < len(p.s) && !strings.ContainsRune(" \t(;", rune(p.s[p.i])) {
		p.i++
	}
	return asciiLowerString(p.s[start:p.i])
}

var errEncoding = errors.New("bad transfer encoding")

// decode undoes the transfer encoding. The result is body itself or a new
// slice. Source: RFC 2045 §6.
func decode(encoding string, body []byte) ([]byte, error) {
	switch {
	case isIdentity(encoding):
		return body, nil
	case encoding == "base64":
		return decodeBase64(body)
	case encoding == "quoted-printable":
		out, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(body)))
		if err != nil {
			return nil, fmt.Errorf("%w: quoted-printable", errEncoding)
		}
		return out, nil
	}
	return nil, fmt.Errorf("%w: unknown", errEncoding)
}

// decodeBase64 tolerates line ends and blanks. The lines are packed into chunks
// first, which is faster than the decoder's own way with line ends.
func decodeBase64(body []byte) ([]byte, error) {
	out := make([]byte, 0, base64.StdEncoding.DecodedLen(len(body)))
	var chunk [1024]byte // a multiple of 4
	filled, ended := 0, false
	flush := func() bool {
		n, err := base64.StdEncoding.Decode(out[len(out):cap(out)], chunk[:filled])
		if err != nil || ended && filled > 0 {
			return false
		}
		ended = ended || n < filled/4*3 // padding: nothing may follow
		out = out[:len(out)+n]
		filled = 0
		return true
	}
	for len(body) > 0 {
		line := body
		if end := bytes.IndexByte(body, '\n'); end >= 0 {
			line = body[:end]
			body = body[end+1:]
		} else {
			body = nil
		}
		line = bytes.Trim(line, " \t\r")
		for len(line) > 0 {
			run := line
			if blank := bytes.IndexByte(line, ' '); blank >= 0 {
				run = line[:blank]
			}
			n := copy(chunk[filled:], run)
			line = bytes.TrimLeft(line[n:], " ")
			if filled += n; filled == len(chunk) && !flush() {
				return nil, errBase64
			}
		}
	}
	if !flush() {
		return nil, errBase64
	}
	return out, nil
}

var errBase64 = fmt.Errorf("%w: base64", errEncoding)
