package main

import (
	"encoding/json"
	"strings"
	"testing"

	"pec-ingest/internal/servertest"
)

// At a provider whose mailboxes log in with what stands before the @, that is
// the login of everything that is stored, by message and by hand.
func TestLocalPartLogin(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi, bianchi}, apart: true,
		users: []servertest.User{{Name: "rossi", Password: "Kz8mV3qp"}, {Name: "bianchi", Password: "Jw5tR9xd"}},
		config: func(c string) string {
			return strings.Replace(c, "id = \"prova\"\n", "id = \"prova\"\nlogin = \"local-part\"\nsmtp = \"localhost:465\"\n", 1)
		}})
	s.deliver(s.submission(rossi, 60, "Kz8mV3qp"))
	s.once(sum{Seen: 1, Accepted: 1})
	s.wantGet(rossi, "Kz8mV3qp")
	s.ok("get", rossi, "--login", "rossi")
	if r := s.exits(exitNotFound, "get", rossi, "--login", rossi); !strings.Contains(r.stderr, "lists its logins") {
		t.Errorf("another login: %s", r.stderr)
	}
	if row := s.status(rossi); row["login"] != "rossi" || row["state"] != "valid" {
		t.Errorf("status: got %v, want valid with the login rossi", row)
	}

	// Before there is a password, and where the record alone says so.
	s.ok("client", "add", bianchi, "--provider", "prova")
	if row := s.status(bianchi); row["login"] != "bianchi" {
		t.Errorf("status without a password: got login %v, want bianchi", row["login"])
	}
	if r := s.runWith("Jw5tR9xd\n", "set", bianchi); r.code != exitOK {
		t.Errorf("set: got %v", r)
	}
	for mailbox, login := range map[string]string{rossi: "rossi", bianchi: "bianchi"} {
		var p struct {
			Login     string `json:"login"`
			SMTPLogin string `json:"smtp_login"`
		}
		if err := json.Unmarshal([]byte(s.ok("profile", mailbox, "--for", "json")), &p); err != nil {
			t.Fatal(err)
		}
		if p.Login != login || p.SMTPLogin != mailbox {
			t.Errorf("profile %s: got %+v, want %s for IMAP and the address for SMTP", mailbox, p, login)
		}
	}

	// A login on record goes before the provider's rule.
	s.ok("client", "add", bianchi, "--login", bianchi)
	if r := s.runWith("h7%Kd-29qT\n", "set", bianchi); r.code != exitOK {
		t.Errorf("set with a login on record: got %v", r)
	}
	s.exits(exitNeedsPerson, "get", bianchi)
	s.ok("get", bianchi, "--login", bianchi)
}

// A mailbox of a domain that is known, with no message and no provider on
// record yet: its settings are a guess, but not with a login that can't be.
func TestProfileOfKnownDomain(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{"anna.bianchi@icloud.com"}})
	var p struct {
		Login     string `json:"login"`
		SMTPLogin string `json:"smtp_login"`
	}
	if err := json.Unmarshal([]byte(s.ok("profile", "anna.bianchi@icloud.com", "--for", "json")), &p); err != nil {
		t.Fatal(err)
	}
	if p.Login != "anna.bianchi" || p.SMTPLogin != "anna.bianchi@icloud.com" {
		t.Errorf("got %+v", p)
	}
}
