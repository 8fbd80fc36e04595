package pec

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

var (
	errNoParts      = errors.New("no closed multipart body")
	errTooManyParts = errors.New("too many parts")
)

// splitParts cuts the body of a multipart into its parts, without preamble and
// epilogue. Each part is a slice of body. A delimiter is a whole line: "--",
// the boundary, "--" for the last one, blanks, line end; the line end before
// it belongs to it. The closing delimiter must be there and nothing that looks
// like a delimiter may follow it.
//
// Source: RFC 2046 §5.1.1.
func splitParts(body []byte, boundary string, maxParts int) ([][]byte, error) {
	parts, start, err := cutParts(body, boundary, maxParts)
	if err == nil && start >= 0 {
		return nil, fmt.Errorf("%w: no last delimiter", errNoParts)
	}
	return parts, err
}

// splitOpenParts is splitParts for a body whose end is missing: the last part
// is open. A body whose last delimiter is there is none of these.
func splitOpenParts(body []byte, boundary string, maxParts int) ([][]byte, error) {
	parts, start, err := cutParts(body, boundary, maxParts)
	switch {
	case err != nil:
		return nil, err
	case start < 0:
		return nil, fmt.Errorf("%w: it is closed", errNoParts)
	case len(parts) >= maxParts:
		return nil, errTooManyParts
	}
	return append(parts, body[start:]), nil
}

// cutParts cuts out the parts that end within body, and tells where one begins
// that doesn't: -1 if the last delimiter is there. A body without any is an
// error.
func cutParts(body []byte, boundary string, maxParts int) (parts [][]byte, open int, err error) {
	dash := []byte("--" + boundary)
	start := -1 // start of the part that is open
	closed := false
	for i := 0; i < len(body); {
		n := bytes.Index(body[i:], dash)
		if n < 0 {
			break
		}
		at := i + n
		i = at + len(dash)
		if at > 0 && body[at-1] != '\n' {
			continue
		}
		last, end, ok := delimiterEnd(body, i)
		if !ok {
			continue
		}
		if closed {
			return nil, -1, fmt.Errorf("%w: delimiter after the last one", errNoParts)
		}
		if start >= 0 {
			if len(parts) >= maxParts {
				return nil, -1, errTooManyParts
			}
			parts = append(parts, body[start:max(start, beforeLineEnd(body, at))])
		}
		start, closed, i = end, last, end
	}
	switch {
	case closed:
		return parts, -1, nil
	case start < 0:
		return nil, -1, fmt.Errorf("%w: no delimiter", errNoParts)
	}
	return parts, start, nil
}

// delimiterEnd reads what follows the boundary in a delimiter line; end is the
// first byte of the next line.
func delimiterEnd(body []byte, i int) (last bool, end int, ok bool) {
	if bytes.HasPrefix(body[i:], []byte("--")) {
		last = true
		i += 2
	}
	for i < len(body) && (body[i] == ' ' || body[i] == '\t') {
		i++
	}
	switch {
	case i == len(body):
		return last, i, true
	case body[i] == '\n':
		return last, i + 1, true
	case body[i] == '\r' && i+1 < len(body) && body[i+1] == '\n':
		return last, i + 2, true
	case body[i] == '\r' && i+1 == len(body):
		return last, i + 1, true
	}
	return false, 0, false
}

// beforeLineEnd is the index of the line end that stands before index at.
func beforeLineEnd(body []byte, at int) int {
	if at > 0 && body[at-1] == '\n' {
		at--
		if at > 0 && body[at-1] == '\r' {
			at--
		}
	}
	return at
}

// part is a MIME part with its header parsed and its body still encoded.
type part struct {
	header   header
	typ      mediaType
	encoding string
	body     []byte
	names    []string // see partNames
}

// parsePart reads one part. Fields that steer decoding may occur once.
func parsePart(raw []byte) (part, error) {
	h, body, err := parseHeader(raw, maxPartHeaderBytes)
	if err != nil {
		return part{}, err
	}
	for _, name := range []string{"content-type", "content-transfer-encoding", "content-disposition"} {
		if h.count(name) > 1 {
			return part{}, fmt.Errorf("%w: %s occurs twice", errHeaderSyntax, name)
		}
	}
	p := part{header: h, body: body, typ: mediaType{value: "text/plain"}}
	if h.has("content-type") {
		if p.typ, err = parseMediaType(h.get("content-type")); err != nil {
			return part{}, err
		}
	}
	p.encoding = firstToken(h.get("content-transfer-encoding"))
	p.names = partNames(p)
	return p, nil
}

// partNames returns every name that the part gives itself: the name of its type
// and the filename of its disposition, in all notations.
func partNames(p part) []string {
	list := p.typ.all("name")
	if p.header.has("content-disposition") {
		if d, err := parseMediaType(p.header.get("content-disposition")); err == nil {
			list = append(list, d.all("filename")...)
		}
	}
	for i, n := range list {
		list[i] = strings.Trim(decodeWords(n), " \t")
	}
	return list
}

func (p part) named(name string) bool {
	for _, n := range p.names {
		if asciiEqualFold(n, name) {
			return true
		}
	}
	return false
}
