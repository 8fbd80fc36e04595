package ingest_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"
	"github.com/emersion/go-imap/v2"
	"pgregory.net/rapid"

	"pec-ingest/internal/config"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/pectest"
	"pec-ingest/internal/probe"
	"pec-ingest/internal/schedule"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// lifeMailboxes have names that begin alike, and two of one provider: fewer
// refusals than what the checks take for the provider's own trouble.
var lifeMailboxes = []string{"a@pec.gestore.example", "a@pec.gestore.example.it"}

// owned is one mailbox as it ought to be: what its owner and its provider did,
// and what must follow from the logins that were made.
type owned struct {
	listed  bool
	accepts map[string]bool // by the provider, now
	known   []string        // every password there was, in order

	current string          // the proven password that `get` gives
	broken  bool            // … or not: the provider refuses it now
	pending string          // one that could not be tried yet
	newest  int             // the last of known that was accepted as a new one
	letters map[string]bool // came by letter, and wait to be tried
	done    map[int]bool    // the versions that were entered by hand where they belong
}

// want is what `get` must give; "" = an error of that class.
func (o *owned) want() (password string, class ingest.Class) {
	switch {
	case !o.listed:
		return "", ingest.NotFound
	case o.current != "" && !o.broken:
		return o.current, 0
	case o.pending != "":
		return o.pending, 0
	case o.broken:
		return "", ingest.NeedsPerson
	}
	return "", ingest.NotFound
}

// life is a service and what ought to be in it.
type life struct {
	*bubble
	boxes    map[string]*owned
	provider *pectest.Provider
	n        int             // passwords and letters so far
	down     bool            // the provider does not answer
	using    bool            // an old version is being tried
	offered  map[string]bool // passwords that were brought in this step
	refusals map[string]int  // by mailbox and day
	fault    string          // the first thing that is not as it ought to be
	steps    []string
}

func (l *life) wrong(format string, args ...any) {
	if l.fault == "" {
		l.fault = fmt.Sprintf(format, args...)
	}
}

// login is the provider. What must follow from its answer follows here.
func (l *life) login(_ context.Context, _ probe.Target, login string, password secret.Secret) probe.Result {
	o, p := l.boxes[login], password.RevealString()
	if o == nil || !slices.Contains(o.known, p) {
		l.wrong("login to %q with a password that is not its own", login)
		return probe.Result{Outcome: probe.Refused, Denied: true}
	}
	if !o.listed {
		l.wrong("login to %s, who left", login)
	}
	brought := l.offered[p] || o.letters[p]
	if l.down {
		switch {
		case !brought || l.using:
		case p != o.current || o.broken:
			o.pending = p
		default: // the one that works, again: what was brought since is given up
			o.pending = ""
		}
		return probe.Result{Outcome: probe.Network, Detail: "down"}
	}
	if o.letters[p] && !l.using && slices.Index(o.known, p) < o.newest {
		l.wrong("login to %s with a letter's password after a newer one was accepted", login)
	}
	delete(o.letters, p)
	if !o.accepts[p] {
		day := refusalDay(login)
		if l.refusals[day]++; l.refusals[day] > ingest.MaxRefusals {
			l.wrong("%d refused logins to %s in a day", l.refusals[day], login)
		}
		if o.pending == p {
			o.pending = ""
		}
		if o.current == p && !brought {
			o.broken = true
		}
		return probe.Result{Outcome: probe.Refused, Detail: "no", Denied: true, Sent: true}
	}
	if o.pending == p || o.current == p || brought {
		o.current, o.broken, o.pending = p, false, ""
		if !l.using {
			o.newest = max(o.newest, slices.Index(o.known, p))
		}
	}
	return probe.Result{Outcome: probe.Accepted, Sent: true}
}

// refusalDay is the mailbox and the day that refusals are counted by.
func refusalDay(mailbox string) string {
	return mailbox + time.Now().In(roma()).Format(time.DateOnly)
}

// read notes what a pass made of the letters that it found: only the last
// password counts, and it waits where the mailbox has had its refusals of the
// day. The ones before it are history, and never tried.
func (l *life) read(mailbox string) {
	o := l.boxes[mailbox]
	last := len(o.known) - 1
	for _, p := range o.known[:last] {
		delete(o.letters, p)
	}
	if p := o.known[last]; o.letters[p] && l.refusals[refusalDay(mailbox)] >= ingest.MaxRefusals {
		o.pending = p
	}
}

func roma() *time.Location {
	loc, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		panic(err)
	}
	return loc
}

// fresh is a new password of a mailbox; its provider takes it or not.
func (l *life) fresh(o *owned, accepted bool) string {
	l.n++
	p := fmt.Sprintf("Qx%04dRz%d", 1000+l.n, len(o.known))
	o.known = append(o.known, p)
	o.accepts[p] = accepted
	return p
}

func (l *life) open() {
	cfg, err := config.Load(filepath.Join(l.dir, "config.toml"))
	if err != nil {
		l.t.Fatal(err)
	}
	s, err := ingest.Open(cfg, ingest.Writing, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		l.t.Fatal(err)
	}
	s.DialInbox, s.InboxPassword, s.Login = l.dial, func() (secret.Secret, error) { return secret.FromString("giusta"), nil }, l.login
	l.service = s
}

// lifeStep is one thing that happens, on one of the mailboxes; arg says more.
type lifeStep struct {
	do  string
	box int
	arg int
}

var lifeSteps = []string{"set", "set", "set refused", "letter", "letter", "letter refused", "two letters", "owner changes", "owner goes back",
	"use", "report", "wait", "month", "remove", "add", "used", "rekey", "restore", "down", "up", "set again"}

func (l *life) step(s lifeStep) {
	ctx := context.Background()
	mailbox := lifeMailboxes[s.box]
	o := l.boxes[mailbox]
	clear(l.offered)
	time.Sleep(time.Duration(1+s.arg) * time.Minute)
	set := func(p string) {
		l.offered[p] = true
		before := o.current
		sec := secret.FromString(p)
		defer sec.Wipe()
		r, err := l.service.Set(ctx, ingest.SetRequest{Actor: "test", Mailbox: mailbox, Secret: sec}, time.Now())
		switch {
		case err == nil && o.current != p && o.pending != p:
			l.wrong("set of a password that was not tried: %+v", r)
		case err != nil && o.current != before:
			l.wrong("set of an accepted password: %v", err)
		}
	}
	switch s.do {
	case "set":
		if o.listed {
			set(l.fresh(o, true))
		}
	case "set refused":
		if o.listed {
			set(l.fresh(o, false))
		}
	case "set again":
		if o.listed && o.current != "" {
			set(o.current)
		}
	case "letter", "letter refused":
		l.letter(mailbox, l.fresh(o, s.do == "letter"), time.Minute/2)
		l.once()
		l.read(mailbox)
	case "two letters":
		l.letter(mailbox, l.fresh(o, true), time.Minute/2)
		l.letter(mailbox, l.fresh(o, s.arg%2 == 0), time.Minute/4)
		l.once()
		l.read(mailbox)
	case "owner changes": // and tells nobody yet
		clear(o.accepts)
	case "owner goes back":
		if len(o.known) > 0 {
			o.accepts[o.known[s.arg%len(o.known)]] = true
		}
	case "use":
		l.use(mailbox, s.arg)
	case "report":
		r, err := l.service.ReportRefused(ctx, "test", mailbox, "", time.Now())
		if err == nil && r.Probe == string(probe.Refused) && !o.broken && o.current != "" && o.pending == "" {
			l.wrong("report: %+v, and nothing was refused", r)
		}
	case "wait":
		time.Sleep(time.Duration(s.arg) * 8 * time.Hour)
		l.once()
	case "month":
		for range s.arg {
			time.Sleep(20 * 24 * time.Hour)
			l.once()
		}
	case "remove":
		if err := l.service.RemoveClient(ctx, "test", mailbox, time.Now()); (err == nil) != o.listed {
			l.wrong("remove of a client, listed %v: %v", o.listed, err)
		}
		o.listed, o.current, o.broken, o.pending = false, "", false, ""
		clear(o.letters)
		clear(o.done)
	case "add":
		l.add(mailbox)
	case "used":
		if p, _ := o.want(); p != "" {
			rows, err := l.service.PlaceDone(ctx, "test", mailbox, "", "Nuvola", time.Now())
			if err != nil {
				l.wrong("used: %v", err)
			}
			for _, row := range rows {
				o.done[row.Version] = true
			}
		}
	case "rekey":
		l.rekey(s.arg%2 == 0)
	case "restore":
		l.restore(o, mailbox, s.arg)
	case "down":
		l.down = true
	case "up":
		l.down = false
	}
}

func (l *life) add(mailbox string) {
	provider := "prova"
	_, _, err := l.service.AddClient(context.Background(), "test", mailbox, ingest.ClientFields{Provider: &provider, UsedIn: []string{"Nuvola"}}, time.Now())
	if err != nil {
		l.wrong("add: %v", err)
	}
	l.boxes[mailbox].listed = true
}

// letter puts a submission, so old, into the inbox.
func (l *life) letter(from, password string, age time.Duration) {
	l.n++
	if o := l.boxes[from]; o.listed {
		o.letters[password] = true
	}
	at := time.Now().Add(-age).Truncate(time.Second)
	e := pectest.Envelope{Provider: l.provider, Sender: from, Recipients: []string{studioUser}, Subject: "Nuova password", SentAt: at,
		MsgID: fmt.Sprintf("<%d@client.example>", l.n),
		Letter: pectest.Letter{From: from, To: studioUser, Subject: "Nuova password", Date: at,
			Text: "Buongiorno,\r\n\r\nPassword per programmi di posta: " + password + "\r\n\r\nCordiali saluti\r\n"}}
	raw := e.Bytes()
	if _, err := l.user.Append("INBOX", lifeLiteral{bytes.NewReader(raw), int64(len(raw))}, &imap.AppendOptions{Time: time.Now()}); err != nil {
		l.t.Fatal(err)
	}
}

type lifeLiteral struct {
	*bytes.Reader
	n int64
}

func (l lifeLiteral) Size() int64 { return l.n }

// once makes a pass and what is due.
func (l *life) once() {
	if _, err := l.service.Once(context.Background(), ingest.RunOptions{}); err != nil {
		l.wrong("once: %v", err)
	}
	l.cut()
}

// use goes back to one of the versions.
func (l *life) use(mailbox string, arg int) {
	o := l.boxes[mailbox]
	rows, err := l.service.History(context.Background(), mailbox)
	if err != nil || len(rows) == 0 {
		return
	}
	row := rows[arg%len(rows)]
	before := *o
	for _, p := range o.known {
		l.offered[p] = true // whichever is tried becomes the current one
	}
	l.using = true
	r, err := l.service.Use(context.Background(), "test", mailbox, "", row.Version, time.Now())
	l.using = false
	switch {
	case err != nil && o.current != before.current:
		l.wrong("use of version %d, accepted: %v", row.Version, err)
	case err == nil && (l.down || !row.HasSecret || o.broken):
		l.wrong("use of version %d: got %+v", row.Version, r)
	}
}

// rekey seals everything anew, perhaps to one more recipient.
func (l *life) rekey(more bool) {
	if more {
		key, err := age.GenerateX25519Identity()
		if err != nil {
			l.t.Fatal(err)
		}
		f, err := os.OpenFile(filepath.Join(l.dir, "recipients.txt"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			l.t.Fatal(err)
		}
		fmt.Fprintln(f, key.Recipient())
		f.Close()
		l.close()
		l.open()
	}
	if _, err := l.service.Rekey(context.Background(), "test"); err != nil {
		l.wrong("rekey: %v", err)
	}
}

// restore goes back to a backup; what was set since is lost.
func (l *life) restore(o *owned, mailbox string, arg int) {
	ctx := context.Background()
	path := filepath.Join(l.dir, fmt.Sprintf("backup-%d.db", l.n))
	l.n++
	if _, err := ingest.SaveBackup(ctx, l.service, "test", path); err != nil {
		l.wrong("backup: %v", err)
		return
	}
	before := *o
	if o.listed && !l.down && arg%2 == 0 {
		p := l.fresh(o, true)
		l.offered[p] = true
		sec := secret.FromString(p)
		_, _ = l.service.Set(ctx, ingest.SetRequest{Actor: "test", Mailbox: mailbox, Secret: sec}, time.Now())
		sec.Wipe()
	}
	known := o.known
	*o = before
	o.known = known
	l.close()
	file := filepath.Join(l.dir, "vault", "vault.db")
	if err := os.Remove(file); err != nil {
		l.t.Fatal(err)
	}
	cfg, err := config.Load(filepath.Join(l.dir, "config.toml"))
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := ingest.Restore(ctx, cfg, "test", path, time.Now(), slog.New(slog.DiscardHandler), nil); err != nil {
		l.wrong("restore: %v", err)
	}
	l.open()
}

// check compares all that can be asked with what ought to be.
func (l *life) check() {
	ctx := context.Background()
	for _, mailbox := range lifeMailboxes {
		o := l.boxes[mailbox]
		want, class := o.want()
		p, err := l.service.Get(ctx, "test", mailbox, "", time.Now())
		switch {
		case want == "" && (err == nil || ingest.ClassOf(err) != class):
			l.wrong("get %s: got version %d, %v; want an error of class %v", mailbox, p.Version, err, class)
		case want != "" && (err != nil || p.Secret.RevealString() != want):
			l.wrong("get %s: got %q (version %d), %v; want %q", mailbox, p.Secret.RevealString(), p.Version, err, want)
		}
		rows, err := l.service.Status(ctx, mailbox, time.Now())
		if !o.listed {
			if err == nil && len(rows) > 0 {
				l.wrong("status of %s, who left: %+v", mailbox, rows)
			}
			continue
		}
		if err != nil || len(rows) != 1 {
			l.wrong("status of %s: %+v, %v", mailbox, rows, err)
			continue
		}
		if got, missing := rows[0].State, o.current == "" && o.pending == ""; (got == schedule.StateMissing) != missing ||
			(got == schedule.StateBroken) != (o.broken && o.pending == "") {
			l.wrong("status of %s: got %s; want missing = %v, broken = %v, pending %q", mailbox, got, missing, o.broken, o.pending)
		}
		places, err := l.service.Places(ctx, mailbox)
		if err != nil {
			l.wrong("used: %v", err)
		}
		for _, row := range places {
			if want != "" && (row.Version != p.Version || row.Open == o.done[row.Version]) {
				l.wrong("place of %s, version %d of %d: open = %v", mailbox, row.Version, p.Version, row.Open)
			}
		}
	}
}

// finish looks at what is on the disk.
func (l *life) finish() {
	if _, _, err := l.service.AuditVerify(context.Background()); err != nil {
		l.wrong("audit: %v", err)
	}
	l.close()
	err := filepath.WalkDir(l.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, o := range l.boxes {
			for _, p := range o.known {
				if bytes.Contains(b, []byte(p)) {
					l.wrong("%s holds the password %q", d.Name(), p)
				}
			}
		}
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := vault.VerifyFile(filepath.Join(l.dir, "vault", "vault.db")); err != nil {
		l.wrong("the vault: %v", err)
	}
}

// lifeStories were found by chance, and are played each time.
var lifeStories = [][]lifeStep{
	// Only the newest of several letters counts, also when it is refused.
	{{"set", 0, 0}, {"owner changes", 0, 0}, {"use", 0, 0}, {"two letters", 0, 9}, {"two letters", 0, 7}, {"month", 0, 1}},
	// The proven password is refused, and the new one can't be tried today: it
	// is given, and belongs where the other was.
	{{"letter", 0, 7}, {"set", 1, 5}, {"up", 1, 5}, {"wait", 1, 5}, {"set refused", 1, 1}, {"letter refused", 0, 5}, {"owner goes back", 1, 3},
		{"owner changes", 0, 7}, {"use", 1, 1}, {"set", 1, 7}, {"letter refused", 0, 3}, {"letter", 0, 2}, {"used", 0, 0}, {"month", 0, 1}},
	// The refused password is entered again while nobody answers, with and
	// without another one that waits; and the proven one.
	{{"set", 0, 0}, {"owner changes", 0, 0}, {"month", 0, 1}, {"down", 0, 0}, {"set again", 0, 0}, {"up", 0, 0}, {"month", 0, 1}},
	{{"set", 0, 0}, {"owner changes", 0, 0}, {"month", 0, 1}, {"down", 0, 0}, {"set", 0, 0}, {"set again", 0, 0}, {"up", 0, 0}, {"month", 0, 1}},
	{{"letter", 0, 4}, {"down", 0, 4}, {"owner changes", 0, 5}, {"set", 0, 9}, {"set again", 0, 5}, {"up", 0, 3}, {"wait", 0, 1}},
	{{"set", 0, 6}, {"owner changes", 0, 1}, {"month", 0, 2}, {"down", 0, 0}, {"set again", 0, 6}, {"letter", 0, 0}, {"up", 0, 0}, {"month", 0, 1}},
	// A program reports the proven one while a new one waits that is refused.
	{{"set", 0, 7}, {"down", 0, 1}, {"two letters", 0, 7}, {"up", 0, 0}, {"report", 0, 3}},
}

// Whatever happens, in whatever order: `get` gives the mailbox's own password,
// the newest one that its provider accepted, or none; the status agrees, the
// audit log is whole, and no password stands on the disk.
func TestLife(t *testing.T) {
	// Each run makes a vault, and real commits: few, and the same ones, unless
	// the command line asks for more (-rapid.checks, -rapid.seed).
	for name, value := range map[string]string{"rapid.checks": "15", "rapid.seed": "1"} {
		f := flag.Lookup(name)
		before := f.Value.String()
		if before != f.DefValue {
			continue
		}
		if err := f.Value.Set(value); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Value.Set(before) }()
	}
	provider := pectest.NewAuthority("pec").Provider(triageSigner, "GESTORE DI PROVA S.p.A.")
	for _, steps := range lifeStories {
		synctest.Test(t, func(t *testing.T) {
			if fault := runLife(t, provider, steps); fault != "" {
				t.Error(fault)
			}
		})
	}
	one := rapid.Custom(func(t *rapid.T) lifeStep {
		return lifeStep{rapid.SampledFrom(lifeSteps).Draw(t, "do"), rapid.IntRange(0, 1).Draw(t, "box"), rapid.IntRange(0, 9).Draw(t, "arg")}
	})
	rapid.Check(t, func(rt *rapid.T) {
		// Drawn before, since a bubble has goroutines of its own.
		steps := rapid.SliceOfN(one, 20, 40).Draw(rt, "steps")
		var fault string
		synctest.Test(t, func(t *testing.T) { fault = runLife(t, provider, steps) })
		if fault != "" {
			rt.Fatal(fault)
		}
	})
}

func runLife(t *testing.T, provider *pectest.Provider, steps []lifeStep) string {
	time.Sleep(time.Until(time.Date(2026, 1, 7, 12, 0, 0, 0, time.UTC))) // certificates for PEC are not of the year 2000
	dir := t.TempDir()
	layBubble(t, dir, fmt.Sprintf("[trust]\nanchors = [\"pec.pem\"]\nbuiltin = false\n[[provider]]\nid = \"prova\"\nsigner = %q\nimap = \"imap.client.example:993\"\n", triageSigner))
	if err := os.WriteFile(filepath.Join(dir, "pec.pem"), pectest.NewAuthority("pec").RootPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), "[vault]\n", "purge_after = \"30d\"\n[vault]\n", 1))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	l := &life{bubble: openBubble(t, dir), provider: provider, boxes: map[string]*owned{}, offered: map[string]bool{}, refusals: map[string]int{}}
	l.service.Login = l.login
	for _, m := range lifeMailboxes {
		l.boxes[m] = &owned{accepts: map[string]bool{}, letters: map[string]bool{}, done: map[int]bool{}}
		l.add(m)
	}
	for _, s := range steps {
		l.steps = append(l.steps, fmt.Sprint(s))
		l.step(s)
		l.check()
		if l.fault != "" {
			break
		}
	}
	l.finish()
	l.cut()
	synctest.Wait()
	if l.fault != "" {
		return fmt.Sprintf("after %s: %s", strings.Join(l.steps, " "), l.fault)
	}
	return ""
}
