package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/pectest"
	"pec-ingest/internal/schedule"
	"pec-ingest/internal/servertest"
	"pec-ingest/internal/vault"
)

// The cast of the tests. Addresses end in ".example": nobody's.
const (
	studioPEC = "studio@pec.studio.example"
	signerPEC = "posta-certificata@pec.gestore.example"
	inboxPass = "St€dio \"Pass\\word\" 1"

	rossi   = "rossi@pec.gestore.example"
	bianchi = "bianchi@pec.gestore.example"
	verdi   = "verdi@pec.gestore.example"
	neri    = "neri@pec.gestore.example"
)

// passwords that the clients' mailboxes accept.
var passwords = map[string]string{
	rossi: "Xk7pQ2", bianchi: "h7%Kd-29qT", verdi: "Rq4w$Zb8", neri: "mN6tR1vz",
}

// processed is where Dovecot keeps the processed folder.
const processed = "INBOX.Password acquisite"

// studio is a whole installation: a Dovecot with the studio's inbox and the
// clients' mailboxes, a PEC authority, a configuration made by `ingest init`
// and mended as a person would, and clients on record.
type studio struct {
	t        *testing.T
	dir      string // of the configuration
	vaultDir string
	imap     *servertest.Dovecot // the studio's inbox
	clients  *servertest.Dovecot // the clients' mailboxes: the same one, unless options.apart
	genuine  *pectest.Provider
	sink     *sink // nil without options.smtp
	n        int   // letters made so far
	day      time.Time
}

type studioOptions struct {
	clients []string                   // nil: all of passwords
	apart   bool                       // the clients' mailboxes on a server of their own
	users   []servertest.User          // beside the inbox and the clients in passwords
	day     time.Time                  // "now" for the letters; zero: now
	smtp    bool                       // with a sink that takes what is sent
	postfix []string                   // instead of a sink a Postfix, which delivers to these
	config  func(config string) string // edits config.toml before it is first used
	extra   string                     // more lines for dovecot.conf
	vault   string                     // folder of the vault; "" = below dir
}

func newStudio(t *testing.T, o studioOptions) *studio {
	t.Helper()
	awayFromTurns()
	inbox := servertest.User{Name: studioPEC, Password: inboxPass}
	users := o.users
	for mailbox, password := range passwords {
		users = append(users, servertest.User{Name: mailbox, Password: password})
	}
	s := &studio{t: t, dir: filepath.Join(t.TempDir(), "etc"), day: time.Now().Truncate(time.Second)}
	if o.apart {
		s.imap = servertest.StartDovecot(t, servertest.DovecotOptions{Users: []servertest.User{inbox}, Extra: o.extra})
		s.clients = servertest.StartDovecot(t, servertest.DovecotOptions{Users: users, CA: s.imap.CA()})
	} else {
		s.imap = servertest.StartDovecot(t, servertest.DovecotOptions{Users: append(users, inbox), Extra: o.extra})
		s.clients = s.imap
	}
	if !o.day.IsZero() {
		s.day = o.day
	}
	authority := pectest.NewAuthority("pec")
	s.genuine = authority.Provider(signerPEC, "GESTORE DI PROVA S.p.A.")
	if o.smtp {
		s.sink = startSink(t, s.imap.CA(), studioPEC, inboxPass)
	}
	if o.postfix != nil {
		s.sink = postfixSink(t, s.imap, o.postfix)
	}

	s.ok("init", s.dir)
	s.vaultDir = o.vault
	if s.vaultDir == "" {
		s.vaultDir = filepath.Join(s.dir, "vault")
	}
	config := s.config()
	if o.config != nil {
		config = o.config(config)
	}
	s.write("config.toml", config, 0o644)
	s.write("pec.pem", string(authority.RootPEM()), 0o644)
	s.write("tls.pem", string(s.imap.CA().PEM()), 0o644)
	s.write("inbox-password", inboxPass+"\n", 0o600)
	clients := o.clients
	if clients == nil {
		for mailbox := range passwords {
			clients = append(clients, mailbox)
		}
		slices.Sort(clients)
	}
	for _, c := range clients {
		s.ok("client", "add", c, "--name", "Ditta "+c[:strings.Index(c, "@")])
	}
	return s
}

func (s *studio) config() string {
	host, port, _ := net.SplitHostPort(s.imap.Addr())
	text := fmt.Sprintf(`[studio]
name = "Studio Prova"
phone = "051 000000"
[inbox]
host = %q
port = %s
username = %q
password_file = "inbox-password"
tls_ca_file = "tls.pem"
max_message = "1MiB"
[trust]
anchors = ["pec.pem"]
builtin = false
[vault]
url = "bbolt://%s/vault.db"
identity_file = "identity.txt"
[web]
listen = ""
socket = %q
[[provider]]
id = "prova"
signer = %q
imap = %q
tls_ca_file = "tls.pem"
validity = "90d"
`, host, port, studioPEC, s.vaultDir, filepath.Join(s.dir, "sock"), signerPEC, s.clients.Addr())
	if s.sink != nil {
		text += fmt.Sprintf(`[smtp]
host = "127.0.0.1"
port = %s
username = %[2]q
password_file = "inbox-password"
from = "Studio Prova <%[2]s>"
tls_ca_file = "tls.pem"
max_per_minute = 600
`, s.sink.portText(), studioPEC)
	}
	return text
}

func (s *studio) write(name, text string, mode os.FileMode) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), mode); err != nil {
		s.t.Fatal(err)
	}
}

// edit changes config.toml.
func (s *studio) edit(old, new string) {
	s.t.Helper()
	b, err := os.ReadFile(s.configPath())
	if err != nil {
		s.t.Fatal(err)
	}
	if !bytes.Contains(b, []byte(old)) {
		s.t.Fatalf("config.toml does not hold %q", old)
	}
	s.write("config.toml", strings.Replace(string(b), old, new, 1), 0o644)
}

func (s *studio) configPath() string { return filepath.Join(s.dir, "config.toml") }
func (s *studio) vaultPath() string  { return filepath.Join(s.vaultDir, "vault.db") }

// result is how a command ended.
type result struct {
	code           int
	stdout, stderr string
}

func (r result) String() string {
	return fmt.Sprintf("exit %d\nstdout: %s\nstderr: %s", r.code, r.stdout, r.stderr)
}

// run runs a command with the studio's configuration, in process.
func (s *studio) run(args ...string) result { return s.runWith("", args...) }

func (s *studio) runWith(stdin string, args ...string) result {
	return runCommand(s.t.Context(), stdin, append([]string{"--config", s.configPath()}, args...)...)
}

func runCommand(ctx context.Context, stdin string, args ...string) result {
	var stdout, stderr bytes.Buffer
	code := run(ctx, args, strings.NewReader(stdin), &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// ok runs a command that must succeed and returns its stdout.
func (s *studio) ok(args ...string) string {
	s.t.Helper()
	return s.exits(exitOK, args...).stdout
}

// exits runs a command that must end with that code.
func (s *studio) exits(code int, args ...string) result {
	s.t.Helper()
	r := s.run(args...)
	if r.code != code {
		s.t.Fatalf("ingest %s: got exit %d, want %d\nstdout: %s\nstderr: %s", strings.Join(args, " "), r.code, code, r.stdout, r.stderr)
	}
	return r
}

// sum is the summary of `once --json`, all of it.
type sum struct {
	Seen, Accepted, Superseded, Extended, Review, Rejected, Ignored, Receipts, Errors int
}

// once makes a pass that must succeed, and compares its summary.
func (s *studio) once(want sum, args ...string) {
	s.t.Helper()
	r := s.exits(exitOK, append([]string{"once", "--json"}, args...)...)
	var got sum
	decode(s.t, r.stdout, &got)
	if got != want {
		s.t.Errorf("summary: got %+v, want %+v\n%s", got, want, r.stderr)
	}
}

// decode reads JSON that must hold nothing that into has no place for.
func decode(t *testing.T, text string, into any) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		t.Fatalf("reading JSON: %v\n%s", err, text)
	}
}

// rows reads a list of objects.
func (s *studio) rows(args ...string) []map[string]any {
	s.t.Helper()
	var rows []map[string]any
	decode(s.t, s.ok(args...), &rows)
	return rows
}

// status is the row of one mailbox in `status --json`.
func (s *studio) status(mailbox string) map[string]any {
	s.t.Helper()
	rows := s.rows("status", "--json", mailbox)
	if len(rows) != 1 {
		s.t.Fatalf("status of %s: got %d rows, want 1: %v", mailbox, len(rows), rows)
	}
	return rows[0]
}

// wantState compares state and version of a mailbox.
func (s *studio) wantState(mailbox, state string, version any) {
	s.t.Helper()
	row := s.status(mailbox)
	if row["state"] != state || row["version"] != version {
		s.t.Errorf("%s: got state %v, version %v, want %s, %v", mailbox, row["state"], row["version"], state, version)
	}
}

// wantGet compares what get prints, to the byte.
func (s *studio) wantGet(mailbox, password string) {
	s.t.Helper()
	if got := s.ok("get", mailbox); got != password+"\n" {
		s.t.Errorf("get %s: got %q, want %q", mailbox, got, password+"\n")
	}
}

// logins counts the logins that a mailbox has seen.
func (s *studio) wantLogins(mailbox string, ok, refused int) {
	s.t.Helper()
	want := servertest.LoginCount{OK: ok, Refused: refused}
	if got := s.clients.Logins(mailbox); got != want {
		s.t.Errorf("logins of %s: got %+v, want %+v", mailbox, got, want)
	}
}

// ago is a moment so many hours before the letters' "now". Every 24 of them
// are a day of the calendar, also where the clocks were changed since.
func (s *studio) ago(hours float64) time.Time {
	days := int(hours / 24)
	rest := time.Duration((hours - float64(24*days)) * float64(time.Hour))
	return s.day.In(rome()).AddDate(0, 0, -days).Add(-rest).Truncate(time.Second).In(s.day.Location())
}

// letter is a message from a client, hours old, ready to be changed and
// delivered. Its text is written with LF.
func (s *studio) letter(from string, hoursAgo float64, subject, text string) pectest.Envelope {
	s.n++
	at := s.ago(hoursAgo)
	return pectest.Envelope{
		Provider: s.genuine, Sender: from, Recipients: []string{studioPEC}, Subject: subject, SentAt: at,
		MsgID: fmt.Sprintf("<%d@client.example>", s.n),
		Letter: pectest.Letter{From: from, To: studioPEC, Subject: subject, Date: at,
			Text: strings.ReplaceAll(text, "\n", "\r\n")},
	}
}

// submission is a plain letter with a password.
func (s *studio) submission(from string, hoursAgo float64, password string) pectest.Envelope {
	return s.letter(from, hoursAgo, "Nuova password per programmi di posta",
		"Buongiorno,\n\nPassword per programmi di posta: "+password+"\n\nCordiali saluti\n")
}

// deliver puts messages into the studio's inbox.
func (s *studio) deliver(envelopes ...pectest.Envelope) {
	s.t.Helper()
	for _, e := range envelopes {
		s.imap.Deliver(studioPEC, "INBOX", e.Bytes(), e.SentAt.Add(time.Minute))
	}
}

// idOf is the Message-ID, with <>, that an envelope has.
func idOf(e pectest.Envelope) string {
	return "<" + strings.TrimSpace(between(string(e.Bytes()), "\r\nMessage-ID: <", ">")) + ">"
}

func between(s, from, to string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, to)
	return s
}

// folder lists the Message-IDs of a folder of the studio, in the order of
// UIDs; a folder that is not there is empty.
func (s *studio) folder(name string) []string {
	s.t.Helper()
	ids := []string{}
	if !slices.Contains(s.imap.Folders(studioPEC), name) {
		return ids
	}
	for _, m := range s.imap.Messages(studioPEC, name) {
		ids = append(ids, m.MessageID)
	}
	return ids
}

// wantFolders compares which messages are where; the processed ones in any
// order.
func (s *studio) wantFolders(inbox, filed []pectest.Envelope) {
	s.t.Helper()
	for _, f := range []struct {
		name string
		want []pectest.Envelope
	}{{"INBOX", inbox}, {processed, filed}} {
		want := []string{}
		for _, e := range f.want {
			want = append(want, idOf(e))
		}
		got := s.folder(f.name)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			s.t.Errorf("%s: got %d messages %v, want %d %v", f.name, len(got), got, len(want), want)
		}
	}
}

// inVault changes the vault behind the program's back: how the tests make
// time pass.
func (s *studio) inVault(fn func(tx *vault.Tx) error) {
	s.t.Helper()
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			s.t.Fatal(err)
		}
		return b
	}
	v, err := vault.Open(vault.Options{Path: s.vaultPath(), Recipients: read("recipients.txt"), Identity: read("identity.txt")})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := errors.Join(v.Update(s.t.Context(), fn), v.Close()); err != nil {
		s.t.Fatal(err)
	}
}

// hoursLater makes the last check of a mailbox, its next one and the last
// report so much older than they are.
func (s *studio) hoursLater(mailbox string, hours int) {
	s.t.Helper()
	by := -time.Duration(hours) * time.Hour
	s.inVault(func(tx *vault.Tx) error {
		cred, ok, err := tx.Credential(mailbox, mailbox)
		if err != nil || !ok {
			return errors.Join(err, errors.New("no such credential"))
		}
		cred.LastCheck.At = cred.LastCheck.At.Add(by)
		cred.ReportedAt = cred.ReportedAt.Add(by)
		if !cred.LastCheck.NextAt.IsZero() {
			cred.LastCheck.NextAt = cred.LastCheck.NextAt.Add(by)
		}
		return tx.PutCredential(cred)
	})
}

// nextDay makes the daily check due, and yesterday's refusals forgotten.
func (s *studio) nextDay(mailboxes ...string) {
	s.t.Helper()
	s.inVault(func(tx *vault.Tx) error {
		for _, m := range mailboxes {
			if err := tx.PutAttempts(vault.Attempts{Mailbox: m, Day: date(-1, time.DateOnly), Refusals: 3}); err != nil {
				return err
			}
		}
		var all []vault.Credential
		if err := tx.Credentials(func(c vault.Credential) error { all = append(all, c); return nil }); err != nil {
			return err
		}
		yesterday := time.Now().Add(-25 * time.Hour)
		for _, c := range all {
			if !c.LastCheck.At.IsZero() {
				c.LastCheck.At = yesterday
				if err := tx.PutCredential(c); err != nil {
					return err
				}
			}
		}
		return tx.PutJob(ingest.JobProbe, yesterday)
	})
}

// snapshot is everything that can be seen of a folder: UIDs, flags, dates and
// bytes.
func (s *studio) snapshot(folder string) string {
	s.t.Helper()
	var b strings.Builder
	for _, m := range s.imap.Messages(studioPEC, folder) {
		fmt.Fprintf(&b, "%d %v %v %d %s\n%x\n", m.UID, m.Flags, m.InternalDate, m.Size, m.MessageID, s.imap.Raw(studioPEC, folder, m.UID))
	}
	return b.String()
}

// history lists "version state" of a mailbox, oldest first, the current one
// marked with *.
func (s *studio) history(mailbox string) string {
	s.t.Helper()
	var words []string
	for _, r := range s.rows("history", "--json", mailbox) {
		w := fmt.Sprintf("%v %v", r["version"], r["state"])
		if r["current"] == true {
			w += "*"
		}
		words = append(words, w)
	}
	return strings.Join(words, ", ")
}

// reviews lists "n mailbox reason" of what waits for a person.
func (s *studio) reviews() []string {
	s.t.Helper()
	list := []string{}
	for _, r := range s.rows("review", "list", "--json") {
		list = append(list, fmt.Sprintf("%v %v %v", r["n"], r["mailbox"], r["reason"]))
	}
	return list
}

// date is a day of the studio's calendar, so many days from now.
func date(days int, layout string) string {
	return time.Now().In(rome()).AddDate(0, 0, days).Format(layout)
}

// rome is where the studio's days begin and end.
func rome() *time.Location {
	loc, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		panic(err)
	}
	return loc
}

// worksToday tells whether today the studio's people get their digest: it is
// no public holiday.
func worksToday() bool {
	p := schedule.Policy{Location: rome()}
	return p.Working(p.Today(time.Now()))
}

// awayFromTurns waits where the day is about to turn, or the hour is about to
// come in which a service tries all passwords or warns by itself (the defaults
// of probe.every and warnings.schedule): what a test expects of "today", and
// how many logins and mails there are, holds until its end.
func awayFromTurns() {
	const enough = 4 * time.Minute
	now := time.Now().In(rome())
	y, m, d := now.Date()
	for _, hour := range []int{6, 9, 24} {
		if left := time.Date(y, m, d, hour, 0, 1, 0, now.Location()).Sub(now); left > 0 && left < enough {
			time.Sleep(left)
		}
	}
}

func userOf(name, password string) servertest.User {
	return servertest.User{Name: name, Password: password}
}
