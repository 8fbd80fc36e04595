package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pec-ingest/internal/config"
)

const minimal = "[inbox]\nhost = \"imap.test\"\nusername = \"Studio@PEC.it\"\n"

func parse(t testing.TB, doc string) (*config.Config, error) {
	t.Helper()
	return config.Parse([]byte(doc), "config.toml", "/etc/pec-ingest", "")
}

func mustParse(t testing.TB, doc string) *config.Config {
	t.Helper()
	c, err := parse(t, doc)
	if err != nil {
		t.Fatalf("got %v, want no error\n%s", err, doc)
	}
	return c
}

// sameLocation compares zones by name.
var sameLocation = cmp.Comparer(func(a, b *time.Location) bool {
	return a == b || (a != nil && b != nil && a.String() == b.String())
})

func TestDefaults(t *testing.T) {
	got := mustParse(t, minimal)
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Config{
		Path: "/etc/pec-ingest/config.toml",
		Inbox: config.Inbox{
			Host: "imap.test", Port: 993, Username: "Studio@PEC.it", Address: []string{"studio@pec.it"},
			Auth: "password", PasswordFile: "/etc/pec-ingest/inbox-password", Folder: "INBOX", Poll: 5 * time.Minute,
			After: "move", ProcessedFolder: "Password acquisite", MaxMessage: 25 << 20,
		},
		Trust: config.Trust{Builtin: true},
		Vault: config.Vault{
			URL: "bbolt:///var/lib/pec-ingest/vault.db", Path: "/var/lib/pec-ingest/vault.db",
			RecipientsFile: "/etc/pec-ingest/recipients.txt", IdentityFile: "/etc/pec-ingest/identity",
			BackupSchedule: "30 1 * * *", BackupKeep: 14, DestroyAfter: 200 * 24 * time.Hour,
		},
		Policy: config.Policy{
			ValidityDays: 90, MaxValidityDays: 200, RenewAfterDays: 80, Unlisted: "review",
			Timezone: "Europe/Rome", Location: rome,
		},
		Probe:    config.Probe{Enabled: true, Every: "0 6 * * *", MaxLogins: 3},
		Warnings: config.Warnings{Schedule: "0 9 * * MON-FRI", DaysBefore: []int{10, 5, 2, 1, 0}},
		OTP:      config.OTP{RecipientsFile: "/etc/pec-ingest/otp-recipients.txt", IdentityFile: "/etc/pec-ingest/otp-identity.txt"},
		Web:      config.Web{Listen: "127.0.0.1:8470", Socket: "/run/pec-ingest/ingest.sock", ProxyHeader: "X-Remote-User"},
	}
	if diff := cmp.Diff(want, got, sameLocation); diff != "" {
		t.Errorf("defaults differ (-want +got):\n%s", diff)
	}
}

func TestEverything(t *testing.T) {
	pin := "spki-sha256:" + strings.Repeat("AB", 32)
	got := mustParse(t, `
[studio]
name = "Studio Rossi"
phone = "051 000000"
templates_dir = "testi"
[inbox]
provider = "legalmail"
port = 1993
username = "M123456"
address = ["Studio@PEC.it", "altro@pec.it"]
auth = "oauth2"
account = "microsoft"
password_file = ""
folder = "INBOX/Sub"
since = "2026-08-01"
poll = "30s"
after = "delete"
processed_folder = "Fatte"
purge_after = "30d"
tls_ca_file = "/ca.pem"
max_message = "10 MB"
[trust]
anchors = ["ca.pem", "`+pin+`"]
builtin = false
crl = ["a.crl"]
[vault]
url = "bbolt://data/vault.db"
recipients_file = "r.txt"
touch_dir = "/run/touch"
backup_dir = "b"
backup_schedule = "15 4 * * SUN"
backup_keep = 3
destroy_after = "0"
identity_file = ""
identity_passphrase_file = "passphrase"
[policy]
validity = "12w"
max_validity = "300d"
renew_after = "70d"
unlisted = "ignore"
timezone = "UTC"
[probe]
enabled = false
every = "*/10 8-18 * * mon-fri"
max_logins = 1
[warnings]
schedule = "30 8 * * *"
days_before = []
closed = ["2026-08-08/2026-08-23", "2026-12-24"]
patron = "10-04"
to_studio = ["Amministrazione@studio.it"]
[smtp]
max_per_minute = 60
host = "smtp.test"
tls = "starttls"
username = "studio@pec.it"
password_file = "smtp-password"
from = "Studio <Studio@pec.it>"
tls_ca_file = "ca.pem"
[[smtp_account]]
name = "second"
host = "mail.test"
username = "x@studio.it"
password_file = "second-password"
[alert]
smtp = "second"
command = ["/bin/true", "-x"]
heartbeat_file = "/run/beat"
heartbeat_command = ["curl"]
[[oauth]]
id = "microsoft"
tenant = "common"
client_id = "123"
scopes = ["a", "b"]
token_url = "https://example.org/token"
[otp]
enabled = true
recipients_file = "otp.txt"
identity_file = "otp-key"
identity_passphrase_file = "otp-passphrase"
readers = ["paghe"]
[web]
listen = ""
socket = "run/ingest.sock"
readers = ["nuvola"]
admins = ["wheel"]
page_socket = "run/page.sock"
page_url = "https://PEC.studio.example/"
proxy_uid = "www-data"
proxy_header = "x-authenticated-user"
deciders = ["*"]
revealers = ["anna"]
[[provider]]
id = "test"
signer = "Posta-Certificata@pec.test.example"
imap = "127.0.0.1:10993"
tls_ca_file = "tls.pem"
validity = "30d"
[[provider]]
id = "aruba-pec"
login = "user-id"
name = "Aruba"
smtp = "smtp.test"
`)
	dir := "/etc/pec-ingest/"
	day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
	want := &config.Config{
		Path:   dir + "config.toml",
		Studio: config.Studio{Name: "Studio Rossi", Phone: "051 000000", TemplatesDir: dir + "testi"},
		Inbox: config.Inbox{
			Provider: "legalmail", Port: 1993, Username: "M123456", Address: []string{"studio@pec.it", "altro@pec.it"},
			Auth: "oauth2", Account: "microsoft", Folder: "INBOX/Sub", Since: day(2026, 8, 1), Poll: 30 * time.Second,
			After: "delete", ProcessedFolder: "Fatte", PurgeAfter: 30 * 24 * time.Hour, TLSCAFile: "/ca.pem", MaxMessage: 10e6,
		},
		Trust: config.Trust{AnchorFiles: []string{dir + "ca.pem"}, Pins: []string{strings.ToLower(pin)}, CRLFiles: []string{dir + "a.crl"}},
		Vault: config.Vault{URL: "bbolt://data/vault.db", Path: dir + "data/vault.db", RecipientsFile: dir + "r.txt", PassphraseFile: dir + "passphrase",
			TouchDir: "/run/touch", BackupDir: dir + "b", BackupSchedule: "15 4 * * SUN", BackupKeep: 3},
		Policy: config.Policy{ValidityDays: 84, MaxValidityDays: 300, RenewAfterDays: 70, Unlisted: "ignore",
			Timezone: "UTC", Location: time.UTC},
		Probe: config.Probe{Every: "*/10 8-18 * * mon-fri", MaxLogins: 1},
		Warnings: config.Warnings{Schedule: "30 8 * * *", DaysBefore: []int{}, Patron: "10-04",
			Closed:   []config.Range{{From: day(2026, 8, 8), To: day(2026, 8, 23)}, {From: day(2026, 12, 24), To: day(2026, 12, 24)}},
			ToStudio: []string{"amministrazione@studio.it"}},
		SMTP: config.SMTP{Enabled: true, Host: "smtp.test", Port: 587, TLS: "starttls", Username: "studio@pec.it",
			PasswordFile: dir + "smtp-password", From: "Studio <Studio@pec.it>", FromAddress: "studio@pec.it",
			Auth: "password", MaxPerMinute: 60, TLSCAFile: dir + "ca.pem"},
		SMTPAccounts: []config.SMTP{{Enabled: true, Name: "second", Host: "mail.test", Port: 465, TLS: "implicit",
			Username: "x@studio.it", PasswordFile: dir + "second-password", From: "x@studio.it", FromAddress: "x@studio.it",
			Auth: "password", MaxPerMinute: 6}},
		Alert: config.Alert{SMTP: "second", Command: []string{"/bin/true", "-x"}, HeartbeatFile: "/run/beat", HeartbeatCommand: []string{"curl"}},
		OAuth: []config.OAuth{{ID: "microsoft", Tenant: "common", ClientID: "123", Scopes: []string{"a", "b"}, TokenURL: "https://example.org/token"}},
		OTP:   config.OTP{Enabled: true, RecipientsFile: dir + "otp.txt", IdentityFile: dir + "otp-key", PassphraseFile: dir + "otp-passphrase", Readers: []string{"paghe"}},
		Web: config.Web{Socket: dir + "run/ingest.sock", Readers: []string{"nuvola"}, Admins: []string{"wheel"},
			PageSocket: dir + "run/page.sock", PageURL: "https://pec.studio.example", ProxyUID: "www-data",
			ProxyHeader: "X-Authenticated-User", Deciders: []string{"*"}, Revealers: []string{"anna"}},
		Providers: []config.Provider{
			{ID: "test", Signer: "posta-certificata@pec.test.example", IMAP: "127.0.0.1:10993", TLSCAFile: dir + "tls.pem", ValidityDays: 30},
			{ID: "aruba-pec", Login: "user-id", Name: "Aruba", SMTP: "smtp.test"},
		},
	}
	if diff := cmp.Diff(want, got, sameLocation); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
}

func TestSMTPFollowsInbox(t *testing.T) {
	c := mustParse(t, "[inbox]\nprovider = \"aruba-pec\"\nusername = \"studio@pec.it\"\n[smtp]\n")
	want := config.SMTP{Enabled: true, Provider: "aruba-pec", Port: 465, TLS: "implicit", Username: "studio@pec.it",
		PasswordFile: "/etc/pec-ingest/inbox-password", From: "studio@pec.it", FromAddress: "studio@pec.it",
		Auth: "password", MaxPerMinute: 6}
	if diff := cmp.Diff(want, c.SMTP); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
	if c := mustParse(t, minimal); c.SMTP.Enabled {
		t.Error("got SMTP without [smtp], want none")
	}
	// The inbox's password never goes to another account by itself.
	_, err := parse(t, minimal+"[smtp]\nhost = \"smtp.test\"\nusername = \"other@pec.it\"\n")
	if err == nil || !strings.Contains(err.Error(), "smtp.password_file") {
		t.Errorf("got %v, want an error for smtp.password_file", err)
	}
}

func TestTemplate(t *testing.T) {
	text, err := config.Template(config.TemplateValues{InboxHost: "imap.test", InboxUsername: "Studio@PEC.it"})
	if err != nil {
		t.Fatal(err)
	}
	got := mustParse(t, text)
	if diff := cmp.Diff(mustParse(t, minimal), got, sameLocation); diff != "" {
		t.Errorf("the template differs from the defaults (-defaults +template):\n%s", diff)
	}
	t.Run("optional sections", func(t *testing.T) {
		// With the comment signs away, [smtp] and the lists of tables are read
		// too; what they lack is only what is marked *.
		open := strings.ReplaceAll(text, "\n# [", "\n[")
		for _, key := range config.AllKeys() {
			_, name, _ := strings.Cut(key, ".")
			open = strings.ReplaceAll(open, "\n# "+name+" = ", "\n"+name+" = ")
		}
		_, err := parse(t, open)
		var errs config.Errors
		if !errors.As(err, &errs) {
			t.Fatalf("got %v, want the missing keys", err)
		}
		for _, e := range errs {
			line := strings.Split(open, "\n")[e.Line-1]
			if !strings.Contains(e.Msg, "is missing") || !(strings.Contains(line, "# *") || e.Key == "smtp.host" || strings.Contains(e.Key, "from")) {
				t.Errorf("got %v, want only missing keys marked *", e)
			}
		}
	})
	t.Run("every key", func(t *testing.T) {
		section := ""
		var found []string
		for _, line := range strings.Split(text, "\n") {
			line = strings.TrimPrefix(line, "# ")
			if strings.HasPrefix(line, "[") {
				section, _, _ = strings.Cut(strings.Trim(line, "["), "]")
			}
			if name, rest, ok := strings.Cut(line, " = "); ok && section != "" && !strings.HasPrefix(line, "[") {
				found = append(found, section+"."+name)
				if !strings.Contains(rest, "# ") {
					t.Errorf("%s.%s has no comment", section, name)
				}
			}
		}
		want := config.AllKeys()
		slices.Sort(found)
		slices.Sort(want)
		if diff := cmp.Diff(want, found); diff != "" {
			t.Errorf("keys differ (-struct +template):\n%s", diff)
		}
	})
	t.Run("hostile values", func(t *testing.T) {
		name := "Studio \"Rossi\" \\ & C.\n[smtp]\nhost = \"evil\" # à"
		text, err := config.Template(config.TemplateValues{StudioPhone: "051 # 1", StudioName: name, InboxHost: "imap.test", InboxUsername: "s@pec.it"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parse(t, text); err == nil || !strings.Contains(err.Error(), "studio.name: has a control character") {
			t.Errorf("got %v, want studio.name refused as one value", err)
		}
	})
}

func TestLoadRelativeAndCredentials(t *testing.T) {
	dir, creds := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "config.toml")
	doc := minimal + "[vault]\nidentity_file = \"identity\"\nrecipients_file = \"sub/inbox-password\"\n"
	if err := os.WriteFile(path, []byte("\xef\xbb\xbf"+doc), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(creds, "inbox-password"), []byte("x"), 0o440); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", creds)
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(creds, "inbox-password"); c.Inbox.PasswordFile != want {
		t.Errorf("plain name that is a credential: got %s, want %s", c.Inbox.PasswordFile, want)
	}
	if want := filepath.Join(dir, "identity"); c.Vault.IdentityFile != want {
		t.Errorf("plain name that is none: got %s, want %s", c.Vault.IdentityFile, want)
	}
	if want := filepath.Join(dir, "sub/inbox-password"); c.Vault.RecipientsFile != want {
		t.Errorf("not a plain name: got %s, want %s", c.Vault.RecipientsFile, want)
	}
	if c.Path != path {
		t.Errorf("path: got %s, want %s", c.Path, path)
	}

	// What `ingest init` wrote is found without being named.
	if err := os.WriteFile(filepath.Join(dir, "identity.txt"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err = config.Load(path); err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "identity.txt"); c.Vault.IdentityFile != want {
		t.Errorf("the identity that init wrote: got %s, want %s", c.Vault.IdentityFile, want)
	}

	_, err = config.Load(filepath.Join(dir, "none.toml"))
	var one *config.Error
	if !errors.As(err, &one) || !strings.Contains(one.Hint, "ingest init") || !strings.Contains(one.File, "none.toml") {
		t.Errorf("missing file: got %v, want an Error with a hint", err)
	}
}

func FuzzParse(f *testing.F) {
	text, err := config.Template(config.TemplateValues{InboxHost: "imap.test", InboxUsername: "s@pec.it"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(text))
	f.Add([]byte(minimal))
	f.Add([]byte(minimal + "[[provider]]\nid=\"a\"\n[provider.x]\n[smtp]\nhost=[[1],{a=1}]\n"))
	f.Add([]byte("inbox = {host = \"a\", username = \"b@c\"}\nprovider = [{id=\"x\"}, {id=\"x\"}]"))
	f.Add([]byte("[warnings]\ndays_before = [1,2,-1]\nclosed=[\"2026-01-02/2026-01-01\"]\n"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		c, err := config.Parse(doc, "f.toml", "/d", "")
		if (c == nil) == (err == nil) {
			t.Fatalf("got config %v and error %v, want exactly one", c != nil, err)
		}
		if err == nil {
			if c.Policy.Location == nil || c.Inbox.Port == 0 || c.Inbox.Username == "" {
				t.Errorf("got an incomplete configuration %+v", c)
			}
			return
		}
		var errs config.Errors
		if !errors.As(err, &errs) || len(errs) == 0 {
			t.Fatalf("got %T, want Errors", err)
		}
		lines := strings.Count(string(doc), "\n") + 1
		for _, e := range errs {
			if e.File != "f.toml" || e.Msg == "" || e.Line < 0 || e.Line > lines {
				t.Errorf("got %+v for a file of %d lines", e, lines)
			}
		}
	})
}
