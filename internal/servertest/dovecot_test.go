package servertest_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/servertest"
)

const rossi = "rossi@pec.example"

var letter = []byte("From: a@pec.example\r\nMessage-ID: <1@pec.example>\r\nSubject: prova\r\n\r\nciao\r\n")

// login speaks IMAP by hand and returns the answer to one login.
func login(t *testing.T, addr string, conf *tls.Config, user, password string) string {
	t.Helper()
	c, err := tls.Dial("tcp", addr, conf)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
	r := bufio.NewReader(c)
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "a LOGIN %q {%d+}\r\n%s\r\n", user, len(password), password)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, "a ") {
			return strings.TrimSpace(line)
		}
	}
}

func TestPasswordsChangeWhileRunning(t *testing.T) {
	const strange = `a€" \:{}è`
	d := servertest.StartDovecot(t, servertest.DovecotOptions{Users: []servertest.User{
		{Name: rossi, Password: strange},
		{Name: "chiuso@pec.example", Password: "x", Disabled: true},
	}})
	check := func(user, password, want string) {
		t.Helper()
		if got := login(t, d.Addr(), d.ClientTLS(), user, password); !strings.HasPrefix(got, "a "+want) {
			t.Errorf("got %q, want a %s", got, want)
		}
	}
	check(rossi, strange, "OK")
	check(rossi, "wrong", "NO [AUTHENTICATIONFAILED]")
	check("chiuso@pec.example", "x", "NO")
	d.SetPassword(rossi, "new")
	check(rossi, strange, "NO [AUTHENTICATIONFAILED]")
	check(rossi, "new", "OK")
	d.SetDisabled("chiuso@pec.example", false)
	check("chiuso@pec.example", "x", "OK")
	d.AddUser(servertest.User{Name: "nuovo@pec.example", Password: "n"})
	check("nuovo@pec.example", "n", "OK")

	for user, want := range map[string]servertest.LoginCount{
		rossi:                {OK: 2, Refused: 2},
		"chiuso@pec.example": {OK: 1, Refused: 1},
		"nuovo@pec.example":  {OK: 1},
		"nobody@pec.example": {},
	} {
		if got := d.Logins(user); got != want {
			t.Errorf("logins of %s: got %+v, want %+v", user, got, want)
		}
	}
	d.Restart()
	check(rossi, "new", "OK")
	if got := d.Logins(rossi).OK; got != 3 {
		t.Errorf("logins after a restart: got %d, want 3", got)
	}
}

func TestMailbox(t *testing.T) {
	d := servertest.StartDovecot(t, servertest.DovecotOptions{Users: []servertest.User{{Name: rossi, Password: "x"}}})
	when := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	d.Deliver(rossi, "INBOX", letter, when)
	d.Deliver(rossi, "INBOX", letter, when.Add(time.Hour))
	d.Deliver(rossi, "INBOX.Archivio", letter, when)

	list := d.Messages(rossi, "INBOX")
	if len(list) != 2 || !list[0].InternalDate.Equal(when) || list[0].MessageID != "<1@pec.example>" || list[1].UID <= list[0].UID {
		t.Fatalf("got %+v, want two messages, the first of %v", list, when)
	}
	if list[0].Seen() || list[0].Size != int64(len(letter)) {
		t.Errorf("got %+v, want it unread and of %d bytes", list[0], len(letter))
	}
	if got := d.Raw(rossi, "INBOX", list[0].UID); !bytes.Equal(got, letter) {
		t.Errorf("got %q, want %q", got, letter)
	}
	d.Flag(rossi, "INBOX", list[1].UID, `\Seen`)
	if !d.Messages(rossi, "INBOX")[1].Seen() {
		t.Error("a message marked read is shown unread")
	}
	d.Expunge(rossi, "INBOX", list[0].UID)
	if got := d.Messages(rossi, "INBOX"); len(got) != 1 || got[0].UID != list[1].UID {
		t.Errorf("after an expunge: got %+v, want only UID %d", got, list[1].UID)
	}
	if got, want := d.Folders(rossi), []string{"INBOX", "INBOX.Archivio"}; !slices.Equal(got, want) {
		t.Errorf("folders: got %q, want %q", got, want)
	}
	if got := len(d.Messages(rossi, "INBOX.Archivio")); got != 1 {
		t.Errorf("folder: got %d messages, want 1", got)
	}
	d.SetUIDValidity(rossi, "INBOX", 4242)
	if got := d.UIDValidity(rossi, "INBOX"); got != 4242 {
		t.Errorf("UIDVALIDITY: got %d, want 4242", got)
	}
}

func TestOtherSeparator(t *testing.T) {
	d := servertest.StartDovecot(t, servertest.DovecotOptions{
		Users: []servertest.User{{Name: rossi, Password: "x"}}, Prefix: "-", Separator: "/",
		Capability: "IMAP4rev1 UIDPLUS",
	})
	d.Deliver(rossi, "Archivio/2026", letter, time.Time{})
	if got := len(d.Messages(rossi, "Archivio/2026")); got != 1 {
		t.Errorf("got %d messages, want 1", got)
	}
	if got := login(t, d.Addr(), d.ClientTLS(), rossi, "x"); !strings.Contains(got, "[CAPABILITY IMAP4rev1 UIDPLUS]") {
		t.Errorf("got %q, want the capabilities that were set", got)
	}
}

// A session counts until it has ended.
func TestAwaitGone(t *testing.T) {
	d := servertest.StartDovecot(t, servertest.DovecotOptions{Users: []servertest.User{{Name: rossi, Password: "x"}}})
	d.AwaitGone(rossi)
	c, err := tls.Dial("tcp", d.Addr(), d.ClientTLS())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
	fmt.Fprintf(c, "a LOGIN %s x\r\n", rossi)
	for r := bufio.NewReader(c); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, "a ") {
			break
		}
	}
	if out := d.Doveadm("-f", "flow", "who", rossi); !bytes.Contains(out, []byte(rossi)) {
		t.Errorf("with a session the server tells of %q", out)
	}
	c.Close()
	d.AwaitGone(rossi)
}

func TestDelay(t *testing.T) {
	d := servertest.StartDovecot(t, servertest.DovecotOptions{
		Users: []servertest.User{{Name: rossi, Password: "x"}}, Delay: 2 * time.Second,
	})
	start := time.Now()
	if got := login(t, d.Addr(), d.ClientTLS(), rossi, "y"); !strings.HasPrefix(got, "a NO") {
		t.Errorf("got %q, want a NO", got)
	}
	if took := time.Since(start); took < time.Second {
		t.Errorf("the refusal took %v, want about 2 seconds", took)
	}
}

// A missing component skips, or fails when the real one is asked for.
func TestRequire(t *testing.T) {
	for _, real := range []bool{false, true} {
		rec := &recorder{TB: t}
		if real {
			t.Setenv(servertest.RealEnv, "1")
		} else {
			t.Setenv(servertest.RealEnv, "")
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			servertest.Require(rec, "no-such-component")
		}()
		<-done
		if rec.failed != real || rec.skipped == real || !strings.Contains(rec.text, "no-such-component") {
			t.Errorf("%s=%t: failed %t, skipped %t, said %q", servertest.RealEnv, real, rec.failed, rec.skipped, rec.text)
		}
	}
	if servertest.Require(t, "sh") == "" {
		t.Error("sh is not found")
	}
}

// recorder is a test that notes how it ended and goes on.
type recorder struct {
	testing.TB
	failed, skipped bool
	text            string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failed, r.text = true, fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Skipf(format string, args ...any) {
	r.skipped, r.text = true, fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// Whoever looks at a folder while messages are moved out of it sees what is
// there, and no failure.
func TestMessagesWhileTheyGo(t *testing.T) {
	const n = 300
	d := servertest.StartDovecot(t, servertest.DovecotOptions{Users: []servertest.User{{Name: rossi, Password: "x"}}})
	d.CreateFolder(rossi, "INBOX.Altro")
	for range n {
		d.Deliver(rossi, "INBOX", letter, time.Time{})
	}
	moved := make(chan struct{})
	go func() {
		defer close(moved)
		d.Doveadm("move", "-u", rossi, "INBOX.Altro", "mailbox", "INBOX", "ALL")
	}()
	for going := true; going; {
		select {
		case <-moved:
			going = false
		default:
		}
		d.Messages(rossi, "INBOX")
	}
	if in, out := len(d.Messages(rossi, "INBOX")), len(d.Messages(rossi, "INBOX.Altro")); in != 0 || out != n {
		t.Errorf("got %d messages and %d moved, want 0 and %d", in, out, n)
	}
}
