package pec

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"hash/maphash"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Limits of what is carried and kept: a provider sends two or three
// certificates, always the same ones.
const (
	maxCarriedCerts   = 32
	maxRSABits        = 8192 // the time of a verification grows with its square
	maxCachedCertsLen = 64 << 10
	maxCachedSets     = 64
)

// identity is what is known about a signer, whatever it signed. It depends on
// the certificates of one message and on the Trust only.
type identity struct {
	leaf    *x509.Certificate // nil: not among the certificates, or one of them is broken
	subject string            // of leaf
	spki    string            // hex SHA-256 of its public key
	chains  []validity        // when the ways from leaf to an anchor hold; none: untrusted
	revoked bool
	anchor  bool // leaf itself is the anchor
}

// validity is the time in which all intermediates of a chain are valid.
type validity struct{ from, to time.Time }

// identify finds the signer's certificate among the carried ones and its ways
// to an anchor. The answer is kept together with the exact bytes that it
// depends on; the hash only finds the place.
func (t *Trust) identify(s *signature) *identity {
	place := maphash.Bytes(t.seed, s.certs)
	t.mu.Lock()
	known := t.cache[place]
	t.mu.Unlock()
	if known != nil && bytes.Equal(known.issuer, s.issuer) && bytes.Equal(known.serial, s.serial) && bytes.Equal(known.certs, s.certs) {
		return known.identity
	}
	id := t.newIdentity(s)
	if len(s.certs) <= maxCachedCertsLen {
		entry := &cached{certs: bytes.Clone(s.certs), issuer: bytes.Clone(s.issuer), serial: bytes.Clone(s.serial), identity: id}
		t.mu.Lock()
		if len(t.cache) >= maxCachedSets {
			clear(t.cache)
		}
		t.cache[place] = entry
		t.mu.Unlock()
	}
	return id
}

// cached is an identity and what it was found from.
type cached struct {
	certs, issuer, serial []byte
	identity              *identity
}

func (t *Trust) newIdentity(s *signature) *identity {
	// The certificates are cloned by parsing: nothing of the message is kept.
	carried, ok := parseCarried(s.certs)
	id := &identity{}
	if !ok {
		return id
	}
	serial := new(big.Int)
	number := cryptobyte.String(appendValue(nil, uint8(cbasn1.INTEGER), s.serial))
	if !number.ReadASN1Integer(serial) {
		return id
	}
	for _, c := range carried {
		if bytes.Equal(c.RawIssuer, s.issuer) && c.SerialNumber.Cmp(serial) == 0 {
			id.leaf = c
			break
		}
	}
	if id.leaf == nil {
		return id
	}
	sum := sha256.Sum256(id.leaf.RawSubjectPublicKeyInfo)
	id.subject = id.leaf.Subject.String()
	id.spki = hex.EncodeToString(sum[:])
	t.findChains(id, carried)
	return id
}

// parseCarried parses the certificates of a CMS; other things that may stand
// there are left out. One that can't be parsed breaks the whole, as it does in
// openssl: ok is false. Source: RFC 5652 §10.2.2, §10.2.3.
func parseCarried(raw []byte) (list []*x509.Certificate, ok bool) {
	certs := cryptobyte.String(bytes.Clone(raw))
	for !certs.Empty() {
		var element cryptobyte.String
		var tag cbasn1.Tag
		if !certs.ReadAnyASN1Element(&element, &tag) || len(list) >= maxCarriedCerts {
			return nil, false
		}
		if tag != cbasn1.SEQUENCE {
			continue
		}
		c, err := x509.ParseCertificate(element)
		if err != nil {
			return nil, false
		}
		if key, isRSA := c.PublicKey.(*rsa.PublicKey); isRSA && key.N.BitLen() > maxRSABits {
			return nil, false
		}
		list = append(list, c)
	}
	return list, true
}

// Fixed dates for copies whose dates don't count.
var (
	always     = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	beforeTime = time.Date(1950, 1, 1, 0, 0, 0, 0, time.UTC)
	afterTime  = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// anyTime bounds nothing that a date of four digits can say.
var anyTime = validity{time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(10001, 1, 1, 0, 0, 0, 0, time.UTC)}

// undated is a copy that is valid at any time.
func undated(c *x509.Certificate) *x509.Certificate {
	d := *c
	d.NotBefore, d.NotAfter = beforeTime, afterTime
	return &d
}

// rootCopy makes of a certificate with an anchor's key a root: only its name
// and its key are left, since the rest may be forged by whoever carries it.
func rootCopy(c *x509.Certificate) *x509.Certificate {
	r := undated(c)
	r.IsCA, r.BasicConstraintsValid = true, true
	r.MaxPathLen, r.MaxPathLenZero = -1, false
	r.KeyUsage = 0
	r.ExtKeyUsage, r.UnknownExtKeyUsage = nil, nil
	r.UnhandledCriticalExtensions = nil
	r.PermittedDNSDomainsCritical = false
	r.PermittedDNSDomains, r.ExcludedDNSDomains = nil, nil
	r.PermittedIPRanges, r.ExcludedIPRanges = nil, nil
	r.PermittedEmailAddresses, r.ExcludedEmailAddresses = nil, nil
	r.PermittedURIDomains, r.ExcludedURIDomains = nil, nil
	return r
}

// findChains fills in the chains and whether one of their certificates is
// revoked. Path building and its limits (CA flag, certificate signing, path
// length, name constraints of intermediates, no SHA-1 or MD5) are crypto/x509's;
// dates are taken out here, so that the result holds for every message.
//
// Source: RFC 5280 §6.1; RFC 6109 §7.
func (t *Trust) findChains(id *identity, carried []*x509.Certificate) {
	leaf := id.leaf
	if t.isAnchor(leaf) {
		// Nobody vouches for revocation lists here, so name and number are
		// enough.
		id.anchor = true
		id.chains = append(id.chains, anyTime)
		for _, crl := range t.crls {
			if bytes.Equal(crl.RawIssuer, leaf.RawIssuer) && lists(crl, leaf.SerialNumber) {
				id.revoked = true
			}
		}
		return
	}
	roots, inter := x509.NewCertPool(), x509.NewCertPool()
	for _, r := range t.roots {
		roots.AddCert(r)
	}
	dates := map[string]validity{} // true dates of the carried certificates
	for _, c := range carried {
		dates[string(c.Raw)] = validity{c.NotBefore, c.NotAfter}
		switch {
		case t.isAnchorCA(c):
			roots.AddCert(rootCopy(c))
		case c != leaf:
			inter.AddCert(undated(c))
		}
	}
	chains, err := undated(leaf).Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: inter, CurrentTime: always,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return
	}
	for _, chain := range chains {
		middle := chain[1 : len(chain)-1]
		root := chain[len(chain)-1]
		if !mayIssueForMail(middle) || !t.allowed(sha256.Sum256(root.RawSubjectPublicKeyInfo), leaf, len(middle)) {
			continue
		}
		v := anyTime
		for _, c := range middle {
			d := dates[string(c.Raw)]
			if d.from.After(v.from) {
				v.from = d.from
			}
			if d.to.Before(v.to) {
				v.to = d.to
			}
		}
		id.chains = append(id.chains, v)
		if t.revokedIn(chain) {
			id.revoked = true
		}
	}
}

// isAnchor tells whether the signer itself is an anchor: the certificate given
// as PEM, or any certificate with a pinned key. Nobody has signed such a
// certificate for us. Where only the key is pinned, what the certificate says
// beside the key could be forged around a genuine signature: a pin of a signer
// is a decision to believe its certificates, too.
func (t *Trust) isAnchor(leaf *x509.Certificate) bool {
	for _, a := range t.byKey[sha256.Sum256(leaf.RawSubjectPublicKeyInfo)] {
		if a.cert != nil && !bytes.Equal(a.cert.Raw, leaf.Raw) {
			continue
		}
		if a.domains == nil { // the built-in anchor never signs mail itself
			return true
		}
	}
	return false
}

// isAnchorCA tells whether a carried certificate holds the key of an anchor
// that may issue: a pin, or a CA given as PEM.
func (t *Trust) isAnchorCA(c *x509.Certificate) bool {
	for _, a := range t.byKey[sha256.Sum256(c.RawSubjectPublicKeyInfo)] {
		if a.cert == nil || a.cert.IsCA {
			return true
		}
	}
	return false
}

// allowed tells whether an anchor with this key stands for leaf, below it by
// that many intermediates.
func (t *Trust) allowed(spki [32]byte, leaf *x509.Certificate, intermediates int) bool {
	for _, a := range t.byKey[spki] {
		if a.maxInter >= 0 && intermediates > a.maxInter {
			continue
		}
		if a.domains == nil || inDomains(leaf, a.domains) {
			return true
		}
	}
	return false
}

// inDomains wants every mail address of the certificate in the list, as a name
// constraint does (RFC 5280 §4.2.1.10: a host name permits that host only).
func inDomains(leaf *x509.Certificate, domains map[string]bool) bool {
	for _, addr := range leaf.EmailAddresses {
		if !isAddress(addr) || !domains[domainOf(addr)] {
			return false
		}
	}
	return true
}

// mayIssueForMail rejects intermediates that are limited to other purposes.
func mayIssueForMail(middle []*x509.Certificate) bool {
	for _, c := range middle {
		limited := len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0
		ok := !limited
		for _, u := range c.ExtKeyUsage {
			if u == x509.ExtKeyUsageEmailProtection || u == x509.ExtKeyUsageAny {
				ok = true
			}
		}
		if !ok {
			return false
		}
	}
	return true
}

// revokedIn asks the lists about each certificate below the anchor. A list
// counts when the issuer's key has signed it; its age and the day of the
// revocation don't: whoever has the key can date messages back.
func (t *Trust) revokedIn(chain []*x509.Certificate) bool {
	for i := 0; i+1 < len(chain); i++ {
		for _, crl := range t.crls {
			if bytes.Equal(crl.RawIssuer, chain[i].RawIssuer) && lists(crl, chain[i].SerialNumber) &&
				crl.CheckSignatureFrom(chain[i+1]) == nil {
				return true
			}
		}
	}
	return false
}

func lists(crl *x509.RevocationList, serial *big.Int) bool {
	for _, e := range crl.RevokedCertificateEntries {
		// removeFromCRL (8) is the opposite of a revocation.
		if e.SerialNumber.Cmp(serial) == 0 && e.ReasonCode != 8 {
			return true
		}
	}
	return false
}

// trustedAt tells whether a way to an anchor holds at that time; nil asks only
// whether there is one. No time is nil and not the zero time, which a message
// can name.
func (id *identity) trustedAt(at *time.Time) bool {
	for _, v := range id.chains {
		if at == nil || !at.Before(v.from) && !at.After(v.to) {
			return true
		}
	}
	return false
}

// validAt checks what the signer's certificate says of itself; without a
// time it leaves the dates out.
//
// Source: RFC 6109 §5.5.2 (profile); RFC 8550 §4.4 (key usage, EKU).
func (id *identity) validAt(at *time.Time) *refusal {
	c := id.leaf
	if c.IsCA && !id.anchor { // RFC 6109 §5.5.2: no basic constraints
		return refuse(ReasonSignerNotValid, "certificate is that of a CA")
	}
	if c.KeyUsage != 0 && c.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0 {
		return refuse(ReasonSignerNotValid, "key usage does not allow signatures")
	}
	if len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0 {
		mail := false
		for _, u := range c.ExtKeyUsage {
			mail = mail || u == x509.ExtKeyUsageEmailProtection
		}
		if !mail {
			return refuse(ReasonSignerNotValid, "extended key usage has no emailProtection")
		}
	}
	if id.revoked {
		return refuse(ReasonSignerNotValid, "certificate is revoked")
	}
	if at != nil && at.Before(c.NotBefore) {
		return refuse(ReasonSignerNotValid, "certificate was not yet valid")
	}
	if at != nil && at.After(c.NotAfter) {
		return refuse(ReasonSignerNotValid, "certificate had expired")
	}
	return nil
}

// signsFor tells whether the certificate names this address.
func (id *identity) signsFor(addr string) bool {
	for _, a := range id.leaf.EmailAddresses {
		if asciiEqualFold(a, addr) {
			return true
		}
	}
	return false
}
