package provider_test

import (
	"strings"
	"testing"

	"pec-ingest/internal/provider"
)

const row = `[[provider]]
id = "a"
name = "A"
kind = "pec"
signers = ["posta-certificata@a.example"]
domains = ["a.example"]
imap = "imap.a.example:993"
login = "address"
app_password = "unknown"
source = "test"
`

// A slip of the pen in the table must stop the tests, not move a password.
func TestParseRefuses(t *testing.T) {
	if _, err := provider.Parse(row); err != nil {
		t.Fatalf("the good row: %v", err)
	}
	second := strings.NewReplacer(`id = "a"`, `id = "b"`, "a.example", "b.example").Replace(row)
	for _, c := range []struct{ name, text, want string }{
		{"unknown key", row + "hots = \"x\"\n", "unknown keys"},
		{"syntax", row + "x =\n", "reading table"},
		{"same id", row + row, "id"},
		{"same signer", row + strings.Replace(second, "@b.example", "@a.example", 1), "signer"},
		{"same domain", row + strings.Replace(second, `domains = ["b.example"]`, `domains = ["a.example"]`, 1), "domain"},
		{"no name", strings.Replace(row, `"A"`, `""`, 1), "no name"},
		{"kind", strings.Replace(row, `"pec"`, `"rem"`, 1), "kind"},
		{"login", strings.Replace(row, `"address"`, `"adress"`, 1), "login"},
		{"app password", strings.Replace(row, `"unknown"`, `"perhaps"`, 1), "app_password"},
		{"signer in capitals", strings.Replace(row, "posta-certificata@", "Posta-certificata@", 1), "signer"},
		{"domain", strings.Replace(row, `domains = ["a.example"]`, `domains = ["a example"]`, 1), "domain"},
		{"no port", strings.Replace(row, ":993", "", 1), "imap"},
		{"confirmed", row + "validity_days = 90\nvalidity_confirmed = \"26/09/2026\"\n", "ISO"},
		{"validity", row + "validity_days = 100000\n", "days"},
	} {
		t.Run(c.name, func(t *testing.T) {
			table, err := provider.Parse(c.text)
			if err == nil || table != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v, want an error that says %q", table, err, c.want)
			}
		})
	}
}

func TestPortDecidesTheBeginOfTLS(t *testing.T) {
	for port, want := range map[string]string{
		"993": provider.TLSImplicit, "465": provider.TLSImplicit, "10993": provider.TLSImplicit,
		"143": provider.TLSStart, "587": provider.TLSStart,
	} {
		table, err := provider.Parse(strings.Replace(row, ":993", ":"+port, 1))
		if err != nil {
			t.Fatal(err)
		}
		if p, _ := table.ByID("a"); p.IMAP.TLS != want {
			t.Errorf("port %s: got %q, want %q", port, p.IMAP.TLS, want)
		}
	}
}
