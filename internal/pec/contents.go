package pec

import (
	"errors"
	"strings"
)

// maxParts bounds the direct children of the signed part; envelopes have three.
const maxParts = 100

// contents is what was found under the signature.
type contents struct {
	daticert *daticert // nil when missing or broken
	original []byte    // nil when missing
	decoded  bool      // original is not a slice of the content
	refusal  *refusal  // why an envelope with these contents is refused
}

var errNoMultipart = errors.New("signed part is no multipart")

// readContents looks for exactly one daticert.xml and one postacert.eml among
// the direct children of the signed part, never deeper: the original message
// may hold whatever its author likes, other certified messages included.
//
// Source: RFC 6109 §4.3.
func readContents(content []byte) contents {
	children, err := signedChildren(content)
	if errors.Is(err, errNoMultipart) {
		return contents{refusal: refuse(ReasonDaticertMissing, "%v", err)}
	}
	if err != nil {
		return contents{refusal: refuse(ReasonMalformed, "signed part: %v", err)}
	}
	var c contents
	var data, originals []part
	for _, p := range children {
		if p.named("daticert.xml") {
			data = append(data, p)
		}
		if p.named("postacert.eml") {
			originals = append(originals, p)
		}
	}
	switch {
	case len(data) > 1 || len(originals) > 1:
		c.refusal = refuse(ReasonMalformed, "%d times daticert.xml, %d times postacert.eml", len(data), len(originals))
		return c
	case len(data) == 0:
		c.refusal = refuse(ReasonDaticertMissing, "no daticert.xml")
	case len(originals) == 0:
		c.refusal = refuse(ReasonDaticertMissing, "no postacert.eml")
	}
	if len(data) == 1 {
		if c.daticert, err = daticertOf(data[0]); err != nil {
			c.refusal = refuse(ReasonMalformed, "daticert.xml: %v", err)
		}
	}
	if len(originals) == 1 {
		if c.original, err = originalOf(originals[0]); err != nil {
			c.refusal = refuse(ReasonMalformed, "postacert.eml: %v", err)
		}
		c.decoded = !isIdentity(originals[0].encoding)
	}
	return c
}

func signedChildren(content []byte) ([]part, error) {
	top, err := parsePart(content)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(top.typ.value, "multipart/") {
		return nil, errNoMultipart
	}
	if !isIdentity(top.encoding) {
		return nil, errEncoding
	}
	boundary, err := top.typ.one("boundary")
	if err != nil {
		return nil, err
	}
	if boundary == "" {
		return nil, errNoParts
	}
	raws, err := splitParts(top.body, boundary, maxParts)
	if err != nil {
		return nil, err
	}
	var children []part
	for _, raw := range raws {
		p, err := parsePart(raw)
		if err != nil {
			return nil, err
		}
		children = append(children, p)
	}
	return children, nil
}

var errPartType = errors.New("wrong media type")

// daticertOf and originalOf go by the name; the type must only not be one that
// is itself made of messages or parts.
func daticertOf(p part) (*daticert, error) {
	if isComposite(p.typ.value) {
		return nil, errPartType
	}
	b, err := decode(p.encoding, p.body)
	if err != nil {
		return nil, err
	}
	return parseDaticert(b)
}

func originalOf(p part) ([]byte, error) {
	if p.typ.value != "message/rfc822" && isComposite(p.typ.value) {
		return nil, errPartType
	}
	return decode(p.encoding, p.body)
}

func isComposite(mediaType string) bool {
	return strings.HasPrefix(mediaType, "multipart/") || strings.HasPrefix(mediaType, "message/")
}
