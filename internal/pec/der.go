package pec

import (
	"errors"
	"slices"
)

var errBER = errors.New("bad BER encoding")

// maxDERDepth bounds the nesting that toDER follows; a CMS with certificates
// needs about 15 levels.
const maxDERDepth = 40

// toDER rewrites a BER value with definite lengths, as Aruba's signatures need
// it since 2026 (indefinite lengths). Values that are DER come out unchanged;
// the order of sets is kept. What follows the value is returned too.
//
// Source: ITU-T X.690 §8.1.3.
func toDER(ber []byte) (der, rest []byte, err error) {
	tag, length, indefinite, body, err := readHeader(ber)
	if err == nil && !indefinite && length <= len(body) && (tag&0x20 == 0 || !hasIndefinite(body[:length], 1)) {
		end := len(ber) - len(body) + length
		return ber[:end], ber[end:], nil
	}
	return convert(make([]byte, 0, len(ber)), ber, 0)
}

// convert appends the first value of in to out.
func convert(out, in []byte, depth int) (grown, rest []byte, err error) {
	if depth > maxDERDepth {
		return nil, nil, errBER
	}
	tag, length, indefinite, body, err := readHeader(in)
	if err != nil {
		return nil, nil, err
	}
	constructed := tag&0x20 != 0
	if !indefinite {
		if length > len(body) {
			return nil, nil, errBER
		}
		content := body[:length]
		// Most values hold no indefinite length: then they are kept as they are.
		if !constructed || !hasIndefinite(content, depth+1) {
			return appendValue(out, tag, content), body[length:], nil
		}
		start := len(out)
		for len(content) > 0 {
			if out, content, err = convert(out, content, depth+1); err != nil {
				return nil, nil, err
			}
		}
		return insertHeader(out, start, tag), body[length:], nil
	}
	if !constructed {
		return nil, nil, errBER
	}
	start := len(out)
	for {
		if len(body) < 2 {
			return nil, nil, errBER
		}
		if body[0] == 0 && body[1] == 0 {
			return insertHeader(out, start, tag), body[2:], nil
		}
		if out, body, err = convert(out, body, depth+1); err != nil {
			return nil, nil, err
		}
	}
}

// insertHeader puts tag and length before the content that starts at start.
func insertHeader(out []byte, start int, tag byte) []byte {
	var header [6]byte
	return slices.Insert(out, start, appendHeader(header[:0], tag, len(out)-start)...)
}

// hasIndefinite looks for an indefinite length anywhere below. It errs on the
// side of true, so that convert finds what is wrong.
func hasIndefinite(in []byte, depth int) bool {
	if depth > maxDERDepth {
		return true
	}
	for len(in) > 0 {
		tag, length, indefinite, body, err := readHeader(in)
		if err != nil || indefinite || length > len(body) {
			return true
		}
		if tag&0x20 != 0 && hasIndefinite(body[:length], depth+1) {
			return true
		}
		in = body[length:]
	}
	return false
}

// readHeader reads tag and length. Tags above 30 don't occur in CMS.
func readHeader(in []byte) (tag byte, length int, indefinite bool, body []byte, err error) {
	if len(in) < 2 || in[0]&0x1f == 0x1f {
		return 0, 0, false, nil, errBER
	}
	tag = in[0]
	l := in[1]
	body = in[2:]
	switch {
	case l < 0x80:
		return tag, int(l), false, body, nil
	case l == 0x80:
		return tag, 0, true, body, nil
	case l > 0x84 || len(body) < int(l&0x7f):
		return 0, 0, false, nil, errBER
	}
	for _, b := range body[:l&0x7f] {
		length = length<<8 | int(b)
	}
	return tag, length, false, body[l&0x7f:], nil
}

func appendValue(out []byte, tag byte, content []byte) []byte {
	return append(appendHeader(out, tag, len(content)), content...)
}

func appendHeader(out []byte, tag byte, n int) []byte {
	out = append(out, tag)
	switch {
	case n < 0x80:
		out = append(out, byte(n))
	case n < 1<<8:
		out = append(out, 0x81, byte(n))
	case n < 1<<16:
		out = append(out, 0x82, byte(n>>8), byte(n))
	case n < 1<<24:
		out = append(out, 0x83, byte(n>>16), byte(n>>8), byte(n))
	default:
		out = append(out, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return out
}
