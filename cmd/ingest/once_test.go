package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
)

// The main job: submissions are found, sealed, tried, committed and filed
// away; everything else in the inbox stays as it was, to the byte.
func TestOnce(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	plain := s.submission(rossi, 30, passwords[rossi])
	dated := s.letter(bianchi, 28, "password", "Buongiorno,\nla password per programmi di posta è "+passwords[bianchi]+"\nScadenza: "+date(60, "02/01/2006")+"\nSaluti\n")
	html := s.letter(verdi, 26, "password", "")
	html.Letter.HTML = "<html><body><p>Password per programmi di posta:&nbsp;<b>Rq4w$Zb8</b></p></body></html>"
	html.Style = pectest.Aruba2026

	invoice := s.letter(neri, 20, "Fattura 120", "Buongiorno,\nin allegato la fattura del mese.\n")
	forged := s.submission(neri, 19, "Evil1234")
	forged.Provider = pectest.NewAuthority("impostor").Provider(signerPEC, "GESTORE DI PROVA S.p.A.")
	altered := s.submission(neri, 18, passwords[neri])
	altered.Sent = func(b []byte) []byte { return []byte(strings.Replace(string(b), passwords[neri], "Evil1234", 1)) }
	anomaly := s.submission(neri, 17, "Evil1234")
	anomaly.Kind = pec.KindAnomaly
	receipt := s.letter(studioPEC, 16, "Promemoria", "")
	receipt.Kind, receipt.Recipients = pec.KindAcceptance, []string{neri}

	s.deliver(invoice, forged, altered, anomaly, receipt)
	s.imap.Deliver(studioPEC, "INBOX", []byte("From: a@negozio.example\r\nTo: "+studioPEC+"\r\nSubject: La tua password scade!\r\nMessage-ID: <1@negozio.example>\r\n\r\nClicca qui: Evil1234\r\n"), s.day)
	s.imap.Flag(studioPEC, "INBOX", 2, `\Flagged`) // people work in this inbox
	s.imap.Flag(studioPEC, "INBOX", 3, `\Seen`)
	untouched := s.snapshot("INBOX")
	s.deliver(plain, dated, html)

	s.once(sum{Seen: 9, Accepted: 3, Ignored: 5, Receipts: 1})

	if got := s.snapshot("INBOX"); got != untouched {
		t.Error("what is no submission is not as it was")
	}
	if got := s.folder(processed); len(got) != 3 {
		t.Errorf("processed folder: got %v, want the three submissions", got)
	}
	for _, m := range s.imap.Messages(studioPEC, processed) {
		if m.Seen() {
			t.Errorf("message %s was marked read", m.MessageID)
		}
	}
	for _, mailbox := range []string{rossi, bianchi, verdi} {
		s.wantState(mailbox, "valid", 1.0)
		s.wantGet(mailbox, passwords[mailbox])
		s.wantLogins(mailbox, 1, 0)
	}
	s.wantState(neri, "missing", nil)
	s.wantLogins(neri, 0, 0)
	if row := s.status(bianchi); row["expires_at"] != date(60, "2006-01-02") || row["days_left"] != 60.0 {
		t.Errorf("a stated date: got %v, %v days left, want %s", row["expires_at"], row["days_left"], date(60, "2006-01-02"))
	}

	// A second pass finds nothing new, tries nothing, writes nothing.
	before := s.ok("audit", "--json")
	s.once(sum{})
	s.wantLogins(rossi, 1, 0)
	if got := s.snapshot("INBOX"); got != untouched {
		t.Error("the second pass changed the inbox")
	}
	if after := s.ok("audit", "--json"); before != after {
		t.Errorf("the second pass did something:\n%s", after)
	}
	s.ok("audit", "--verify")
}

// The server gave the folder new numbers: what is known is not read again,
// what is new is.
func TestOnceUIDValidity(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	first, waits := s.submission(rossi, 30, passwords[rossi]), s.letter(bianchi, 29, "password posta", "La password per programmi di posta è nella foto allegata.\n")
	waits.Letter.Attachments = []pectest.Attachment{{Name: "foto.png", Type: "image/png", Data: []byte("\x89PNG\r\n\x1a\n")}}
	s.deliver(first, waits)
	s.once(sum{Seen: 2, Accepted: 1, Review: 1})

	s.imap.SetUIDValidity(studioPEC, "INBOX", s.imap.UIDValidity(studioPEC, "INBOX")+7)
	second := s.submission(verdi, 1, passwords[verdi])
	s.deliver(second)
	s.once(sum{Seen: 2, Accepted: 1, Ignored: 1}) // the waiting one is known
	s.wantState(rossi, "valid", 1.0)
	s.wantState(verdi, "valid", 1.0)
	s.wantLogins(rossi, 1, 0)
	s.wantFolders([]pectest.Envelope{waits}, []pectest.Envelope{first, second})
	if got := s.reviews(); len(got) != 1 {
		t.Errorf("got %d reviews, want the one of before: %v", len(got), got)
	}
	s.once(sum{})
}

// Everything taken out and put in again, as when a mail program moves a
// folder to and fro: known identifiers are replays.
func TestOnceEmptiedAndRefilled(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	first, second := s.submission(rossi, 30, passwords[rossi]), s.submission(bianchi, 29, passwords[bianchi])
	s.deliver(first, second)
	s.once(sum{Seen: 2, Accepted: 2})
	s.imap.Expunge(studioPEC, processed)
	s.once(sum{})

	s.deliver(second, first)
	s.once(sum{Seen: 2, Ignored: 2})
	s.wantFolders([]pectest.Envelope{first, second}, nil)
	s.wantState(rossi, "valid", 1.0)
	s.wantLogins(rossi, 1, 0)
	if got := s.history(rossi); got != "1 proven*" {
		t.Errorf("history: got %q, want %q", got, "1 proven*")
	}

	// Emptied, with the folder's numbers starting again.
	s.imap.Expunge(studioPEC, "INBOX")
	s.imap.SetUIDValidity(studioPEC, "INBOX", s.imap.UIDValidity(studioPEC, "INBOX")+1)
	s.once(sum{})
	third := s.submission(verdi, 1, passwords[verdi])
	s.deliver(first, third)
	s.once(sum{Seen: 2, Accepted: 1, Ignored: 1})
	s.wantState(verdi, "valid", 1.0)
	s.wantLogins(rossi, 1, 0)
}

// Mail programs and servers deliver twice; the copy is left alone.
func TestOnceDeliveredTwice(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	e := s.submission(rossi, 30, passwords[rossi])
	s.deliver(e, e)
	s.once(sum{Seen: 2, Accepted: 1, Ignored: 1})
	s.wantFolders([]pectest.Envelope{e}, []pectest.Envelope{e})
	s.wantLogins(rossi, 1, 0)
	s.once(sum{})

	s.deliver(e) // and a day later
	s.once(sum{Seen: 1, Ignored: 1})
	s.wantFolders([]pectest.Envelope{e, e}, []pectest.Envelope{e})
	if got := s.history(rossi); got != "1 proven*" {
		t.Errorf("history: got %q, want %q", got, "1 proven*")
	}
}

// The order is the certified time, not that of arrival.
func TestOnceWrongOrder(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	older, newer := s.submission(rossi, 50, "vecch1a9"), s.submission(rossi, 30, passwords[rossi])
	s.deliver(newer, older)
	s.once(sum{Seen: 2, Accepted: 1, Superseded: 1})
	s.wantGet(rossi, passwords[rossi])
	s.wantLogins(rossi, 1, 0)
	if got, want := s.history(rossi), "1 superseded, 2 proven*"; got != want {
		t.Errorf("history: got %q, want %q", got, want)
	}
	s.wantFolders(nil, []pectest.Envelope{newer, older})

	// In two passes: the older one comes late, and is never tried.
	first, late := s.submission(bianchi, 10, passwords[bianchi]), s.submission(bianchi, 20, "vecch1a8")
	s.deliver(first)
	s.once(sum{Seen: 1, Accepted: 1})
	s.deliver(late)
	s.once(sum{Seen: 1, Superseded: 1})
	s.wantGet(bianchi, passwords[bianchi])
	s.wantState(bianchi, "valid", 1.0)
	s.wantLogins(bianchi, 1, 0)
	s.wantFolders(nil, []pectest.Envelope{newer, older, first, late})
}

// An old inbox with ten submissions of one client: one login, not ten.
func TestOnceOldInbox(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	var all []pectest.Envelope
	for i := range 10 {
		password := "vecch1a" + string(rune('0'+i))
		if i == 7 {
			password = passwords[rossi] // sent before the last of them…
		}
		if i == 9 {
			password = passwords[rossi] // …and again
		}
		all = append(all, s.submission(rossi, float64(24*(100-10*i)), password))
	}
	tooOld := s.submission(bianchi, 24*300, passwords[bianchi])
	s.deliver(tooOld, all[4], all[9], all[0], all[2], all[1], all[3], all[8], all[7], all[6], all[5])
	s.once(sum{Seen: 10, Accepted: 1, Superseded: 9})
	s.wantLogins(rossi, 1, 0)
	s.wantGet(rossi, passwords[rossi])
	s.wantFolders([]pectest.Envelope{tooOld}, all)
	s.wantState(bianchi, "missing", nil)
	if got := s.rows("outbox", "list", "--all", "--json"); len(got) != 0 {
		t.Errorf("letters of last month were answered: %v", got)
	}
	s.once(sum{})
	s.wantLogins(rossi, 1, 0)
}

// A letter that also brings documents is used and stays, unread.
func TestOnceHoldsMore(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	e := s.submission(rossi, 3, passwords[rossi])
	e.Letter.Attachments = []pectest.Attachment{{Name: "fattura.pdf", Type: "application/pdf", Data: []byte("%PDF-1.7\n")}}
	s.deliver(e)
	before := s.snapshot("INBOX")
	s.once(sum{Seen: 1, Accepted: 1})
	s.wantGet(rossi, passwords[rossi])
	if got := s.snapshot("INBOX"); got != before {
		t.Error("a letter that holds more than the password was touched")
	}
	s.once(sum{})
	s.wantLogins(rossi, 1, 0)
}

func TestOnceUnlisted(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	e := s.letter(bianchi, 3, "Password", "Password per programmi di posta: "+passwords[bianchi]+"\nScade il 31/12/2099\n")
	s.deliver(e)
	before := s.snapshot("INBOX")
	s.once(sum{Seen: 1, Review: 1})
	if got := s.snapshot("INBOX"); got != before {
		t.Error("what waits for review was touched")
	}
	s.wantLogins(bianchi, 0, 0)
	if got := s.reviews(); len(got) != 1 || got[0] != "1 "+bianchi+" unlisted" {
		t.Errorf("reviews: got %v", got)
	}
	s.exits(exitNotFound, "get", bianchi)
	if r := s.exits(exitNotFound, "review", "approve", "1"); !strings.Contains(r.stderr, "--new-client") {
		t.Errorf("approving a stranger's: got %s, want how to add the client", r)
	}
	// The person adds the client and approves: tried, stored, filed. The date
	// that nobody believes counts as none.
	s.ok("client", "add", bianchi, "--provider", "prova")
	s.ok("review", "approve", "1")
	s.wantGet(bianchi, passwords[bianchi])
	s.wantLogins(bianchi, 1, 0)
	s.once(sum{})
	s.wantFolders(nil, []pectest.Envelope{e})
	if r := s.exits(exitNeedsPerson, "review", "reject", "1"); !strings.Contains(r.stderr, "already decided by") {
		t.Errorf("a second decision: got %s", r)
	}

	s2 := newStudio(t, studioOptions{clients: []string{rossi}, config: func(c string) string {
		return c + "[policy]\nunlisted = \"ignore\"\n"
	}})
	s2.deliver(s2.submission(bianchi, 3, passwords[bianchi]))
	s2.once(sum{Seen: 1, Ignored: 1})
	if got := s2.reviews(); len(got) != 0 {
		t.Errorf("reviews: got %v, want none", got)
	}
}

// A refused password is erased and changes nothing of the current one.
func TestOnceRefused(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	wrong := s.submission(bianchi, 20, "quellaDelSito1")
	s.deliver(s.submission(rossi, 30, passwords[rossi]), wrong)
	s.once(sum{Seen: 2, Accepted: 1, Rejected: 1})
	s.wantState(bianchi, "missing", nil)
	s.exits(exitNotFound, "get", bianchi)
	s.wantLogins(bianchi, 0, 1)

	s.deliver(s.submission(rossi, 10, "sbagliata99x"))
	s.once(sum{Seen: 1, Rejected: 1})
	s.wantState(rossi, "valid", 1.0)
	s.wantGet(rossi, passwords[rossi])
	s.wantLogins(rossi, 1, 1)
	if got := s.history(rossi); got != "1 proven*" {
		t.Errorf("history: got %q, want %q", got, "1 proven*")
	}
	s.once(sum{})
	s.wantLogins(rossi, 1, 1)
	s.wantLogins(bianchi, 0, 1)
	// A rejected submission is settled and filed like an accepted one.
	if got := s.folder("INBOX"); len(got) != 0 {
		t.Errorf("inbox: got %v, want nothing", got)
	}

	// The right one, afterwards, is taken.
	s.deliver(s.submission(bianchi, 1, passwords[bianchi]))
	s.once(sum{Seen: 1, Accepted: 1})
	s.wantGet(bianchi, passwords[bianchi])
}

// after = "keep" moves nothing; known messages are not read again.
func TestOnceKeep(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{config: func(c string) string {
		return strings.Replace(c, "[trust]", "after = \"keep\"\n[trust]", 1)
	}})
	s.deliver(s.submission(rossi, 3, passwords[rossi]))
	before := s.snapshot("INBOX")
	s.once(sum{Seen: 1, Accepted: 1})
	s.once(sum{})
	if got := s.snapshot("INBOX"); got != before {
		t.Error("after = keep: the inbox was touched")
	}
	if f := s.imap.Folders(studioPEC); strings.Contains(strings.Join(f, ","), "acquisite") {
		t.Errorf("after = keep: the processed folder was made: %v", f)
	}
	s.wantLogins(rossi, 1, 0)
}

// With the probe off passwords are taken as they come and nothing is
// unverified.
func TestOnceProbeOff(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{config: func(c string) string { return c + "[probe]\nenabled = false\n" }})
	e := s.submission(rossi, 3, "maiProvata7")
	s.deliver(e)
	s.once(sum{Seen: 1, Accepted: 1})
	s.wantState(rossi, "valid", 1.0)
	s.wantGet(rossi, "maiProvata7")
	s.wantLogins(rossi, 0, 0)
	s.wantFolders(nil, []pectest.Envelope{e})

	// What no login can prove is not guessed: does the comma belong to it?
	s.deliver(s.letter(bianchi, 2, "Password", "La nuova password: mai!Provata7, grazie\n"))
	s.once(sum{Seen: 1, Review: 1})
	s.wantState(bianchi, "missing", nil)
}

// Without the identity the service accepts, tries and warns, but can't hand
// out.
func TestOnceWithoutIdentity(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{config: func(c string) string {
		return strings.Replace(c, `identity_file = "identity.txt"`, `identity_file = ""`, 1)
	}})
	s.deliver(s.submission(rossi, 3, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	s.wantState(rossi, "valid", 1.0)
	s.wantLogins(rossi, 1, 0)
	if r := s.exits(exitVault, "get", rossi); r.stdout != "" || !strings.Contains(r.stderr, "identity") {
		t.Errorf("get without identity: got %s", r)
	}
	s.edit(`identity_file = ""`, `identity_file = "identity.txt"`)
	s.wantGet(rossi, passwords[rossi])
}

// Before there is a vault, a trial shows what a pass would do, and makes none.
func TestOnceDryRunWithoutVault(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	s.deliver(s.submission(rossi, 3, passwords[rossi]), s.letter(bianchi, 3, "Fattura", "In allegato.\n"))
	remove(t, s.vaultPath())
	before := files(t, s.dir)
	s.once(sum{Seen: 2, Review: 1, Ignored: 1}, "--dry-run")
	r := s.run("once", "--dry-run")
	if r.code != exitOK || !strings.Contains(r.stdout, rossi+" review unlisted") || !strings.Contains(r.stdout, "seen 2:") ||
		!strings.Contains(r.stderr, "there is no vault yet") {
		t.Errorf("got %s", r)
	}
	if after := files(t, s.dir); after != before {
		t.Errorf("something was written:\n%s\nbefore:\n%s", after, before)
	}
}

// A good pass gives a sign of life also where no service runs.
func TestOnceHeartbeat(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	s.edit("[trust]", "[alert]\nheartbeat_file = \"beat\"\n[trust]")
	beat := filepath.Join(s.dir, "beat")
	s.once(sum{}, "--dry-run")
	if _, err := os.Stat(beat); err == nil {
		t.Error("a trial gives a sign of life")
	}
	s.once(sum{})
	if _, err := os.Stat(beat); err != nil {
		t.Errorf("no sign of life after a good pass: %v", err)
	}
}

// --dry-run shows what a pass would do and does nothing of it.
func TestOnceDryRun(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	s.deliver(s.submission(rossi, 50, "vecch1a9"), s.submission(rossi, 3, passwords[rossi]), s.letter(bianchi, 3, "Fattura", "In allegato.\n"))
	inbox, audit := s.snapshot("INBOX"), s.ok("audit", "--json")
	for range 2 {
		s.once(sum{Seen: 3, Accepted: 1, Superseded: 1, Ignored: 1}, "--dry-run")
	}
	if s.snapshot("INBOX") != inbox || s.ok("audit", "--json") != audit {
		t.Error("a dry run changed something")
	}
	s.wantLogins(rossi, 0, 0)
	s.wantState(rossi, "missing", nil)
	s.once(sum{Seen: 3, Accepted: 1, Superseded: 1, Ignored: 1})
}
