package pec

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"strconv"
	"strings"
)

// mediaType is a parsed Content-Type or Content-Disposition.
type mediaType struct {
	value  string // lower-case, "multipart/signed" or "attachment"
	params []param
}

type param struct{ name, value string }

var errParams = errors.New("bad parameters")

// one returns the value of a parameter that must be there exactly once, in
// whatever notation.
func (m mediaType) one(name string) (string, error) {
	all := m.all(name)
	if len(all) != 1 {
		return "", fmt.Errorf("%w: %d times %s", errParams, len(all), name)
	}
	return all[0], nil
}

// all returns each value of a parameter: plain, RFC 2231, or both.
func (m mediaType) all(name string) []string {
	var list []string
	for _, p := range m.params {
		if p.name == name {
			list = append(list, p.value)
		}
	}
	return list
}

// parseMediaType reads Content-Type (and Content-Disposition) with comments,
// quoted strings, RFC 2231 continuations and, because real senders do so,
// unquoted values with "=" in them. A parameter that occurs twice in the same
// notation is an error: programs differ in which one they take.
//
// Source: RFC 2045 §5.1, RFC 2231 §3, §4.
func parseMediaType(s string) (mediaType, error) {
	p := scanner{s: s}
	p.skipCFWS()
	start := p.i
	for p.i < len(p.s) && !strings.ContainsRune("; \t(", rune(p.s[p.i])) {
		p.i++
	}
	m := mediaType{value: asciiLowerString(p.s[start:p.i])}
	if m.value == "" || p.bad {
		return mediaType{}, fmt.Errorf("%w: no type", errParams)
	}
	var segments []param
	for {
		p.skipCFWS()
		if p.done() {
			break
		}
		if p.s[p.i] != ';' {
			return mediaType{}, fmt.Errorf("%w: no semicolon at %d", errParams, p.i)
		}
		p.i++
		p.skipCFWS()
		if p.done() {
			break
		}
		if p.s[p.i] == ';' {
			continue
		}
		name, value, ok := p.parameter()
		if !ok {
			return mediaType{}, fmt.Errorf("%w: at %d", errParams, p.i)
		}
		for _, other := range segments {
			if other.name == name {
				return mediaType{}, fmt.Errorf("%w: duplicate", errParams)
			}
		}
		if len(segments) >= 100 {
			return mediaType{}, fmt.Errorf("%w: too many", errParams)
		}
		segments = append(segments, param{name, value})
	}
	if p.bad {
		return mediaType{}, fmt.Errorf("%w: unfinished comment", errParams)
	}
	m.params = joinContinuations(segments)
	return m, nil
}

// joinContinuations turns name*0, name*1*, name* into name. Plain and extended
// notation of one name stay two values.
func joinContinuations(segments []param) []param {
	var out []param
	seen := map[string]bool{}
	for _, s := range segments {
		base, _, extended := strings.Cut(s.name, "*")
		if !extended {
			out = append(out, s)
			continue
		}
		if seen[base] {
			continue
		}
		seen[base] = true
		var value string
		if v, ok := lookup(segments, base+"*"); ok {
			value = decodeExtended(v, true)
			out = append(out, param{base, value})
		}
		var joined strings.Builder
		found := false
		for n := 0; ; n++ {
			key := base + "*" + strconv.Itoa(n)
			if v, ok := lookup(segments, key); ok {
				joined.WriteString(v)
			} else if v, ok := lookup(segments, key+"*"); ok {
				joined.WriteString(decodeExtended(v, n == 0))
			} else {
				break
			}
			found = true
		}
		if found {
			out = append(out, param{base, joined.String()})
		}
	}
	return out
}

func lookup(list []param, name string) (string, bool) {
	for _, p := range list {
		if p.name == name {
			return p.value, true
		}
	}
	return "", false
}

// decodeExtended undoes %XX; the first segment also loses charset'language'.
func decodeExtended(v string, first bool) string {
	if first {
		if parts := strings.SplitN(v, "'", 3); len(parts) == 3 {
			v = parts[2]
		}
	}
	out := make([]byte, 0, len(v))
	for i := 0; i < len(v); i++ {
		if v[i] == '%' && i+2 < len(v) {
			if n, err := strconv.ParseUint(v[i+1:i+3], 16, 8); err == nil {
				out = append(out, byte(n))
				i += 2
				continue
			}
		}
		out = append(out, v[i])
	}
	return string(out)
}

// scanner walks a structured header value.
type scanner struct {
	s   string
	i   int
	bad bool // a comment or quoted string never ends
}

func (p *scanner) done() bool { return p.i >= len(p.s) }

// skipCFWS skips blanks and (nested) comments. Source: RFC 5322 §3.2.2.
func (p *scanner) skipCFWS() {
	depth := 0
	for p.i < len(p.s) {
		switch c := p.s[p.i]; {
		case c == '(':
			depth++
		case depth == 0 && c != ' ' && c != '\t' && c != '\r' && c != '\n':
			return
		case c == ')':
			depth--
		case c == '\\' && depth > 0:
			p.i++
		}
		p.i++
	}
	if depth > 0 {
		p.bad = true
	}
	p.i = min(p.i, len(p.s))
}

// quoted reads a quoted string, p.i at its first quote.
func (p *scanner) quoted() (string, bool) {
	p.i++
	start := p.i
	escaped := false
	for ; p.i < len(p.s); p.i++ {
		switch p.s[p.i] {
		case '"':
			value := p.s[start:p.i]
			p.i++
			if escaped {
				value = unquote(value)
			}
			return value, true
		case '\\':
			escaped = true
			p.i++
		}
	}
	p.i = len(p.s)
	p.bad = true
	return "", false
}

// unquote removes the backslash of quoted pairs.
func unquote(s string) string {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		out = append(out, s[i])
	}
	return string(out)
}

func (p *scanner) parameter() (name, value string, ok bool) {
	start := p.i
	for p.i < len(p.s) && !strings.ContainsRune("=; \t(\"", rune(p.s[p.i])) {
		p.i++
	}
	name = asciiLowerString(p.s[start:p.i])
	p.skipCFWS()
	if name == "" || p.done() || p.s[p.i] != '=' {
		return "", "", false
	}
	p.i++
	p.skipCFWS()
	if p.done() {
		return name, "", true
	}
	if p.s[p.i] == '"' {
		value, ok = p.quoted()
		return name, value, ok
	}
	start = p.i
	for p.i < len(p.s) && !strings.ContainsRune("; \t(\"", rune(p.s[p.i])) {
		p.i++
	}
	return name, p.s[start:p.i], true
}

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
	dash := []byte("--" + boundary)
	var parts [][]byte
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
			return nil, fmt.Errorf("%w: delimiter after the last one", errNoParts)
		}
		if start >= 0 {
			if len(parts) >= maxParts {
				return nil, errTooManyParts
			}
			parts = append(parts, body[start:max(start, beforeLineEnd(body, at))])
		}
		start, closed, i = end, last, end
	}
	if !closed {
		return nil, fmt.Errorf("%w: no last delimiter", errNoParts)
	}
	return parts, nil
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
	bad := fmt.Errorf("%w: base64", errEncoding)
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
				return nil, bad
			}
		}
	}
	if !flush() {
		return nil, bad
	}
	return out, nil
}
