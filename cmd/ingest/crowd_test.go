package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/config"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/pectest"
	"pec-ingest/internal/servertest"
)

// crowd is a studio with many clients and a full inbox, of which it is known
// what must come out.
type crowd struct {
	*studio
	names  []string
	want   map[string]string  // current password; clients whose newest is refused are not in it
	stay   []pectest.Envelope // in the inbox
	filed  []pectest.Envelope
	warned map[string]bool // whose password is 83 days old: not answered, but warned
	asked  map[string]bool // whose login two leaders died over: a person was asked
}

// newCrowd makes n clients. Each has sent an old password and the one that
// works, a tenth of them one that is refused, and letters lie between them.
// Every third password is old enough to be warned of.
func newCrowd(t *testing.T, n, letters int, config func(string) string) *crowd {
	t.Helper()
	c := &crowd{want: map[string]string{}, warned: map[string]bool{}, asked: map[string]bool{}}
	var users []servertest.User
	csv := "mailbox;name\n"
	for i := range n {
		name := fmt.Sprintf("cliente%04d@pec.gestore.example", i)
		c.names = append(c.names, name)
		c.want[name] = fmt.Sprintf("Pw%04dkX", i)
		users = append(users, servertest.User{Name: name, Password: c.want[name]})
		csv += name + ";Ditta\n"
	}
	c.studio = newStudio(t, studioOptions{smtp: true, clients: []string{}, users: users, config: func(text string) string {
		return strings.Replace(config(text), "max_per_minute = 600", "max_per_minute = 1000", 1)
	}})
	file := filepath.Join(t.TempDir(), "clients.csv")
	if err := os.WriteFile(file, []byte(csv), 0o600); err != nil {
		t.Fatal(err)
	}
	c.ok("client", "import", file)
	const days = 24
	for i, name := range c.names {
		age, password := 1+float64(i%90), c.want[name]
		switch {
		case i%10 == 9:
			password = "sbagl1ata9" // newest, and refused
			delete(c.want, name)
		case i%3 == 0:
			age += 83 * days
			c.warned[name] = true
		}
		c.filed = append(c.filed, c.submission(name, age+100, fmt.Sprintf("Vecchia%04d", i)), c.submission(name, age, password))
	}
	for i := range letters {
		c.stay = append(c.stay, c.letter(c.names[i%n], float64(i%140), "Fattura", "In allegato la fattura del mese.\n"))
	}
	all := append(append([]pectest.Envelope{}, c.filed...), c.stay...)
	c.deliver(all...)
	return c
}

// leading is the state of the one that leads; nil while nobody does.
func leading(list []*member) *ingest.DaemonState {
	for _, m := range list {
		if d := m.state(); d != nil && d.Leading {
			return d
		}
	}
	return nil
}

// done tells whether every submission is settled and every message on its way.
func (c *crowd) done(list []*member) bool {
	d := leading(list)
	return d != nil && d.LastPassAt != nil && d.Waiting.Open == 0 && d.Waiting.Outbox == 0
}

// complete waits until everything is done, as long as something moves.
func (c *crowd) complete(list []*member) {
	c.t.Helper()
	const still = 5 * time.Minute
	var before string
	for since := time.Now(); ; time.Sleep(500 * time.Millisecond) {
		now := "nobody leads"
		if d := leading(list); d != nil {
			if d.LastPassAt != nil && d.Waiting.Open == 0 && d.Waiting.Outbox == 0 {
				return
			}
			now = fmt.Sprintf("%+v, %d sent, %d in the inbox; %s", d.Waiting, len(c.sink.received()), len(c.imap.Messages(studioPEC, "INBOX")), d.LastError)
		}
		if now != before {
			before, since = now, time.Now()
		}
		if time.Since(since) > still {
			c.t.Fatalf("nothing moves any more: %s", now)
		}
	}
}

// decide answers what a person is asked: only whether to try once more where
// two leaders, one after the other, died between a login and its record.
func (c *crowd) decide(by *member, mayAsk int) {
	c.t.Helper()
	rows := c.rows("review", "list", "--json")
	for _, r := range rows {
		n, mailbox := fmt.Sprint(r["n"]), r["mailbox"].(string)
		if r["reason"] != ingest.ReviewCrashed {
			c.t.Errorf("%s waits for a person: %v", mailbox, r["reason"])
		}
		c.asked[mailbox] = true
		if res := by.run("", "review", "approve", n); (res.code == exitOK) != (c.want[mailbox] != "") {
			c.t.Errorf("approving %s of %s: %s", n, mailbox, res)
		}
		if c.want[mailbox] == "" { // the provider said no
			by.run("", "review", "reject", n, "--tell", "--reason", "rifiutata")
		}
	}
	if len(rows) > mayAsk {
		c.t.Errorf("%d submissions wait for a person, want one for two kills at most", len(rows))
	}
}

// check compares with the truth: each password once, each message once, each
// mailbox logged in to once, or once more for a leader that died over it.
func (c *crowd) check(mayRepeat int) {
	c.t.Helper()
	cfg, err := config.Load(c.configPath())
	if err != nil {
		c.t.Fatal(err)
	}
	s, err := ingest.Open(cfg, ingest.Writing, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	defer s.Close()
	ctx := context.Background()
	for _, name := range c.names {
		password, good := c.want[name]
		versions, err := s.History(ctx, name)
		if err != nil {
			c.t.Fatal(err)
		}
		want := "superseded"
		if good {
			want = "superseded proven"
		}
		var got []string
		for _, v := range versions {
			got = append(got, v.State)
		}
		if strings.Join(got, " ") != want {
			c.t.Errorf("versions of %s: got %q, want %s", name, got, want)
		}
		if !good {
			continue
		}
		p, err := s.Get(ctx, "reader", name, "", time.Now())
		if err != nil {
			c.t.Errorf("get %s: %v", name, err)
		} else if p.Secret.RevealString() != password {
			c.t.Errorf("get %s: not the one that works", name)
		}
		p.Secret.Wipe()
	}
	c.checkMails(ctx, s, mayRepeat)
	c.wantFolders(c.stay, c.filed)
	c.ok("audit", "--verify")
	c.checkLogins(mayRepeat)
}

// checkMails: each client gets one message, the answer or the warning.
func (c *crowd) checkMails(ctx context.Context, s *ingest.Service, mayRepeat int) {
	c.t.Helper()
	mails, ids := map[string]int{}, map[string]int{}
	for _, m := range c.sink.received() {
		mails[m.To]++
		ids[m.ID]++
	}
	for id, n := range ids {
		if n > 1 {
			c.t.Errorf("message %s was sent %d times", id, n)
		}
	}
	rows, err := s.Outbox(ctx, true)
	if err != nil {
		c.t.Fatal(err)
	}
	kinds, inDoubt := map[string]string{}, map[string]bool{}
	for _, r := range rows {
		kinds[r.To] += r.Kind
		inDoubt[r.To] = r.State == "in-doubt"
	}
	missing := 0
	for _, name := range c.names {
		want := "accepted"
		if c.want[name] == "" {
			want = "refused"
		} else if c.warned[name] {
			want = "expiring"
		}
		if c.asked[name] { // is told that somebody looks at it, too
			continue
		}
		if kinds[name] != want {
			c.t.Errorf("messages to %s: got %q, want one: %s", name, kinds[name], want)
		}
		switch {
		case mails[name] > 1:
			c.t.Errorf("%s got %d messages", name, mails[name])
		case mails[name] == 0 && !inDoubt[name]:
			c.t.Errorf("%s got no message, and none is in doubt", name)
		case mails[name] == 0: // its sender died over it: shown to a person, never sent again
			missing++
		}
	}
	if missing > mayRepeat {
		c.t.Errorf("%d messages are in doubt, want one a kill at most", missing)
	}
	c.t.Logf("%d messages arrived, %d are in doubt", len(c.sink.received()), missing)
}

func (c *crowd) checkLogins(mayRepeat int) {
	c.t.Helper()
	repeated := 0
	logins := c.clients.LoginsOf(c.names)
	for _, name := range c.names {
		l := logins[name]
		_, good := c.want[name]
		if c.asked[name] {
			if l.OK+l.Refused != 3 {
				c.t.Errorf("%s saw %+v logins, want two without an answer and the person's", name, l)
			}
			repeated++
			continue
		}
		if n := l.OK + l.Refused; n < 1 || n > 2 || good && l.Refused > 0 || !good && l.OK > 0 {
			c.t.Errorf("%s saw %+v logins", name, l)
		}
		repeated += l.OK + l.Refused - 1
	}
	if repeated > mayRepeat {
		c.t.Errorf("%d logins were repeated, want one a kill at most (%d)", repeated, mayRepeat)
	}
	c.t.Logf("%d logins were repeated over %d kills", repeated, mayRepeat)
}
