package provider

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

var (
	// ErrInvalid: a row or an override has a field that can't be right.
	ErrInvalid = errors.New("provider: invalid entry")
	// ErrDuplicate: an id, signer or domain belongs to two rows.
	ErrDuplicate = errors.New("provider: listed twice")
)

// Override is one [[provider]] of the configuration. Fields left empty keep
// what the built-in row of the same ID says.
type Override struct {
	ID           string
	Signer       string // a signing address; it is taken away from the row that had it
	IMAP, SMTP   string // host:port, or a host alone (993, 465)
	TLSCAFile    string
	ValidityDays int
	Name, Login  string
}

// With returns a new table: t with each override merged over the row of the
// same ID, or added as a new PEC provider. t itself doesn't change.
//
// The signer of an override wins over the built-in owner of that address, but
// two overrides can't claim the same one. Errors wrap ErrInvalid or
// ErrDuplicate and name the id.
func (t *Table) With(over []Override) (*Table, error) {
	rows := t.All()
	claimed := map[string]string{} // signer → id of the override
	ids := map[string]bool{}
	for _, o := range over {
		if ids[o.ID] {
			return nil, fmt.Errorf("%w: override %q", ErrDuplicate, o.ID)
		}
		ids[o.ID] = true

		i := slices.IndexFunc(rows, func(p Provider) bool { return p.ID == o.ID })
		if i < 0 {
			rows = append(rows, Provider{
				ID: o.ID, Name: o.ID, Kind: KindPEC, Login: LoginAddress,
				AppPassword: AppPasswordUnknown, Source: "configuration",
			})
			i = len(rows) - 1
		}
		if o.Signer != "" {
			signer := strings.ToLower(o.Signer)
			if other, taken := claimed[signer]; taken {
				return nil, fmt.Errorf("%w: signer %q in overrides %q and %q", ErrDuplicate, signer, other, o.ID)
			}
			claimed[signer] = o.ID
			for j := range rows {
				rows[j].Signers = slices.DeleteFunc(rows[j].Signers, func(s string) bool { return s == signer })
			}
			rows[i].Signers = append(rows[i].Signers, signer)
		}
		if err := rows[i].merge(o); err != nil {
			return nil, fmt.Errorf("merging override %q: %w", o.ID, err)
		}
	}
	return newTable(rows)
}

// merge puts the non-empty fields of o over p, signer apart.
func (p *Provider) merge(o Override) error {
	var err error
	if o.IMAP != "" {
		if p.IMAP, err = parseEndpoint("imap", withPort(o.IMAP, "993")); err != nil {
			return err
		}
		// The extra root belonged to the host it came with.
		p.TLSCAFile = ""
	}
	if o.SMTP != "" {
		if p.SMTP, err = parseEndpoint("smtp", withPort(o.SMTP, "465")); err != nil {
			return err
		}
	}
	if o.TLSCAFile != "" {
		p.TLSCAFile = o.TLSCAFile
	}
	if o.ValidityDays != 0 {
		p.ValidityDays = o.ValidityDays
		p.ValidityConfirmed, p.ValidityNote = "", "set in the configuration"
	}
	if o.Name != "" {
		p.Name = o.Name
	}
	if o.Login != "" {
		p.Login = o.Login
	}
	return p.validate()
}

func withPort(s, port string) string {
	if _, _, err := net.SplitHostPort(s); err == nil {
		return s
	}
	if strings.Contains(s, ":") && net.ParseIP(s) == nil {
		return s // something with a bad port: let parseEndpoint name it
	}
	return net.JoinHostPort(s, port)
}
