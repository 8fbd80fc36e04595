package ingest_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-imap/v2"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/notify"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
	"pec-ingest/internal/probe"
	"pec-ingest/internal/secret"
)

// soakClient is what is true of one client, whatever the program believes.
type soakClient struct {
	mailbox  string
	password string    // the one that its mailbox takes
	until    time.Time // and until when
	renewAt  time.Time // when the client makes the next one
	n        int       // passwords made so far
	sent     []time.Time
	typo     string // sent wrongly, to be mended tomorrow
	wrong    int    // wrong ones sent
}

// soak is a studio over months of simulated time.
type soak struct {
	*bubble
	chance   *rand.Rand
	provider *pectest.Provider
	clients  map[string]*soakClient
	order    []string

	calm     bool // no faults
	away     int  // days that the inbox stays away
	smtpAway int
	mails    []soakMail
	ids      map[string]int // Message-ID → how often the provider took it
	cancel   func()         // ends the run that is being made
	letters  int
	faults   map[string]int
	refusals map[string]int // logins refused, by mailbox
}

type soakMail struct {
	to, subject string
	at          time.Time
}

// soakConfig is added to a bubble's configuration.
const soakConfig = `[smtp]
host = "smtp.example"
username = "studio@pec.studio.example"
password_file = "smtp-password"
from = "Studio <studio@pec.studio.example>"
max_per_minute = 1000
[trust]
anchors = ["pec.pem"]
builtin = false
[[provider]]
id = "prova"
signer = "posta-certificata@pec.gestore.example"
imap = "imap.gestore.example:993"
validity = "90d"
`

// TestChaosSoak lets months pass with clients who renew in time, late, or with
// a typing error, while inbox, mailboxes and SMTP fail and the program dies at
// moments of chance. In the end everything is as the model says: each current
// password, each answer, and each warning once.
func TestChaosSoak(t *testing.T) {
	clients, days, seed := 8, 200, uint64(1) // the short form lives through the same each time
	if os.Getenv("PEC_INGEST_CHAOS") == "long" {
		clients, days, seed = 400, 730, uint64(time.Now().UnixNano())
	}
	if n, err := strconv.ParseUint(os.Getenv("PEC_INGEST_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("PEC_INGEST_SEED=%d, %d clients, %d days", seed, clients, days)
	dir := soakDir(t)
	synctest.Test(t, func(t *testing.T) {
		s := newSoak(t, dir, seed, clients)
		for day := range days {
			s.calm = day > days-10
			s.day(day)
		}
		s.check()
		s.close()
	})
}

// soakDir is a folder in memory, where there is one: the soak makes hundreds
// of thousands of commits, and what a sync does is another test's.
func soakDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "soak")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func newSoak(t *testing.T, dir string, seed uint64, clients int) *soak {
	time.Sleep(time.Until(time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC))) // pectest's certificates are of our days
	layBubble(t, dir, soakConfig)
	authority := pectest.NewAuthority("pec")
	for name, b := range map[string][]byte{"smtp-password": []byte("prima\n"), "pec.pem": authority.RootPEM()} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &soak{bubble: openBubble(t, dir), chance: rand.New(rand.NewPCG(seed, 1)), clients: map[string]*soakClient{},
		provider: authority.Provider("posta-certificata@pec.gestore.example", "GESTORE DI PROVA S.p.A."),
		ids:      map[string]int{}, faults: map[string]int{}, refusals: map[string]int{}}
	s.seams()
	now := time.Now()
	for i := range clients {
		c := &soakClient{mailbox: fmt.Sprintf("cliente%d@pec.gestore.example", i), renewAt: now.AddDate(0, 0, s.chance.IntN(40))}
		s.clients[c.mailbox] = c
		s.order = append(s.order, c.mailbox)
		if _, _, err := s.service.AddClient(context.Background(), "uid:0(root)", c.mailbox, ingest.ClientFields{}, now); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// fault decides by chance whether something goes wrong now.
func (s *soak) fault(name string, oneIn int) bool {
	if s.calm || s.chance.IntN(oneIn) != 0 {
		return false
	}
	s.faults[name]++
	return true
}

// die ends the run that is being made. With many clients a run has many
// occasions: it must come to its end as often as with few.
func (s *soak) die(where string) {
	if s.cancel != nil && s.fault("dies at "+where, 150*max(1, len(s.clients)/8)) {
		s.cancel()
	}
}

func (s *soak) seams() {
	b := s.bubble
	b.service.DialInbox = func(ctx context.Context, c inbox.Config) (*inbox.Session, error) {
		if s.away > 0 {
			return nil, inbox.ErrNetwork
		}
		return b.dial(ctx, c)
	}
	b.service.Login = func(_ context.Context, _ probe.Target, login string, password secret.Secret) probe.Result {
		s.die("login")
		if s.fault("login", 60) {
			return probe.Result{Outcome: []probe.Outcome{probe.Network, probe.Unavailable, probe.RateLimited}[s.chance.IntN(3)], Sent: true}
		}
		c := s.clients[login]
		if c == nil || password.RevealString() != c.password || time.Now().After(c.until) {
			s.refusals[login]++
			return probe.Result{Outcome: probe.Refused, Sent: true, Denied: true}
		}
		return probe.Result{Outcome: probe.Accepted, Sent: true}
	}
	b.service.Send = func(_ context.Context, _ notify.SMTPConfig, m notify.Mail, beforeDot func() error) (notify.Receipt, error) {
		if s.smtpAway > 0 || s.fault("send", 40) {
			return notify.Receipt{}, &notify.SendError{Temporary: true, ForAll: true, Stage: notify.StageConnect, Detail: "away"}
		}
		s.die("send")
		if err := beforeDot(); err != nil {
			return notify.Receipt{}, err
		}
		lost := s.fault("answer to the dot", 40)
		if !lost || s.chance.IntN(2) == 0 {
			s.took(m)
		}
		if lost {
			return notify.Receipt{}, &notify.SendError{Temporary: true, Stage: notify.StageDot, Detail: "cut"}
		}
		return notify.Receipt{Code: 250}, nil
	}
}

// took is what the provider does with a mail that it has accepted.
func (s *soak) took(m notify.Mail) {
	s.ids[m.MessageID]++
	s.mails = append(s.mails, soakMail{m.To, m.Subject, time.Now()})
	s.letters++
	e := pectest.Envelope{Provider: s.provider, Kind: pec.KindAcceptance, Sender: studioUser, Recipients: []string{m.To}, Subject: "Ricevuta",
		SentAt: time.Now().UTC().Truncate(time.Second), MsgID: "<" + strings.Trim(m.MessageID, "<>") + ">",
		ID: fmt.Sprintf("opec%d.a@pec.gestore.example", s.letters), OwnID: fmt.Sprintf("opec%d.r@pec.gestore.example", s.letters)}
	if !strings.HasSuffix(m.To, ".gestore.example") {
		e.Recipients, e.External = nil, []string{m.To} // has ordinary mail
	}
	s.deliver(e)
}

func (s *soak) deliver(e pectest.Envelope) {
	raw := e.Bytes()
	_, err := s.user.Append("INBOX", literal{bytes.NewReader(raw)}, &imap.AppendOptions{Time: time.Now()})
	if err != nil {
		s.t.Fatal(err)
	}
}

type literal struct{ *bytes.Reader }

func (l literal) Size() int64 { return l.Reader.Size() }

// write sends a client's password to the studio.
func (s *soak) write(c *soakClient, password string) {
	s.letters++
	at := time.Now().UTC().Truncate(time.Second)
	s.deliver(pectest.Envelope{Provider: s.provider, Sender: c.mailbox, Recipients: []string{studioUser},
		Subject: "Nuova password per programmi di posta", SentAt: at, MsgID: fmt.Sprintf("<%d@client.example>", s.letters),
		ID: fmt.Sprintf("opec%d.s@pec.gestore.example", s.letters),
		Letter: pectest.Letter{From: c.mailbox, To: studioUser, Subject: "Nuova password per programmi di posta", Date: at,
			Text: "Buongiorno,\r\n\r\nPassword per programmi di posta: " + password + "\r\n\r\nCordiali saluti\r\n"}})
}

// day is one day: what clients do, what fails, and three runs.
func (s *soak) day(day int) {
	s.away, s.smtpAway = max(s.away-1, 0), max(s.smtpAway-1, 0)
	if s.fault("inbox away for days", 30) {
		s.away = 1 + s.chance.IntN(4)
	}
	if s.fault("smtp away for days", 30) {
		s.smtpAway = 1 + s.chance.IntN(3)
	}
	if s.calm {
		s.away, s.smtpAway = 0, 0
	}
	for _, hour := range []int{7, 11, 17} {
		time.Sleep(time.Until(s.born.AddDate(0, 0, day).Add(time.Duration(hour) * time.Hour)))
		for _, m := range s.order {
			s.act(s.clients[m], hour)
		}
		s.once()
	}
}

// act is what one client does at an hour.
func (s *soak) act(c *soakClient, hour int) {
	now := time.Now()
	switch {
	case c.typo != "" && hour == 11: // told that it doesn't work
		c.typo = ""
		s.write(c, c.password)
		c.sent = append(c.sent, now)
	case hour == 7 && !now.Before(c.renewAt) && !s.calm:
		c.n++
		c.password, c.until = fmt.Sprintf("Kx%d-%dpQ", c.n, s.chance.IntN(100_000)), now.AddDate(0, 0, 90)
		c.renewAt = now.AddDate(0, 0, 70+s.chance.IntN(35)) // some let it expire
		if s.chance.IntN(12) == 0 {
			c.typo = "typo"
			c.wrong++
			s.write(c, fmt.Sprintf("Sbagl%d-%d", c.n, s.chance.IntN(1000)))
			return
		}
		s.write(c, c.password)
		c.sent = append(c.sent, now)
	}
}

// once makes a run, which may be ended at any moment; then the program is
// started again.
func (s *soak) once() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	_, err := s.service.Once(ctx, ingest.RunOptions{})
	if err != nil && s.calm {
		s.t.Errorf("a run on a calm day: %v", err)
	}
	died := ctx.Err() != nil
	s.cancel = nil
	cancel()
	s.cut()
	synctest.Wait()
	if died || s.fault("restart", 20) {
		s.restart()
	}
}

// restart closes the vault and opens it with a new Service.
func (s *soak) restart() {
	s.bubble.close()
	again := openBubble(s.t, s.dir)
	s.service = again.service
	s.seams()
}

// check compares the end with the model.
func (s *soak) check() {
	t := s.t
	t.Logf("faults: %v; %d mails, %d letters", s.faults, len(s.mails), s.letters)
	for id, n := range s.ids {
		if n > 1 {
			t.Errorf("%s was sent %d times", id, n)
		}
	}
	got := map[string]map[string]int{} // to → subject → how often
	for _, m := range s.mails {
		if got[m.to] == nil {
			got[m.to] = map[string]int{}
		}
		got[m.to][m.subject]++
	}
	for _, name := range s.order {
		c := s.clients[name]
		if len(c.sent) == 0 || c.typo != "" {
			continue
		}
		p, err := s.service.Get(context.Background(), "soak", name, "", time.Now())
		switch {
		case err != nil && time.Now().Before(c.until):
			t.Errorf("%s: %v, want password %d", name, err, c.n)
		case err == nil && p.Secret.RevealString() != c.password:
			t.Errorf("%s: got another password than the client's", name)
		}
		if n := countPrefix(got[name], "Password ricevuta"); n != len(c.sent) {
			t.Errorf("%s: %d answers that a password works, want %d", name, n, len(c.sent))
		}
		if n := countPrefix(got[name], "La password che ci ha inviato non funziona"); n > c.wrong {
			t.Errorf("%s: told %d times that a password does not work, sent %d such", name, n, c.wrong)
		}
		for subject, n := range got[name] { // the date is in it
			if strings.Contains(subject, "scade ") && n > 5 {
				t.Errorf("%s: warned %d times of one date, want 5 at most", name, n)
			}
		}
		for i, at := range c.sent {
			next := time.Now()
			if i+1 < len(c.sent) {
				next = c.sent[i+1]
			}
			// Eighty days after, by the latest ten more, the client was told
			// unless a new one had come.
			if next.Sub(at) > 91*24*time.Hour && s.toldBetween(name, at.AddDate(0, 0, 75), at.AddDate(0, 0, 91)) == 0 {
				t.Errorf("%s: sent a password on %s, the next on %s, and was never warned", name, at.Format(time.DateOnly), next.Format(time.DateOnly))
			}
		}
	}
}

func countPrefix(by map[string]int, prefix string) (n int) {
	for subject, times := range by {
		if strings.HasPrefix(subject, prefix) {
			n += times
		}
	}
	return n
}

func (s *soak) toldBetween(to string, from, until time.Time) (n int) {
	for _, m := range s.mails {
		if m.to == to && strings.Contains(m.subject, "scade") && m.at.After(from) && m.at.Before(until) {
			n++
		}
	}
	return n
}
