package notify_test

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"

	"pec-ingest/internal/notify"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/servertest"
)

// Debian's Postfix, with Dovecot checking the login: both ways to encrypt,
// a password with every awkward character, refusals in Postfix's own words,
// and the message read back from the mailbox as it arrived.
func TestSendToPostfix(t *testing.T) {
	servertest.Require(t, "postfix")
	d := servertest.StartDovecot(t, servertest.DovecotOptions{Users: []servertest.User{
		{Name: user, Password: password}, {Name: "rossi@pec.it", Password: "x"}}})
	p := servertest.StartPostfix(t, servertest.PostfixOptions{Dovecot: d, MaxSize: 20000, Reject: map[string]string{
		"via@pec.it": "550 5.1.1 no such user", "poi@pec.it": "450 4.2.0 Greylisted, come back later", "piena@pec.it": "552 5.2.2 mailbox full"}})

	config := func(addr, mode string) notify.SMTPConfig {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		return notify.SMTPConfig{Host: host, Port: n, TLS: mode, Username: user, Password: secret.FromString(password),
			From: "Studio Rossi <" + user + ">", RootCAs: d.CA().Pool()}
	}
	ways := []notify.SMTPConfig{config(p.Addr(), "implicit"), config(p.StartTLSAddr(), "starttls")}

	for i, c := range ways {
		receipt, err := notify.Send(t.Context(), c, letter, nil)
		if err != nil {
			t.Fatalf("%s: %v", c.TLS, err)
		}
		if !strings.Contains(receipt.Response, "queued as") {
			t.Errorf("%s: got %q, want Postfix's queue id", c.TLS, receipt.Response)
		}
		list := p.Await("rossi@pec.it", i+1)
		checkLetter(t, string(d.Raw("rossi@pec.it", "INBOX", list[i].UID)))
	}

	tests := []struct {
		name, to, body string
		stage          notify.Stage
		temporary      bool
		hint           string
	}{
		{"no such user", "via@pec.it", "", notify.StageTo, false, "does not exist"},
		{"greylisted", "poi@pec.it", "", notify.StageTo, true, "come back later"},
		{"full", "piena@pec.it", "", notify.StageTo, false, "full"},
		{"too large", "rossi@pec.it", strings.Repeat("parole ", 5000), notify.StageDot, false, ""},
	}
	for _, tt := range tests {
		m := letter
		m.To, m.Text = tt.to, letter.Text+tt.body
		_, err := notify.Send(t.Context(), ways[0], m, nil)
		var e *notify.SendError
		if !errors.As(err, &e) || e.Stage != tt.stage || e.Temporary != tt.temporary || e.Code == 0 || e.InDoubt() || !strings.Contains(e.Hint, tt.hint) {
			t.Errorf("%s: got %v, want stage %s, temporary %v, hint %q", tt.name, err, tt.stage, tt.temporary, tt.hint)
			continue
		}
		checkSafe(t, err)
	}

	for _, c := range ways {
		c.Password = secret.FromString("sbagliata")
		_, err := notify.Send(t.Context(), c, letter, nil)
		var e *notify.SendError
		if !errors.As(err, &e) || !e.Refused || e.Stage != notify.StageAuth || e.Code != 535 {
			t.Errorf("%s: got %v, want the login refused", c.TLS, err)
			continue
		}
		checkSafe(t, err)
	}
	if n := d.Logins(user).Refused; n > 2 {
		t.Errorf("got %d refused logins, want one a way", n)
	}

	// The hook stops the message: Postfix must not deliver what was cut off.
	if _, err := notify.Send(t.Context(), ways[0], letter, func() error { return errors.New("disk full") }); err == nil {
		t.Error("got no error from the hook")
	}
	third := letter
	third.MessageID = "<third@pec.it>"
	if _, err := notify.Send(t.Context(), ways[0], third, nil); err != nil {
		t.Fatal(err)
	}
	list := p.Await("rossi@pec.it", 3)
	if len(list) != 3 || list[2].MessageID != "<third@pec.it>" {
		t.Errorf("got %d messages, the last %s, want three", len(list), list[len(list)-1].MessageID)
	}
}
