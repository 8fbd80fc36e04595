package pec

import (
	"bytes"
	"errors"
	"fmt"
)

// Limits of header blocks. Real envelopes stay under 64 kB with a few hundred
// fields; what is beyond these is meant to hurt.
const (
	maxHeaderBytes     = 512 << 10
	maxHeaderFields    = 10000
	maxPartHeaderBytes = 256 << 10
)

// header is a block of header fields in the order of the message. Values are
// slices of the message, still folded.
type header struct {
	fields []field
}

type field struct {
	name  []byte // as written, without blanks before the colon
	value []byte // from the colon to the last line end of the field, exclusive
}

var (
	errHeaderTooLarge = errors.New("header block is too large")
	errHeaderSyntax   = errors.New("header block breaks the syntax")
)

// parseHeader reads header fields up to the empty line and returns what
// follows it (nil when the block is not ended by one). Lines end with CRLF or
// LF. It refuses what different programs read differently: NUL, a CR that ends
// no line, a line that is neither field nor continuation. One leading mbox
// "From " line is skipped. parseInnerHeader reads on behind such lines.
//
// Source: RFC 5322 §2.2, §2.2.3, §4.5 (blank before the colon).
func parseHeader(raw []byte, maxBytes int) (h header, body []byte, err error) {
	return scanHeader(raw, maxBytes, true)
}

// parseInnerHeader is parseHeader for the header of an original message, which
// any mail program may have written: a line that breaks the syntax becomes a
// field without a name.
func parseInnerHeader(raw []byte) (h header, body []byte, err error) {
	return scanHeader(raw, maxHeaderBytes, false)
}

func scanHeader(raw []byte, maxBytes int, strict bool) (h header, body []byte, err error) {
	rest := raw
	offset := 0
	valueStart := 0                           // of the newest field, in raw
	some := 4                                 // a part has three or four
	if strict && maxBytes == maxHeaderBytes { // an envelope a dozen or two, a selection of them seven
		some = min(24, 4+len(raw)/100)
	}
	h.fields = make([]field, 0, some)
	for first := true; len(rest) > 0; first = false {
		end := bytes.IndexByte(rest, '\n')
		next := end + 1
		if end < 0 {
			end, next = len(rest), len(rest)
		}
		line := bytes.TrimSuffix(rest[:end], []byte("\r"))
		if offset+next > maxBytes || len(h.fields) > maxHeaderFields {
			return h, nil, errHeaderTooLarge
		}
		if len(line) == 0 {
			return h, rest[next:], nil
		}
		name, colon, problem := fieldName(line)
		if colon < 0 && len(h.fields) == 0 {
			problem = "continuation without a field"
		}
		switch {
		case problem == "" && colon < 0: // continuation
			h.fields[len(h.fields)-1].value = raw[valueStart : offset+len(line)]
		case problem == "" && colon >= 0:
			valueStart = offset + colon + 1
			h.fields = append(h.fields, field{name: name, value: line[colon+1:]})
		case first && problem == problemName && isMboxLine(line):
		case strict:
			return header{}, nil, fmt.Errorf("%w: %s at byte %d", errHeaderSyntax, problem, offset)
		default:
			valueStart = offset
			h.fields = append(h.fields, field{value: line})
		}
		rest = rest[next:]
		offset += next
	}
	return h, nil, nil
}

// problemName is what fieldName says of an mbox line: its first colon is that
// of a time of day, behind blanks.
const problemName = "bad field name"

func isMboxLine(line []byte) bool {
	return bytes.HasPrefix(line, []byte("From ")) || bytes.HasPrefix(line, []byte(">From "))
}

// fieldName splits the name off a line; colon is -1 for a continuation line,
// problem is "" for a good line.
func fieldName(line []byte) (name []byte, colon int, problem string) {
	if bytes.IndexByte(line, 0) >= 0 || bytes.IndexByte(line, '\r') >= 0 {
		return nil, 0, "control character"
	}
	if line[0] == ' ' || line[0] == '\t' {
		return nil, -1, ""
	}
	colon = bytes.IndexByte(line, ':')
	if colon < 0 {
		return nil, 0, "line without a colon"
	}
	name = bytes.TrimRight(line[:colon], " \t")
	if !isFieldName(name) {
		return nil, 0, problemName
	}
	return name, colon, ""
}

func isFieldName(name []byte) bool {
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return len(name) > 0
}

// count tells how often a field occurs; name is lower-case.
func (h header) count(name string) int {
	n := 0
	for _, f := range h.fields {
		if asciiEqualFold(f.name, name) {
			n++
		}
	}
	return n
}

// get returns the unfolded value of the first field of that name, "" when
// there is none; has tells the two apart.
func (h header) get(name string) string {
	for _, f := range h.fields {
		if asciiEqualFold(f.name, name) {
			return unfold(f.value)
		}
	}
	return ""
}

func (h header) has(name string) bool { return h.count(name) > 0 }

// unfold removes the line ends of folded lines and the white space around the
// whole. Source: RFC 5322 §2.2.3.
func unfold(v []byte) string {
	v = bytes.Trim(v, " \t\r\n")
	if bytes.IndexByte(v, '\n') < 0 {
		return string(v)
	}
	out := make([]byte, 0, len(v))
	for _, c := range v {
		if c != '\r' && c != '\n' {
			out = append(out, c)
		}
	}
	return string(out)
}

// asciiEqualFold compares without the case of ASCII letters only. Unicode
// folding would make a Kelvin sign equal to "k" and a long s to "s".
func asciiEqualFold[A, B string | []byte](a A, b B) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if asciiLower(a[i]) != asciiLower(b[i]) {
			return false
		}
	}
	return true
}

func asciiLower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func asciiLowerString(s string) string {
	for i := 0; i < len(s); i++ {
		if asciiLower(s[i]) != s[i] {
			out := []byte(s)
			for j := i; j < len(out); j++ {
				out[j] = asciiLower(out[j])
			}
			return string(out)
		}
	}
	return s
}
