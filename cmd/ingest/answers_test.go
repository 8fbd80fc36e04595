package main

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"pec-ingest/internal/pectest"
	"pec-ingest/internal/servertest"
)

// textOf is the plain text of the only message to an address, as `outbox
// show` has it.
func (s *studio) textOf(to string) string {
	s.t.Helper()
	var texts []string
	for _, r := range s.rows("outbox", "list", "--all", "--json") {
		if r["to"] == to {
			texts = append(texts, strings.Join(strings.Fields(s.ok("outbox", "show", fmt.Sprint(r["n"]))), " "))
		}
	}
	if len(texts) != 1 {
		s.t.Fatalf("messages to %s: got %d, want 1\n%s", to, len(texts), strings.Join(texts, "\n"))
	}
	return texts[0]
}

// A letter with the passwords of two mailboxes of one client gets one answer,
// which names both.
func TestOneAnswer(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{smtp: true, clients: []string{}})
	for _, m := range []string{rossi, bianchi} {
		s.ok("client", "add", m, "--name", "Ditta Unica")
	}
	s.deliver(s.letter(rossi, 2, "Password per programmi di posta", "Buongiorno,\n\necco le password per programmi di posta:\n\n"+
		rossi+": "+passwords[rossi]+"\n"+bianchi+": "+passwords[bianchi]+"\n\nCordiali saluti\n"))
	s.exits(exitOK, "once")
	for _, m := range []string{rossi, bianchi} {
		s.wantGet(m, passwords[m])
	}
	mails := s.sink.received()
	if len(mails) != 1 || mails[0].To != rossi {
		t.Fatalf("got %d answers %v, want one to %s, who wrote", len(mails), mails, rossi)
	}
	text := s.textOf(mails[0].To)
	for _, want := range []string{"le password delle caselle", rossi, bianchi} {
		if !strings.Contains(text, want) {
			t.Errorf("the answer lacks %q:\n%s", want, text)
		}
	}
	for _, m := range []string{rossi, bianchi} {
		if strings.Contains(text, passwords[m]) {
			t.Error("the answer holds a password")
		}
	}
}

// Who writes for another mailbox is answered where the letter came from.
func TestAnswerGoesToTheWriter(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{smtp: true})
	s.ok("client", "add", bianchi, "--sender", rossi)
	letter := func(text string) pectest.Envelope {
		return s.letter(rossi, 2, "Password per programmi di posta", "La password per programmi di posta della casella "+bianchi+" è questa:\n\nPassword: "+text+"\n")
	}
	s.deliver(letter("sbagliata7a"))
	s.once(sum{Seen: 1, Rejected: 1})
	s.deliver(letter(passwords[bianchi]))
	s.once(sum{Seen: 1, Accepted: 1})
	mails := s.sink.received()
	if len(mails) != 2 || mails[0].To != rossi || mails[1].To != rossi {
		t.Fatalf("got %d answers %v, want two to %s", len(mails), mails, rossi)
	}
	if !strings.Contains(string(mails[1].Raw), bianchi) {
		t.Errorf("the answer does not name %s:\n%s", bianchi, mails[1].Raw)
	}
}

// What the answer says fits what came.
func TestAnswerSaysWhy(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{smtp: true})
	picture := s.letter(rossi, 2, "password posta", "La password per programmi di posta è nella foto allegata.\n")
	picture.Letter.Attachments = []pectest.Attachment{{Name: "foto.png", Type: "image/png", Data: []byte("\x89PNG\r\n\x1a\n")}}
	document := s.letter(bianchi, 2, "password posta", "La password per programmi di posta è nel documento allegato.\n")
	document.Letter.Attachments = []pectest.Attachment{{Name: "password.pdf", Type: "application/pdf", Data: []byte("%PDF-1.4\n")}}
	forgotten := s.letter(verdi, 2, "password posta", "Ecco la nuova password per programmi di posta.\n")
	automatic := s.submission(neri, 2, passwords[neri])
	automatic.Letter.Header = []string{"Auto-Submitted: auto-replied"}
	s.deliver(picture, document, forgotten, automatic)
	s.exits(exitOK, "once")
	for to, want := range map[string]string{rossi: "in un'immagine", bianchi: "in un allegato", verdi: "ha dimenticato di scriverla"} {
		if text := s.textOf(to); !strings.Contains(text, want) || !strings.Contains(text, "non generi un'altra password") {
			t.Errorf("answer to %s: got\n%s\nwant %q in it", to, text, want)
		}
	}
	if got := len(s.sink.received()); got != 3 {
		t.Errorf("got %d answers, want 3: a program's letter is not answered", got)
	}
}

// TestLoopPostfix sends the warnings through a real Postfix that refuses some.
func TestLoopPostfix(t *testing.T) {
	servertest.Require(t, "postfix")
	t.Parallel()
	l := newLoop(t)
	post := servertest.StartPostfix(t, servertest.PostfixOptions{Dovecot: l.imap, Reject: map[string]string{
		verdi: "550 5.1.1 no such user", bianchi: "450 4.2.0 greylisted, try again later"}})
	_, port, err := net.SplitHostPort(post.Addr())
	if err != nil {
		t.Fatal(err)
	}
	l.edit("port = "+l.sink.portText()+"\nusername", "port = "+port+"\nusername")
	l.once(sum{}, "--warn")
	want := []string{bianchi + " queued", neri + " sent", verdi + " failed", violaEmail + " sent", viola + " sent"}
	slices.Sort(want)
	if got := l.states(); got != strings.Join(want, "\n") {
		t.Fatalf("states: got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	for _, to := range []string{neri, viola, violaEmail} {
		if got := post.Await(to, 1); len(got) != 1 {
			t.Errorf("%s: got %d messages, want 1", to, len(got))
		}
	}
	for _, r := range l.rows("outbox", "list", "--json") {
		words := map[string][2]string{bianchi: {"come back later", "is tried again at"}, verdi: {"does not exist", "outbox retry"}}[fmt.Sprint(r["to"])]
		if why, next := fmt.Sprint(r["last_error"]), fmt.Sprint(r["next"]); words[0] == "" || !strings.Contains(why, words[0]) || !strings.Contains(next, words[1]) {
			t.Errorf("%v: got %q, next %q, want %q", r["to"], why, next, words)
		}
	}
	l.once(sum{}, "--warn") // the greylisted one waits its time, nothing is sent twice
	if got := post.Await(neri, 1); len(got) != 1 {
		t.Errorf("%s: got %d messages, want 1", neri, len(got))
	}
}
