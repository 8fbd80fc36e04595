package pectest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	_ "crypto/md5"
	"crypto/rsa"
	_ "crypto/sha1"
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// CMS says how a detached signature is made. The zero value with Signer set is
// a good one: SHA-256, signed attributes, DER.
type CMS struct {
	Signer       *Provider
	Digest       crypto.Hash // 0: SHA-256
	SigningTime  time.Time   // zero: no such attribute
	NoAttributes bool
	Protection   bool // adds the CMSAlgorithmProtection attribute, as BouncyCastle does
	RSAPlain     bool // signature algorithm rsaEncryption, as OpenSSL writes
	Indefinite   bool // BER with indefinite lengths, as Aruba since 2026

	// Faults and oddities.
	Certs         [][]byte              // DER, instead of the signer's chain; empty but not nil: none
	KeyID         bool                  // signer named by its key identifier
	PSS           bool                  // RSASSA-PSS
	Embedded      []byte                // content inside
	SecondSigner  *Provider             // one more signer info
	NoSigner      bool                  // none at all
	WrongAnnounce bool                  // digestAlgorithms without the digest used
	TwoDigests    bool                  // a second messageDigest attribute
	NoDigest      bool                  // no messageDigest attribute
	ContentOID    asn1.ObjectIdentifier // in the contentType attribute; nil: data
	Trailing      []byte                // behind the value
	Sum           []byte                // instead of the true message digest
	Value         []byte                // instead of the true signature value
}

var (
	oidData        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidType        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidDigest      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningTime = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	oidProtection  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 52}
	oidRSA         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidPSS         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
)

var digestOIDs = map[crypto.Hash]asn1.ObjectIdentifier{
	crypto.MD5:    {1, 2, 840, 113549, 2, 5},
	crypto.SHA1:   {1, 3, 14, 3, 2, 26},
	crypto.SHA224: {2, 16, 840, 1, 101, 3, 4, 2, 4},
	crypto.SHA256: {2, 16, 840, 1, 101, 3, 4, 2, 1},
	crypto.SHA384: {2, 16, 840, 1, 101, 3, 4, 2, 2},
	crypto.SHA512: {2, 16, 840, 1, 101, 3, 4, 2, 3},
}

var rsaOIDs = map[crypto.Hash]asn1.ObjectIdentifier{
	crypto.MD5:    {1, 2, 840, 113549, 1, 1, 4},
	crypto.SHA1:   {1, 2, 840, 113549, 1, 1, 5},
	crypto.SHA224: {1, 2, 840, 113549, 1, 1, 14},
	crypto.SHA256: {1, 2, 840, 113549, 1, 1, 11},
	crypto.SHA384: {1, 2, 840, 113549, 1, 1, 12},
	crypto.SHA512: {1, 2, 840, 113549, 1, 1, 13},
}

var ecdsaOIDs = map[crypto.Hash]asn1.ObjectIdentifier{
	crypto.SHA1:   {1, 2, 840, 10045, 4, 1},
	crypto.SHA224: {1, 2, 840, 10045, 4, 3, 1},
	crypto.SHA256: {1, 2, 840, 10045, 4, 3, 2},
	crypto.SHA384: {1, 2, 840, 10045, 4, 3, 3},
	crypto.SHA512: {1, 2, 840, 10045, 4, 3, 4},
}

// Sign makes the CMS SignedData over content. RFC 5652 §5.
func (c CMS) Sign(content []byte) []byte {
	if c.Digest == 0 {
		c.Digest = crypto.SHA256
	}
	var b cryptobyte.Builder
	c.seq(&b, cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidSignedData)
		c.seq(b, context(0), func(b *cryptobyte.Builder) {
			c.seq(b, cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { c.signedData(b, content) })
		})
	})
	return append(b.BytesOrPanic(), c.Trailing...)
}

func context(n uint8) cbasn1.Tag { return cbasn1.Tag(n).Constructed().ContextSpecific() }

// seq adds a constructed value, with indefinite length where asked for.
func (c CMS) seq(b *cryptobyte.Builder, tag cbasn1.Tag, f func(*cryptobyte.Builder)) {
	if !c.Indefinite {
		b.AddASN1(tag, f)
		return
	}
	b.AddUint8(uint8(tag))
	b.AddUint8(0x80)
	var inner cryptobyte.Builder
	f(&inner)
	b.AddBytes(inner.BytesOrPanic())
	b.AddUint16(0)
}

func (c CMS) signedData(b *cryptobyte.Builder, content []byte) {
	b.AddASN1Int64(1)
	announced := c.Digest
	if c.WrongAnnounce {
		announced = crypto.SHA512
	}
	b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) { algorithm(b, digestOIDs[announced], false) })
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidData)
		if c.Embedded != nil {
			b.AddASN1(context(0), func(b *cryptobyte.Builder) { b.AddASN1OctetString(c.Embedded) })
		}
	})
	if certs := c.certificates(); len(certs) > 0 {
		c.seq(b, context(0), func(b *cryptobyte.Builder) {
			for _, der := range certs {
				b.AddBytes(der)
			}
		})
	}
	b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
		if c.NoSigner {
			return
		}
		c.signerInfo(b, content)
		if c.SecondSigner != nil {
			second := c
			second.Signer = c.SecondSigner
			second.signerInfo(b, content)
		}
	})
}

func (c CMS) certificates() [][]byte {
	if c.Certs != nil {
		return c.Certs
	}
	list := [][]byte{c.Signer.Cert.Raw}
	for _, p := range c.Signer.Chain {
		list = append(list, p.Raw)
	}
	return list
}

func (c CMS) signerInfo(b *cryptobyte.Builder, content []byte) {
	attrs := c.attributes(content)
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if c.KeyID {
			b.AddASN1Int64(3)
			b.AddASN1(cbasn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(keyID(c.Signer.Cert)) })
		} else {
			b.AddASN1Int64(1)
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddBytes(c.Signer.Cert.RawIssuer)
				b.AddASN1BigInt(c.Signer.Cert.SerialNumber)
			})
		}
		algorithm(b, digestOIDs[c.Digest], false)
		if attrs != nil {
			b.AddASN1(context(0), func(b *cryptobyte.Builder) { b.AddBytes(attrs) })
		}
		c.signatureAlgorithm(b)
		signed := content
		if attrs != nil {
			signed = c.SignedAttributes(content)
		}
		b.AddASN1OctetString(c.rawSignature(signed))
	})
}

func keyID(cert *x509.Certificate) []byte {
	if len(cert.SubjectKeyId) > 0 {
		return cert.SubjectKeyId
	}
	return hash(crypto.SHA1, cert.RawSubjectPublicKeyInfo)
}

func hash(h crypto.Hash, b []byte) []byte {
	w := h.New()
	w.Write(b)
	return w.Sum(nil)
}

// SignedAttributes is what the signature value is made over: the DER of the SET
// OF attributes for this content.
func (c CMS) SignedAttributes(content []byte) []byte {
	if c.Digest == 0 {
		c.Digest = crypto.SHA256
	}
	var set cryptobyte.Builder
	set.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(c.attributes(content)) })
	return set.BytesOrPanic()
}

func (c CMS) rawSignature(signed []byte) []byte {
	if c.Value != nil {
		return c.Value
	}
	var opts crypto.SignerOpts = c.Digest
	var random zeroReader
	if c.PSS {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: c.Digest}
		sig, err := c.Signer.Key.Sign(random, hash(c.Digest, signed), opts)
		if err != nil {
			panic("pectest: signing: " + err.Error())
		}
		return sig
	}
	sig, err := c.Signer.Key.Sign(nil, hash(c.Digest, signed), opts)
	if err != nil {
		panic("pectest: signing: " + err.Error())
	}
	return sig
}

// zeroReader gives PSS a fixed salt, so that its fixtures stay the same.
type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func (c CMS) signatureAlgorithm(b *cryptobyte.Builder) {
	_, isECDSA := c.Signer.Key.(*ecdsa.PrivateKey)
	switch {
	case isECDSA:
		algorithm(b, ecdsaOIDs[c.Digest], false)
	case c.PSS:
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidPSS)
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(context(0), func(b *cryptobyte.Builder) { algorithm(b, digestOIDs[c.Digest], true) })
				b.AddASN1(context(1), func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1ObjectIdentifier(oidMGF1)
						algorithm(b, digestOIDs[c.Digest], true)
					})
				})
				b.AddASN1(context(2), func(b *cryptobyte.Builder) { b.AddASN1Int64(int64(c.Digest.Size())) })
			})
		})
	case c.RSAPlain:
		algorithm(b, oidRSA, true)
	default:
		algorithm(b, rsaOIDs[c.Digest], true)
	}
}

func algorithm(b *cryptobyte.Builder, oid asn1.ObjectIdentifier, null bool) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		if null {
			b.AddASN1NULL()
		}
	})
}

// attributes is the content of the SET OF signed attributes, sorted as DER
// wants it; nil when there are none.
func (c CMS) attributes(content []byte) []byte {
	if c.NoAttributes {
		return nil
	}
	var list [][]byte
	add := func(oid asn1.ObjectIdentifier, value func(*cryptobyte.Builder)) {
		var b cryptobyte.Builder
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oid)
			b.AddASN1(cbasn1.SET, value)
		})
		list = append(list, b.BytesOrPanic())
	}
	contentOID := c.ContentOID
	if contentOID == nil {
		contentOID = oidData
	}
	add(oidType, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(contentOID) })
	sum := c.Sum
	if sum == nil {
		sum = hash(c.Digest, content)
	}
	if !c.NoDigest {
		add(oidDigest, func(b *cryptobyte.Builder) { b.AddASN1OctetString(sum) })
	}
	if c.TwoDigests {
		add(oidDigest, func(b *cryptobyte.Builder) { b.AddASN1OctetString(hash(c.Digest, []byte("another"))) })
	}
	if !c.SigningTime.IsZero() {
		add(oidSigningTime, func(b *cryptobyte.Builder) { b.AddASN1UTCTime(c.SigningTime.UTC()) })
	}
	if c.Protection {
		add(oidProtection, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				algorithm(b, digestOIDs[c.Digest], false)
				var alg cryptobyte.Builder
				c.signatureAlgorithm(&alg)
				body := cryptobyte.String(alg.BytesOrPanic())
				var inner cryptobyte.String
				body.ReadASN1(&inner, cbasn1.SEQUENCE)
				b.AddASN1(context(1), func(b *cryptobyte.Builder) { b.AddBytes(inner) })
			})
		})
	}
	sortDER(list)
	var out []byte
	for _, a := range list {
		out = append(out, a...)
	}
	return out
}

func sortDER(list [][]byte) {
	slices.SortFunc(list, bytes.Compare)
}
