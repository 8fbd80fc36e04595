// Package provider is the table of mail providers: who signs for whom, on
// which hosts the mailboxes live, how one logs in, how long a password for
// mail programs lasts and how its owner makes a new one.
//
// The built-in table is one embedded TOML file, providers.toml; config adds to
// it or overrides it. It refuses to guess: a signing address whose hosts are
// not known for sure has a provider without hosts, so that a person is asked
// before any password travels.
package provider

import (
	"net"
	"slices"
	"strconv"
	"strings"
)

// Kinds of provider.
const (
	KindPEC  = "pec"  // certified mail, RFC 6109
	KindMail = "mail" // ordinary mail
)

// How an Endpoint is protected. There is no opportunistic or plain mode.
const (
	TLSImplicit = "implicit"
	TLSStart    = "starttls" // required, never opportunistic
)

// What a mailbox logs in with.
const (
	LoginAddress   = "address"    // the whole address
	LoginUserID    = "user-id"    // an identifier that can't be derived: it must be asked for
	LoginLocalPart = "local-part" // what stands before the @ (IMAP; SMTP takes the address)
)

// Whether passwords made for mail programs exist and work today.
const (
	AppPasswordYes     = "yes"
	AppPasswordNo      = "no"
	AppPasswordOAuth   = "oauth"   // passwords are refused, OAuth2 only
	AppPasswordUnknown = "unknown" // not documented, or not found
)

// Endpoint is one server. The zero value means that it is not known.
type Endpoint struct {
	Host string
	Port int
	TLS  string // TLSImplicit or TLSStart
}

// IsZero tells whether the endpoint is not known.
func (e Endpoint) IsZero() bool { return e.Host == "" }

// Addr returns host:port, or "" if the endpoint is not known.
func (e Endpoint) Addr() string {
	if e.IsZero() {
		return ""
	}
	return net.JoinHostPort(e.Host, strconv.Itoa(e.Port))
}

// Provider is one row. Whoever gets one owns it: its slices and maps are
// copies.
type Provider struct {
	ID   string // stable, [a-z0-9-]
	Name string
	Kind string // KindPEC or KindMail

	Signers []string // lower-cased signing addresses; a verified one means: mailbox of this provider
	// Domains are mailbox domains known to be this provider's. They serve
	// people and profiles; they never decide where a password goes, since
	// only the verified signer does.
	Domains []string

	IMAP      Endpoint // zero: not known, ask
	SMTP      Endpoint // zero: not known
	TLSCAFile string   // an extra root for a private server; from config only

	Login       string // LoginAddress, LoginUserID or LoginLocalPart
	AppPassword string // AppPasswordYes …

	ValidityDays      int    // life of a password for mail programs, in days; 0: the policy's
	ValidityConfirmed string // ISO day on which ValidityDays was last confirmed; "" when it is 0
	ValidityNote      string // where sources differ
	MaxPerMinute      int    // messages that may be sent in a minute; 0: no known limit

	ShapeHint string              // what the password is known to look like, English; a hint, never a condition
	Steps     map[string][]string // language → numbered steps to make a new password
	Postpone  map[string][]string // language → numbered steps to postpone the expiry and keep the password
	Notes     string              // English, for people
	Source    string              // where all this was read
}

// Numbered returns the steps of m in lang, else in Italian, else nil.
func Numbered(m map[string][]string, lang string) []string {
	if s, ok := m[lang]; ok {
		return slices.Clone(s)
	}
	return slices.Clone(m["it"])
}

// Table is a set of providers. It is never changed after it was made and is
// safe for concurrent use.
type Table struct {
	rows     []Provider
	byID     map[string]int
	bySigner map[string]int
	byDomain map[string]int
}

// ByID finds a provider by its identifier.
func (t *Table) ByID(id string) (Provider, bool) { return t.lookup(t.byID, id) }

// BySigner finds the provider that signs as addr: an address that was
// *verified*, never one that a header field claims. The provider found may
// have no hosts.
func (t *Table) BySigner(addr string) (Provider, bool) { return t.lookup(t.bySigner, addr) }

// ByDomain finds the provider that is known to run the mailboxes of a domain:
// a suggestion for people, not a proof.
func (t *Table) ByDomain(domain string) (Provider, bool) { return t.lookup(t.byDomain, domain) }

// All returns every provider, in the order of the table; those that config
// added come last.
func (t *Table) All() []Provider {
	all := make([]Provider, len(t.rows))
	for i, p := range t.rows {
		all[i] = p.clone()
	}
	return all
}

func (t *Table) lookup(index map[string]int, key string) (Provider, bool) {
	i, ok := index[strings.ToLower(key)]
	if !ok {
		return Provider{}, false
	}
	return t.rows[i].clone(), true
}

func (p Provider) clone() Provider {
	p.Signers = slices.Clone(p.Signers)
	p.Domains = slices.Clone(p.Domains)
	p.Steps = cloneSteps(p.Steps)
	p.Postpone = cloneSteps(p.Postpone)
	return p
}

func cloneSteps(m map[string][]string) map[string][]string {
	if m == nil {
		return nil
	}
	c := make(map[string][]string, len(m))
	for lang, steps := range m {
		c[lang] = slices.Clone(steps)
	}
	return c
}
