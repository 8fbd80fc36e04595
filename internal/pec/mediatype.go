package pec

import (
	"errors"
	"fmt"
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
