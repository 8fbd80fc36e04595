// Package pectest makes PEC messages: a test certification authority with
// providers below it, and envelopes, receipts and anomalies signed by them,
// genuine or with any fault. It serves tests, fixtures and the demonstration;
// its keys are public and must never be trusted in earnest.
//
// Everything is deterministic: the same input gives the same bytes.
package pectest

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"time"
)

// Authority is a root and an issuing CA below it, as Actalis' root and AgID
// CA1 are.
type Authority struct {
	seed    string
	Root    *x509.Certificate
	Issuing *x509.Certificate
}

// Validity of what an Authority issues where nothing else is asked.
var (
	NotBefore = time.Date(2012, 1, 1, 0, 0, 0, 0, time.UTC)
	NotAfter  = time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC)
)

// NewAuthority makes the authority of that seed. "pec" has RSA keys, and so
// have its providers for some addresses; others have P-256 keys.
func NewAuthority(seed string) *Authority {
	a := &Authority{seed: seed}
	a.Root = a.CA(CAOptions{Name: "Test Root " + seed, Key: seed + "/root"})
	a.Issuing = a.CA(CAOptions{Name: "Test PEC CA " + seed, Key: seed + "/issuing", Parent: a.Root, ParentKey: seed + "/root", PathLen: 0})
	return a
}

// RootPEM is the root as PEM. Messages carry the issuing CA, so that a trust
// in the root finds its way.
func (a *Authority) RootPEM() []byte { return PEM(a.Root) }

// IssuingPEM is the issuing CA as PEM.
func (a *Authority) IssuingPEM() []byte { return PEM(a.Issuing) }

// Pin is the pin of the issuing CA's key, "spki-sha256:…".
func (a *Authority) Pin() string { return Pin(a.Issuing) }

// PEM encodes a certificate.
func PEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// Pin is "spki-sha256:" and the hash of the certificate's public key.
func Pin(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return "spki-sha256:" + hex.EncodeToString(sum[:])
}

// CAOptions describe a CA certificate. Parent nil: self-signed.
type CAOptions struct {
	Name                string
	Subject             *pkix.Name // instead of Name
	Key                 string     // name of its key
	Parent              *x509.Certificate
	ParentKey           string
	PathLen             int // -1: none
	NotBefore, NotAfter time.Time
	NotCA               bool
	KeyUsage            x509.KeyUsage // 0: certificate and CRL signing
	ExtKeyUsage         []x509.ExtKeyUsage
	PermittedEmail      []string
}

// CA makes a CA certificate.
func (a *Authority) CA(o CAOptions) *x509.Certificate {
	t := &x509.Certificate{
		Subject:               pkix.Name{Country: []string{"IT"}, Organization: []string{"pectest"}, CommonName: o.Name},
		BasicConstraintsValid: true, IsCA: !o.NotCA,
		KeyUsage:  x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		NotBefore: NotBefore, NotAfter: NotAfter,
		ExtKeyUsage: o.ExtKeyUsage, PermittedEmailAddresses: o.PermittedEmail,
	}
	if o.Subject != nil {
		t.Subject = *o.Subject
	}
	if o.KeyUsage != 0 {
		t.KeyUsage = o.KeyUsage
	}
	if o.Parent != nil && !o.NotCA {
		t.MaxPathLen, t.MaxPathLenZero = o.PathLen, o.PathLen == 0
	}
	if !o.NotBefore.IsZero() {
		t.NotBefore = o.NotBefore
	}
	if !o.NotAfter.IsZero() {
		t.NotAfter = o.NotAfter
	}
	parent, parentKey := o.Parent, o.ParentKey
	if parent == nil {
		parent, parentKey = t, o.Key
	}
	return create(t, parent, Key(o.Key), Key(parentKey))
}

// Provider is a PEC provider that signs.
type Provider struct {
	Address string // in From and in the certificate
	Name    string // gestore-emittente
	Cert    *x509.Certificate
	Key     crypto.Signer
	Chain   []*x509.Certificate // sent along with Cert
}

// Provider makes the provider that signs as that address, say
// posta-certificata@pec.aruba.it.
func (a *Authority) Provider(address, name string) *Provider {
	return a.Issue(LeafOptions{Address: address, Name: name})
}

// LeafOptions describe a signing certificate. Zero fields make a good one.
type LeafOptions struct {
	Address, Name       string
	Emails              []string // instead of Address; empty but not nil: none
	Key                 string   // name of the key; "": seed/address
	NotBefore, NotAfter time.Time
	KeyUsage            x509.KeyUsage      // 0: digital signature
	NoKeyUsage          bool               // no extension
	ExtKeyUsage         []x509.ExtKeyUsage // nil: emailProtection; empty but not nil: none
	IsCA                bool
	Issuer              *x509.Certificate // nil: the issuing CA
	IssuerKey           string
	Serial              *big.Int
	SelfSigned          bool
	Critical            bool // adds a critical extension that nobody knows
}

// Issue makes a provider with that certificate.
func (a *Authority) Issue(o LeafOptions) *Provider {
	keyName := o.Key
	if keyName == "" {
		keyName = a.seed + "/" + o.Address
	}
	t := &x509.Certificate{
		Subject:   pkix.Name{Country: []string{"IT"}, Organization: []string{o.Name}, CommonName: "Posta Certificata " + o.Name},
		NotBefore: NotBefore, NotAfter: NotAfter,
		KeyUsage:       x509.KeyUsageDigitalSignature,
		ExtKeyUsage:    []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection},
		EmailAddresses: []string{o.Address},
		SerialNumber:   o.Serial,
	}
	if spki, err := x509.MarshalPKIXPublicKey(Key(keyName).Public()); err == nil { // RFC 6109 §5.5.2
		t.SubjectKeyId = hash(crypto.SHA1, spki)
	}
	if o.Emails != nil {
		t.EmailAddresses = o.Emails
	}
	if !o.NotBefore.IsZero() {
		t.NotBefore = o.NotBefore
	}
	if !o.NotAfter.IsZero() {
		t.NotAfter = o.NotAfter
	}
	if o.KeyUsage != 0 {
		t.KeyUsage = o.KeyUsage
	}
	if o.NoKeyUsage {
		t.KeyUsage = 0
	}
	if o.ExtKeyUsage != nil {
		t.ExtKeyUsage = o.ExtKeyUsage
	}
	if o.IsCA {
		t.IsCA, t.BasicConstraintsValid = true, true
	}
	if o.Critical {
		t.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Critical: true, Value: []byte{5, 0}}}
	}
	p := &Provider{Address: o.Address, Name: o.Name, Key: Key(keyName)}
	switch {
	case o.SelfSigned:
		p.Cert = create(t, t, p.Key, p.Key)
	case o.Issuer != nil:
		p.Cert = create(t, o.Issuer, p.Key, Key(o.IssuerKey))
		p.Chain = []*x509.Certificate{o.Issuer}
	default:
		p.Cert = create(t, a.Issuing, p.Key, Key(a.seed+"/issuing"))
		p.Chain = []*x509.Certificate{a.Issuing}
	}
	return p
}

// CRL is a revocation list of the issuing CA over these certificates.
func (a *Authority) CRL(thisUpdate, nextUpdate time.Time, revoked ...*x509.Certificate) []byte {
	return a.SignCRL(a.Issuing, a.seed+"/issuing", thisUpdate, nextUpdate, revoked...)
}

// SignCRL is CRL in the name of issuer, signed with any key.
func (a *Authority) SignCRL(issuer *x509.Certificate, key string, thisUpdate, nextUpdate time.Time, revoked ...*x509.Certificate) []byte {
	t := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: thisUpdate, NextUpdate: nextUpdate}
	for _, c := range revoked {
		t.RevokedCertificateEntries = append(t.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: thisUpdate})
	}
	named := *issuer
	named.PublicKey = Key(key).Public()
	der, err := x509.CreateRevocationList(nil, t, &named, Key(key))
	if err != nil {
		panic("pectest: creating CRL: " + err.Error())
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

// create signs a certificate. Its serial number comes from what it says, so
// that different certificates differ in it. Faults here are faults of the
// caller's program.
func create(t, parent *x509.Certificate, key, parentKey crypto.Signer) *x509.Certificate {
	if t.SerialNumber == nil {
		public, _ := x509.MarshalPKIXPublicKey(key.Public())
		sum := sha256.New()
		sum.Write(public)
		sum.Write([]byte(t.Subject.String() + parent.Subject.String() + t.NotBefore.String() + t.NotAfter.String()))
		for _, e := range t.EmailAddresses {
			sum.Write([]byte(e))
		}
		t.SerialNumber = new(big.Int).SetBytes(sum.Sum(nil)[:12])
	}
	der, err := x509.CreateCertificate(nil, t, parent, key.Public(), parentKey)
	if err != nil {
		panic("pectest: creating certificate: " + err.Error())
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		panic("pectest: parsing certificate: " + err.Error())
	}
	return c
}
