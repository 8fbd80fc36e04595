package ingest

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"pec-ingest/internal/config"
	"pec-ingest/internal/notify"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/provider"
)

// VaultMode says how a command needs the vault.
type VaultMode int

const (
	// Reading commands fail where there is no vault.
	Reading VaultMode = iota
	// Writing commands create a missing one.
	Writing
	// Serving is the daemon: it creates a missing one, and stays.
	Serving
)

// Open opens all that a configuration names and puts a Service together. Its
// errors are of class BadConfig or NoVault and carry a hint.
func Open(cfg *config.Config, mode VaultMode, log *slog.Logger) (*Service, error) {
	return OpenAsking(cfg, mode, log, nil)
}

// OpenAsking is Open where a person may be asked for the passphrase of a
// protected identity.
func OpenAsking(cfg *config.Config, mode VaultMode, log *slog.Logger, ask Asker) (*Service, error) {
	o, err := assemble(cfg, log)
	if err != nil {
		return nil, err
	}
	o.Ask = ask
	if o.Vault, o.Cluster, err = openVault(cfg, mode, ask, log); err != nil {
		return nil, err
	}
	return New(o), nil
}

// assemble opens what a configuration names but the vault.
func assemble(cfg *config.Config, log *slog.Logger) (Options, error) {
	o := Options{Config: cfg, Log: log}
	var err error
	if o.Providers, err = Providers(cfg); err != nil {
		return o, err
	}
	if err = fillHosts(cfg, o.Providers); err != nil {
		return o, err
	}
	if o.Trust, err = OpenTrust(cfg); err != nil {
		return o, err
	}
	o.Templates, err = notify.LoadTemplates(cfg.Studio.TemplatesDir)
	if err != nil {
		return o, &Error{Class: BadConfig, Msg: "reading the message templates", Err: err,
			Hint: "mend the file named, or remove it from studio.templates_dir to get the built-in text"}
	}
	return o, nil
}

// Providers is the built-in table with what the configuration adds.
func Providers(cfg *config.Config) (*provider.Table, error) {
	over := make([]provider.Override, 0, len(cfg.Providers))
	for _, p := range cfg.Providers {
		over = append(over, provider.Override(p))
	}
	table, err := provider.Builtin().With(over)
	if err != nil {
		return nil, &Error{Class: BadConfig, Msg: cfg.Where("provider"), Err: err}
	}
	return table, nil
}

// fillHosts puts the servers of the named providers where no host is given.
func fillHosts(cfg *config.Config, table *provider.Table) error {
	unknown := func(key, id string) error {
		return &Error{Class: BadConfig, Msg: fmt.Sprintf("%s: there is no provider %q with this kind of server", cfg.Where(key+".provider"), id),
			Hint: "`ingest provider list` shows the known ones; or give " + key + ".host"}
	}
	if cfg.Inbox.Host == "" {
		p, ok := table.ByID(cfg.Inbox.Provider)
		if !ok || p.IMAP.Host == "" {
			return unknown("inbox", cfg.Inbox.Provider)
		}
		cfg.Inbox.Host, cfg.Inbox.Port = p.IMAP.Host, p.IMAP.Port
		if cfg.Inbox.TLSCAFile == "" {
			cfg.Inbox.TLSCAFile = p.TLSCAFile
		}
	}
	if cfg.SMTP.Enabled && cfg.SMTP.Host == "" {
		id := firstOf(cfg.SMTP.Provider, cfg.Inbox.Provider)
		p, ok := table.ByID(id)
		if !ok || p.SMTP.Host == "" {
			return unknown("smtp", id)
		}
		cfg.SMTP.Host, cfg.SMTP.Port, cfg.SMTP.TLS = p.SMTP.Host, p.SMTP.Port, p.SMTP.TLS
	}
	return nil
}

// OpenTrust reads the PEC trust anchors and CRLs of a configuration.
func OpenTrust(cfg *config.Config) (*pec.Trust, error) {
	o := pec.TrustOptions{Builtin: cfg.Trust.Builtin, Pins: cfg.Trust.Pins}
	for _, f := range cfg.Trust.AnchorFiles {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, &Error{Class: BadConfig, Msg: cfg.Where("trust.anchors"), Err: err, Hint: "a PEM file, relative to the configuration, or spki-sha256:HEX"}
		}
		o.PEM = append(o.PEM, b)
	}
	for _, f := range cfg.Trust.CRLFiles {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, &Error{Class: BadConfig, Msg: cfg.Where("trust.crl"), Err: err, Hint: "a file with a revocation list, relative to the configuration"}
		}
		o.CRLs = append(o.CRLs, b)
	}
	trust, err := pec.NewTrust(o)
	if err != nil {
		hint := "anchors are PEM certificates or spki-sha256:HEX"
		if errors.Is(err, pec.ErrBadCRL) {
			hint = "crl holds revocation lists of the PEC authority, PEM or DER, version 2 (RFC 5280)"
		}
		return nil, &Error{Class: BadConfig, Msg: cfg.Where("trust"), Err: err, Hint: hint}
	}
	return trust, nil
}

// tlsConfig is how every server is spoken to: TLS 1.2 or newer, verified.
func tlsConfig(serverName string, roots *x509.CertPool) *tls.Config {
	return &tls.Config{ServerName: serverName, RootCAs: roots, MinVersion: tls.VersionTLS12}
}
