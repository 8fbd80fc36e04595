package provider

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pelletier/go-toml/v2"
)

//go:embed providers.toml
var builtinTOML []byte

// row is one [[provider]] of providers.toml.
type row struct {
	ID                string              `toml:"id"`
	Name              string              `toml:"name"`
	Kind              string              `toml:"kind"`
	Signers           []string            `toml:"signers"`
	Domains           []string            `toml:"domains"`
	IMAP              string              `toml:"imap"` // host:port, TLS from the first byte
	SMTP              string              `toml:"smtp"` // host:port; port 587 means STARTTLS
	Login             string              `toml:"login"`
	AppPassword       string              `toml:"app_password"`
	ValidityDays      int                 `toml:"validity_days"`
	ValidityConfirmed string              `toml:"validity_confirmed"`
	ValidityNote      string              `toml:"validity_note"`
	MaxPerMinute      int                 `toml:"max_per_minute"`
	ShapeHint         string              `toml:"shape_hint"`
	Steps             map[string][]string `toml:"steps"`
	Postpone          map[string][]string `toml:"postpone"`
	Notes             string              `toml:"notes"`
	Source            string              `toml:"source"`
}

var builtin = sync.OnceValue(func() *Table {
	t, err := parse(builtinTOML)
	if err != nil {
		// The file is part of the program and a test loads it.
		panic("provider: built-in table: " + err.Error())
	}
	return t
})

// Builtin returns the built-in table.
func Builtin() *Table { return builtin() }

func parse(text []byte) (*Table, error) {
	var file struct {
		Provider []row `toml:"provider"`
	}
	dec := toml.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) {
			return nil, fmt.Errorf("reading table: unknown keys:\n%s", strict)
		}
		return nil, fmt.Errorf("reading table: %w", err)
	}
	var rows []Provider
	for i, r := range file.Provider {
		p, err := r.provider()
		if err != nil {
			return nil, fmt.Errorf("reading provider %d (%q): %w", i+1, r.ID, err)
		}
		rows = append(rows, p)
	}
	return newTable(rows)
}

func (r row) provider() (Provider, error) {
	p := Provider{
		ID: r.ID, Name: r.Name, Kind: r.Kind,
		Signers: r.Signers, Domains: r.Domains,
		Login: r.Login, AppPassword: r.AppPassword,
		ValidityDays: r.ValidityDays, ValidityConfirmed: r.ValidityConfirmed, ValidityNote: r.ValidityNote,
		MaxPerMinute: r.MaxPerMinute, ShapeHint: r.ShapeHint,
		Steps: r.Steps, Postpone: r.Postpone, Notes: r.Notes, Source: r.Source,
	}
	var err error
	if p.IMAP, err = parseEndpoint("imap", r.IMAP); err != nil {
		return Provider{}, err
	}
	if p.SMTP, err = parseEndpoint("smtp", r.SMTP); err != nil {
		return Provider{}, err
	}
	return p, p.validate()
}

var (
	validID     = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	validDomain = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$`)
	validLabels = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	validLocal  = regexp.MustCompile(`^[a-z0-9._+-]+$`)
)

// validate checks the fields that every row must have right, built in or from
// config.
func (p Provider) validate() error {
	if !validID.MatchString(p.ID) {
		return fmt.Errorf("%w: id %q (small letters, digits and hyphens)", ErrInvalid, p.ID)
	}
	if p.Name == "" {
		return fmt.Errorf("%w: no name", ErrInvalid)
	}
	if p.Kind != KindPEC && p.Kind != KindMail {
		return fmt.Errorf("%w: kind %q", ErrInvalid, p.Kind)
	}
	switch p.Login {
	case LoginAddress, LoginUserID, LoginLocalPart:
	default:
		return fmt.Errorf("%w: login %q (address, user-id or local-part)", ErrInvalid, p.Login)
	}
	switch p.AppPassword {
	case AppPasswordYes, AppPasswordNo, AppPasswordOAuth, AppPasswordUnknown:
	default:
		return fmt.Errorf("%w: app_password %q", ErrInvalid, p.AppPassword)
	}
	for _, s := range p.Signers {
		local, domain, ok := strings.Cut(s, "@")
		if !ok || !validLocal.MatchString(local) || !validDomain.MatchString(domain) {
			return fmt.Errorf("%w: signer %q is no lower-case address", ErrInvalid, s)
		}
	}
	for _, d := range p.Domains {
		if !validDomain.MatchString(d) {
			return fmt.Errorf("%w: domain %q", ErrInvalid, d)
		}
	}
	if p.ValidityDays < 0 || p.ValidityDays > 3650 {
		return fmt.Errorf("%w: validity of %d days", ErrInvalid, p.ValidityDays)
	}
	if p.ValidityConfirmed != "" {
		if _, err := time.Parse(time.DateOnly, p.ValidityConfirmed); err != nil {
			return fmt.Errorf("%w: validity_confirmed %q is no ISO day", ErrInvalid, p.ValidityConfirmed)
		}
	}
	return nil
}

// parseEndpoint reads "host:port". The port decides how the connection is
// protected: 587 and 143 begin with STARTTLS, all others with TLS.
func parseEndpoint(field, s string) (Endpoint, error) {
	if s == "" {
		return Endpoint{}, nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return Endpoint{}, fmt.Errorf("%w: %s %q: want host:port", ErrInvalid, field, s)
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 1 || n > 65535 {
		return Endpoint{}, fmt.Errorf("%w: %s %q: port out of 1-65535", ErrInvalid, field, s)
	}
	host = strings.ToLower(host)
	if !validHost(host) {
		return Endpoint{}, fmt.Errorf("%w: %s %q: no host name or IP address", ErrInvalid, field, s)
	}
	e := Endpoint{Host: host, Port: n, TLS: TLSImplicit}
	if n == 587 || n == 143 {
		e.TLS = TLSStart
	}
	return e, nil
}

// validHost accepts IP addresses and names, single-label ones too: a studio
// may run a server of its own.
func validHost(h string) bool {
	return net.ParseIP(h) != nil || validLabels.MatchString(h)
}

// newTable indexes rows; ids, signers and domains belong to one row each.
func newTable(rows []Provider) (*Table, error) {
	t := &Table{rows: rows, byID: map[string]int{}, bySigner: map[string]int{}, byDomain: map[string]int{}}
	for i, p := range rows {
		if err := index(t.byID, p.ID, i, rows, "id"); err != nil {
			return nil, err
		}
		for _, s := range p.Signers {
			if err := index(t.bySigner, s, i, rows, "signer"); err != nil {
				return nil, err
			}
		}
		for _, d := range p.Domains {
			if err := index(t.byDomain, d, i, rows, "domain"); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

func index(m map[string]int, key string, i int, rows []Provider, what string) error {
	if j, taken := m[key]; taken {
		return fmt.Errorf("%w: %s %q stands at %q and at %q", ErrDuplicate, what, key, rows[j].ID, rows[i].ID)
	}
	m[key] = i
	return nil
}
