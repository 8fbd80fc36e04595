package submission_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
	"pec-ingest/internal/submission"
)

// text is an original message with a plain body.
func text(body string) []byte {
	return []byte("From: rossi@pec.example\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + strings.ReplaceAll(body, "\n", "\r\n"))
}

func message(subject, body string) *pec.Message {
	return &pec.Message{Sender: "rossi@pec.example", Mailbox: "rossi@pec.example", Subject: subject, SentAt: defaultSent, Original: text(body)}
}

func TestFindFillsTheResult(t *testing.T) {
	r := submission.Find(message("Nuova password", "Password per programmi di posta: Xy12ab\nGenerata il 14/11/2023, scade il 12/02/2024"), submission.Options{})
	if r.State != submission.Found || r.Mailbox != "rossi@pec.example" || r.TextFrom != "text/plain" || r.HoldsMore {
		t.Errorf("got %s, mailbox %q, from %q, more %v", r.State, r.Mailbox, r.TextFrom, r.HoldsMore)
	}
	c := r.Candidates[0]
	if c.Secret.RevealString() != "Xy12ab" || c.Where != "text/plain:1" || c.Score < submission.Clear || len(c.Why) == 0 {
		t.Errorf("candidate: got %q at %s, score %d, why %v", c.Secret.RevealString(), c.Where, c.Score, c.Why)
	}
	if got := r.Stated.Format(time.DateOnly); got != "2024-02-12" {
		t.Errorf("stated: got %s, want 2024-02-12", got)
	}
	if got := r.Generated.Format(time.DateOnly); got != "2023-11-14" {
		t.Errorf("generated: got %s, want 2023-11-14", got)
	}
	r.Wipe()
	if !r.Candidates[0].Secret.IsZero() {
		t.Error("secret still there after Wipe")
	}
}

func TestDates(t *testing.T) {
	for _, c := range []struct{ body, stated, generated, note string }{
		{"scade il 13/02/2024", "2024-02-13", "", ""},
		{"scade il 13-2-24", "2024-02-13", "", ""},
		{"scade il 13.02.2024.", "2024-02-13", "", ""},
		{"scade il 13 febbraio 2024", "2024-02-13", "", ""},
		{"scade il 13 febbraio", "2024-02-13", "", ""},
		{"scade il 1° febbraio 2024", "2024-02-01", "", ""},
		{"scade il 13-feb-2024", "2024-02-13", "", ""},
		{"scadenza 2024-02-13", "2024-02-13", "", ""},
		{"scadenza: 13/2", "2024-02-13", "", ""},
		{"da rinnovare entro il 13/02/2024", "2024-02-13", "", ""},
		{"valida fino al 13/02/2024", "2024-02-13", "", ""},
		{"expires on February 13, 2024", "2024-02-13", "", ""},
		{"valid until 13th February 2024", "2024-02-13", "", ""},
		{"expires 02/13/2024", "2024-02-13", "", ""},
		{"scade tra 90 giorni", "2024-02-13", "", ""},
		{"scade fra tre mesi", "2024-02-15", "", ""},
		{"valida novanta giorni", "2024-02-13", "", ""},
		{"it expires in 90 days", "2024-02-13", "", ""},
		{"attiva dal 15/11/2023 al 13/02/2024", "2024-02-13", "2023-11-15", ""},
		{"generata il 14/11/2023\nscade il 12/02/2024", "2024-02-12", "2023-11-14", ""},
		{"dura 90gg", "2024-02-13", "", ""},
		{"Scadenza: 13 / 02 / 2024", "2024-02-13", "", ""},
		{"scade mar 13 feb 2024", "2024-02-13", "", ""},
		{"il 13 febbraio scade", "2024-02-13", "", ""},
		{"scade a fine febbraio", "2024-02-29", "", ""},
		{"generata il 14/11/2023, dura 90 giorni", "2024-02-12", "2023-11-14", ""},
		{"Scadenza:\n13/02/2024", "2024-02-13", "", ""},
		{"scade il 31/02/2024", "", "", submission.NoteImpossibleDate},
		{"scade il 13/02/2024, anzi scade il 14/02/2024", "2024-02-13", "", submission.NoteTwoDates},
		{"quella vecchia scadeva, scade il 10/11/2023", "2023-11-10", "", submission.NoteFarDate},
		{"scade il 13/02/2034", "2034-02-13", "", submission.NoteFarDate},
		{"grazie, ci vediamo il 20/11/2023 in studio per il bilancio", "", "", ""},
		{"scade il primo marzo", "2024-03-01", "", ""},
		{"scade l'otto febbraio", "2024-02-08", "", ""},
		{"scade il tredici febbraio 2024", "2024-02-13", "", ""},
		{"expires on the first of March", "2024-03-01", "", ""},
		{"valida fino al ventotto febbraio", "2024-02-28", "", ""},
		{"valida fino a fine gennaio", "2024-01-31", "", ""},
		{"valida fino a fine mese", "2023-11-30", "", ""},
		{"scade a fine anno", "2023-12-31", "", ""},
		{"valida fino a fine mese prossimo", "", "", ""},
		{"scade a metà febbraio", "", "", ""},
		{"scade i primi di marzo", "", "", ""},
		{"scade il 13/II/2024", "2024-02-13", "", ""},
		{"validità di sei mesi", "2024-05-15", "", ""},
		{"ha una durata di centottanta giorni", "2024-05-13", "", ""},
		{"scade tra un mese", "2023-12-15", "", ""},
		{"dura un anno", "2024-11-15", "", ""},
		{"valid for one hundred and eighty days", "2024-05-13", "", ""},
		{"generata ieri, dura 90 giorni", "2024-02-12", "2023-11-14", ""},
		{"l'ho generata stamattina", "", "2023-11-15", ""},
		{"generata il 13 novembre", "", "2023-11-13", ""},
		{"la fattura n. 88 scade il 30/11/2023", "", "", ""},
		{"il bilancino mi serve entro il 30/11/2023", "", "", ""},
		{"la fattura 88 scade il 30/11/2023, la password scade il 13/02/2024", "2024-02-13", "", ""},
		{"il contratto dura tre mesi", "", "", ""},
		{"ci vediamo tra 10 giorni", "", "", ""},
		{"la carta d'identità scade tra due mesi", "", "", ""},
	} {
		t.Run(c.body, func(t *testing.T) {
			r := submission.Find(message("Password", "Password: Xy12ab\n"+c.body), submission.Options{})
			day := func(d time.Time) string {
				if d.IsZero() {
					return ""
				}
				return d.Format(time.DateOnly)
			}
			if day(r.Stated) != c.stated || day(r.Generated) != c.generated {
				t.Errorf("got stated %q generated %q, want %q %q", day(r.Stated), day(r.Generated), c.stated, c.generated)
			}
			if c.note != "" && !strings.Contains(fmt.Sprint(r.Notes), c.note) {
				t.Errorf("notes: got %v, want %s", r.Notes, c.note)
			}
			if r.State != submission.Found {
				t.Errorf("state: got %s, want found", r.State)
			}
		})
	}
}

// The day of a letter is the one in Rome: sent at 23:30 UTC it is tomorrow's.
func TestDaysAreRoman(t *testing.T) {
	m := message("Password", "Password: Xy12ab, scade tra 90 giorni")
	m.SentAt = time.Date(2023, 11, 15, 23, 30, 0, 0, time.UTC)
	if got := submission.Find(m, submission.Options{}).Stated.Format(time.DateOnly); got != "2024-02-14" {
		t.Errorf("in Rome: got %s, want 2024-02-14", got)
	}
	if got := submission.Find(m, submission.Options{Location: time.UTC}).Stated.Format(time.DateOnly); got != "2024-02-13" {
		t.Errorf("in UTC: got %s, want 2024-02-13", got)
	}
}

func TestSeveralMailboxes(t *testing.T) {
	for _, c := range []struct{ name, body, pairs string }{
		{"lines", "rossi@pec.example: aX7kkP1\nbianchi@pec.example: bX7kkP2", "rossi@pec.example aX7kkP1; bianchi@pec.example bX7kkP2"},
		{"blocks", "Casella: rossi@pec.example\nPassword: aX7kkP1\n\nCasella: bianchi@pec.example\nPassword: bX7kkP2", "rossi@pec.example aX7kkP1; bianchi@pec.example bX7kkP2"},
		{"table", "Casella\tPassword\nrossi@pec.example\taX7kkP1\nbianchi@pec.example\tbX7kkP2", "rossi@pec.example aX7kkP1; bianchi@pec.example bX7kkP2"},
		{"other only", "La password della casella bianchi@pec.example è bX7kkP2", "bianchi@pec.example bX7kkP2"},
		{"sentence", "la password di rossi@pec.example è aX7kkP1 mentre quella di bianchi@pec.example è bX7kkP2", "rossi@pec.example aX7kkP1; bianchi@pec.example bX7kkP2"},
		{"unclear", "rossi@pec.example e bianchi@pec.example: aX7kkP1 bX7kkP2", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := submission.Find(message("password caselle", c.body), submission.Options{})
			var got []string
			for _, p := range r.Pairs {
				got = append(got, p.Mailbox+" "+p.Candidates[0].Secret.RevealString())
			}
			if strings.Join(got, "; ") != c.pairs {
				t.Errorf("pairs: got %q, want %q (%s)", strings.Join(got, "; "), c.pairs, describe(r))
			}
			if r.State != submission.Ambiguous {
				t.Errorf("state: got %s, want ambiguous", r.State)
			}
			if c.pairs != "" && strings.Join(r.Named, ",") != "bianchi@pec.example" {
				t.Errorf("named: got %v, want bianchi@pec.example", r.Named)
			}
		})
	}
}

// Punctuation behind a password is the sentence's, most likely, but only a
// login can tell, unless something in the letter does.
func TestLoose(t *testing.T) {
	for _, c := range []struct {
		body  string
		loose bool
	}{
		{"La nuova password: Xy1!2ab, grazie", true},
		{"La nuova password è Xy1!2ab. Grazie", true},
		{"La nuova password è «Xy1!2ab»", false},
		{"La nuova password: Xy12ab, grazie", true},
		{"La nuova password è Xy12ab. Grazie", true},
		{"La nuova password è Xy12ab. Grazie\nXy12ab", false},
		{"La nuova password, Xy12ab, scade a febbraio", false},
		{"Vi mando quanto avete richiesto ieri.\nLa nuova password è Xy12ab.\nResto in attesa di una conferma.", true},
		{"La nuova password è *Xy12ab*", true},
		{"La nuova password è Xy12ab", false},
		{"La nuova password è Xy1!2ab", false},
	} {
		r := submission.Find(message("Password", c.body), submission.Options{})
		if r.State != submission.Found || r.Candidates[0].Loose != c.loose {
			t.Errorf("%s: got %s %s loose %v, want found, loose %v", c.body, r.State, describe(r), len(r.Candidates) > 0 && r.Candidates[0].Loose, c.loose)
		}
	}
}

// A password whose rest comes another way is a half of one: a person looks at it,
// wherever in the letter that is said.
func TestInParts(t *testing.T) {
	for _, c := range []struct {
		before, behind string
		state          submission.State
	}{
		{"Il resto ve lo mando per SMS.\n", "", submission.Ambiguous},
		{"", "Il resto ve lo mando per SMS.\n", submission.Ambiguous},
		{"Il resto via WhatsApp.\n", "", submission.Ambiguous},
		{"Il resto su WhatsApp. Grazie mille. A presto.\n\n", "", submission.Ambiguous},
		{"Il resto ve lo mando per SMS.\nIn allegato trovate la fattura.\nGrazie.\n", "", submission.Ambiguous},
		{"", "Grazie per la pazienza.\nA presto.\nIl resto per SMS.\n", submission.Ambiguous},
		{"Gli ultimi due caratteri ve li dico a voce.\n", "", submission.Ambiguous},
		{"La restante parte nel prossimo messaggio.\n", "", submission.Ambiguous},
		{"The rest of the password follows by phone.\n", "", submission.Ambiguous},
		{"", "Per il resto, a disposizione.\n", submission.Found},
		{"Grazie, resto a disposizione.\n", "", submission.Found},
	} {
		r := submission.Find(message("Nuova password", "Buongiorno,\n"+c.before+"Password: Xy7kQ2mv\n"+c.behind+"Cordiali saluti\n"), submission.Options{})
		if r.State != c.state || len(r.Candidates) != 1 {
			t.Errorf("%q, %q: got %s and %d candidates, want %s and one", c.before, c.behind, r.State, len(r.Candidates), c.state)
		}
		r.Wipe()
	}
}

func TestHoldsMore(t *testing.T) {
	long := "Password: Xy12ab\n\n" + strings.Repeat("Le scrivo anche per la questione del capannone di via Roma. ", 20)
	if !submission.Find(message("Password", long), submission.Options{}).HoldsMore {
		t.Error("a long letter: got false, want true")
	}
	s := sample{from: "rossi@pec.example", subject: "Password", as: "plain", body: "Password: Xy12ab", attach: []string{"contratto.pdf"}}
	if !submission.FindRaw(s.message(), s.subject, "rossi@pec.example", defaultSent).HoldsMore {
		t.Error("a document: got false, want true")
	}
	if submission.Find(message("Password", "Password: Xy12ab\n\nCordiali saluti\nMario"), submission.Options{}).HoldsMore {
		t.Error("a covering letter: got true, want false")
	}
}

// Broken mail yields what can be read of it, never a panic or an error.
func TestBrokenMail(t *testing.T) {
	deep := strings.Repeat("Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n", 4000)
	for _, c := range []struct {
		name, raw string
		want      submission.State
	}{
		{"empty", "", submission.None},
		{"no header", "Password: Xy12ab per programmi di posta\n", submission.Found},
		{"mbox line", "From x Mon\nFrom: a@b\nContent-Type: text/plain\n\nPassword pec: Xy12ab", submission.Found},
		{"bad header lines", "From: a@b\nnonsense here\nContent-Type: text/plain; charset\n\nPassword pec: Xy12ab", submission.Found},
		{"unquoted boundary with =", "Content-Type: multipart/mixed; boundary=--=_x=1\n\n----=_x=1\nContent-Type: text/plain\n\nPassword pec: Xy12ab\n----=_x=1--\n", submission.Found},
		{"boundary missing", "Content-Type: multipart/mixed\n\nPassword pec: Xy12ab", submission.Found},
		{"prefix boundary", "Content-Type: multipart/mixed; boundary=out\n\n--out\nContent-Type: multipart/alternative; boundary=out-2\n\n--out-2\nContent-Type: text/plain\n\nPassword pec: Xy12ab\n--out-2--\n--out--\n", submission.Found},
		{"unknown charset", "Content-Type: text/plain; charset=x-klingon\n\nPassword pec: Xy12ab", submission.Found},
		{"bad base64", "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\nUGFzc3dvcmQg*cGVjOiBYeTEyYWI", submission.Found},
		{"deep", deep, submission.None},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := submission.FindRaw([]byte(c.raw), "", "rossi@pec.example", defaultSent)
			if r.State != c.want {
				t.Errorf("got %s %s, want %s", r.State, describe(r), c.want)
			}
			if c.want == submission.Found && r.Candidates[0].Secret.RevealString() != "Xy12ab" {
				t.Errorf("got %s", describe(r))
			}
		})
	}
}

// A forwarded PEC inside the message is not read: it is somebody else's word.
func TestNestedMessageIsNotRead(t *testing.T) {
	raw := "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nVedi sotto\n--b\nContent-Type: message/rfc822\n\nFrom: x@y\nSubject: password\n\nPassword per programmi di posta: Xy12ab\n--b--\n"
	r := submission.FindRaw([]byte(raw), "I: password", "rossi@pec.example", defaultSent)
	if r.State != submission.Intended || len(r.Candidates) != 0 || !r.HoldsMore {
		t.Errorf("got %s %s, more %v; want intended without candidates, more", r.State, describe(r), r.HoldsMore)
	}
}

// A message that has no text beside a picture, a document or a file is read by
// its subject, and the file as any that is attached.
func TestLetterWithoutText(t *testing.T) {
	const file = "Content-Type: text/plain\nContent-Disposition: attachment; filename=password.txt\n\nPassword per programmi di posta: Xy12ab\n"
	for _, c := range []struct {
		name, subject, raw string
		want               submission.State
	}{
		{"picture", "Password programmi di posta", "Content-Type: image/jpeg; name=foto.jpg\nContent-Transfer-Encoding: base64\n\n/9j/4AAQ\n", submission.Intended},
		{"document", "Password programmi di posta", "Content-Type: application/pdf\nContent-Transfer-Encoding: base64\n\nJVBERi0x\n", submission.Intended},
		{"signed, not readable", "Password programmi di posta", "Content-Type: application/pkcs7-mime; name=smime.p7m\nContent-Transfer-Encoding: base64\n\nMIIB\n", submission.Intended},
		{"message", "I: password programmi di posta", "Content-Type: message/rfc822\n\nSubject: x\n\nPassword: Xy12ab\n", submission.Intended},
		{"text file", "Password programmi di posta", file, submission.Found},
		{"text file alone", "", file, submission.Found},
		{"bill", "Fattura 12/2023", "Content-Type: application/pdf\nContent-Transfer-Encoding: base64\n\nJVBERi0x\n", submission.None},
		{"picture of something", "Foto", "Content-Type: image/jpeg\nContent-Transfer-Encoding: base64\n\n/9j/4AAQ\n", submission.None},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := submission.FindRaw([]byte(c.raw), c.subject, "rossi@pec.example", defaultSent)
			if r.State != c.want {
				t.Errorf("got %s %s, want %s", r.State, describe(r), c.want)
			}
		})
	}
}

// Time must be linear: the worst kinds of letter at full size.
func TestHugeLettersAreFast(t *testing.T) {
	for name, body := range map[string]string{
		"values":     strings.Repeat("Xy12ab9 ", 20000),
		"lines":      strings.Repeat("Xy12ab9\n", 20000),
		"distinct":   distinct(12000),
		"labels":     strings.Repeat("password ", 20000),
		"labelled":   strings.Repeat("password: Xy12ab9\n", 10000),
		"brackets":   strings.Repeat("(", 40000),
		"flowed":     strings.Repeat("a \n", 40000),
		"tabs":       strings.Repeat("password\tx1X\n", 10000),
		"quotes":     strings.Repeat("> ", 60000),
		"mail heads": strings.Repeat("Da: x\n", 20000),
	} {
		t.Run(name, func(t *testing.T) {
			for _, kind := range []string{"text/plain; format=flowed", "text/html"} {
				took := pectest.CPU(func() {
					submission.FindRaw([]byte("Content-Type: "+kind+"\n\n"+body), "password", "rossi@pec.example", defaultSent)
				})
				if took > 20*time.Second {
					t.Errorf("%s: got %v for %d bytes, want well under 20 s, also with the race detector", kind, took, len(body))
				} else {
					t.Logf("%s: %v", kind, took)
				}
			}
		})
	}
}

func distinct(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "xY%dz\n", i)
	}
	return b.String()
}

func FuzzFind(f *testing.F) {
	for _, s := range corpus(f) {
		f.Add(s.message(), s.subject)
	}
	f.Add([]byte("Content-Type: text/html\n\n<table><tr><td>password<td>Xy12ab<s>"), "password")
	f.Fuzz(func(t *testing.T, raw []byte, subject string) {
		m := &pec.Message{Sender: "rossi@pec.example", Mailbox: "rossi@pec.example", Subject: subject, SentAt: defaultSent, Original: raw}
		r := submission.Find(m, submission.Options{})
		if (r.State == submission.Found || r.State == submission.Ambiguous) != (len(r.Candidates) > 0) {
			t.Fatalf("%s with %d candidates", r.State, len(r.Candidates))
		}
		for _, c := range r.Candidates {
			if n := len([]rune(c.Secret.RevealString())); n < 4 || n > 64 {
				t.Fatalf("candidate of %d characters", n)
			}
		}
		if r.State == submission.Found && r.Candidates[0].Score < submission.Clear {
			t.Fatalf("found with score %d", r.Candidates[0].Score)
		}
		_, hidden, _ := strings.Cut(submission.Letter(m, r.Candidates, false), "Oggetto: ") // the sender above is always shown
		for _, c := range r.Candidates {
			if s := c.Secret.RevealString(); len(s) >= 6 && !strings.Contains(s, " ") && strings.Contains(hidden, s) {
				t.Fatalf("the masked letter shows candidate %q", s)
			}
		}
		submission.Letter(m, r.Candidates, true)
		r.Wipe()
	})
}

// The files of a letter are whole, up to the limit and not one byte beyond.
func TestAttachmentsLimit(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1000)
	encoded := base64.StdEncoding.EncodeToString(data)
	for _, c := range []struct{ encoding, body string }{{"base64", encoded[:8000] + "\r\n" + encoded[8000:]}, {"quoted-printable", strings.ReplaceAll(string(data), "f", "=66")}, {"8bit", string(data)}} {
		m := pec.Message{Original: []byte("From: a@b.example\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: " + c.encoding + "\r\n\r\n" + c.body)}
		files, more := submission.Attachments(&m, len(data))
		if more || len(files) != 1 || !bytes.Equal(files[0].Data, data) {
			t.Errorf("%s: got %d files, more %t, want the file", c.encoding, len(files), more)
		}
		if files, more := submission.Attachments(&m, len(data)-1); !more || len(files) != 0 {
			t.Errorf("%s, a byte more than fits: got %d files, more %t", c.encoding, len(files), more)
		}
	}
}
