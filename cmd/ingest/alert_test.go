package main

import (
	"mime"
	"strings"
	"testing"
)

// alertBy makes a second server the way of alerts.
func (s *studio) alertBy(other *sink) {
	s.t.Helper()
	s.write("config.toml", s.read("config.toml")+`[warnings]
to_studio = ["capo@studio.example"]
[alert]
smtp = "altro"
[[smtp_account]]
name = "altro"
host = "127.0.0.1"
port = `+other.portText()+`
username = "`+other.user+`"
password_file = "alert-password"
from = "Avvisi <`+other.user+`>"
tls_ca_file = "tls.pem"
`, 0o644)
}

// When the studio's own inbox refuses the password, the alert goes out once by
// the other account, in Italian and with what to do, and the account whose
// password is refused in turn is not tried again.
func TestAlertByMail(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	other := startSink(t, s.imap.CA(), "avvisi@altro.example", "altraPassword5")
	s.alertBy(other)
	s.write("alert-password", "altraPassword5\n", 0o600)
	s.write("inbox-password", "nonPiuValida9\n", 0o600)
	for range 2 {
		s.exits(exitFailed, "once")
	}
	got := other.received()
	if len(got) != 1 || got[0].To != "capo@studio.example" {
		t.Fatalf("got %d alerts %v, want one to capo@studio.example", len(got), got)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(got[0].Subject)
	if err != nil || !strings.Contains(subject, "serve un intervento su "+studioPEC) {
		t.Errorf("subject: got %q (%v)", subject, err)
	}
	raw := string(got[0].Raw)
	for _, want := range []string{"rifiuta la password", "Che cosa fare", "ingest set --inbox"} {
		if !strings.Contains(strings.ReplaceAll(raw, "=\r\n", ""), want) {
			t.Errorf("the alert does not say %q:\n%s", want, raw)
		}
	}
	if strings.Contains(raw, "nonPiuValida9") || strings.Contains(raw, "altraPassword5") {
		t.Error("a password is in the alert")
	}
}

// An account for alerts that does not work is said in the log, and stops
// nothing else.
func TestAlertAccountRefused(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	other := startSink(t, s.imap.CA(), "avvisi@altro.example", "altraPassword5")
	s.alertBy(other)
	s.write("alert-password", "sbagliata\n", 0o600)
	s.write("inbox-password", "nonPiuValida9\n", 0o600)
	r := s.exits(exitFailed, "once")
	if !strings.Contains(r.stderr, "event=alert.error") || !strings.Contains(r.stderr, "smtp_account") {
		t.Errorf("got %s, want alert.error that names the account", r.stderr)
	}
	s.write("inbox-password", inboxPass+"\n", 0o600)
	s.deliver(s.submission(rossi, 1, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
}

// What waits because the provider refuses the password for sending says so,
// and goes out once that has changed.
func TestOutboxWaitsForPassword(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{smtp: true})
	s.write("smtp-password", "sbagliata\n", 0o600)
	b := s.read("config.toml")
	head, tail, _ := strings.Cut(b, "[smtp]")
	s.write("config.toml", head+"[smtp]"+strings.Replace(tail, `"inbox-password"`, `"smtp-password"`, 1), 0o644)
	s.deliver(s.submission(rossi, 1, passwords[rossi]))
	s.exits(exitOK, "once")
	rows := s.rows("outbox", "list", "--json")
	if len(rows) != 1 || rows[0]["state"] != "queued" || !strings.Contains(rows[0]["next"].(string), "refuses the studio's password for sending") {
		t.Errorf("got %v, want one queued that says what it waits for", rows)
	}
	s.write("smtp-password", inboxPass+"\n", 0o600)
	s.exits(exitOK, "outbox", "retry", "1") // its own pause is over then
	s.exits(exitOK, "once")
	if got := s.sink.received(); len(got) != 1 {
		t.Errorf("got %d messages after the password changed, want one", len(got))
	}
}
