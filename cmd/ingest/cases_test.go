package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/pectest"
	"pec-ingest/internal/vault"
)

// Three refused logins a mailbox and day, however many letters come.
func TestThreeRefusalsADay(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	for i := range 3 {
		s.deliver(s.submission(rossi, float64(9-i), "sbagliata7"+string(rune('a'+i))))
		s.once(sum{Seen: 1, Rejected: 1})
	}
	s.deliver(s.submission(rossi, 5, "sbagliata8a"))
	s.once(sum{Seen: 1, Accepted: 1}) // not tried today
	s.wantState(rossi, "unverified", 1.0)
	s.deliver(s.submission(rossi, 4, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	s.hoursLater(rossi, 1)
	s.once(sum{})
	s.wantLogins(rossi, 0, 3)
	s.wantState(rossi, "unverified", 2.0)

	s.nextDay(rossi)
	s.once(sum{})
	s.wantLogins(rossi, 1, 3)
	s.wantState(rossi, "valid", 2.0)
	s.wantGet(rossi, passwords[rossi])
}

// What a person approves is known afterwards as what was accepted by itself:
// by which provider the mailbox is, where and how its password is tried.
func TestApprovedIsKnown(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{apart: true, clients: []string{rossi, bianchi}})
	for _, m := range []string{rossi, bianchi} {
		for i := range 2 { // two unclear letters are not decided by trying
			s.deliver(s.letter(m, 9-float64(i), "Password PEC", "Buongiorno,\nla password per programmi di posta è una di queste: "+passwords[m]+" oppure h7%Kd-11qT oppure h7%Kd-22qT oppure h7%Kd-33qT,\nnon riesco a leggere bene.\n"))
		}
	}
	s.once(sum{Seen: 4, Review: 4})
	decide := func(m string) {
		t.Helper()
		s.ok("review", "approve", s.numberOf(m), "--candidate", "1")
		s.ok("review", "reject", s.numberOf(m))
	}
	decide(rossi)
	s.wantState(rossi, "valid", 1.0)
	s.hoursLater(rossi, 2)
	if out := s.ok("report", rossi, "--refused"); !strings.Contains(out, "(accepted)") {
		t.Errorf("a program says that it was refused: got %s", out)
	}
	s.clients.SetPassword(rossi, "perTelefono-7")
	if r := s.runWith("perTelefono-7\n", "set", rossi); r.code != exitOK {
		t.Errorf("a new one by telephone: %v", r)
	}
	s.wantState(rossi, "valid", 2.0)

	// The server is down when a person decides: it is tried later by itself.
	s.clients.Stop()
	decide(bianchi)
	s.wantState(bianchi, "unverified", 1.0)
	s.clients.Start()
	s.nextDay(bianchi)
	s.hoursLater(bianchi, 24)
	s.once(sum{})
	s.wantState(bianchi, "valid", 1.0)
}

// A mailbox known from one provider and now signed for by another one is a
// matter for a person, and is tried nowhere.
func TestNewSigner(t *testing.T) {
	t.Parallel()
	const otherSigner = "posta-certificata@pec.altro.example"
	s := newStudio(t, studioOptions{})
	s.edit("[[provider]]", fmt.Sprintf("[[provider]]\nid = \"altro\"\nsigner = %q\nimap = %q\ntls_ca_file = \"tls.pem\"\n[[provider]]", otherSigner, s.clients.Addr()))
	s.deliver(s.submission(rossi, 50, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	moved := s.submission(rossi, 3, "nuova77Kx")
	moved.Provider = pectest.NewAuthority("pec").Provider(otherSigner, "ALTRO GESTORE S.p.A.")
	unknown := s.submission(bianchi, 3, passwords[bianchi])
	unknown.Provider = pectest.NewAuthority("pec").Provider("posta-certificata@pec.ignoto.example", "IGNOTO S.p.A.")
	s.deliver(moved, unknown)
	s.once(sum{Seen: 2, Review: 2})
	if got, want := strings.Join(s.reviews(), ", "), "1 "+bianchi+" host-unknown, 2 "+rossi+" new-signer"; got != want {
		t.Errorf("reviews: got %q, want %q", got, want)
	}
	s.wantLogins(rossi, 1, 0)
	s.wantLogins(bianchi, 0, 0)
	s.wantGet(rossi, passwords[rossi])
	if got := s.folder("INBOX"); len(got) != 2 {
		t.Errorf("inbox: got %v, want the two that wait", got)
	}
	// A person says that the client has moved: from then on the new signer
	// is the known one.
	s.clients.SetPassword(rossi, "nuova77Kx")
	s.ok("review", "approve", "2")
	s.wantGet(rossi, "nuova77Kx")
	again := s.submission(rossi, 1, "nuova77Kx")
	again.Provider = moved.Provider
	s.deliver(again)
	s.once(sum{Seen: 1, Accepted: 1})
}

// A provider that wants a user ID: never guessed, asked for.
func TestLoginUserID(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	s.edit("id = \"prova\"", "id = \"prova\"\nlogin = \"user-id\"")
	s.deliver(s.submission(rossi, 3, passwords[rossi]))
	s.once(sum{Seen: 1, Review: 1})
	if got := s.reviews(); len(got) != 1 || got[0] != "1 "+rossi+" login-unknown" {
		t.Errorf("reviews: got %v", got)
	}
	s.wantLogins(rossi, 0, 0)
	// A person knows it: from then on it is on record.
	s.imap.AddUser(userOf("m1234567", passwords[rossi]))
	s.ok("client", "add", rossi, "--login", "m1234567")
	s.ok("review", "approve", "1", "--login", "m1234567")
	s.wantGet(rossi, passwords[rossi])
	if row := s.status(rossi); row["login"] != "m1234567" || row["state"] != "valid" {
		t.Errorf("status: got %v", row)
	}
	s.imap.SetPassword("m1234567", "nuova77Kx")
	s.deliver(s.submission(rossi, 1, "nuova77Kx"))
	s.once(sum{Seen: 1, Accepted: 1})
	s.wantGet(rossi, "nuova77Kx")
	s.wantLogins("m1234567", 2, 0)
	s.wantLogins(rossi, 0, 0)
}

// A postponement where nothing is stored, or where the login is not even
// known, is a matter for a person, and holds up nobody else.
func TestNothingToPostpone(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{config: func(c string) string {
		return c + "[[provider]]\nid = \"utenti\"\nsigner = \"posta-certificata@pec.utenti.example\"\nlogin = \"user-id\"\n"
	}})
	claim := "Ho posticipato la scadenza della password per programmi di posta.\n"
	stranger := s.letter(neri, 4, "Password posticipata", claim)
	stranger.Provider = pectest.NewAuthority("pec").Provider("posta-certificata@pec.utenti.example", "UTENTI S.p.A.")
	s.deliver(s.letter(bianchi, 5, "Password posticipata", claim), stranger, s.submission(rossi, 3, passwords[rossi]))
	s.once(sum{Seen: 3, Accepted: 1, Review: 2}, "--dry-run")
	s.once(sum{Seen: 3, Accepted: 1, Review: 2})
	if got, want := strings.Join(s.reviews(), ", "), "1 "+bianchi+" nothing-to-postpone, 2 "+neri+" nothing-to-postpone"; got != want {
		t.Errorf("reviews: got %q, want %q", got, want)
	}
	s.wantGet(rossi, passwords[rossi])
	s.once(sum{})
}

// Who may write for another mailbox, and who may not.
func TestOtherMailbox(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	s.ok("client", "add", verdi, "--sender", rossi)
	text := func(mailbox, password string) string {
		return "Buongiorno,\nla password per programmi di posta della casella " + mailbox + " è questa:\n\nPassword: " + password + "\n\nSaluti\n"
	}
	allowed := s.letter(rossi, 9, "Password per programmi di posta", text(verdi, passwords[verdi]))
	foreign := s.letter(rossi, 8, "Password per programmi di posta", text(neri, passwords[neri]))
	own := s.submission(bianchi, 7, passwords[bianchi])
	s.deliver(allowed, foreign, own)
	s.once(sum{Seen: 3, Accepted: 2, Review: 1})
	s.wantGet(verdi, passwords[verdi])
	s.wantGet(bianchi, passwords[bianchi])
	s.wantState(neri, "missing", nil)
	s.wantState(rossi, "missing", nil)
	s.wantLogins(neri, 0, 0)
	s.wantLogins(rossi, 0, 0)
	s.wantFolders([]pectest.Envelope{foreign}, []pectest.Envelope{allowed, own})

	// A mailbox elsewhere: the sender's provider has not signed for it, and
	// does not get its password.
	const condominio = "condominio@pec.altrove.example"
	s.imap.AddUser(userOf(condominio, "cQ8condo55Zt"))
	s.ok("client", "add", condominio, "--sender", rossi)
	elsewhere := s.letter(rossi, 6, "Password per programmi di posta", text(condominio, "cQ8condo55Zt"))
	s.deliver(elsewhere)
	s.once(sum{Seen: 1, Review: 1})
	if got := s.reviews(); len(got) != 2 || got[1] != "2 "+condominio+" host-unknown" {
		t.Errorf("reviews: got %v", got)
	}
	s.wantLogins(condominio, 0, 0)
	s.ok("client", "add", condominio, "--provider", "prova") // a person knows
	s.ok("review", "approve", "2")
	s.wantGet(condominio, "cQ8condo55Zt")
}

// The same password sent again is the same version, not tried in vain, and a
// later date is a claim.
func TestSamePasswordAgain(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	s.deliver(s.submission(rossi, 24*85, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	s.deliver(s.letter(rossi, 3, "password posta", "Password per programmi di posta: "+passwords[rossi]+"\nScadenza: "+date(95, "02/01/2006")+"\n"))
	s.once(sum{Seen: 1, Extended: 1})
	row := s.status(rossi)
	if row["version"] != 1.0 || row["expires_at"] != date(5, time.DateOnly) || row["claimed_until"] != date(95, time.DateOnly) {
		t.Errorf("status: got %v", row)
	}
	if got := s.history(rossi); got != "1 proven*" {
		t.Errorf("history: got %q, want %q", got, "1 proven*")
	}
}

// Another folder is watched, and what is filed goes where the configuration
// says; the inbox itself is not looked at.
func TestOtherFolder(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{config: func(c string) string {
		return strings.Replace(c, "[trust]", "folder = \"INBOX.PEC\"\nprocessed_folder = \"Archivio/Password lette\"\n[trust]", 1)
	}})
	e, elsewhere := s.submission(rossi, 3, passwords[rossi]), s.submission(bianchi, 3, passwords[bianchi])
	s.imap.Deliver(studioPEC, "INBOX.PEC", e.Bytes(), e.SentAt)
	s.deliver(elsewhere)
	s.once(sum{Seen: 1, Accepted: 1})
	s.wantState(bianchi, "missing", nil)
	if got := s.folder("INBOX.Archivio.Password lette"); len(got) != 1 || got[0] != idOf(e) {
		t.Errorf("processed folder: got %v; folders %v", got, s.imap.Folders(studioPEC))
	}
	if got := s.folder("INBOX"); len(got) != 1 {
		t.Errorf("inbox: got %v", got)
	}
}

// A letter moved by a person between two passes is not looked for.
func TestMovedByAPerson(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	e := s.letter(rossi, 3, "password posta", "La password per programmi di posta è nella foto allegata.\n")
	e.Letter.Attachments = []pectest.Attachment{{Name: "foto.png", Type: "image/png", Data: []byte("\x89PNG\r\n\x1a\n")}}
	s.deliver(e)
	s.once(sum{Seen: 1, Review: 1})
	s.imap.Expunge(studioPEC, "INBOX")
	s.ok("review", "reject", "1", "--reason", "per telefono")
	s.once(sum{})
	s.wantFolders(nil, nil)
	s.once(sum{})
}

// Ctrl-C, at any moment: the next pass finishes what this one left.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	letters := func() []pectest.Envelope {
		return []pectest.Envelope{s.submission(rossi, 40, "vecch1a9"), s.submission(rossi, 20, passwords[rossi]),
			s.submission(bianchi, 10, passwords[bianchi]), s.submission(verdi, 8, "quellaDelSito1")}
	}
	all := letters()
	s.deliver(all...)
	broken := 0
	// Many moments of a pass, however long it takes on this machine.
	for delay := time.Millisecond; ; delay += max(7*time.Millisecond, delay/15) {
		ctx, cancel := context.WithCancel(t.Context())
		stop := time.AfterFunc(delay, cancel)
		r := runCommand(ctx, "", "--config", s.configPath(), "once", "--json")
		stop.Stop()
		cancel()
		if r.code == exitOK {
			break
		}
		broken++
		s.imap.AwaitGone(studioPEC) // what the server was told last is done
		if r.code != exitFailed || !strings.Contains(r.stderr, "ingest: error: ") {
			t.Fatalf("interrupted after %v: got %s, want exit 1 and an error", delay, r)
		}
		if delay > patience {
			t.Fatal("the pass is never done")
		}
	}
	if broken == 0 {
		t.Error("no pass was interrupted")
	}
	s.once(sum{})
	waiting := strings.Join(s.reviews(), ", ")
	for _, m := range []string{rossi, bianchi, verdi} {
		switch {
		case strings.Contains(waiting, m+" login-result-unknown"):
		case m == verdi:
			s.wantState(verdi, "missing", nil)
		default:
			s.wantGet(m, passwords[m])
		}
	}
	if in, out := len(s.folder("INBOX")), len(s.folder(processed)); in != len(s.reviews()) || in+out != len(all) {
		t.Errorf("%d messages in the inbox and %d filed, with %d reviews and %d letters", in, out, len(s.reviews()), len(all))
	}
	for _, m := range []string{rossi, bianchi, verdi} {
		// A login whose answer was not heard is repeated once, then a person
		// is asked; what was heard is kept.
		if n := s.clients.Logins(m); n.OK+n.Refused > 2 {
			t.Errorf("%s saw %+v logins after %d interruptions, want 2 at most", m, n, broken)
		}
	}
	s.ok("audit", "--verify")
}

// The demo tells its whole story and ends.
func TestDemo(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"demo", "--once"}, strings.NewReader(""), &stdout, &stderr); code != exitOK {
		t.Fatalf("demo: exit %d\n%s%s", code, stdout.String(), stderr.String())
	}
	for _, want := range []string{"rossi@pec.gestore.example", "accepted", "superseded", "rejected", "review", "not known as a PEC provider", "the message was changed", "anomaly envelope", "receipt", "valid"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the story lacks %q:\n%s", want, stdout.String())
		}
	}
	if strings.Contains(stdout.String(), "\x1b") {
		t.Error("colour although this is no terminal")
	}
}

// A program reports a refusal: at most one login a version and hour, and the
// state follows from the answer.
func TestReport(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	s.exits(exitNotFound, "report", rossi, "--refused")
	s.deliver(s.submission(rossi, 3, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	for range 3 { // the login of the pass a moment ago does not count
		s.ok("report", rossi, "--refused")
	}
	s.wantLogins(rossi, 2, 0)
	s.wantState(rossi, "valid", 1.0) // whatever the program says

	s.imap.SetPassword(rossi, "nuova77Kx")
	s.hoursLater(rossi, 2)
	for range 3 {
		s.ok("report", rossi, "--refused")
	}
	s.wantLogins(rossi, 2, 1)
	s.wantState(rossi, "broken", 1.0)
	s.exits(exitNeedsPerson, "get", rossi)
}

// Mail programs ask while a pass runs: each gets its answer, none fails
// because another one has the vault.
func TestManyCommandsAtOnce(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	s.deliver(s.submission(rossi, 9, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	s.deliver(s.submission(bianchi, 8, passwords[bianchi]), s.submission(verdi, 7, "sbagliata7"), s.submission(neri, 6, passwords[neri]))
	results := make(chan result, 7)
	for range 6 {
		go func() { results <- s.run("get", rossi) }()
	}
	go func() {
		r := s.run("once")
		r.stdout = passwords[rossi] + "\n" // compared with those of get
		results <- r
	}()
	for range cap(results) {
		if r := <-results; r.code != exitOK || r.stdout != passwords[rossi]+"\n" {
			t.Errorf("got %s", r)
		}
	}
	s.once(sum{})
	for _, m := range []string{rossi, bianchi, neri} {
		s.wantGet(m, passwords[m])
	}
	s.ok("audit", "--verify")
}

// One letter with the passwords of several mailboxes of one client: divided
// only where all of them are that client's; counted and filed once.
func TestSeveralMailboxes(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	for _, m := range []string{rossi, bianchi} {
		s.ok("client", "add", m, "--name", "Gruppo Rossi")
	}
	list := func(a, b string) string {
		return "Buongiorno,\necco le password per programmi di posta:\n\n" +
			a + "\nPassword: " + passwords[a] + "\n\n" + b + "\nPassword: " + passwords[b] + "\n\nCordiali saluti\n"
	}
	ours := s.letter(rossi, 5, "Password per programmi di posta", list(rossi, bianchi))
	theirs := s.letter(verdi, 4, "Password per programmi di posta", list(verdi, neri))
	s.deliver(ours, theirs)
	s.once(sum{Seen: 2, Accepted: 1, Review: 1})
	s.wantGet(rossi, passwords[rossi])
	s.wantGet(bianchi, passwords[bianchi])
	for _, m := range []string{verdi, neri} {
		s.wantState(m, "missing", nil)
		s.wantLogins(m, 0, 0)
	}
	s.wantFolders([]pectest.Envelope{theirs}, []pectest.Envelope{ours})
	s.once(sum{})
}

// A password that works after its date was postponed by its owner: proved by
// logins on three days in a row, then the date moves.
func TestPostponedByProof(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	s.deliver(s.submission(rossi, 24*95, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	s.wantState(rossi, "expired", 1.0)
	// A day passes: the last good login was a day earlier than it says.
	dayPasses := func() {
		s.nextDay()
		s.inVault(func(tx *vault.Tx) error {
			cred, _, err := tx.Credential(rossi, rossi)
			if err != nil {
				return err
			}
			if cred.GoodLoginDay != "" {
				cred.GoodLoginDay = date(-1, time.DateOnly)
			}
			return tx.PutCredential(cred)
		})
	}
	for day := 1; day <= 3; day++ {
		s.wantState(rossi, "expired", 1.0)
		dayPasses()
		s.once(sum{})
		s.nextDay() // twice on one day counts once
		s.once(sum{})
	}
	row := s.status(rossi)
	if row["state"] != "valid" || row["expires_at"] != date(-5+90, time.DateOnly) || row["version"] != 1.0 {
		t.Errorf("after three days: got %v, want valid until %s", row, date(-5+90, time.DateOnly))
	}
}
