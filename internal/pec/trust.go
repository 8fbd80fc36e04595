package pec

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"time"
)

// Errors of NewTrust.
var (
	ErrBadAnchor = errors.New("pec: bad trust anchor")
	ErrBadCRL    = errors.New("pec: bad revocation list")
)

// TrustOptions says whose signatures count. The zero value trusts nobody; the
// system's root store is never consulted.
type TrustOptions struct {
	Builtin bool // AgID CA1, for the signing domains of the PEC providers
	// PEM holds certificates, one or more in each. They must be those of CAs (or
	// signers) made for PEC: below a commercial root anybody can get a
	// certificate for mail, and sign envelopes with it.
	PEM  [][]byte
	Pins []string // "spki-sha256:" and 64 hex digits: keys whose certificate the message brings
	CRLs [][]byte // PEM or DER
}

// Trust is a set of anchors and revocation lists. It is safe for concurrent
// use and keeps the chains that it has found.
type Trust struct {
	anchors []*anchor
	byKey   map[[32]byte][]*anchor
	roots   []*x509.Certificate // copies fit to be roots, of the anchors given as PEM
	crls    []*x509.RevocationList

	mu    sync.Mutex
	seed  maphash.Seed
	cache map[uint64]*cached
}

// anchor is a key that is trusted. The dates and constraints of a certificate
// that carries it don't count, but for the path length of one given as PEM.
type anchor struct {
	name     string
	spki     [32]byte
	cert     *x509.Certificate // nil for pins
	domains  map[string]bool   // signing domains; nil: any
	maxInter int               // intermediates below it, -1: any number
	builtin  bool
}

// Anchor describes a trust anchor to people.
type Anchor struct {
	Name     string
	SPKI     string    // SHA-256 of the public key, hex
	NotAfter time.Time // zero for pins
	Builtin  bool
}

// CRLInfo describes a revocation list to people.
type CRLInfo struct {
	Issuer     string
	ThisUpdate time.Time
	NextUpdate time.Time // zero: none given
}

// NewTrust reads anchors and revocation lists. Errors wrap ErrBadAnchor or
// ErrBadCRL.
func NewTrust(o TrustOptions) (*Trust, error) {
	t := emptyTrust()
	if o.Builtin {
		spki, err := parsePin("spki-sha256:" + agidPin)
		if err != nil {
			return nil, err
		}
		// AgID CA1 has path length 0: no further CA below it.
		a := &anchor{name: "AgID CA1", spki: spki, builtin: true, maxInter: 0, domains: map[string]bool{}}
		for _, d := range signingDomains {
			a.domains[d] = true
		}
		t.add(a)
	}
	for i, p := range o.PEM {
		certs, err := parseCertificates(p)
		if err != nil {
			return nil, fmt.Errorf("%w: file %d: %w", ErrBadAnchor, i+1, err)
		}
		for _, c := range certs {
			t.add(&anchor{name: c.Subject.String(), spki: sha256.Sum256(c.RawSubjectPublicKeyInfo), cert: c, maxInter: pathLength(c)})
			if c.IsCA {
				t.roots = append(t.roots, rootCopy(c))
			}
		}
	}
	for _, p := range o.Pins {
		spki, err := parsePin(p)
		if err != nil {
			return nil, err
		}
		t.add(&anchor{name: "pin " + hex.EncodeToString(spki[:4]) + "…", spki: spki, maxInter: -1})
	}
	for i, b := range o.CRLs {
		crl, err := parseCRL(b)
		if err != nil {
			return nil, fmt.Errorf("%w: file %d: %w", ErrBadCRL, i+1, err)
		}
		t.crls = append(t.crls, crl)
	}
	return t, nil
}

// BuiltinTrust trusts AgID CA1 for the signing domains of the PEC providers,
// and nothing else.
func BuiltinTrust() *Trust {
	t, err := NewTrust(TrustOptions{Builtin: true})
	if err != nil {
		panic("pec: built-in anchor: " + err.Error()) // a constant of this package is wrong
	}
	return t
}

func (t *Trust) add(a *anchor) {
	t.anchors = append(t.anchors, a)
	t.byKey[a.spki] = append(t.byKey[a.spki], a)
}

// Anchors lists the anchors in the order of the options.
func (t *Trust) Anchors() []Anchor {
	var list []Anchor
	for _, a := range t.anchors {
		info := Anchor{Name: a.name, SPKI: hex.EncodeToString(a.spki[:]), Builtin: a.builtin}
		if a.cert != nil {
			info.NotAfter = a.cert.NotAfter.UTC()
		}
		list = append(list, info)
	}
	return list
}

// CRLs lists the revocation lists in the order of the options. An old one is
// still honoured; saying that it is old is the caller's part.
func (t *Trust) CRLs() []CRLInfo {
	var list []CRLInfo
	for _, c := range t.crls {
		list = append(list, CRLInfo{Issuer: c.Issuer.String(), ThisUpdate: c.ThisUpdate.UTC(), NextUpdate: c.NextUpdate.UTC()})
	}
	return list
}

func parsePin(s string) (spki [32]byte, err error) {
	digits, ok := strings.CutPrefix(s, "spki-sha256:")
	b, err := hex.DecodeString(strings.TrimSpace(digits))
	if !ok || err != nil || len(b) != len(spki) {
		return spki, fmt.Errorf("%w: a pin is spki-sha256: and 64 hex digits", ErrBadAnchor)
	}
	copy(spki[:], b)
	return spki, nil
}

// parseCertificates reads PEM (other text around it is skipped) or one DER
// certificate.
func parseCertificates(b []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for rest := b; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parsing certificate: %w", err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		c, err := x509.ParseCertificate(b)
		if err != nil {
			return nil, errors.New("no certificate found")
		}
		certs = append(certs, c)
	}
	return certs, nil
}

func parseCRL(b []byte) (*x509.RevocationList, error) {
	if block, _ := pem.Decode(b); block != nil {
		b = block.Bytes
	}
	crl, err := x509.ParseRevocationList(b)
	if err != nil {
		return nil, fmt.Errorf("parsing revocation list: %w", err)
	}
	return crl, nil
}

func pathLength(c *x509.Certificate) int {
	if c.BasicConstraintsValid && (c.MaxPathLen > 0 || c.MaxPathLenZero) {
		return c.MaxPathLen
	}
	return -1
}

// nobody stands for a nil Trust.
var nobody = emptyTrust()

func emptyTrust() *Trust {
	return &Trust{byKey: map[[32]byte][]*anchor{}, seed: maphash.MakeSeed(), cache: map[uint64]*cached{}}
}
