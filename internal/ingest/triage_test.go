package ingest_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"pec-ingest/internal/config"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
	"pec-ingest/internal/servertest"
)

const triageSigner = "posta-certificata@pec.gestore.example"

// triageLetters are letters with documents, each in every provider's style.
func triageLetters() []pectest.Letter {
	pdf := pectest.Attachment{Name: "atto.pdf", Type: "application/pdf", Data: bytes.Repeat([]byte("%PDF-1.4 0123456789abcdef"), 1600)}
	large := pdf
	large.Data = bytes.Repeat(pdf.Data, 6)
	logo := pectest.Attachment{Name: "logo.png", Type: "image/png", Inline: true, Data: pdf.Data[:9000]}
	note := pectest.Attachment{Name: "password.txt", Type: "text/plain", Data: []byte("Password per programmi di posta: Xk7pQ2mv9\r\n")}
	page := "<html><body><p>Password per programmi di posta: <b>Xk7pQ2mv9</b></p></body></html>"
	long := strings.Repeat("Si comunica che la documentazione richiesta e' in allegato alla presente.\r\n", 600)
	const secret = "Buongiorno,\r\n\r\nPassword per programmi di posta: Xk7pQ2mv9\r\n"
	const other = "Spett.le Studio,\r\n\r\nin allegato il bilancio.\r\n\r\nDistinti saluti\r\n"
	return []pectest.Letter{
		{Subject: "Bilancio", Text: other, Attachments: []pectest.Attachment{pdf}},
		{Subject: "Bilancio", Text: other, HTML: "<p>" + other + "</p>", Attachments: []pectest.Attachment{pdf, pdf}},
		{Subject: "Bilancio", Text: other, Attachments: []pectest.Attachment{logo, large}},
		{Subject: "Bilancio", Text: long, Attachments: []pectest.Attachment{large}},
		{Subject: "Bilancio", Text: long[:12_000], Attachments: []pectest.Attachment{large}},
		{Subject: "Bilancio", Text: other, Attachments: slices.Repeat([]pectest.Attachment{pdf}, 12)},
		{Subject: "Documenti", Text: other, Attachments: []pectest.Attachment{pdf, note}},
		{Subject: "Documenti", Text: other, Attachments: []pectest.Attachment{large, large, note}},
		{Subject: "Documenti", Text: secret, Attachments: []pectest.Attachment{pdf}},
		{Subject: "Documenti", Text: other, HTML: page, Attachments: []pectest.Attachment{pdf}},
		{Subject: "Password per programmi di posta", Text: "vedi foto\r\n", Attachments: []pectest.Attachment{pdf, logo}},
		{Subject: "Re: password per programmi di posta", Text: "\r\n", Attachments: []pectest.Attachment{pdf}},
		{Subject: "Documenti", Text: long + "\r\n" + secret, Attachments: []pectest.Attachment{pdf}},
		{Subject: "Documenti", Text: strings.Repeat(long, 4) + "\r\n" + secret, Attachments: []pectest.Attachment{large}},
	}
}

// What a pass makes of an inbox is the same whether it looks at the beginnings
// of large messages first or downloads them all; and it does leave most of
// those that are about something else alone, unread and on the server.
func TestTriageChangesNothing(t *testing.T) {
	d := servertest.StartDovecot(t, servertest.DovecotOptions{Users: []servertest.User{{Name: studioUser, Password: "giusta"}}})
	provider := pectest.NewAuthority("pec").Provider(triageSigner, "GESTORE DI PROVA S.p.A.")
	at := time.Now().Add(-30 * 24 * time.Hour).Truncate(time.Second)
	n, useless := 0, 0
	for _, style := range pectest.Styles() {
		for i, l := range triageLetters() {
			n++
			if i < 5 {
				useless++
			}
			at = at.Add(time.Minute)
			from := fmt.Sprintf("ditta%02d@pec.gestore.example", i)
			l.From, l.To, l.Date = from, studioUser, at
			e := pectest.Envelope{Provider: provider, Sender: from, Recipients: []string{studioUser}, Subject: l.Subject, SentAt: at,
				MsgID: fmt.Sprintf("<%d@client.example>", n), Letter: l, Style: style}
			d.Deliver(studioUser, "INBOX", e.Bytes(), at.Add(time.Minute))
		}
	}
	all, none := triagePass(t, d, ingest.ReadWhole(ingest.PassOptions{}))
	sifted, skipped := triagePass(t, d, ingest.PassOptions{})
	if len(all) == 0 || !slices.Equal(all, sifted) {
		t.Errorf("settled with every message downloaded:\n%s\nwith the large ones looked into:\n%s", strings.Join(all, "\n"), strings.Join(sifted, "\n"))
	}
	if none != 0 {
		t.Errorf("told to read all, the pass left %d messages alone", none)
	}
	if skipped < useless*9/10 {
		t.Errorf("left alone: got %d of %d messages, want most of the %d that are useless", skipped, n, useless)
	}
	for _, m := range d.Messages(studioUser, "INBOX") {
		if m.Seen() {
			t.Errorf("message %d is marked read", m.UID)
		}
	}
}

// triagePass makes a pass with a vault of its own and tells what was settled,
// in a form without the identity of the vault, and how many were left alone.
func triagePass(t *testing.T, d *servertest.Dovecot, o ingest.PassOptions) (settled []string, skipped int) {
	t.Helper()
	s := openStudio(t, d, "")
	o.Observe = func(ob ingest.Observation) {
		switch {
		case strings.HasPrefix(ob.Why, "not downloaded"):
			skipped++
			if ob.Certified || ob.Kind != pec.KindEnvelope {
				t.Errorf("left alone and told as %+v", ob)
			}
		case ob.Outcome != "":
			settled = append(settled, fmt.Sprintf("%s %s %s %s", ob.ID, ob.Mailbox, ob.Outcome, ob.Reason))
		}
	}
	sum, err := s.Pass(t.Context(), o)
	if err != nil || sum.Errors > 0 {
		t.Fatalf("pass: %+v, %v", sum, err)
	}
	slices.Sort(settled)
	again := 0
	o.Observe = func(ingest.Observation) { again++ }
	if sum, err := s.Pass(t.Context(), o); err != nil || sum.Seen > 0 || again > 0 {
		t.Errorf("a second pass: got %+v, %v, %d observations, want nothing", sum, err, again)
	}
	return settled, skipped
}

// openStudio makes a service with an empty vault over a server's inbox. The
// probe is off, and messages are not moved.
func openStudio(t *testing.T, d *servertest.Dovecot, extra string) *ingest.Service {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(d.Addr())
	write("recipients.txt", key.Recipient().String()+"\n")
	write("identity", key.String()+"\n")
	write("inbox-password", "giusta\n")
	write("tls.pem", string(d.CA().PEM()))
	write("pec.pem", string(pectest.NewAuthority("pec").RootPEM()))
	write("config.toml", fmt.Sprintf(`[inbox]
host = %q
port = %s
username = %q
password_file = "inbox-password"
tls_ca_file = "tls.pem"
after = "keep"
[trust]
anchors = ["pec.pem"]
builtin = false
[vault]
url = "bbolt://%s/vault.db"
[probe]
enabled = false
[[provider]]
id = "prova"
signer = %q
imap = "127.0.0.1:1"
%s`, host, port, studioUser, dir, triageSigner, extra))
	cfg, err := config.Load(filepath.Join(dir, "config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := ingest.Open(cfg, ingest.Writing, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	var csv strings.Builder
	csv.WriteString("mailbox,name\n")
	for i := range len(triageLetters()) {
		fmt.Fprintf(&csv, "ditta%02d@pec.gestore.example,Ditta %d\n", i, i)
	}
	if _, err := s.ImportClients(t.Context(), "test", strings.NewReader(csv.String()), false, time.Now()); err != nil {
		t.Fatal(err)
	}
	return s
}

// With policy.unlisted = "ignore" the envelopes of strangers are left alone
// by their header; those of clients and of strange addresses are not.
func TestTriageIgnoresStrangers(t *testing.T) {
	d := servertest.StartDovecot(t, servertest.DovecotOptions{Users: []servertest.User{{Name: studioUser, Password: "giusta"}}})
	provider := pectest.NewAuthority("pec").Provider(triageSigner, "GESTORE DI PROVA S.p.A.")
	at := time.Now().Add(-24 * time.Hour).Truncate(time.Second)
	for i, from := range []string{"ditta00@pec.gestore.example", "Ditta01@PEC.Gestore.Example", "ignoto@pec.gestore.example", "o'hara@pec.gestore.example"} {
		e := pectest.Envelope{Provider: provider, Sender: from, Recipients: []string{studioUser}, SentAt: at, MsgID: fmt.Sprintf("<%d@x>", i),
			Subject: "Password", Letter: pectest.Letter{From: from, To: studioUser, Date: at, Subject: "Password", Text: "Password per programmi di posta: Xk7pQ2mv9\r\n"}}
		d.Deliver(studioUser, "INBOX", e.Bytes(), at)
	}
	settled, skipped := triagePassWith(t, d, "[policy]\nunlisted = \"ignore\"\n")
	want := []string{"ditta00@pec.gestore.example accepted", "ditta01@pec.gestore.example accepted", "?o'hara@pec.gestore.example review"}
	slices.Sort(want)
	if !slices.Equal(settled, want) || skipped != 1 {
		t.Errorf("got %q settled, %d left alone; want %q and 1", settled, skipped, want)
	}
}

func triagePassWith(t *testing.T, d *servertest.Dovecot, extra string) (settled []string, skipped int) {
	t.Helper()
	s := openStudio(t, d, extra)
	_, err := s.Pass(t.Context(), ingest.PassOptions{Observe: func(ob ingest.Observation) {
		if strings.HasPrefix(ob.Why, "not downloaded") {
			skipped++
		} else if ob.Outcome != "" {
			settled = append(settled, ob.Mailbox+" "+ob.Outcome)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(settled)
	return settled, skipped
}
