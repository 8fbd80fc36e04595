package ingest_test

import (
	"fmt"
	"strings"
	"testing"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/ingest"
)

// What an admin reads at seven in the morning names the key that is wrong, or
// says that nothing needs to be done.
func TestInboxHint(t *testing.T) {
	for _, c := range []struct {
		kind error
		text string
		want []string
	}{
		{inbox.ErrRefused, "", []string{"password_file", "set --inbox"}},
		{inbox.ErrNoFolder, "Mailbox doesn't exist", []string{`inbox.folder is "Posta"`, "INBOX"}},
		{inbox.ErrTLS, "x509: certificate has expired or is not yet valid: current time …", []string{"clock", "timedatectl"}},
		{inbox.ErrTLS, "x509: certificate is valid for other.example, not imap.example", []string{"another server", `inbox.host "imap.example"`}},
		{inbox.ErrTLS, "x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs", []string{"another server"}},
		{inbox.ErrTLS, "the server does not speak TLS on this port", []string{"inbox.port is 143", "993"}},
		{inbox.ErrTLS, "x509: certificate signed by unknown authority", []string{"tls_ca_file"}},
		{fmt.Errorf("%w: %w", inbox.ErrDenied, inbox.ErrUnavailable), "", []string{"another reason than the password", "by itself"}},
		{inbox.ErrUnavailable, "Server shutting down.", []string{"ended the session", "by itself"}},
		{inbox.ErrNetwork, "dial tcp: lookup imap.example: no such host", []string{"inbox.host", "by itself"}},
		{inbox.ErrNetwork, "dial tcp 127.0.0.1:143: connect: connection refused", []string{"inbox.port 143", "by itself"}},
		{inbox.ErrNetwork, "dial tcp 127.0.0.1:143: i/o timeout", []string{"firewall", "port 143", "by itself"}},
		{inbox.ErrNetwork, "the server closed the connection", []string{"nothing is lost"}},
	} {
		got := ingest.InboxHint("imap.example", 143, "Posta", fmt.Errorf("connecting: %w: %s", c.kind, c.text))
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%v: %s: got %q, want %q in it", c.kind, c.text, got, want)
			}
		}
	}
}
