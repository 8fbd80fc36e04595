package corpus

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"strings"
	"time"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
)

func cms(f func(*pectest.CMS)) func(e *pectest.Envelope) {
	return func(e *pectest.Envelope) { e.CMS = f }
}

// signatures: what CMS allows, what is left out here, and what is forged.
func (c *collection) signatures() {
	c.good("sig-sha1", "SHA-1 digest: weak but certified", cms(func(s *pectest.CMS) { s.Digest = crypto.SHA1 }))
	c.good("sig-sha384", "SHA-384", cms(func(s *pectest.CMS) { s.Digest = crypto.SHA384 }))
	c.good("sig-sha512", "SHA-512", cms(func(s *pectest.CMS) { s.Digest = crypto.SHA512 }))
	c.good("sig-no-attributes", "no signed attributes", cms(func(s *pectest.CMS) { s.NoAttributes = true }))
	c.good("sig-no-attributes-sha1", "no signed attributes, SHA-1", cms(func(s *pectest.CMS) { s.NoAttributes, s.Digest = true, crypto.SHA1 }))
	c.good("sig-ber", "indefinite lengths", cms(func(s *pectest.CMS) { s.Indefinite = true }))
	c.good("sig-rsa-plain", "signature algorithm rsaEncryption", cms(func(s *pectest.CMS) { s.RSAPlain = true }))
	c.good("sig-protection", "CMSAlgorithmProtection attribute", cms(func(s *pectest.CMS) { s.Protection = true }))
	c.good("sig-no-signing-time", "no signing time", cms(func(s *pectest.CMS) { s.SigningTime = time.Time{} }))
	c.good("sig-signing-time-off", "claimed signing time outside of the certificate's validity", cms(func(s *pectest.CMS) {
		s.SigningTime = time.Date(2011, 1, 1, 0, 0, 0, 0, time.UTC)
	}))
	c.good("sig-ecdsa", "ECDSA signer", func(e *pectest.Envelope) {
		e.Provider = authority().Issue(pectest.LeafOptions{Address: aruba, Name: "ARUBA PEC S.p.A.", Key: "ecdsa signer"})
	})
	c.good("sig-certs-reversed", "CA before the signer", cms(func(s *pectest.CMS) {
		s.Certs = [][]byte{s.Signer.Chain[0].Raw, s.Signer.Cert.Raw}
	}))
	c.good("sig-certs-extra", "root and foreign certificates too", cms(func(s *pectest.CMS) {
		other := pectest.NewAuthority("forger")
		s.Certs = [][]byte{other.Root.Raw, authority().Root.Raw, s.Signer.Chain[0].Raw, other.Issuing.Raw, s.Signer.Cert.Raw}
	}))
	c.bad("sig-certs-broken", "a broken certificate beside the good ones", pec.ReasonBadSignature, cms(func(s *pectest.CMS) {
		s.Certs = [][]byte{s.Signer.Cert.Raw, s.Signer.Chain[0].Raw, {0x30, 0x03, 0x02, 0x01, 0x05}}
	}))
	c.bad("sig-md5", "MD5 digest", pec.ReasonUnsupportedSignature, cms(func(s *pectest.CMS) { s.Digest = crypto.MD5 }))
	c.bad("sig-sha224", "SHA-224 digest", pec.ReasonUnsupportedSignature, cms(func(s *pectest.CMS) { s.Digest = crypto.SHA224 }))
	c.bad("sig-pss", "RSASSA-PSS", pec.ReasonUnsupportedSignature, cms(func(s *pectest.CMS) { s.PSS = true }))
	c.bad("sig-key-id", "signer named by its key identifier", pec.ReasonUnsupportedSignature, cms(func(s *pectest.CMS) { s.KeyID = true }))
	c.bad("sig-two-signers", "two signers", pec.ReasonBadSignature, cms(func(s *pectest.CMS) {
		s.SecondSigner = pectest.NewAuthority("forger").Provider(aruba, "x")
	}))
	c.bad("sig-no-signer", "no signer", pec.ReasonBadSignature, cms(func(s *pectest.CMS) { s.NoSigner = true }))
	c.bad("sig-no-certs", "no certificates", pec.ReasonBadSignature, cms(func(s *pectest.CMS) { s.Certs = [][]byte{} }))
	c.bad("sig-no-leaf", "the CA's certificate only", pec.ReasonBadSignature, cms(func(s *pectest.CMS) { s.Certs = [][]byte{s.Signer.Chain[0].Raw} }))
	c.bad("sig-trailing", "bytes behind the signature", pec.ReasonBadSignature, cms(func(s *pectest.CMS) { s.Trailing = []byte{5, 0} }))
	c.bad("sig-unannounced", "digest missing from digestAlgorithms", pec.ReasonBadSignature, cms(func(s *pectest.CMS) { s.WrongAnnounce = true }))
	c.bad("sig-two-digests", "two messageDigest attributes", pec.ReasonBadSignature, cms(func(s *pectest.CMS) { s.TwoDigests = true }))
	c.bad("sig-no-digest", "no messageDigest attribute", pec.ReasonBadSignature, cms(func(s *pectest.CMS) { s.NoDigest = true }))
	c.bad("sig-content-type", "contentType attribute other than data", pec.ReasonBadSignature, cms(func(s *pectest.CMS) {
		s.ContentOID = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	}))
	c.bad("sig-wrong-digest", "signed attributes with the digest of another text", pec.ReasonBadSignature, cms(func(s *pectest.CMS) {
		s.Sum = bytes.Repeat([]byte{7}, 32)
	}))
	c.bad("sig-embedded", "the genuine content embedded, a forged part beside it", pec.ReasonBadSignature, func(e *pectest.Envelope) {
		embed(e)
		e.Sent = replaceBytes("Kx7mQ2pL9w", "Ev1lEv1lEv")
	})
	c.bad("sig-embedded-same", "the same content embedded and detached", pec.ReasonBadSignature, embed)
	c.bad("sig-other-message", "the signature of another message", pec.ReasonBadSignature, func(e *pectest.Envelope) {
		other := Envelope()
		var der []byte
		other.P7S = func(b []byte) []byte { der = b; return b }
		other.Letter.Text = "Un'altra lettera\n"
		other.Bytes()
		e.P7S = func([]byte) []byte { return der }
	})
	c.bad("sig-flipped-value", "a flipped bit in the signature value", pec.ReasonBadSignature, func(e *pectest.Envelope) {
		e.P7S = func(b []byte) []byte { b[len(b)-5] ^= 1; return b }
	})
	c.bad("sig-garbage", "a signature that is no CMS", pec.ReasonBadSignature, func(e *pectest.Envelope) {
		e.P7S = func([]byte) []byte { return []byte("MII...njA== this is no signature") }
	})
	c.bad("sig-not-base64", "a signature part that is no base64", pec.ReasonBadSignature, func(e *pectest.Envelope) {
		e.Message = func(b []byte) []byte {
			at := bytes.LastIndex(b, []byte("\r\n\r\nMII"))
			return append(append(bytes.Clone(b[:at+4]), "!!*!!"...), b[at+4:]...)
		}
	})
	c.bad("sig-cut", "a signature cut in the middle", pec.ReasonBadSignature, func(e *pectest.Envelope) {
		e.P7S = func(b []byte) []byte { return b[:len(b)/2] }
	})
	c.bad("sig-empty", "an empty signature part", pec.ReasonUnsigned, func(e *pectest.Envelope) {
		e.P7S = func([]byte) []byte { return nil }
	})
	c.bad("sig-attributes-as-content", "a genuine signature's attributes passed off as content without attributes", pec.ReasonMalformed, func(e *pectest.Envelope) {
		e.Signed = func(content []byte) []byte {
			return pectest.CMS{Signer: e.Provider, SigningTime: SentAt}.SignedAttributes(content)
		}
		e.CMS = func(s *pectest.CMS) { s.NoAttributes = true }
	})
	flip := func(name, about, from, to string) {
		c.bad(name, about, pec.ReasonBadSignature, func(e *pectest.Envelope) { e.Sent = replaceBytes(from, to) })
	}
	flip("flip-text", "a changed byte in the readable text", "posta certificata", "posta certificatA")
	flip("flip-daticert", "a changed byte in the data", "PD94", "PD95")
	flip("flip-original", "a changed byte in the original", "Kx7mQ2pL9w", "Kx7mQ2pL9W")
	flip("flip-header", "a changed byte in the signed part's header", "multipart/mixed", "multipart/Mixed")
	flip("flip-boundary", "a blank behind an inner delimiter", "--\r\n", "-- \r\n")
	flip("flip-line-end", "a line end lost inside the signed part", "\r\n\r\n", "\r\n")
}

// embed puts the content into the signature.
func embed(e *pectest.Envelope) {
	var content []byte
	e.Signed = func(b []byte) []byte { content = b; return b }
	e.CMS = func(s *pectest.CMS) { s.Embedded = content }
}

// signers: who signed.
func (c *collection) signers() {
	forger := pectest.NewAuthority("forger")
	c.bad("signer-commercial", "a certificate of another CA for the provider's address", pec.ReasonUntrustedSigner, func(e *pectest.Envelope) {
		e.Provider = forger.Provider(aruba, "ARUBA PEC S.p.A.")
	})
	c.bad("signer-self-signed", "a self-signed certificate", pec.ReasonUntrustedSigner, func(e *pectest.Envelope) {
		e.Provider = forger.Issue(pectest.LeafOptions{Address: aruba, Name: "ARUBA PEC S.p.A.", SelfSigned: true})
	})
	c.bad("signer-lookalike-ca", "a CA with the name of ours and another key", pec.ReasonUntrustedSigner, func(e *pectest.Envelope) {
		subject := authority().Issuing.Subject
		ca := forger.CA(pectest.CAOptions{Subject: &subject, Key: "forger/lookalike", PathLen: -1})
		e.Provider = forger.Issue(pectest.LeafOptions{Address: aruba, Name: "ARUBA PEC S.p.A.", Issuer: ca, IssuerKey: "forger/lookalike"})
	})
	c.bad("signer-lookalike-genuine-ca", "the look-alike's signer, but the genuine CA's certificate beside it", pec.ReasonUntrustedSigner, func(e *pectest.Envelope) {
		subject := authority().Issuing.Subject
		ca := forger.CA(pectest.CAOptions{Subject: &subject, Key: "forger/lookalike", PathLen: -1})
		e.Provider = forger.Issue(pectest.LeafOptions{Address: aruba, Name: "ARUBA PEC S.p.A.", Issuer: ca, IssuerKey: "forger/lookalike"})
		e.Provider.Chain = []*x509.Certificate{authority().Issuing, authority().Root}
	})
	c.bad("signer-genuine-cert-forged-key", "the genuine certificate, signed with another key", pec.ReasonBadSignature, func(e *pectest.Envelope) {
		p := *e.Provider
		p.Key = pectest.Key("forger/" + aruba)
		e.Provider = &p
	})
	c.bad("signer-same-number", "a forged certificate with the genuine one's issuer and number before it", pec.ReasonUntrustedSigner, func(e *pectest.Envelope) {
		genuine := e.Provider
		subject := authority().Issuing.Subject
		ca := forger.CA(pectest.CAOptions{Subject: &subject, Key: "forger/lookalike", PathLen: -1})
		e.Provider = forger.Issue(pectest.LeafOptions{Address: aruba, Name: "ARUBA PEC S.p.A.", Issuer: ca, IssuerKey: "forger/lookalike", Serial: genuine.Cert.SerialNumber})
		e.CMS = func(s *pectest.CMS) {
			s.Certs = [][]byte{s.Signer.Cert.Raw, genuine.Cert.Raw, authority().Issuing.Raw}
		}
	})
	c.bad("signer-below-leaf", "a certificate issued by a provider that is no CA", pec.ReasonUntrustedSigner, func(e *pectest.Envelope) {
		evil := authority().Issue(pectest.LeafOptions{Address: "posta-certificata@evil.example", Name: "Evil", Key: "evil"})
		e.Provider = forger.Issue(pectest.LeafOptions{Address: aruba, Name: "ARUBA PEC S.p.A.", Issuer: evil.Cert, IssuerKey: "evil"})
		e.Provider.Chain = []*x509.Certificate{evil.Cert, authority().Issuing}
	})
	c.bad("signer-path-length", "a CA below the issuing CA, whose path length is 0", pec.ReasonUntrustedSigner, func(e *pectest.Envelope) {
		sub := authority().CA(pectest.CAOptions{Name: "Sub CA", Key: "sub", Parent: authority().Issuing, ParentKey: "pec/issuing", PathLen: 0})
		e.Provider = forger.Issue(pectest.LeafOptions{Address: aruba, Name: "ARUBA PEC S.p.A.", Issuer: sub, IssuerKey: "sub"})
		e.Provider.Chain = []*x509.Certificate{sub, authority().Issuing}
	})
	c.bad("signer-server-ca", "a CA below the root that may issue for servers only", pec.ReasonUntrustedSigner, subordinate(pectest.CAOptions{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}))
	c.bad("signer-constrained-ca", "a CA below the root for another domain", pec.ReasonUntrustedSigner, subordinate(pectest.CAOptions{PermittedEmail: []string{"other.example"}}))
	c.bad("signer-no-cert-sign", "a CA below the root that may not sign certificates", pec.ReasonUntrustedSigner, subordinate(pectest.CAOptions{KeyUsage: x509.KeyUsageDigitalSignature}))
	c.bad("signer-expired-ca", "a CA below the root that had expired", pec.ReasonUntrustedSigner, subordinate(pectest.CAOptions{NotAfter: SentAt.AddDate(0, 0, -1)}))
	c.bad("signer-chain-missing", "no CA certificate in the message", pec.ReasonUntrustedSigner, func(e *pectest.Envelope) {
		p := *e.Provider
		p.Chain = nil
		e.Provider = &p
	})
	leaf := func(name, about string, reason pec.Reason, o pectest.LeafOptions) {
		o.Address, o.Name = aruba, "ARUBA PEC S.p.A."
		c.bad(name, about, reason, func(e *pectest.Envelope) { e.Provider = authority().Issue(o) })
	}
	leaf("signer-expired", "expired at the certified time", pec.ReasonSignerNotValid, pectest.LeafOptions{NotAfter: SentAt.Add(-time.Second)})
	leaf("signer-not-yet", "not yet valid at the certified time", pec.ReasonSignerNotValid, pectest.LeafOptions{NotBefore: SentAt.Add(time.Second)})
	leaf("signer-expired-since", "valid at the certified time, expired at reception", "", pectest.LeafOptions{NotAfter: SentAt.Add(time.Minute)})
	leaf("signer-key-usage", "may encrypt, not sign", pec.ReasonSignerNotValid, pectest.LeafOptions{KeyUsage: x509.KeyUsageKeyEncipherment})
	leaf("signer-no-key-usage", "no key usage extension", "", pectest.LeafOptions{NoKeyUsage: true})
	leaf("signer-server", "for servers only", pec.ReasonSignerNotValid, pectest.LeafOptions{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	leaf("signer-any-usage", "any extended key usage, no emailProtection", pec.ReasonSignerNotValid, pectest.LeafOptions{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	leaf("signer-no-ext-usage", "no extended key usage extension", "", pectest.LeafOptions{ExtKeyUsage: []x509.ExtKeyUsage{}})
	leaf("signer-critical", "an unknown critical extension", pec.ReasonUntrustedSigner, pectest.LeafOptions{Critical: true})
	leaf("signer-is-ca", "a CA of its own below the issuing CA", pec.ReasonSignerNotValid, pectest.LeafOptions{IsCA: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign})
	leaf("signer-no-email", "no rfc822Name", pec.ReasonSignerMismatch, pectest.LeafOptions{Emails: []string{}})
	leaf("signer-two-emails", "two rfc822Names, one of them right", "", pectest.LeafOptions{Emails: []string{"pec@aruba.example", aruba}})
	leaf("signer-serial", "a serial number with its high bit set", "", pectest.LeafOptions{Serial: new(big.Int).SetBytes(bytes.Repeat([]byte{0xff}, 16))})
	c.bad("signer-revoked", "revoked", pec.ReasonSignerNotValid, func(e *pectest.Envelope) { e.Provider = revoked() })
	c.bad("signer-other-provider", "another genuine provider's signature", pec.ReasonSignerMismatch, func(e *pectest.Envelope) {
		e.Provider = authority().Provider("posta-certificata@legalmail.it", "InfoCert S.p.A.")
		e.Fields = setField("From", `"Per conto di: rossi@pec.it" <`+aruba+`>`)
	})
	c.bad("signer-fake-display", "the provider's address in the display name only", pec.ReasonSignerMismatch, func(e *pectest.Envelope) {
		e.Fields = setField("From", `"`+aruba+`" <evil@example.com>`)
	})
	c.bad("signer-from-homoglyph", "From with a Kelvin sign for a k", pec.ReasonSignerMismatch, func(e *pectest.Envelope) {
		e.Provider = authority().Issue(pectest.LeafOptions{Address: "posta-certificata@kmailer.it", Name: "Kmailer", Key: "kmailer"})
		e.Fields = setField("From", "posta-certificata@\u212amailer.it")
	})
	froms := []struct{ name, from string }{
		{"list", aruba + ", rossi@pec.it"},
		{"group", "PEC: " + aruba + ";"},
		{"two-angles", "<" + aruba + "> <rossi@pec.it>"},
		{"trailing-dot", aruba + "."},
		{"longer-domain", aruba + ".evil.example"},
		{"comment-only", "(" + aruba + ") evil@example.com"},
		{"route", "<@evil.example:" + aruba + ">"},
		{"empty", ""},
		{"encoded-word", "=?utf-8?Q?=3Cposta-certificata=40pec.aruba.it=3E?="},
		{"open-quote", `"Per conto di: rossi@pec.it <` + aruba + ">"},
		{"two-ats", "posta-certificata@pec.aruba.it@evil.example"},
	}
	for _, f := range froms {
		c.bad("from-"+f.name, "From: "+strings.ReplaceAll(f.name, "-", " "), pec.ReasonSignerMismatch, func(e *pectest.Envelope) { e.Fields = setField("From", f.from) })
	}
	c.bad("from-missing", "no From", pec.ReasonSignerMismatch, func(e *pectest.Envelope) { e.Fields = dropField("From") })
}

// subordinate issues the provider below a second CA of the genuine root.
func subordinate(o pectest.CAOptions) func(e *pectest.Envelope) {
	return func(e *pectest.Envelope) {
		o.Name, o.Key, o.Parent, o.ParentKey, o.PathLen = "Second CA", "second", authority().Root, "pec/root", -1
		ca := authority().CA(o)
		e.Provider = authority().Issue(pectest.LeafOptions{Address: aruba, Name: "ARUBA PEC S.p.A.", Issuer: ca, IssuerKey: "second"})
	}
}
