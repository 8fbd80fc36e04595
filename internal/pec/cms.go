package pec

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxCMSBytes bounds a decoded signature; real ones have 3 to 10 kB.
const maxCMSBytes = 1 << 20

// signature is a CMS SignedData with exactly one signer and no content.
//
// Source: RFC 5652 §5; RFC 8551 §3.5.3 (detached).
type signature struct {
	certs      []byte // contents of the certificates field
	issuer     []byte // DER of the signer's issuer name
	serial     []byte // DER content of its number
	digest     crypto.Hash
	algorithm  x509.SignatureAlgorithm
	signed     []byte // DER of the signed attributes as SET OF; nil when absent
	messageSum []byte // the messageDigest attribute
	value      []byte
}

// oid is the DER content of an object identifier. Comparing these is cheaper
// than decoding each one that a message holds.
func oid(arcs ...int) string {
	der, err := asn1.Marshal(asn1.ObjectIdentifier(arcs))
	if err != nil || len(der) < 3 || int(der[1]) != len(der)-2 {
		panic("pec: bad object identifier in a table")
	}
	return string(der[2:])
}

var (
	oidSignedData    = oid(1, 2, 840, 113549, 1, 7, 2)
	oidData          = oid(1, 2, 840, 113549, 1, 7, 1)
	oidContentType   = oid(1, 2, 840, 113549, 1, 9, 3)
	oidMessageDigest = oid(1, 2, 840, 113549, 1, 9, 4)
)

var digests = []struct {
	oid  string
	hash crypto.Hash
}{
	{oid(1, 3, 14, 3, 2, 26), crypto.SHA1},
	{oid(2, 16, 840, 1, 101, 3, 4, 2, 1), crypto.SHA256},
	{oid(2, 16, 840, 1, 101, 3, 4, 2, 2), crypto.SHA384},
	{oid(2, 16, 840, 1, 101, 3, 4, 2, 3), crypto.SHA512},
}

// algorithms maps a signature algorithm and the digest beside it to what
// crypto/x509 calls the pair. rsaEncryption says nothing about the digest; all
// others must name the same one.
var algorithms = []struct {
	oid    string
	digest crypto.Hash
	alg    x509.SignatureAlgorithm
}{
	{oid(1, 2, 840, 113549, 1, 1, 1), crypto.SHA1, x509.SHA1WithRSA},
	{oid(1, 2, 840, 113549, 1, 1, 1), crypto.SHA256, x509.SHA256WithRSA},
	{oid(1, 2, 840, 113549, 1, 1, 1), crypto.SHA384, x509.SHA384WithRSA},
	{oid(1, 2, 840, 113549, 1, 1, 1), crypto.SHA512, x509.SHA512WithRSA},
	{oid(1, 2, 840, 113549, 1, 1, 5), crypto.SHA1, x509.SHA1WithRSA},
	{oid(1, 2, 840, 113549, 1, 1, 11), crypto.SHA256, x509.SHA256WithRSA},
	{oid(1, 2, 840, 113549, 1, 1, 12), crypto.SHA384, x509.SHA384WithRSA},
	{oid(1, 2, 840, 113549, 1, 1, 13), crypto.SHA512, x509.SHA512WithRSA},
	{oid(1, 2, 840, 10045, 4, 1), crypto.SHA1, x509.ECDSAWithSHA1},
	{oid(1, 2, 840, 10045, 4, 3, 2), crypto.SHA256, x509.ECDSAWithSHA256},
	{oid(1, 2, 840, 10045, 4, 3, 3), crypto.SHA384, x509.ECDSAWithSHA384},
	{oid(1, 2, 840, 10045, 4, 3, 4), crypto.SHA512, x509.ECDSAWithSHA512},
}

// Why not the pkcs7 library alone: it refuses a message whose claimed signing
// time lies outside the certificate's validity before it looks at the
// signature, takes the first of several equal attributes, ignores errors while
// it reads SignedData, and parses every certificate anew for each message.
// Tests compare both, and openssl.

// parseSignature reads a detached CMS signature strictly: DER (or BER rewritten
// by toDER), one signer named by issuer and serial number, nothing embedded,
// nothing behind it, each signed attribute once with one value.
func parseSignature(raw []byte) (*signature, *refusal) {
	if len(raw) > maxCMSBytes {
		return nil, refuse(ReasonBadSignature, "signature is larger than %d bytes", maxCMSBytes)
	}
	der, rest, err := toDER(raw)
	if err != nil || len(rest) > 0 {
		return nil, refuse(ReasonBadSignature, "signature is not one BER value")
	}
	bad := func(what string) (*signature, *refusal) {
		return nil, refuse(ReasonBadSignature, "signature structure: %s", what)
	}

	input := cryptobyte.String(der)
	var info, explicit, sd, digestSet, content, certs, signers cryptobyte.String
	var contentType cryptobyte.String
	var version int64
	var hasCerts, hasSKI bool
	if !input.ReadASN1(&info, cbasn1.SEQUENCE) || !input.Empty() ||
		!readOID(&info, &contentType) || string(contentType) != oidSignedData ||
		!info.ReadASN1(&explicit, cbasn1.Tag(0).Constructed().ContextSpecific()) || !info.Empty() ||
		!explicit.ReadASN1(&sd, cbasn1.SEQUENCE) || !explicit.Empty() {
		return bad("no SignedData")
	}
	if !sd.ReadASN1Integer(&version) || !sd.ReadASN1(&digestSet, cbasn1.SET) ||
		!sd.ReadASN1(&content, cbasn1.SEQUENCE) || !readOID(&content, &contentType) {
		return bad("no content info")
	}
	if string(contentType) != oidData {
		return bad("content type is not data")
	}
	if !content.Empty() {
		return bad("content is embedded beside a detached part")
	}
	if !sd.ReadOptionalASN1(&certs, &hasCerts, cbasn1.Tag(0).Constructed().ContextSpecific()) ||
		!sd.SkipOptionalASN1(cbasn1.Tag(1).Constructed().ContextSpecific()) ||
		!sd.ReadASN1(&signers, cbasn1.SET) || !sd.Empty() {
		return bad("no signer infos")
	}
	var si cryptobyte.String
	if !signers.ReadASN1(&si, cbasn1.SEQUENCE) {
		return bad("no signer")
	}
	if !signers.Empty() {
		return bad("more than one signer")
	}

	s := &signature{certs: certs}
	if !si.ReadASN1Integer(&version) {
		return bad("no version")
	}
	keyID := cbasn1.Tag(0).ContextSpecific()
	hasSKI = si.PeekASN1Tag(keyID) || si.PeekASN1Tag(keyID.Constructed())
	if hasSKI {
		return nil, refuse(ReasonUnsupportedSignature, "signer is named by its key identifier")
	}
	var sid, issuer, serial, digestAlg, attrs, signAlg cryptobyte.String
	if !si.ReadASN1(&sid, cbasn1.SEQUENCE) || !sid.ReadASN1Element(&issuer, cbasn1.SEQUENCE) ||
		!sid.ReadASN1(&serial, cbasn1.INTEGER) || !sid.Empty() {
		return bad("no issuer and serial number")
	}
	s.issuer, s.serial = issuer, serial
	var digestOID, signOID cryptobyte.String
	var hasAttrs bool
	attrsTag := cbasn1.Tag(0).Constructed().ContextSpecific()
	if !si.ReadASN1(&digestAlg, cbasn1.SEQUENCE) || !readOID(&digestAlg, &digestOID) {
		return bad("no digest algorithm")
	}
	if hasAttrs = si.PeekASN1Tag(attrsTag); hasAttrs && !si.ReadASN1Element(&attrs, attrsTag) {
		return bad("bad signed attributes")
	}
	if !si.ReadASN1(&signAlg, cbasn1.SEQUENCE) || !readOID(&signAlg, &signOID) ||
		!si.ReadASN1Bytes(&s.value, cbasn1.OCTET_STRING) ||
		!si.SkipOptionalASN1(cbasn1.Tag(1).Constructed().ContextSpecific()) || !si.Empty() {
		return bad("no signature value")
	}
	if hasAttrs {
		sum, ok := readAttributes(attrs)
		if !ok {
			return bad("bad signed attributes")
		}
		s.messageSum = sum
		// What is signed is the DER of a SET OF, not of the [0] that stands in
		// the message. RFC 5652 §5.4.
		s.signed = bytes.Clone(attrs)
		s.signed[0] = 0x31
	}
	for _, d := range digests {
		if d.oid == string(digestOID) {
			s.digest = d.hash
		}
	}
	if s.digest == 0 {
		return nil, refuse(ReasonUnsupportedSignature, "digest algorithm")
	}
	// openssl takes its digests from this list: without the signer's one in it
	// the signature can't be checked there. RFC 5652 §5.1.
	if !listsAlgorithm(digestSet, digestOID) {
		return bad("digest algorithm is not announced")
	}
	for _, a := range algorithms {
		if a.oid == string(signOID) && a.digest == s.digest {
			s.algorithm = a.alg
		}
	}
	// An unknown signature algorithm is reported by check, after the digest.
	return s, nil
}

func readOID(from, to *cryptobyte.String) bool {
	return from.ReadASN1(to, cbasn1.OBJECT_IDENTIFIER)
}

func listsAlgorithm(set, want cryptobyte.String) bool {
	for !set.Empty() {
		var alg, id cryptobyte.String
		if !set.ReadASN1(&alg, cbasn1.SEQUENCE) || !readOID(&alg, &id) {
			return false
		}
		if bytes.Equal(id, want) {
			return true
		}
	}
	return false
}

// readAttributes checks signed attributes and returns the message digest.
// Source: RFC 5652 §5.3, §11.1, §11.2.
func readAttributes(element cryptobyte.String) (sum []byte, ok bool) {
	var set cryptobyte.String
	if !element.ReadASN1(&set, cbasn1.Tag(0).Constructed().ContextSpecific()) {
		return nil, false
	}
	types, sums := 0, 0
	for !set.Empty() {
		var attr, values, id, value cryptobyte.String
		if !set.ReadASN1(&attr, cbasn1.SEQUENCE) || !readOID(&attr, &id) ||
			!attr.ReadASN1(&values, cbasn1.SET) || !attr.Empty() {
			return nil, false
		}
		switch {
		case string(id) == oidContentType:
			if !readOID(&values, &value) || !values.Empty() || string(value) != oidData {
				return nil, false
			}
			types++
		case string(id) == oidMessageDigest:
			if !values.ReadASN1Bytes(&sum, cbasn1.OCTET_STRING) || !values.Empty() {
				return nil, false
			}
			sums++
		}
	}
	return sum, types == 1 && sums == 1
}

// check verifies the signature of leaf over content, as far as content's bytes
// go: it says nothing about who leaf is.
func (s *signature) check(leaf *x509.Certificate, content []byte) *refusal {
	signed := content
	if s.signed != nil {
		h := s.digest.New()
		h.Write(content)
		if !bytes.Equal(h.Sum(nil), s.messageSum) {
			return refuse(ReasonBadSignature, "digest of the signed part differs")
		}
		signed = s.signed
	}
	if s.algorithm == x509.UnknownSignatureAlgorithm {
		return refuse(ReasonUnsupportedSignature, "signature algorithm")
	}
	err := leaf.CheckSignature(s.algorithm, signed, s.value)
	var insecure x509.InsecureAlgorithmError
	switch {
	case errors.Is(err, x509.ErrUnsupportedAlgorithm), errors.As(err, &insecure):
		return refuse(ReasonUnsupportedSignature, "key of the signer")
	case err != nil:
		return refuse(ReasonBadSignature, "signature value does not verify")
	}
	return nil
}

// checkMessage verifies content as received and, where that fails and it has
// lone LF line ends, with CRLF in their place, as mail is signed (RFC 8551
// §3.1.1). It returns the bytes that were signed, and whether they are a copy.
func (s *signature) checkMessage(leaf *x509.Certificate, content []byte) (signed []byte, mended bool, r *refusal) {
	r = s.check(leaf, content)
	if r == nil || r.reason != ReasonBadSignature {
		return content, false, r
	}
	missing := loneLFs(content)
	if missing == 0 {
		return nil, false, r
	}
	signed = make([]byte, 0, len(content)+missing)
	for i, c := range content {
		if c == '\n' && (i == 0 || content[i-1] != '\r') {
			signed = append(signed, '\r')
		}
		signed = append(signed, c)
	}
	return signed, true, s.check(leaf, signed)
}

// weak tells whether the signature rests on SHA-1.
func (s *signature) weak() bool { return s.digest == crypto.SHA1 }

func loneLFs(b []byte) int {
	return bytes.Count(b, []byte("\n")) - bytes.Count(b, []byte("\r\n"))
}
