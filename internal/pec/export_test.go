package pec

import (
	"crypto/x509"
	"time"
)

// What tests need of the inside.

// SplitParts is the slicer.
var SplitParts = splitParts

// SplitOpenParts is the slicer of beginnings.
var SplitOpenParts = splitOpenParts

// ParseDaticert tells whether certification data is accepted, and its sender.
func ParseDaticert(b []byte) (sender string, err error) {
	d, err := parseDaticert(b)
	if err != nil {
		return "", err
	}
	return d.sender, nil
}

// SignedBytes gives what Judge verifies in a message: the signed part as
// received and the CMS. ok is false when there is no such pair.
func SignedBytes(raw []byte) (content, cms []byte, ok bool) {
	h, body, err := parseHeader(raw, maxHeaderBytes)
	if err != nil {
		return nil, nil, false
	}
	typ, err := parseMediaType(h.get("content-type"))
	if err != nil || typ.value != "multipart/signed" {
		return nil, nil, false
	}
	boundary, err := typ.one("boundary")
	if err != nil || boundary == "" {
		return nil, nil, false
	}
	parts, err := splitParts(body, boundary, maxParts)
	if err != nil || len(parts) != 2 {
		return nil, nil, false
	}
	cms, r := signatureBytes(typ, parts[1])
	return parts[0], cms, r == nil
}

// CheckCMS verifies a CMS over content with the leaf it carries, whoever that
// is; the reason is "" when it verifies.
func CheckCMS(cms, content []byte) (leaf *x509.Certificate, reason Reason) {
	s, r := parseSignature(cms)
	if r != nil {
		return nil, r.reason
	}
	id := nobody.newIdentity(s)
	if id.leaf == nil {
		return nil, ReasonBadSignature
	}
	if _, _, r := s.checkMessage(id.leaf, content); r != nil {
		return id.leaf, r.reason
	}
	return id.leaf, ""
}

// ChainOf tells what a Trust makes of the signer of a CMS, whatever it signed.
func (t *Trust) ChainOf(cms []byte, at time.Time) (trusted bool, validity *Reason) {
	s, r := parseSignature(cms)
	if r != nil {
		return false, nil
	}
	id := t.identify(s)
	if id.leaf == nil {
		return false, nil
	}
	if r := id.validAt(&at); r != nil {
		return id.trustedAt(&at), &r.reason
	}
	return id.trustedAt(&at), nil
}

// Restricted is a Trust in one pin for a list of signing domains, made as the
// built-in anchor is.
func Restricted(pin string, domains ...string) *Trust {
	t, err := NewTrust(TrustOptions{Pins: []string{pin}})
	if err != nil {
		panic(err)
	}
	t.anchors[0].domains = map[string]bool{}
	for _, d := range domains {
		t.anchors[0].domains[d] = true
	}
	t.anchors[0].maxInter = 0
	return t
}

// ToDER, SingleAddress, BareID for tables and fuzzing.
var (
	ToDER         = toDER
	SingleAddress = singleAddress
	BareID        = bareID
)

// ParseMediaType gives the type and one parameter.
func ParseMediaType(s, name string) (value string, all []string, err error) {
	m, err := parseMediaType(s)
	return m.value, m.all(name), err
}

// SigningDomains is the built-in list.
var SigningDomains = signingDomains

// DecodeBase64 is the transfer decoding of signature and data.
var DecodeBase64 = decodeBase64

// Domains tells for how many signing domains the first anchor stands; 0: any.
func (t *Trust) Domains() int { return len(t.anchors[0].domains) }
