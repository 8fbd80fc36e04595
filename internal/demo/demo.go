package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pec-ingest/internal/config"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/pectest"
)

// Options of Run.
type Options struct {
	Out     io.Writer
	Colour  bool
	Log     *slog.Logger
	Summary func(io.Writer, []ingest.StatusRow) error // prints the status table
}

// Demo is a running demo: its servers are up and the story has been told.
type Demo struct {
	Service *ingest.Service
	servers *servers
	dir     string

	authority *pectest.Authority
	answered  int // messages sent that the provider has answered
}

// Run starts the servers, lets the real pipeline do a pass and tells what it
// did. The caller closes what it returns.
func Run(ctx context.Context, o Options) (d *Demo, err error) {
	d = &Demo{}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
			d = nil
		}
	}()
	if d.dir, err = os.MkdirTemp("", "ingest-demo-"); err != nil {
		return d, fmt.Errorf("making a folder: %w", err)
	}
	passwords := map[string]string{studio: "studio-" + time.Now().Format("150405.000")}
	for _, c := range clients {
		passwords[c.mailbox] = c.password
	}
	if d.servers, err = startServers(studio, passwords); err != nil {
		return d, err
	}
	d.authority = pectest.NewAuthority("pec")
	cfg, err := d.configure(d.authority, passwords[studio])
	if err != nil {
		return d, err
	}
	if d.Service, err = ingest.Open(cfg, ingest.Writing, o.Log); err != nil {
		return d, err
	}
	for _, c := range clients {
		name, lang, by := c.name, "it", provider
		if _, _, err := d.Service.AddClient(ctx, "demo", c.mailbox, ingest.ClientFields{Name: &name, Lang: &lang, Provider: &by}, time.Now()); err != nil {
			return d, err
		}
	}
	return d, d.tell(ctx, o, d.authority)
}

// Close ends the demo and removes all it made.
func (d *Demo) Close() error {
	var errs []error
	if d.Service != nil {
		errs = append(errs, d.Service.Close())
	}
	if d.servers != nil {
		errs = append(errs, d.servers.close())
	}
	if d.dir != "" {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}

// configure writes what a studio would write, and loads it.
func (d *Demo) configure(authority *pectest.Authority, password string) (*config.Config, error) {
	setup, err := ingest.Init(filepath.Join(d.dir, "etc"), config.TemplateValues{InboxHost: "127.0.0.1", InboxUsername: studio}, time.Now())
	if err != nil {
		return nil, err
	}
	imapHost, imapPort, _ := strings.Cut(d.servers.imapAt, ":")
	_, smtpPort, _ := strings.Cut(d.servers.smtpAt, ":")
	text := fmt.Sprintf(`[studio]
name = "Studio Dimostrazione"
phone = "051 000000"
[inbox]
host = %q
port = %s
username = %q
password_file = "inbox-password"
tls_ca_file = "tls.pem"
[trust]
anchors = ["pec.pem"]
builtin = false
[vault]
url = "bbolt://%s/vault/vault.db"
identity_file = "identity.txt"
[smtp]
host = "127.0.0.1"
port = %s
username = %[3]q
password_file = "inbox-password"
from = "Studio Dimostrazione <%[3]s>"
tls_ca_file = "tls.pem"
max_per_minute = 600
[[provider]]
id = %[9]q
signer = %[7]q
imap = %[8]q
tls_ca_file = "tls.pem"
validity = "90d"
`, imapHost, imapPort, studio, d.dir, smtpPort, "", signer, d.servers.imapAt, provider)
	files := []struct {
		name string
		text []byte
		mode os.FileMode
	}{
		{"config.toml", []byte(text), 0o644}, {"pec.pem", authority.RootPEM(), 0o644},
		{"tls.pem", d.servers.caPEM, 0o644}, {"inbox-password", []byte(password), 0o600},
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(setup.Dir, f.name), f.text, f.mode); err != nil {
			return nil, fmt.Errorf("writing the configuration: %w", err)
		}
	}
	return config.Load(filepath.Join(setup.Dir, "config.toml"))
}
