package ingest

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"pec-ingest/internal/provider"
)

// Profile is what another program must know to open a mailbox; the password
// is not part of it: the program asks for it with `ingest get`.
type Profile struct {
	Mailbox   string         `json:"mailbox"`
	Login     string         `json:"login"`
	SMTPLogin string         `json:"smtp_login"`
	Name      string         `json:"name"`
	Provider  *string        `json:"provider"`
	IMAP      *ProfileServer `json:"imap"`        // null where it is not known
	SMTP      *ProfileServer `json:"smtp"`        // likewise
	TLSCAFile *string        `json:"tls_ca_file"` // an extra root for a private server
	Validity  int            `json:"validity_days"`
	OAuthOnly bool           `json:"oauth_only"` // the provider refuses passwords of any kind
	// Guessed says that nothing but the address's domain names the servers.
	Guessed bool     `json:"guessed"`
	UsedIn  []string `json:"used_in"`
	// Command prints the password on its standard output.
	Command []string `json:"password_command"`
}

// ProfileServer is one server of a Profile; TLS is "implicit" or "starttls".
type ProfileServer struct {
	Host string `json:"host"`
	Port int    `json:"port"`
	TLS  string `json:"tls"`
}

// startTLS tells whether TLS begins with a command inside the connection.
func (s ProfileServer) startTLS() bool { return s.TLS == provider.TLSStart }

// Profile gathers how a mailbox is opened. program is the command line that
// runs this program ("ingest", "--config", …), to which "get …" is added.
//
// The IMAP server is the one that accepted the current password; for one
// that was not tried yet, that of the client's record, of the provider that
// the record or a verified signer names, and at last of the provider known to
// run the domain (Guessed).
func (s *Service) Profile(ctx context.Context, mailbox, login string, program []string) (Profile, error) {
	mailbox = strings.ToLower(mailbox)
	k, err := s.pick(ctx, mailbox, login)
	if err != nil {
		return Profile{}, err
	}
	p := Profile{Mailbox: mailbox, Login: k.cred.Login, Name: k.client.Name, UsedIn: notNil(k.client.UsedIn), Validity: k.version.ValidityDays}
	row, known := s.providerOf(k.client, k.cred.Signer)
	if !known {
		if row, known = s.providers.ByDomain(mailbox[strings.LastIndex(mailbox, "@")+1:]); known {
			p.Guessed = k.version.Addr == "" && k.client.IMAPAddr == ""
		}
	}
	if p.Login == "" {
		ok := false
		if p.Login, ok = loginAt(k.client, row); !ok {
			return Profile{}, (&Error{Class: NeedsPerson, Msg: "the provider of " + mailbox + " uses a user ID, and none is on record"}).
				hint("`ingest client add %s --login ID`", mailbox)
		}
	}
	p.SMTPLogin = p.Login
	if row.Login == provider.LoginLocalPart {
		p.SMTPLogin = mailbox
	}
	if known {
		p.Provider, p.TLSCAFile = &row.ID, orNull(row.TLSCAFile)
		p.IMAP, p.SMTP = serverOf(row.IMAP), serverOf(row.SMTP)
		p.OAuthOnly = row.AppPassword == provider.AppPasswordOAuth
		if p.Validity == 0 {
			p.Validity = row.ValidityDays
		}
	}
	if p.Validity == 0 {
		p.Validity = s.policy.ValidityDays
	}
	if addr := firstOf(k.version.Addr, k.client.IMAPAddr); addr != "" {
		if p.IMAP, err = serverAt(addr, row.IMAP.TLS); err != nil {
			return Profile{}, err
		}
	}
	p.Command = append(slices.Clone(program), "get", mailbox)
	if login != "" {
		p.Command = append(p.Command, "--login", login)
	}
	return p, p.check()
}

func serverOf(e provider.Endpoint) *ProfileServer {
	if e.IsZero() {
		return nil
	}
	return &ProfileServer{Host: e.Host, Port: e.Port, TLS: e.TLS}
}

func serverAt(addr, tls string) (*ProfileServer, error) {
	host, port, err := net.SplitHostPort(addr)
	n, perr := strconv.Atoi(port)
	if err = firstError(err, perr); err != nil {
		return nil, &Error{Msg: "reading the IMAP address on record", Err: err}
	}
	if tls == "" {
		tls = provider.TLSImplicit
	}
	return &ProfileServer{Host: host, Port: n, TLS: tls}, nil
}

// check refuses what no settings file can hold. Everything else is quoted as
// each program wants it: some of them evaluate what they read.
func (p Profile) check() error {
	fields := []string{p.Mailbox, p.Login, p.SMTPLogin, p.Name}
	if p.TLSCAFile != nil {
		fields = append(fields, *p.TLSCAFile)
	}
	for _, server := range []*ProfileServer{p.IMAP, p.SMTP} {
		if server != nil {
			fields = append(fields, server.Host)
			if strings.ContainsFunc(server.Host, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("\"'\\", r) }) {
				return usage("the server name of %s can't be right", p.Mailbox).hint("`ingest status %s` shows its provider", p.Mailbox)
			}
		}
	}
	for _, f := range append(fields, p.Command...) {
		if strings.ContainsFunc(f, unicode.IsControl) {
			return usage("the settings of %s hold a control character", p.Mailbox).hint("`ingest client list` shows the record")
		}
	}
	return nil
}

// needIMAP and needSMTP are the servers, or the error that says how to make
// them known.
func (p Profile) needIMAP() (ProfileServer, error) { return p.need("IMAP", p.IMAP) }

func (p Profile) needSMTP() (ProfileServer, error) { return p.need("SMTP", p.SMTP) }

func (p Profile) need(what string, s *ProfileServer) (ProfileServer, error) {
	if s != nil {
		return *s, nil
	}
	e := &Error{Class: NeedsPerson, Msg: "the " + what + " server of " + p.Mailbox + " is not known"}
	if p.Provider != nil {
		return ProfileServer{}, e.hint("name it in a [[provider]] with id = %q", *p.Provider)
	}
	return ProfileServer{}, e.hint("say who runs the mailbox: `ingest client add %s --provider ID`", p.Mailbox)
}
