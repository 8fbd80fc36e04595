package pec

import "errors"

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
	return convert(ber, 0)
}

func convert(in []byte, depth int) (out, rest []byte, err error) {
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
		rest = body[length:]
		if constructed {
			if content, err = convertAll(content, depth+1); err != nil {
				return nil, nil, err
			}
		}
		return appendValue(nil, tag, content), rest, nil
	}
	if !constructed {
		return nil, nil, errBER
	}
	var content []byte
	for {
		if len(body) < 2 {
			return nil, nil, errBER
		}
		if body[0] == 0 && body[1] == 0 {
			return appendValue(nil, tag, content), body[2:], nil
		}
		var child []byte
		if child, body, err = convert(body, depth+1); err != nil {
			return nil, nil, err
		}
		content = append(content, child...)
	}
}

func convertAll(in []byte, depth int) ([]byte, error) {
	// Most values hold no indefinite length: then they are kept as they are.
	if !hasIndefinite(in, depth) {
		return in, nil
	}
	var out []byte
	for len(in) > 0 {
		child, rest, err := convert(in, depth)
		if err != nil {
			return nil, err
		}
		out = append(out, child...)
		in = rest
	}
	return out, nil
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
	out = append(out, tag)
	n := len(content)
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
	return append(out, content...)
}
