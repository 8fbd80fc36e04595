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
	"pec-ingest/internal/schedule"
	"pec-ingest/internal/secret"
)

// soakClient is what is true of one client, whatever the program believes.
type soakClient struct {
	mailbox  string
	password string    // the one that its mailbox takes
	until    time.Time // and until when
	renewAt  time.Time // when the client makes the next one
	made     []soakPassword
	typo     string // sent wrongly, to be mended the same day
	wrong    int    // wrong ones sent
}

// soakPassword is when a password was sent to the studio, when its mailbox
// first let the program in with it, and when its owner made the next one.
type soakPassword struct{ sent, proven, ended time.Time }

// soakRun is one run of the program. It is quiet when nothing went wrong in
// it but logins to clients' mailboxes.
type soakRun struct {
	begun, ended time.Time
	day          time.Time // of begun, as package schedule keeps days
	quiet        bool
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
	runs     []soakRun
	mails    []soakMail
	ids      map[string]int // Message-ID → how often the provider took it
	cancel   func()         // ends the run that is being made
	moments  map[string]int // of this run, or of the last one, at which it may end
	dieIn    string         // what this run is ended in
	dieAt    int            // and at which of them, 0 = not at all
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
	if v := os.Getenv("PEC_INGEST_SOAK"); v != "" {
		if _, err := fmt.Sscanf(v, "%dx%d", &clients, &days); err != nil {
			t.Fatalf("PEC_INGEST_SOAK=%s: %v, want clients and days, such as 40x730", v, err)
		}
	}
	t.Logf("PEC_INGEST_SEED=%d, %d clients, %d days", seed, clients, days)
	dir := soakDir(t)
	synctest.Test(t, func(t *testing.T) {
		s := newSoak(t, dir, seed, clients)
		for day := range days {
			s.calm = day > days-10
			s.day(day)
			if day%30 == 29 {
				t.Logf("day %d: %d mails, %d letters, %d of %d runs quiet", day+1, len(s.mails), s.letters, s.quietRuns(), len(s.runs))
			}
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
		ids:      map[string]int{}, moments: map[string]int{}, faults: map[string]int{}, refusals: map[string]int{}}
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

// deadly is how many runs there are for one that is ended in its middle.
const deadly = 10

// deaths are where a run may be ended.
var deaths = []string{"login", "send", "answer"}

// planDeath chooses whether and where the next run is ended, as often with
// thousands of logins and mails as with few.
func (s *soak) planDeath() {
	s.dieAt = 0
	if !s.calm && s.chance.IntN(deadly) == 0 {
		s.dieIn = deaths[s.chance.IntN(len(deaths))]
		s.dieAt = 1 + s.chance.IntN(max(1, s.moments[s.dieIn]))
	}
	clear(s.moments)
}

// die is a moment at which the run that is being made may be ended.
func (s *soak) die(where string) {
	if s.moments[where]++; s.cancel != nil && where == s.dieIn && s.moments[where] == s.dieAt {
		s.faults["dies at "+where]++
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
		if p := &c.made[len(c.made)-1]; p.proven.IsZero() {
			p.proven = time.Now()
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
		s.die("answer")
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
		time.Sleep(time.Until(s.born.UTC().AddDate(0, 0, day).Add(time.Duration(hour) * time.Hour)))
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
		c.made[len(c.made)-1].sent = now
	case hour == 7 && !now.Before(c.renewAt) && !s.calm:
		if n := len(c.made); n > 0 {
			c.made[n-1].ended = now
		}
		c.made = append(c.made, soakPassword{})
		c.password, c.until = fmt.Sprintf("Kx%d-%dpQ", len(c.made), s.chance.IntN(100_000)), now.AddDate(0, 0, 90)
		c.renewAt = now.AddDate(0, 0, 70+s.chance.IntN(35)) // some let it expire
		if s.chance.IntN(12) == 0 {
			c.typo = "typo"
			c.wrong++
			s.write(c, fmt.Sprintf("Sbagl%d-%d", len(c.made), s.chance.IntN(1000)))
			return
		}
		s.write(c, c.password)
		c.made[len(c.made)-1].sent = now
	}
}

// once makes a run, which may be ended at any moment; then the program is
// started again.
func (s *soak) once() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.planDeath()
	begun, before := time.Now(), s.troubles()
	_, err := s.service.Once(ctx, ingest.RunOptions{})
	if err != nil && s.calm {
		s.t.Errorf("a run on a calm day: %v", err)
	}
	died := ctx.Err() != nil
	s.runs = append(s.runs, soakRun{begun, time.Now(), schedule.Day(begun, roma()), err == nil && s.troubles() == before && s.away == 0 && s.smtpAway == 0})
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
		if len(c.made) == 0 || c.typo != "" {
			continue
		}
		p, err := s.service.Get(context.Background(), "soak", name, "", time.Now())
		switch {
		case err != nil && time.Now().Before(c.until):
			t.Errorf("%s: %v, want password %d", name, err, len(c.made))
		case err == nil && p.Secret.RevealString() != c.password:
			t.Errorf("%s: got another password than the client's", name)
		}
		late := 0 // the inbox was away for so long that nobody is answered any more
		for _, p := range c.made {
			if p.proven.Sub(p.sent) > ingest.AnswerWithin {
				late++
			}
		}
		if n := countPrefix(got[name], "Password ricevuta"); n > len(c.made) || n < len(c.made)-late {
			t.Errorf("%s: %d answers that a password works, want %d, of which %d were read too late for one", name, n, len(c.made), late)
		}
		if n := countPrefix(got[name], "La password che ci ha inviato non funziona"); n > c.wrong {
			t.Errorf("%s: told %d times that a password does not work, sent %d such", name, n, c.wrong)
		}
		for subject, n := range got[name] { // the date is in it
			if strings.Contains(subject, "scade ") && n > 5 {
				t.Errorf("%s: warned %d times of one date, want 5 at most", name, n)
			}
		}
	}
	s.checkWarnings()
}

// soakWarnings are what a client is told of a password: at the latest by the
// first quiet run so many days before or after the last valid one that finds
// the warnings due, or where sending had failed before, the next morning's.
var soakWarnings = []struct {
	day      int
	subjects []string
}{
	{-10, []string{"La password della PEC scade ", "La password della PEC è scaduta", "La password della PEC non funziona più"}},
	{1, []string{"La password della PEC è scaduta", "La password della PEC non funziona più"}},
}

// checkWarnings: whoever had to be warned, was. A program that is killed in
// each run can warn nobody; but where one quiet run came to the warnings, and
// a later one could send them, nothing excuses it.
func (s *soak) checkWarnings() {
	due, excused := 0, 0
	for _, name := range s.order {
		for _, p := range s.clients[name].made {
			for _, w := range soakWarnings {
				first := schedule.Day(p.sent, roma()).AddDate(0, 0, 90+w.day)
				until := p.ended
				if until.IsZero() {
					until = time.Now()
				}
				if p.proven.IsZero() || !until.After(first.AddDate(0, 0, 1)) {
					continue
				}
				due++
				by, ok := s.warnedBy(first, p.proven, until)
				if !ok {
					if until.After(first.AddDate(0, 0, 5)) {
						excused++
					}
					continue
				}
				if !s.told(name, w.subjects, p.sent, by) {
					s.t.Errorf("%s: sent a password on %s and was not told by %s of any of %q", name, p.sent.Format(time.DateOnly), by.Format(time.DateTime), w.subjects)
				}
			}
		}
	}
	s.t.Logf("%d runs, %d of them quiet; %d times a client had to be warned, %d more without a quiet run for it", len(s.runs), s.quietRuns(), due-excused, excused)
	if excused > 3+due/10 { // of the few of the short form chance may take some
		s.t.Errorf("%d of %d warnings can't be judged: the faults left no quiet run for them", excused, due)
	}
}

// warnedBy is the end of the run by which a warning has left that is due from
// a day on: a quiet one after nine o'clock on a working day gives it, and if
// its sending had failed before, and waits for up to six hours, a quiet one of
// the next mornings sends it.
func (s *soak) warnedBy(first, proven, until time.Time) (at time.Time, ok bool) {
	given := false
	for _, r := range s.runs {
		if !r.ended.Before(until) {
			break
		}
		if !r.quiet || !r.begun.After(proven) || r.day.Before(first) {
			continue
		}
		if given && r.begun.UTC().Hour() == 7 {
			return r.ended, true
		}
		weekend := r.day.Weekday() == time.Saturday || r.day.Weekday() == time.Sunday
		given = given || r.begun.UTC().Hour() >= 11 && !weekend && !schedule.Holiday(r.day)
	}
	return at, false
}

func (s *soak) quietRuns() (n int) {
	for _, r := range s.runs {
		if r.quiet {
			n++
		}
	}
	return n
}

// troubles counts what went wrong so far, but for logins to clients' mailboxes.
func (s *soak) troubles() (n int) {
	for name, times := range s.faults {
		if name != "login" {
			n += times
		}
	}
	return n
}

func countPrefix(by map[string]int, prefix string) (n int) {
	for subject, times := range by {
		if strings.HasPrefix(subject, prefix) {
			n += times
		}
	}
	return n
}

// told tells whether a client got a mail with one of the subjects.
func (s *soak) told(to string, subjects []string, from, until time.Time) bool {
	for _, m := range s.mails {
		for _, subject := range subjects {
			if m.to == to && strings.HasPrefix(m.subject, subject) && m.at.After(from) && !m.at.After(until) {
				return true
			}
		}
	}
	return false
}
