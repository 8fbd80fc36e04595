package notify_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset"

	"pec-ingest/internal/notify"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/servertest"
)

var letter = notify.Mail{
	To: "rossi@pec.it", MessageID: "<abc123@pec.it>", Subject: "La password è valida", Text: "Perché sì.\n.\n..due punti\nFine\n",
	HTML: "<p>Perché sì.</p>", Headers: map[string]string{notify.HeaderReceiptType: notify.ReceiptBrief},
	Date: time.Date(2026, 7, 15, 9, 0, 0, 0, time.UTC),
}

func TestSend(t *testing.T) {
	ca := servertest.NewCA(t)
	tests := []struct {
		name     string
		starttls bool
		auth     string // offered
		oauth    bool
		steps    string
	}{
		{"implicit TLS", false, "LOGIN PLAIN", false, "EHLO AUTH PLAIN MAIL RCPT DATA DOT QUIT"},
		{"STARTTLS", true, "PLAIN", false, "EHLO STARTTLS EHLO AUTH PLAIN MAIL RCPT DATA DOT QUIT"},
		{"LOGIN only", false, "LOGIN", false, "EHLO AUTH LOGIN MAIL RCPT DATA DOT QUIT"},
		{"XOAUTH2", true, "XOAUTH2 LOGIN", true, "EHLO STARTTLS EHLO AUTH XOAUTH2 MAIL RCPT DATA DOT QUIT"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := startFaulty(t, &faultyServer{tls: ca.ServerConfig(t, servertest.Leaf{}), starttls: tt.starttls, auth: tt.auth})
			c := s.config(ca)
			if tt.oauth {
				c.Auth = "oauth2"
			}
			hooks := 0
			receipt, err := notify.Send(t.Context(), c, letter, func() error {
				hooks++
				if got := s.messages(); len(got) != 0 {
					t.Errorf("at the hook the server already had %d messages", len(got))
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if receipt.Code != 250 || receipt.Response != "2.0.0 Ok: queued as ABC123 for <[address]>" {
				t.Errorf("got %+v, want the server's words without the address", receipt)
			}
			if hooks != 1 {
				t.Errorf("the hook was called %d times, want once", hooks)
			}
			if got := s.steps(); got != tt.steps {
				t.Errorf("steps: got %s, want %s", got, tt.steps)
			}
			if got := strings.Join(s.from, "; "); got != "MAIL FROM:<studio@pec.it> BODY=8BITMIME; RCPT TO:<rossi@pec.it>" {
				t.Errorf("envelope: got %s", got)
			}
			got := s.messages()
			if len(got) != 1 {
				t.Fatalf("got %d messages, want one", len(got))
			}
			checkLetter(t, got[0])
		})
	}
}

// checkLetter reads letter back from the bytes that arrived.
func checkLetter(t *testing.T, raw string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	e, err := message.Read(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"From": `"Studio Rossi" <studio@pec.it>`, "To": "<rossi@pec.it>", "Message-Id": "<abc123@pec.it>",
		"X-Tiporicevuta": "breve", "Auto-Submitted": "auto-generated", "Mime-Version": "1.0",
		"Date": "Wed, 15 Jul 2026 09:00:00 +0000",
	} {
		if got := m.Header[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %q, want %q once", name, got, want)
		}
	}
	if subject, err := e.Header.Text("Subject"); err != nil || subject != letter.Subject {
		t.Errorf("subject: got %q, want %q", subject, letter.Subject)
	}
	parts := map[string]string{}
	r := e.MultipartReader()
	if r == nil {
		t.Fatalf("got %s, want multipart", m.Header.Get("Content-Type"))
	}
	for {
		p, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := p.Header.ContentType()
		b, err := io.ReadAll(p.Body)
		if err != nil {
			t.Fatal(err)
		}
		parts[kind] = strings.ReplaceAll(string(b), "\r\n", "\n")
	}
	if parts["text/plain"] != letter.Text || parts["text/html"] != letter.HTML {
		t.Errorf("got parts %q, want text %q and HTML %q", parts, letter.Text, letter.HTML)
	}
	for i, line := range strings.Split(raw, "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\n") {
			t.Errorf("line %d is not a mail line: %q", i+1, line)
		}
	}
}

func TestSendFaults(t *testing.T) {
	ca := servertest.NewCA(t)
	type want struct {
		stage                      notify.Stage
		code                       int
		enhanced                   string
		temporary, refused, forAll bool
		hint                       string
		hook                       bool // beforeDot was called
	}
	tests := []struct {
		name     string
		starttls bool
		auth     string
		faults   map[string]fault
		want     want
	}{
		{"busy greeting", false, "", map[string]fault{"greeting": {reply: "421 4.3.2 busy"}},
			want{stage: notify.StageGreeting, code: 421, enhanced: "4.3.2", temporary: true, forAll: true}},
		{"refusing greeting", false, "", map[string]fault{"greeting": {reply: "554 go away"}},
			want{stage: notify.StageGreeting, code: 554, temporary: true, forAll: true}},
		{"closes at once", false, "", map[string]fault{"greeting": {do: "close"}},
			want{stage: notify.StageGreeting, temporary: true, forAll: true}},
		{"says nothing", false, "", map[string]fault{"greeting": {do: "silent"}},
			want{stage: notify.StageGreeting, temporary: true, forAll: true}},
		{"talks without end", false, "", map[string]fault{"greeting": {do: "flood"}},
			want{stage: notify.StageGreeting, temporary: true, forAll: true}},
		{"refuses EHLO", false, "", map[string]fault{"EHLO": {reply: "550 no"}, "HELO": {reply: "550 no"}},
			want{stage: notify.StageHello, code: 550, temporary: true, forAll: true}},

		{"offers no STARTTLS", true, "", map[string]fault{"no-starttls": {}},
			want{stage: notify.StageTLS, temporary: true, forAll: true, hint: "implicit"}},
		{"refuses STARTTLS", true, "", map[string]fault{"STARTTLS": {reply: "454 4.7.0 not now"}},
			want{stage: notify.StageTLS, code: 454, enhanced: "4.7.0", temporary: true, forAll: true}},

		{"wrong password", false, "", map[string]fault{"AUTH": {reply: "535 5.7.8 Authentication failed"}},
			want{stage: notify.StageAuth, code: 535, enhanced: "5.7.8", refused: true, forAll: true, hint: "not tried again"}},
		{"login unavailable", false, "", map[string]fault{"AUTH": {reply: "454 4.7.0 Temporary authentication failure"}},
			want{stage: notify.StageAuth, code: 454, enhanced: "4.7.0", temporary: true, forAll: true}},
		{"Microsoft 5.7.139", false, "", map[string]fault{"AUTH": {reply: "535 5.7.139 Authentication unsuccessful, basic authentication is disabled."}},
			want{stage: notify.StageAuth, code: 535, enhanced: "5.7.139", refused: true, forAll: true, hint: "ingest login"}},
		{"Microsoft 5.7.30", false, "", map[string]fault{"AUTH": {reply: "550 5.7.30 Basic authentication is not supported for Client Submission."}},
			want{stage: notify.StageAuth, code: 550, enhanced: "5.7.30", refused: true, forAll: true, hint: "ingest login"}},
		{"Microsoft 5.7.30 at MAIL", false, "", map[string]fault{"MAIL": {reply: "550 5.7.30 Basic authentication is not supported for Client Submission."}},
			want{stage: notify.StageFrom, code: 550, enhanced: "5.7.30", refused: true, forAll: true, hint: "ingest login"}},
		{"Microsoft tenant", false, "", map[string]fault{"AUTH": {reply: "535-5.7.139 Authentication unsuccessful,\n535 5.7.139 SmtpClientAuthentication is disabled for the Tenant."}},
			want{stage: notify.StageAuth, code: 535, enhanced: "5.7.139", refused: true, forAll: true, hint: "ingest login"}},
		{"Gmail", false, "", map[string]fault{"AUTH": {reply: "534-5.7.9 Application-specific password required. Learn more\n534 5.7.9 at support.google.com"}},
			want{stage: notify.StageAuth, code: 534, enhanced: "5.7.9", refused: true, forAll: true, hint: "app password"}},
		{"takes no passwords", false, "XOAUTH2", nil,
			want{stage: notify.StageAuth, refused: true, forAll: true, hint: "ingest login"}},
		{"offers nothing we have", false, "CRAM-MD5", nil,
			want{stage: notify.StageAuth, temporary: true, forAll: true}},
		{"cut at the login", false, "", map[string]fault{"AUTH": {do: "close"}},
			want{stage: notify.StageAuth, temporary: true, forAll: true}},

		{"sender refused", false, "", map[string]fault{"MAIL": {reply: "553 5.7.1 not your address"}},
			want{stage: notify.StageFrom, code: 553, enhanced: "5.7.1", forAll: true, hint: "[smtp] from"}},
		{"sender later", false, "", map[string]fault{"MAIL": {reply: "452 4.3.1 insufficient storage"}},
			want{stage: notify.StageFrom, code: 452, enhanced: "4.3.1", temporary: true, forAll: true}},
		{"no such mailbox", false, "", map[string]fault{"RCPT": {reply: "550 5.1.1 <rossi@pec.it>: unknown"}},
			want{stage: notify.StageTo, code: 550, enhanced: "5.1.1", hint: "does not exist"}},
		{"greylisted", false, "", map[string]fault{"RCPT": {reply: "450 4.2.0 <rossi@pec.it>: Greylisted, try later"}},
			want{stage: notify.StageTo, code: 450, enhanced: "4.2.0", temporary: true, hint: "come back later"}},
		{"mailbox full", false, "", map[string]fault{"RCPT": {reply: "552 5.2.2 over quota"}},
			want{stage: notify.StageTo, code: 552, enhanced: "5.2.2", hint: "full"}},
		{"leaves at RCPT", false, "", map[string]fault{"RCPT": {reply: "421 4.4.2 timeout"}},
			want{stage: notify.StageTo, code: 421, enhanced: "4.4.2", temporary: true, forAll: true}},
		{"refuses DATA", false, "", map[string]fault{"DATA": {reply: "554 5.5.1 no valid recipients"}},
			want{stage: notify.StageData, code: 554, enhanced: "5.5.1"}},
		{"refuses the content", false, "", map[string]fault{"DOT": {reply: "554 5.6.0 virus"}},
			want{stage: notify.StageDot, code: 554, enhanced: "5.6.0", hook: true}},
		{"content later", false, "", map[string]fault{"DOT": {reply: "451 4.3.0 try again"}},
			want{stage: notify.StageDot, code: 451, enhanced: "4.3.0", temporary: true, hook: true}},
		{"cut after the dot", false, "", map[string]fault{"DOT": {do: "close"}},
			want{stage: notify.StageDot, temporary: true, forAll: true, hook: true}},
		{"silent after the dot", false, "", map[string]fault{"DOT": {do: "silent"}},
			want{stage: notify.StageDot, temporary: true, forAll: true, hook: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var s *faultyServer
			var err error
			hook := false
			send := func(timeout time.Duration) {
				s = startFaulty(t, &faultyServer{tls: ca.ServerConfig(t, servertest.Leaf{}), starttls: tt.starttls, auth: tt.auth, faults: tt.faults})
				c := s.config(ca)
				c.Timeout = timeout
				_, err = notify.Send(t.Context(), c, letter, func() error { hook = true; return nil })
			}
			if strings.Contains(tt.name, "silent") || strings.Contains(tt.name, "says nothing") {
				// With as much time as a busy machine takes for the steps before.
				for timeout := 300 * time.Millisecond; timeout < patience; timeout *= 3 {
					hook = false
					if send(timeout); s.isMute() {
						break
					}
				}
			} else {
				send(patience)
			}
			var e *notify.SendError
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want a SendError", err)
			}
			got := want{e.Stage, e.Code, e.Enhanced, e.Temporary, e.Refused, e.ForAll, tt.want.hint, hook}
			if got != tt.want || !strings.Contains(e.Hint, tt.want.hint) {
				t.Errorf("got %+v hint %q, want %+v", got, e.Hint, tt.want)
			}
			if e.InDoubt() != (tt.want.stage == notify.StageDot && tt.want.code == 0) {
				t.Errorf("in doubt: got %v", e.InDoubt())
			}
			checkSafe(t, err)
			if n := strings.Count(s.steps(), "AUTH"); n > 1 {
				t.Errorf("got %d logins, want at most one: %s", n, s.steps())
			}
		})
	}
}

// patience is for a machine that is very busy with other things.
const patience = 2 * time.Minute

// checkSafe looks for what may never be in an error.
func checkSafe(t *testing.T, err error) {
	t.Helper()
	for _, s := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
		for _, bad := range []string{password, "rossi@", user, "\n", "cMOkJCQ"} {
			if strings.Contains(s, bad) {
				t.Errorf("the error shows %q: %s", bad, s)
			}
		}
	}
}

func TestSendRefusedPassword(t *testing.T) {
	ca := servertest.NewCA(t)
	const wrong = "wrong-password"
	for _, mechanism := range []string{"PLAIN", "LOGIN", "XOAUTH2"} {
		s := startFaulty(t, &faultyServer{tls: ca.ServerConfig(t, servertest.Leaf{}), auth: mechanism})
		c := s.config(ca)
		c.Password = secret.FromString(wrong)
		if mechanism == "XOAUTH2" {
			c.Auth = "oauth2"
		}
		_, err := notify.Send(t.Context(), c, letter, nil)
		var e *notify.SendError
		if !errors.As(err, &e) || !e.Refused || e.Temporary || e.Code != 535 {
			t.Errorf("%s: got %v, want a refused login", mechanism, err)
			continue
		}
		checkSafe(t, err)
		// The server repeats what it was sent, as it is or in base64.
		for _, b := range []string{wrong, base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + wrong)),
			base64.StdEncoding.EncodeToString([]byte("user=" + user + "\x01auth=Bearer " + wrong + "\x01\x01"))} {
			if strings.Contains(err.Error(), b) {
				t.Errorf("%s: the error shows %q: %v", mechanism, b, err)
			}
		}
		if len(s.messages()) > 0 || strings.Contains(s.steps(), "MAIL") {
			t.Errorf("%s: went on after the refusal: %s", mechanism, s.steps())
		}
	}
}

func TestSendTLS(t *testing.T) {
	ca, other := servertest.NewCA(t), servertest.NewCA(t)
	tests := []struct {
		name string
		leaf servertest.Leaf
		ca   *servertest.CA
		hint string
	}{
		{"unknown authority", servertest.Leaf{}, other, "tls_ca_file"},
		{"other name", servertest.Leaf{Names: []string{"smtp.other.example"}}, ca, "another name"},
		{"expired", servertest.Leaf{Expired: true}, ca, "clock"},
	}
	for _, tt := range tests {
		for _, starttls := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, starttls %v", tt.name, starttls), func(t *testing.T) {
				s := startFaulty(t, &faultyServer{tls: ca.ServerConfig(t, tt.leaf), starttls: starttls})
				_, err := notify.Send(t.Context(), s.config(tt.ca), letter, nil)
				var e *notify.SendError
				if !errors.As(err, &e) || e.Stage != notify.StageTLS || !e.Temporary || e.Refused || !strings.Contains(e.Hint, tt.hint) {
					t.Errorf("got %v, want a TLS error with a hint on %q", err, tt.hint)
				}
				if strings.Contains(s.steps(), "AUTH") {
					t.Errorf("the password went out: %s", s.steps())
				}
			})
		}
	}
	t.Run("STARTTLS port taken for implicit", func(t *testing.T) {
		s := startFaulty(t, &faultyServer{tls: ca.ServerConfig(t, servertest.Leaf{}), starttls: true})
		c := s.config(ca)
		c.TLS = "implicit"
		_, err := notify.Send(t.Context(), c, letter, nil)
		var e *notify.SendError
		if !errors.As(err, &e) || e.Stage != notify.StageTLS || !strings.Contains(e.Hint, "starttls") {
			t.Errorf("got %v, want a hint on starttls", err)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		c := notify.SMTPConfig{Host: "127.0.0.1", Port: 1, Username: user, Password: secret.FromString(password), From: user, RootCAs: ca.Pool()}
		_, err := notify.Send(t.Context(), c, letter, nil)
		var e *notify.SendError
		if !errors.As(err, &e) || e.Stage != notify.StageConnect || !e.Temporary || !e.ForAll {
			t.Errorf("got %v, want a temporary failure to connect", err)
		}
	})
}

func TestSendHookFails(t *testing.T) {
	ca := servertest.NewCA(t)
	s := startFaulty(t, &faultyServer{tls: ca.ServerConfig(t, servertest.Leaf{})})
	full := errors.New("disk full")
	_, err := notify.Send(t.Context(), s.config(ca), letter, func() error { return full })
	var e *notify.SendError
	if !errors.As(err, &e) || e.Stage != notify.StageHook || !e.Temporary || e.InDoubt() || !errors.Is(err, full) {
		t.Errorf("got %v, want the hook's error", err)
	}
	// The connection is cut; the server must not have taken the message.
	for deadline := time.Now().Add(patience); !strings.HasSuffix(s.steps(), "cut"); {
		if time.Now().After(deadline) {
			t.Fatalf("the server saw %s, want the message cut off", s.steps())
		}
		time.Sleep(time.Millisecond)
	}
	if got := s.messages(); len(got) != 0 {
		t.Errorf("the server accepted %d messages, want none", len(got))
	}
}

func TestSendCancelled(t *testing.T) {
	ca := servertest.NewCA(t)
	for _, step := range []string{"greeting", "AUTH", "MAIL", "DOT"} {
		s := startFaulty(t, &faultyServer{tls: ca.ServerConfig(t, servertest.Leaf{}), faults: map[string]fault{step: {do: "silent"}}})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-s.mute
			cancel()
		}()
		start := time.Now()
		_, err := notify.Send(ctx, s.config(ca), letter, nil)
		var e *notify.SendError
		if !errors.As(err, &e) || !errors.Is(err, context.Canceled) || e.InDoubt() != (step == "DOT") {
			t.Errorf("%s: got %v, want the context's error", step, err)
		}
		if d := time.Since(start); d > notify.DefaultTimeout {
			t.Errorf("%s: took %v, as if nobody had cancelled", step, d)
		}
		cancel()
	}
	s := startFaulty(t, &faultyServer{tls: ca.ServerConfig(t, servertest.Leaf{}), faults: map[string]fault{"greeting": {do: "silent"}}})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := notify.Send(ctx, s.config(ca), letter, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a deadline: got %v, want the context's error", err)
	}
}

func TestCompose(t *testing.T) {
	change := func(f func(*notify.Mail)) notify.Mail { m := letter; f(&m); return m }
	tests := []struct {
		name string
		from string
		mail notify.Mail
	}{
		{"no sender", "", letter},
		{"sender with a line end", "a@b.it\r\nBcc: x@y.it", letter},
		{"no recipient", user, change(func(m *notify.Mail) { m.To = "" })},
		{"two recipients", user, change(func(m *notify.Mail) { m.To = "a@b.it, c@d.it" })},
		{"recipient with quotes", user, change(func(m *notify.Mail) { m.To = `"a b"@c.it` })},
		{"recipient outside ASCII", user, change(func(m *notify.Mail) { m.To = "ro\u0455\u0455i@pec.it" })},
		{"no Message-ID", user, change(func(m *notify.Mail) { m.MessageID = "" })},
		{"Message-ID with a line end", user, change(func(m *notify.Mail) { m.MessageID = "<a\r\nX: y@b>" })},
		{"no date", user, change(func(m *notify.Mail) { m.Date = time.Time{} })},
		{"header with a line end", user, change(func(m *notify.Mail) { m.Headers = map[string]string{"X-A": "a\r\nBcc: x@y.it"} })},
		{"header name with a colon", user, change(func(m *notify.Mail) { m.Headers = map[string]string{"X-A: b\r\nBcc": "a"} })},
		{"header of our own", user, change(func(m *notify.Mail) { m.Headers = map[string]string{"bcc": "x@y.it"} })},
	}
	for _, tt := range tests {
		if b, err := notify.Compose(tt.from, tt.mail); !errors.Is(err, notify.ErrMail) || b != nil {
			t.Errorf("%s: got %v, want ErrMail", tt.name, err)
		}
	}

	one, err := notify.Compose(user, letter)
	if err != nil {
		t.Fatal(err)
	}
	two, err := notify.Compose(user, letter)
	if err != nil || string(one) != string(two) {
		t.Errorf("the same mail gives different bytes (%v):\n%s\n%s", err, one, two)
	}
	sneaky := change(func(m *notify.Mail) { m.Subject = "Ciao\r\nBcc: x@y.it\r\n\r\ntesto" })
	b, err := notify.Compose(user, sneaky)
	if err != nil {
		t.Fatal(err)
	}
	m, err := mail.ReadMessage(strings.NewReader(string(b)))
	if err != nil || m.Header.Get("Bcc") != "" || m.Header.Get("Subject") != "Ciao Bcc: x@y.it testo" {
		t.Errorf("got subject %q, Bcc %q (%v), want one line of subject", m.Header.Get("Subject"), m.Header.Get("Bcc"), err)
	}
}
