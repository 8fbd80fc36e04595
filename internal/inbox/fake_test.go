package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pec-ingest/internal/inbox"
)

// Only a clear word about the password is a refusal.
func TestLoginAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			answer string
			want   error
		}{
			{"TAG NO [AUTHENTICATIONFAILED] Authentication failed.\r\n", inbox.ErrRefused},
			{"TAG NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)\r\n", inbox.ErrRefused},
			{"TAG NO [AUTHENTICATIONFAILED] Too many failures, try again later\r\n", inbox.ErrUnavailable},
			{"TAG NO [EXPIRED] password is too old\r\n", inbox.ErrRefused},
			{"TAG NO Login failed.\r\n", inbox.ErrRefused},
			{"TAG NO LOGIN failed.\r\n", inbox.ErrRefused},
			{"TAG NO Autenticazione fallita\r\n", inbox.ErrRefused},
			{"TAG NO Login failed: backend temporarily unavailable\r\n", inbox.ErrUnavailable},
			{"TAG NO Login failed, too many connections\r\n", inbox.ErrUnavailable},
			{"TAG NO [UNAVAILABLE] Temporary authentication failure.\r\n", inbox.ErrUnavailable},
			{"TAG NO [LIMIT] Maximum number of connections\r\n", inbox.ErrUnavailable},
			{"TAG NO [OVERQUOTA] full\r\n", inbox.ErrUnavailable},
			{"TAG NO [INUSE] busy\r\n", inbox.ErrUnavailable},
			{"TAG NO [CONTACTADMIN] disabled\r\n", inbox.ErrUnavailable},
			{"TAG NO [ALERT] Authentication failed, IMAP access is not enabled\r\n", inbox.ErrUnavailable},
			{"TAG NO no\r\n", inbox.ErrUnavailable},
			{"TAG NO\r\n", inbox.ErrUnavailable},
			{"TAG BAD Login failed: parse error\r\n", inbox.ErrUnavailable},
			{"* BYE Too many invalid attempts\r\n" + hangUp, inbox.ErrUnavailable},
			{hangUp, inbox.ErrNetwork},
			{silent, inbox.ErrNetwork},
			{"TAG OK", inbox.ErrNetwork},
			{"NONSENSE\r\n", inbox.ErrNetwork},
			{"other OK done\r\n", inbox.ErrNetwork},
			{"TAG NO [AUTHENTICATIONFAILED] " + password + " is wrong for " + studio + "\r\n", inbox.ErrRefused},
			{"TAG NO [AUTHENTICATIONFAILED] for altro@pec.example and " + studio + " \x1b[31m\r\n", inbox.ErrRefused},
		} {
			f := &fake{script: on(map[string]string{"LOGIN": c.answer})}
			_, err := talk(t, f, nil)
			if !errors.Is(err, c.want) {
				t.Errorf("%q: got %v, want %v", c.answer, err, c.want)
				continue
			}
			if (c.want == inbox.ErrRefused) != errors.Is(err, inbox.ErrRefused) {
				t.Errorf("%q: got %v", c.answer, err)
			}
			answered := strings.HasPrefix(c.answer, "TAG NO") || strings.HasPrefix(c.answer, "TAG BAD")
			if want := answered && c.want == inbox.ErrUnavailable; errors.Is(err, inbox.ErrDenied) != want {
				t.Errorf("%q: got %v, which is %v: %t, want %t", c.answer, err, inbox.ErrDenied, !want, want)
			}
			if text := err.Error(); strings.Contains(text, password) || strings.Contains(text, "@") || strings.Contains(text, "\x1b") {
				t.Errorf("%q: unsafe error %q", c.answer, text)
			}
			logins := 0
			for _, cmd := range f.sent() {
				if strings.HasPrefix(cmd, "LOGIN") || strings.HasPrefix(cmd, "AUTHENTICATE") {
					logins++
				}
			}
			if logins != 1 {
				t.Errorf("%q: %d logins, want 1", c.answer, logins)
			}
		}
	})
}

func TestGreetings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for greeting, want := range map[string]error{
			"* OK ready\r\n": nil, // capabilities only when asked
			"* PREAUTH [CAPABILITY IMAP4rev1] welcome\r\n":                      inbox.ErrUnavailable,
			"* BYE [UNAVAILABLE] maintenance\r\n" + hangUp:                      inbox.ErrUnavailable,
			"* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] no passwords\r\n":        inbox.ErrUnavailable,
			"* OK [CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=PLAIN] use SASL\r\n": nil,
			"220 smtp.example ESMTP\r\n":                                        inbox.ErrNetwork,
			"":                                                                  inbox.ErrNetwork, // silent
			hangUp:                                                              inbox.ErrNetwork,
			"* OK " + strings.Repeat("x", 100_000):                              inbox.ErrNetwork,
			"+ OK POP3 ready\r\n":                                               inbox.ErrNetwork,
		} {
			script := func(cmd string) (string, bool) {
				switch {
				case cmd == "GREETING":
					return greeting, true
				case strings.HasPrefix(cmd, "CAPABILITY"):
					return "* CAPABILITY IMAP4rev1\r\nTAG OK done\r\n", true
				case strings.HasPrefix(cmd, "AUTHENTICATE PLAIN"):
					return "+ \r\n", true
				case !strings.Contains(cmd, " ") && greeting != "" && strings.Contains(greeting, "AUTH=PLAIN"):
					return "T1 OK in\r\n", true
				}
				return "", false
			}
			_, err := talk(t, &fake{script: script}, nil)
			if !errors.Is(err, want) {
				t.Errorf("%.60q: got %v, want %v", greeting, err, want)
			}
		}
	})
}

// Each weakness of the library named in guard.go, and each lie a server may
// tell: the answer is an error or the truth, soon, and never a hang.
func TestTraps(t *testing.T) {
	letter := "A: b\r\n\r\ntext\r\n"
	body := fmt.Sprintf("* 1 FETCH (UID 1 BODY[] {%d}\r\n%s)\r\n", len(letter), letter)
	meta := `* 1 FETCH (UID 1 RFC822.SIZE 14 INTERNALDATE "01-Sep-2026 10:00:00 +0000")` + "\r\n" +
		`* 2 FETCH (UID 2 RFC822.SIZE 14 INTERNALDATE "01-Sep-2026 10:00:00 +0000")` + "\r\nTAG OK done\r\n"
	for _, c := range []struct {
		name    string
		answer  string // to the FETCH of UIDs 1 and 2
		want    error
		missing []uint32 // when want is nil
	}{
		{"polite", body + strings.ReplaceAll(body, "UID 1", "UID 2") + "TAG OK done\r\n", nil, nil},
		{"cut inside a literal", "* 1 FETCH (UID 1 BODY[] {14}\r\nA: b\r\n" + hangUp, inbox.ErrNetwork, nil},
		{"cut after a literal", "* 1 FETCH (UID 1 BODY[] {14}\r\n" + letter + hangUp, inbox.ErrNetwork, nil},
		{"cut before the end", body + hangUp, inbox.ErrNetwork, nil},
		{"silent inside a literal", "* 1 FETCH (UID 1 BODY[] {14}\r\nA: b\r\n" + silent, inbox.ErrNetwork, nil},
		{"silent before the end", body + silent, inbox.ErrNetwork, nil},
		{"one of two", body + "TAG OK done\r\n", nil, []uint32{2}},
		{"none", "TAG OK done\r\n", nil, []uint32{1, 2}},
		{"VANISHED", "* VANISHED (EARLIER) 41,43:116\r\n" + body + "TAG OK done\r\n", nil, []uint32{2}},
		{"unknown untagged data with a literal", "* XWEIRD {5}\r\n* BYE abc\r\n* 1 XLIST ()\r\n" + body + "TAG OK done\r\n", nil, []uint32{2}},
		{"UID after BODY", "* 1 FETCH (BODY[] {14}\r\n" + letter + " UID 1)\r\nTAG OK done\r\n", nil, []uint32{1, 2}},
		{"answers to other questions", "* SEARCH 1 2 3\r\n* LIST () \".\" X\r\n* 7 EXISTS\r\n* 1 FETCH (FLAGS (\\Seen))\r\n* 9 FETCH (UID 99 BODY[] {14}\r\n" + letter + ")\r\n" + body + "TAG OK done\r\n", nil, []uint32{2}},
		{"the same twice", body + body + "TAG OK done\r\n", nil, []uint32{2}},
		{"deleted under us", "* 1 FETCH (UID 1 BODY[] NIL)\r\n* 2 FETCH (UID 2 BODY[] {0}\r\n)\r\nTAG NO [EXPUNGEISSUED] gone\r\n", nil, []uint32{1, 2}},
		{"two gibibytes announced", "* 1 FETCH (UID 1 BODY[] {2147483648}\r\n" + letter, inbox.ErrProtocol, nil},
		{"longer than number fields", "* 1 FETCH (UID 1 BODY[] {99999999999999999999}\r\n" + letter, inbox.ErrProtocol, nil},
		{"endless line", "* 1 FETCH (UID 1 " + strings.Repeat("X", 3<<20), inbox.ErrProtocol, nil},
		{"endless responses", strings.Repeat("* 5 EXISTS\r\n", 300_000), inbox.ErrProtocol, nil},
		{"endless unknown responses", strings.Repeat("* FOO\r\n", 300_000), inbox.ErrProtocol, nil},
		{"wrong length", "* 1 FETCH (UID 1 BODY[] {4}\r\n" + letter + ")\r\nTAG OK done\r\n", inbox.ErrProtocol, nil},
		{"not IMAP", "HTTP/1.1 200 OK\r\n\r\n", inbox.ErrProtocol, nil},
		{"unknown item", "* 1 FETCH (UID 1 X-COLOUR red)\r\nTAG OK done\r\n", inbox.ErrProtocol, nil},
		{"deep nesting", "* 1 FETCH (BODYSTRUCTURE " + strings.Repeat("(", 5000) + "\r\nTAG OK done\r\n", inbox.ErrProtocol, nil},
		{"NO", "TAG NO [UNAVAILABLE] later\r\n", inbox.ErrUnavailable, nil},
		{"BAD", "TAG BAD what\r\n", inbox.ErrUnavailable, nil},
		{"BYE", "* BYE shutting down\r\n" + hangUp, inbox.ErrUnavailable, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := mustTalk(t, func(cmd string) (string, bool) {
					switch {
					case strings.Contains(cmd, "RFC822.SIZE"):
						return meta, true
					case strings.HasPrefix(cmd, "UID FETCH"):
						return c.answer, true
					}
					return "", false
				})
				got := map[uint32]string{}
				start := time.Now()
				missing, err := s.Fetch(t.Context(), []uint32{1, 2}, func(m inbox.Message) error {
					got[m.UID] = string(m.Raw)
					return nil
				})
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("it took %v", took)
				}
				if !errors.Is(err, c.want) {
					t.Fatalf("got %v, want %v", err, c.want)
				}
				if c.want == inbox.ErrProtocol && !errors.Is(err, inbox.ErrNetwork) {
					t.Errorf("%v is no %v", err, inbox.ErrNetwork)
				}
				for uid, raw := range got {
					if raw != letter {
						t.Errorf("message %d: got %q, want %q", uid, raw, letter)
					}
				}
				if c.want == nil && fmt.Sprint(missing) != fmt.Sprint(c.missing) {
					t.Errorf("missing: got %v, want %v", missing, c.missing)
				}
			})
		})

	}
}

// A body of another length than announced is asked for again: then the right
// one counts, or the same one, for servers that only estimate the size.
func TestLengthsThatDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name    string
			answers []string
			want    string
			asked   int
		}{
			{"short once", []string{"ab", "abcdefghi"}, "abcdefghi", 2},
			{"estimated", []string{"abcd", "abcd"}, "abcd", 2},
			{"always another", []string{"abc", "ab"}, "", 2},
			{"right", []string{"abcdefghi"}, "abcdefghi", 1},
		} {
			asked := 0
			s := mustTalk(t, func(cmd string) (string, bool) {
				switch {
				case strings.Contains(cmd, "RFC822.SIZE"):
					return "* 1 FETCH (UID 1 RFC822.SIZE 9 INTERNALDATE \"01-Sep-2026 10:00:00 +0000\")\r\nTAG OK done\r\n", true
				case strings.HasPrefix(cmd, "UID FETCH"):
					body := c.answers[min(asked, len(c.answers)-1)]
					asked++
					return fmt.Sprintf("* 1 FETCH (UID 1 BODY[] {%d}\r\n%s)\r\nTAG OK done\r\n", len(body), body), true
				}
				return "", false
			})
			got, missing := fetchAll(t, s, []uint32{1})
			if string(got[1].Raw) != c.want || asked != c.asked || (len(missing) == 0) != (c.want != "") {
				t.Errorf("%s: got %q, missing %v, asked %d times; want %q, %d times", c.name, got[1].Raw, missing, asked, c.want, c.asked)
			}
		}
	})
}

// One message that the server can't give is named.
func TestDamagedMessageIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, answer := range map[string]string{
			"NO":  "* 1 FETCH (UID 1 BODY[] {9}\r\nabcdefghi)\r\nTAG NO [SERVERBUG] internal error\r\n",
			"cut": "* 1 FETCH (UID 1 BODY[] {9}\r\nabcdefghi)\r\n* 2 FETCH (UID 2 BODY[] {9}\r\nab" + hangUp,
		} {
			s := mustTalk(t, func(cmd string) (string, bool) {
				switch {
				case strings.Contains(cmd, "RFC822.SIZE"):
					var b strings.Builder
					for i := range 3 {
						fmt.Fprintf(&b, "* %d FETCH (UID %d RFC822.SIZE 9 INTERNALDATE \"01-Sep-2026 10:00:00 +0000\")\r\n", i+1, i+1)
					}
					return b.String() + "TAG OK done\r\n", true
				case strings.HasPrefix(cmd, "UID FETCH"):
					return answer, true
				}
				return "", false
			})
			_, err := s.Fetch(t.Context(), []uint32{1, 2, 3}, func(inbox.Message) error { return nil })
			var me *inbox.MessageError
			if !errors.As(err, &me) || me.UID != 2 {
				t.Errorf("%s: got %v, want message 2 named", name, err)
			}
		}
	})
}

// Answers to a search can't fill the memory.
func TestSearchLies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for answer, want := range map[string]error{
			"* ESEARCH (CORRELATOR \"TAG\") UID ALL 2:3\r\nTAG OK done\r\n":          nil,
			"* ESEARCH (CORRELATOR \"TAG\") UID\r\nTAG OK done\r\n":                  nil,
			"* SEARCH 3 2 2 1\r\nTAG OK done\r\n":                                    nil,
			"TAG OK done\r\n":                                                        nil,
			"* ESEARCH (CORRELATOR \"TAG\") UID ALL 1:4294967295\r\nTAG OK done\r\n": inbox.ErrProtocol,
			"* ESEARCH (CORRELATOR \"TAG\") UID ALL 1:*\r\nTAG OK done\r\n":          inbox.ErrProtocol,
			"* SEARCH " + strings.Repeat("1 ", 2<<20) + "\r\nTAG OK done\r\n":        inbox.ErrProtocol,
			"* SEARCH x\r\nTAG OK done\r\n":                                          inbox.ErrProtocol,
			"* SEARCH 99999999999999\r\nTAG OK done\r\n":                             inbox.ErrProtocol,
		} {
			s := mustTalk(t, on(map[string]string{"UID SEARCH": answer}))
			got, err := s.Search(t.Context(), 2, time.Time{})
			if !errors.Is(err, want) {
				t.Errorf("%.70q: got %v, want %v", answer, err, want)
			}
			for i, uid := range got {
				if uid < 2 || i > 0 && uid <= got[i-1] {
					t.Errorf("%.70q: got %v, want ascending UIDs from 2", answer, got)
				}
			}
		}
	})
}

// A server that says OK to a MOVE and does nothing is not believed.
func TestMoveThatMovesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustTalk(t, on(map[string]string{
			"UID FETCH":  "* 1 FETCH (UID 1 BODY[HEADER.FIELDS (Message-ID)]<0> {31}\r\nMessage-ID: <a@pec.example>\r\n\r\n)\r\nTAG OK done\r\n",
			"UID SEARCH": "* SEARCH 1\r\nTAG OK done\r\n",
		}))
		filed, gone, err := s.File(t.Context(), 9, []inbox.FileItem{item(1, "a")}, inbox.Move)
		if !errors.Is(err, inbox.ErrCannotFile) || filed != nil || gone != nil {
			t.Errorf("got filed %v, gone %v, %v; want nothing and %v", filed, gone, err, inbox.ErrCannotFile)
		}
	})
}

// Close returns at once, whatever the server does, and frees the one who
// waits.
func TestCloseNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustTalk(t, on(map[string]string{"EXAMINE": silent}))
		done := make(chan error, 1)
		go func() { _, err := s.Examine(context.Background()); done <- err }()
		start := time.Now()
		s.Close()
		if took := time.Since(start); took > fakeTimeout/2 {
			t.Errorf("Close took %v", took)
		}
		if err := await(t, done); err == nil {
			t.Error("Examine succeeds after Close")
		}
	})
}

// A server that takes MOVE and UIDPLUS back in the middle of the session must
// not lead to a plain EXPUNGE, which would take everybody's messages.
func TestCapabilitiesChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, news := range []string{"* CAPABILITY IMAP4rev1\r\n", "* OK [CAPABILITY IMAP4rev1] news\r\n"} {
			f := &fake{script: func(cmd string) (string, bool) {
				switch {
				case strings.HasPrefix(cmd, "UID FETCH"):
					return news + "* 1 FETCH (UID 1 BODY[HEADER.FIELDS (Message-ID)]<0> {31}\r\nMessage-ID: <a@pec.example>\r\n\r\n)\r\nTAG OK [CAPABILITY IMAP4rev1] done\r\n", true
				case strings.HasPrefix(cmd, "UID SEARCH"):
					return "* SEARCH\r\nTAG OK done\r\n", true
				}
				return "", false
			}}
			s, err := talk(t, f, nil)
			if err != nil {
				t.Fatal(err)
			}
			if filed, _, err := s.File(t.Context(), 9, []inbox.FileItem{item(1, "a")}, inbox.Move); err != nil || len(filed) != 1 {
				t.Errorf("got filed %v, %v; want one filed", filed, err)
			}
			moved := false
			for _, cmd := range f.sent() {
				moved = moved || strings.HasPrefix(cmd, "UID MOVE 1 ")
				if strings.Contains(cmd, "EXPUNGE") {
					t.Errorf("sent %q", cmd)
				}
			}
			if !moved {
				t.Errorf("no UID MOVE among %q", f.sent())
			}
		}
	})
}

// The processed folder is made when the server has none, also when somebody
// else makes it at the same moment, and a refusal is an answer.
func TestCreateRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for answer, want := range map[string]error{
			"TAG NO [ALREADYEXISTS] there\r\n": nil,
			"TAG NO [NOPERM] not for you\r\n":  inbox.ErrCannotFile,
			"TAG NO [OVERQUOTA] full\r\n":      inbox.ErrCannotFile,
		} {
			s := mustTalk(t, on(map[string]string{"CREATE": answer, "UID SEARCH": "* SEARCH\r\nTAG OK done\r\n"}))
			_, gone, err := s.File(t.Context(), 9, []inbox.FileItem{item(1, "a")}, inbox.Move)
			if !errors.Is(err, want) || want == nil && len(gone) != 1 {
				t.Errorf("%q: got %v, gone %v; want %v", answer, err, gone, want)
			}
		}
	})
}

// Logout is polite to a server that listens and short with one that doesn't.
func TestLogout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for answer, want := range map[string]time.Duration{"TAG OK bye\r\n": fakeTimeout / 2, silent: 2 * time.Second} {
			f := &fake{script: on(map[string]string{"LOGOUT": answer})}
			s, err := talk(t, f, nil)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			s.Logout(context.Background())
			if took := time.Since(start); took > want {
				t.Errorf("%q: it took %v, want at most %v", answer, took, want)
			}
			if sent := f.sent(); !slices.Contains(sent, "LOGOUT") {
				t.Errorf("%q: sent %q, want a LOGOUT", answer, sent)
			}
			if _, err := s.Examine(t.Context()); !errors.Is(err, inbox.ErrClosed) {
				t.Errorf("%q: afterwards got %v, want %v", answer, err, inbox.ErrClosed)
			}
		}
	})
}

// A size over the limit is believed only when the message has a byte there.
func TestInventedSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		header := "* 1 FETCH (UID 1 FLAGS () INTERNALDATE \"01-Sep-2026 10:00:00 +0000\" RFC822.SIZE 2000000000 BODY[HEADER.FIELDS (X)] {6}\r\nA: b\r\n)\r\n"
		for _, c := range []struct {
			name, beyond string
			tooLarge     bool
		}{
			{"nothing beyond the limit", "* 1 FETCH (UID 1 BODY[]<100000> \"\")\r\n", false},
			{"a byte beyond it", "* 1 FETCH (UID 1 BODY[]<100000> {1}\r\nx)\r\n", true},
			{"no answer", "", true},
		} {
			s := mustTalk(t, func(cmd string) (string, bool) {
				switch {
				case strings.Contains(cmd, "HEADER"):
					return header + "TAG OK done\r\n", true
				case strings.Contains(cmd, "<100000.1>"):
					return c.beyond + "TAG OK done\r\n", true
				case strings.Contains(cmd, "BODY.PEEK[]"):
					return "* 1 FETCH (UID 1 BODY[] {6}\r\nA: b\r\n)\r\nTAG OK done\r\n", true
				}
				return "", false
			})
			if _, err := s.Headers(t.Context(), []uint32{1}, func(inbox.Header) error { return nil }); err != nil {
				t.Fatal(err)
			}
			var got []inbox.Message
			_, err := s.Fetch(t.Context(), []uint32{1}, func(m inbox.Message) error { got = append(got, m); return nil })
			if err != nil || len(got) != 1 || got[0].TooLarge != c.tooLarge || (got[0].Raw == nil) != c.tooLarge {
				t.Errorf("%s: got %+v, %v, want one message, too large: %t", c.name, got, err, c.tooLarge)
			}
		}
	})
}
