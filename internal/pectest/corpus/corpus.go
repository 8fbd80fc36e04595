// Package corpus holds the messages of testdata/eml as code: genuine ones in
// many shapes, and forgeries, one fault each. A fixture says what it is and
// which verdict a person expects; the files and their golden JSON follow from
// it.
package corpus

import (
	"strings"
	"time"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
)

// Fixture is one message.
type Fixture struct {
	Name    string // of the file, without .eml
	About   string // what is special about it, in a few words
	Reason  pec.Reason
	Kind    pec.Kind
	Message []byte
}

// How all fixtures are judged.
var (
	// ReceivedAt is when they came in.
	ReceivedAt = time.Date(2026, 9, 19, 14, 0, 0, 0, time.UTC)
	// SentAt is the certified time of nearly all.
	SentAt = time.Date(2026, 9, 19, 13, 41, 19, 0, time.UTC)
)

// Studio is the address that must be among the recipients.
const Studio = "studio@pec.it"

const (
	client = "rossi@pec.it"
	aruba  = "posta-certificata@pec.aruba.it"
)

// Options for pec.Judge: the test root and the built-in anchor, a revocation
// list, the studio's address and ReceivedAt.
func Options() (pec.Options, error) {
	trust, err := pec.NewTrust(pec.TrustOptions{
		Builtin: true,
		PEM:     [][]byte{TrustPEM()},
		CRLs:    [][]byte{CRL()},
	})
	return pec.Options{Trust: trust, Recipients: []string{Studio}, ReceivedAt: ReceivedAt}, err
}

// TrustPEM is the trust anchor of the fixtures.
func TrustPEM() []byte { return authority().RootPEM() }

// CRL is the issuing CA's revocation list.
func CRL() []byte {
	return authority().CRL(SentAt.AddDate(0, 0, -1), SentAt.AddDate(0, 1, 0), revoked().Cert)
}

func authority() *pectest.Authority { return pectest.NewAuthority("pec") }

func revoked() *pectest.Provider {
	return authority().Issue(pectest.LeafOptions{Address: aruba, Name: "ARUBA PEC S.p.A. (revocata)", Key: "pec/revoked"})
}

// All returns every fixture, sorted as it was thought of. Names are unique.
func All() []Fixture {
	var c collection
	c.kinds()
	c.shapes()
	c.signatures()
	c.signers()
	c.structure()
	c.headers()
	c.certificationData()
	c.binding()
	c.disguises()
	return c.list
}

type collection struct{ list []Fixture }

func (c *collection) add(name, about string, kind pec.Kind, reason pec.Reason, message []byte) {
	c.list = append(c.list, Fixture{Name: name, About: about, Kind: kind, Reason: reason, Message: message})
}

// good adds an envelope that is certified, bad one that is not.
func (c *collection) good(name, about string, edit func(e *pectest.Envelope)) {
	c.bad(name, about, "", edit)
}

func (c *collection) bad(name, about string, reason pec.Reason, edit func(e *pectest.Envelope)) {
	e := Envelope()
	edit(&e)
	c.add(name, about, pec.KindEnvelope, reason, e.Bytes())
}

// Envelope is a genuine message of a client to the studio, for edits.
func Envelope() pectest.Envelope {
	return pectest.Envelope{
		Provider: authority().Provider(aruba, "ARUBA PEC S.p.A."),
		Sender:   client, Recipients: []string{Studio},
		Subject: "Password programmi di posta", SentAt: SentAt,
		Letter: pectest.Letter{
			From:      `"Mario Rossi" <rossi@pec.it>`,
			Text:      "Buongiorno,\n\necco la password per programmi di posta: Kx7mQ2pL9w\n\nMario Rossi\n",
			MessageID: "<letter1@client.example>",
		},
	}
}

// replace edits text that must be there: a fixture whose fault does not happen
// is a fault of this package.
func replace(s, from, to string) string {
	if !strings.Contains(s, from) {
		panic("corpus: nothing to replace: " + from)
	}
	return strings.Replace(s, from, to, 1)
}

func replaceBytes(from, to string) func([]byte) []byte {
	return func(b []byte) []byte { return []byte(replace(string(b), from, to)) }
}

func replaceXML(from, to string) func(string) string {
	return func(s string) string { return replace(s, from, to) }
}

// setField replaces the value of a header field.
func setField(name, value string) func([]string) []string {
	return func(fields []string) []string {
		return mapField(fields, name, func(string) []string { return []string{name + ": " + value} })
	}
}

func dropField(name string) func([]string) []string {
	return func(fields []string) []string {
		return mapField(fields, name, func(string) []string { return nil })
	}
}

// twiceField repeats a field with another value, before or after it.
func twiceField(name, value string, before bool) func([]string) []string {
	return func(fields []string) []string {
		return mapField(fields, name, func(old string) []string {
			if before {
				return []string{name + ": " + value, old}
			}
			return []string{old, name + ": " + value}
		})
	}
}

func mapField(fields []string, name string, f func(old string) []string) []string {
	var out []string
	found := false
	for _, field := range fields {
		if strings.HasPrefix(strings.ToLower(field), strings.ToLower(name)+":") {
			found = true
			out = append(out, f(field)...)
			continue
		}
		out = append(out, field)
	}
	if !found {
		panic("corpus: no field " + name)
	}
	return out
}

func addField(field string) func([]string) []string {
	return func(fields []string) []string { return append([]string{field}, fields...) }
}
