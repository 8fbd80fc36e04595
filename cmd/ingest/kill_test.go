package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
	"pec-ingest/internal/servertest"
	"pec-ingest/internal/vault"
)

// gallo is a client whose password is on record when the story begins.
const gallo = "gallo@pec.gestore.example"

// killWorkers is how many Dovecots the kill points are shared among.
const killWorkers = 3

// TestKill kills a pass at each of its kill points, the first three times
// that it comes by, and makes another one: nothing may be lost, nothing done
// twice, whatever the point. What is compared with an undisturbed pass: every
// state and version, where each message is, every mail sent, the audit log,
// and that no mailbox saw more than one login too many.
func TestKill(t *testing.T) {
	t.Parallel()
	program := buildKillable(t)
	day := time.Now().Truncate(time.Second)

	first := newKillStudio(t, program, day, 1)
	log := filepath.Join(t.TempDir(), "points")
	want := first.play(0, "PEC_INGEST_KILL_LOG="+log)
	if t.Failed() {
		t.FailNow()
	}
	points := readPoints(t, log)
	t.Logf("%d kill points, and what an undisturbed pass leaves:\n%s", len(points), want.text)
	// Points that no run of this story reaches would go untested unseen.
	for _, name := range declaredPoints(t) {
		if !slices.Contains(points, name+":1") {
			t.Errorf("kill point %s is not reached by this story", name)
		}
	}

	// What died just before its final dot waits an hour for a receipt: that is
	// another story (TestLoopKilled).
	points = slices.DeleteFunc(points, func(p string) bool { return strings.HasPrefix(p, "before-dot:") })
	for w := range killWorkers {
		t.Run(fmt.Sprintf("worker-%d", w+1), func(t *testing.T) {
			t.Parallel()
			s := newKillStudio(t, program, day, len(points))
			for i := w; i < len(points); i += killWorkers {
				point := points[i]
				got := s.play(i, "PEC_INGEST_KILL="+point)
				if !got.killed {
					t.Errorf("%s: the pass was not killed", point)
				}
				if diff := cmp.Diff(want.text, got.text); diff != "" {
					t.Errorf("killed at %s, then done again: the end is another one (-undisturbed +got):\n%s", point, diff)
				}
				for mailbox, n := range want.logins {
					if got.logins[mailbox] > n+1 {
						t.Errorf("killed at %s: %s saw %d logins, want %d or one more", point, mailbox, got.logins[mailbox], n)
					}
				}
			}
		})
	}
}

// buildKillable gives the program with its kill points.
func buildKillable(t *testing.T) string {
	t.Helper()
	path, err := buildKillableOnce()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildKillableOnce = sync.OnceValues(func() (string, error) {
	program, err := buildOnce()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(program), "killable")
	out, err := exec.Command("go", "build", "-tags", "killpoints", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building with kill points: %w\n%s", err, out)
	}
	return path, nil
})

// readPoints lists "name:n" for the first three times that each point is
// reached.
func readPoints(t *testing.T, log string) (points []string) {
	t.Helper()
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatalf("no kill point was reached: %v", err)
	}
	times := map[string]int{}
	for name := range strings.Lines(string(b)) {
		name = strings.TrimSpace(name)
		times[name]++
		if n := times[name]; n <= 3 {
			points = append(points, fmt.Sprintf("%s:%d", name, n))
		}
	}
	return points
}

// declaredPoints finds the kill points in the source.
func declaredPoints(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob("../../internal/ingest/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no source of internal/ingest: %v", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if name := between(line, `killPoint("`, `"`); strings.Contains(line, `killPoint("`) {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		t.Fatal("the source has no kill points")
	}
	return names
}

// killStudio plays the same story again and again, each time on an inbox and
// a vault of its own.
type killStudio struct {
	*studio
	program string
	base    []byte // the vault when the story begins
	sent    string // Message-ID of a reply that was sent before it begins
	log     string // Dovecot's

	// afterKill, if set, is called when a pass was killed, before the next.
	afterKill func()
}

func inboxName(i int) string { return fmt.Sprintf("inbox-%d", i) }

func newKillStudio(t *testing.T, program string, day time.Time, inboxes int) *killStudio {
	t.Helper()
	return newKillStudioOver(t, program, day, inboxes, studioOptions{smtp: true})
}

// newKillStudioOver is newKillStudio with the way that o says for its mail.
func newKillStudioOver(t *testing.T, program string, day time.Time, inboxes int, o studioOptions) *killStudio {
	t.Helper()
	users := []servertest.User{{Name: gallo, Password: "Pw93kLd2"}}
	for i := range inboxes {
		users = append(users, servertest.User{Name: inboxName(i), Password: inboxPass})
	}
	o.day, o.users, o.clients = day, users, []string{bianchi, gallo, neri, rossi, verdi}
	o.config = func(c string) string {
		return strings.Replace(c, "[trust]", "address = [\""+studioPEC+"\"]\n[trust]", 1) +
			"[warnings]\nto_studio = [\"amministrazione@studio.example\"]\n"
	}
	s := &killStudio{program: program, studio: newStudio(t, o)}
	// On record: a password that is due, and to be checked today; a reply
	// that was sent, whose receipt is on its way.
	s.deliver(s.submission(gallo, 24*85, "Pw93kLd2"), s.letter(gallo, 50, "password posta", "Mando domani la password per programmi di posta.\n"))
	s.once(sum{Seen: 2, Accepted: 1, Review: 1})
	if mails := s.sink.received(); len(mails) == 1 {
		s.sent = mails[0].ID
	} else {
		t.Fatalf("before the story: got %d mails, want 1", len(mails))
	}
	s.nextDay()
	s.inVault(func(tx *vault.Tx) error { return tx.PutCursor(vault.Cursor{Folder: "INBOX"}) })
	var err error
	if s.base, err = os.ReadFile(s.vaultPath()); err != nil {
		t.Fatal(err)
	}
	s.log = between(string(s.imap.Doveadm("log", "find")), "Info: ", "\n")
	return s
}

// ending is what a story leaves.
type ending struct {
	killed bool
	text   string
	logins map[string]int
}

// play tells the story once, on inbox i, in the given environment, and what
// it leaves after as many more passes as it takes.
func (s *killStudio) play(i int, env string) ending {
	s.t.Helper()
	before := s.prepare(i)
	var killed bool
	cmd := exec.CommandContext(s.t.Context(), s.program, "--config", s.configPath(), "once", "--warn")
	cmd.Env = append(os.Environ(), env)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
		killed = true
		if s.afterKill != nil {
			s.afterKill()
		}
		s.imap.AwaitGone(inboxName(i)) // what the server was told last is done
		s.exits(exitOK, "once", "--warn")
	case err != nil:
		s.t.Fatalf("%s: %v\n%s", env, err, out)
	}
	s.once(sum{}) // nothing is left to do
	end := s.ending(i, before)
	end.killed = killed
	return end
}

// beginning is what there was when a story began.
type beginning struct {
	mails  int
	logins map[string]int
}

// prepare lays the story's messages into inbox i and the vault back to where
// the story begins.
func (s *killStudio) prepare(i int) beginning {
	s.t.Helper()
	s.studio.n = 2
	for _, e := range s.story() {
		s.imap.Deliver(inboxName(i), "INBOX", e.Bytes(), e.SentAt.Add(time.Minute))
	}
	if err := os.WriteFile(s.vaultPath(), s.base, 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.useInbox(inboxName(i))
	return beginning{len(s.sink.received()), s.allLogins()}
}

// ending describes what the story has left in inbox i, in the vault and
// elsewhere.
func (s *killStudio) ending(i int, before beginning) (end ending) {
	s.t.Helper()
	end.logins = s.allLogins()
	for m := range end.logins {
		end.logins[m] -= before.logins[m]
	}
	end.text = s.describe(inboxName(i), s.sink.received()[before.mails:])
	return end
}

// story is one message of each kind that takes another way.
func (s *killStudio) story() []pectest.Envelope {
	picture := s.letter(neri, 5, "password posta", "La password per programmi di posta è nella foto allegata.\n")
	picture.Letter.Attachments = []pectest.Attachment{{Name: "foto.png", Type: "image/png", Data: []byte("\x89PNG\r\n\x1a\n")}}
	receipt := s.letter(studioPEC, 4, "Promemoria", "")
	receipt.Kind, receipt.Recipients, receipt.MsgID = pec.KindAcceptance, []string{gallo}, s.sent
	receipt.ID, receipt.OwnID = "opec1.receipt@pec.gestore.example", "opec2.receipt@pec.gestore.example"
	return []pectest.Envelope{
		receipt,
		s.submission(rossi, 40, "vecch1a9"),
		s.letter(neri, 30, "Fattura 120", "In allegato la fattura del mese.\n"),
		s.submission(rossi, 20, passwords[rossi]),
		s.submission(bianchi, 10, passwords[bianchi]),
		s.submission(verdi, 8, "quellaDelSito1"),
		s.submission(verdi, 300, "vecch1a8"),
		picture,
	}
}

// useInbox points the configuration to another inbox.
func (s *killStudio) useInbox(name string) {
	s.t.Helper()
	b, err := os.ReadFile(s.configPath())
	if err != nil {
		s.t.Fatal(err)
	}
	old := between(string(b), "username = \"", "\"")
	s.edit("username = \""+old+"\"", "username = \""+name+"\"")
}

// describe writes down everything that counts of the end, times left out.
func (s *killStudio) describe(inbox string, mails []sunk) string {
	s.t.Helper()
	var b strings.Builder
	for _, m := range []string{bianchi, gallo, neri, rossi, verdi} {
		row := s.status(m)
		delete(row, "last_check")
		delete(row, "next_warning_at")
		delete(row, "days_left") // of expires_at, on the day of the question
		fmt.Fprintf(&b, "%v\n", row)
		for _, r := range s.rows("history", "--json", m) {
			for _, when := range []string{"stored_at", "proven_at", "ended_at"} {
				r[when] = r[when] != nil
			}
			fmt.Fprintf(&b, "  %v\n", r)
		}
	}
	for _, r := range s.rows("review", "list", "--all", "--json") {
		delete(r, "opened_at")
		fmt.Fprintf(&b, "review %v\n", r)
	}
	for _, f := range []string{"INBOX", processed} {
		var lines []string
		for _, m := range s.imap.Messages(inbox, f) {
			lines = append(lines, fmt.Sprintf("  %s %v\n", m.MessageID, m.Flags))
		}
		slices.Sort(lines)
		fmt.Fprintf(&b, "%s\n%s", f, strings.Join(lines, ""))
	}
	var lines []string
	for _, m := range mails {
		lines = append(lines, fmt.Sprintf("mail to %s: %s\n", m.To, m.Subject))
	}
	for _, r := range s.rows("outbox", "list", "--all", "--json") {
		lines = append(lines, fmt.Sprintf("outbox %v to %v %v\n", r["kind"], r["to"], wentOut(r, mails)))
	}
	for _, r := range s.rows("audit", "--json") {
		lines = append(lines, fmt.Sprintf("audit %v %v %v %v %v\n", r["actor"], r["event"], r["mailbox"], r["version"], r["detail"]))
	}
	slices.Sort(lines)
	b.WriteString(strings.Join(lines, ""))
	s.ok("audit", "--verify")
	return b.String()
}

// wentOut: after a crash a message that was sent may be "in-doubt" for ever,
// if it is one that did arrive; where the provider's receipt settles that, it
// is "accepted".
func wentOut(row map[string]any, mails []sunk) any {
	arrived := slices.ContainsFunc(mails, func(m sunk) bool { return m.ID == row["message_id"] })
	if arrived && (row["state"] == vault.OutInDoubt || row["state"] == vault.OutSent || row["state"] == vault.OutAccepted) {
		return "arrived"
	}
	return row["state"]
}

// allLogins counts the logins of every client so far, refused ones too.
func (s *killStudio) allLogins() map[string]int {
	s.t.Helper()
	s.imap.Logins(gallo) // waits until the log is complete
	b, err := os.ReadFile(s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	n := map[string]int{}
	for line := range strings.Lines(string(b)) {
		for _, m := range []string{bianchi, gallo, neri, rossi, verdi} {
			if strings.Contains(line, "imap-login: Info: Login: user=<"+m+">") || strings.Contains(line, "auth: Info: passwd-file("+m+",") {
				n[m]++
			}
		}
	}
	return n
}
