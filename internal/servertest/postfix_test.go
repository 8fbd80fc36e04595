package servertest_test

import (
	"crypto/tls"
	"net"
	"net/smtp"
	"strings"
	"testing"

	"pec-ingest/internal/servertest"
)

func TestPostfix(t *testing.T) {
	servertest.Require(t, "postfix")
	d := servertest.StartDovecot(t, servertest.DovecotOptions{Users: []servertest.User{{Name: rossi, Password: "a:b€"}}})
	p := servertest.StartPostfix(t, servertest.PostfixOptions{
		Dovecot: d, Reject: map[string]string{"via@pec.example": "550 5.1.1 no such user", "poi@pec.example": "450 4.2.0 later"},
	})
	send := func(addr string, implicit bool, password, to string) error {
		host, _, _ := net.SplitHostPort(addr)
		conf := d.ClientTLS()
		conf.ServerName = host
		var (
			conn net.Conn
			err  error
		)
		if implicit {
			conn, err = tls.Dial("tcp", addr, conf)
		} else {
			conn, err = net.Dial("tcp", addr)
		}
		if err != nil {
			t.Fatal(err)
		}
		c, err := smtp.NewClient(conn, host)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if !implicit {
			if err := c.StartTLS(conf); err != nil {
				t.Fatal(err)
			}
		}
		if password != "" {
			if err := c.Auth(smtp.PlainAuth("", rossi, password, host)); err != nil {
				return err
			}
		}
		if err := c.Mail(rossi); err != nil {
			return err
		}
		if err := c.Rcpt(to); err != nil {
			return err
		}
		w, err := c.Data()
		if err != nil {
			return err
		}
		if _, err := w.Write(letter); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		return c.Quit()
	}
	for _, c := range []struct {
		name, addr   string
		implicit     bool
		password, to string
		want         string // "" is success
	}{
		{"implicit TLS", p.Addr(), true, "a:b€", "verdi@pec.example", ""},
		{"STARTTLS", p.StartTLSAddr(), false, "a:b€", "verdi@pec.example", ""},
		{"wrong password", p.Addr(), true, "x", "verdi@pec.example", "535"},
		{"no login", p.Addr(), true, "", "verdi@pec.example", "554"},
		{"refused for good", p.Addr(), true, "a:b€", "via@pec.example", "550"},
		{"refused for now", p.Addr(), true, "a:b€", "poi@pec.example", "450"},
	} {
		err := send(c.addr, c.implicit, c.password, c.to)
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	if got := p.Await("verdi@pec.example", 2); len(got) != 2 || got[0].MessageID != "<1@pec.example>" {
		t.Errorf("got %+v, want the two messages sent", got)
	}
	// The mailbox is an ordinary one: its owner sees the mail.
	d.AddUser(servertest.User{Name: "verdi@pec.example", Password: "v"})
	if got := login(t, d.Addr(), d.ClientTLS(), "verdi@pec.example", "v"); !strings.HasPrefix(got, "a OK") {
		t.Errorf("got %q", got)
	}
}
