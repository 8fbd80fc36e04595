package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/pectest"
	"pec-ingest/internal/servertest"
)

// awkward is a password with everything that some program must quote; the
// euro sign is more than getmail can send.
const (
	awkward     = `aB"c\d'e$f%g #€1`
	awkwardLess = `aB"c\d'e$f%g #1`
)

// desk is a studio whose programs run as programs: they call the built
// ingest, and are given HOME and PATH only.
type desk struct {
	*studio
	program, home string
}

func newDesk(t *testing.T, password string) *desk {
	t.Helper()
	d := &desk{program: buildProgram(t), home: t.TempDir()}
	d.studio = newStudio(t, studioOptions{clients: []string{rossi}, config: func(c string) string {
		// By name: not every program takes an address in a certificate.
		return strings.Replace(c, "\nimap = \"127.0.0.1:", "\nsmtp = \"localhost:1\"\nimap = \"localhost:", 1)
	}})
	d.ok("client", "add", rossi, "--provider", "prova")
	d.clients.SetPassword(rossi, password)
	if r := d.runWith(password+"\n", "set", rossi); r.code != exitOK {
		t.Fatalf("set: %v", r)
	}
	return d
}

// buildProgram builds ingest as it is installed.
func buildProgram(t *testing.T) string {
	t.Helper()
	path, err := buildOnce()
	if err != nil {
		t.Fatalf("building: %v", err)
	}
	return path
}

// profile writes the settings for a program, as the built ingest prints them.
func (d *desk) profile(format string) string {
	d.t.Helper()
	out := d.command("", d.program, "--config", d.configPath(), "profile", rossi, "--for", format)
	path := filepath.Join(d.home, format)
	if err := os.WriteFile(path, []byte(out), 0o700); err != nil {
		d.t.Fatal(err)
	}
	if strings.Contains(out, `aB"c`) {
		d.t.Errorf("the %s settings hold the password", format)
	}
	return path
}

// firstFolder makes the folder for the mail in the way that the settings say.
func (d *desk) firstFolder(settings string) {
	d.t.Helper()
	b, err := os.ReadFile(settings)
	if err != nil {
		d.t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(b), "# Before the first run: ")
	if !ok {
		d.t.Fatal("the settings don't say how the folder for the mail is made")
	}
	line, _, _ := strings.Cut(after, "\n")
	d.command("", "sh", "-c", line)
	for _, sub := range []string{"cur", "new", "tmp"} {
		if _, err := os.Stat(filepath.Join(d.home, "Mail", rossi, sub)); strings.Contains(line, sub) && err != nil {
			d.t.Error(err)
		}
	}
}

// command runs a program that must succeed and returns its stdout.
func (d *desk) command(stdin, name string, args ...string) string {
	d.t.Helper()
	out, err := d.try(stdin, name, args...)
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

func (d *desk) try(stdin, name string, args ...string) (string, error) {
	for {
		cmd := exec.CommandContext(d.t.Context(), name, args...)
		cmd.Env = []string{"HOME=" + d.home, "PATH=" + os.Getenv("PATH"), "FETCHMAILHOME=" + d.home, "LC_ALL=C.UTF-8"}
		cmd.Stdin = strings.NewReader(stdin)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		if errors.Is(err, syscall.ETXTBSY) {
			continue // another test has just made a process, which still holds the script open
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w\n%s%s", name, err, stdout.String(), stderr.String())
		}
		return stdout.String(), nil
	}
}

// incoming puts a message into the client's own mailbox.
func (d *desk) incoming(word string) {
	d.t.Helper()
	d.clients.Deliver(rossi, "INBOX", []byte("From: a@x.example\r\nTo: "+rossi+"\r\nSubject: "+word+
		"\r\nMessage-ID: <"+word+"@x.example>\r\nDate: Mon, 2 Nov 2026 10:00:00 +0100\r\n\r\n"+word+"\r\n"), time.Time{})
}

// newer is a letter that is newer than what was set just now.
func (d *desk) newer() pectest.Envelope {
	return d.submission(rossi, -time.Since(d.day).Hours()-0.05, passwords[rossi])
}

// wantMail looks for messages below a folder of the desk.
func (d *desk) wantMail(folder string, words ...string) {
	d.t.Helper()
	var text strings.Builder
	err := filepath.WalkDir(filepath.Join(d.home, folder), func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		text.Write(b)
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	for _, w := range words {
		if got := strings.Count(text.String(), "Subject: "+w); got != 1 {
			d.t.Errorf("%s: got %d messages %q, want 1", folder, got, w)
		}
	}
}

// isync reads a client's mailbox with our PassCmd, across a change of the
// password that nobody at the studio has a hand in, and changes nothing there.
func TestProfileIsync(t *testing.T) {
	t.Parallel()
	mbsync := servertest.Require(t, "mbsync")
	d := newDesk(t, awkward)
	rc := d.profile("isync")
	d.firstFolder(rc)
	d.incoming("prima")
	d.command("", mbsync, "-c", rc, rossi)
	d.wantMail("Mail", "prima")

	// The provider's password changes: the program fails, until the client's
	// letter has come.
	d.clients.SetPassword(rossi, passwords[rossi])
	d.incoming("seconda")
	if _, err := d.try("", mbsync, "-c", rc, rossi); err == nil {
		t.Error("mbsync: went on with the old password")
	}
	d.deliver(d.newer())
	d.once(sum{Seen: 1, Accepted: 1})
	d.command("", mbsync, "-c", rc, rossi)
	d.wantMail("Mail", "prima", "seconda")

	for _, m := range d.clients.Messages(rossi, "INBOX") {
		if m.Seen() {
			t.Errorf("message %s is marked read", m.MessageID)
		}
	}
}

// The same while the service runs: it gives the old password until the
// client's letter comes, tries what is in it, and gives the new one, with
// nobody at the studio doing anything.
func TestProfileIsyncThroughTheService(t *testing.T) {
	t.Parallel()
	mbsync := servertest.Require(t, "mbsync")
	d := newDesk(t, awkward)
	rc := d.profile("isync")
	d.firstFolder(rc)
	d.start()
	d.incoming("prima")
	d.command("", mbsync, "-c", rc, rossi)
	d.wantMail("Mail", "prima")

	d.clients.SetPassword(rossi, passwords[rossi])
	d.incoming("seconda")
	if _, err := d.try("", mbsync, "-c", rc, rossi); err == nil {
		t.Error("mbsync: went on with the old password")
	}
	d.deliver(d.newer())
	d.within(patience, "the password in the letter is the current one", func() bool { return d.status(rossi)["version"] == 2.0 })
	d.command("", mbsync, "-c", rc, rossi)
	d.wantMail("Mail", "prima", "seconda")
}

func TestProfileGetmail(t *testing.T) {
	t.Parallel()
	getmail := servertest.Require(t, "getmail")
	d := newDesk(t, awkwardLess)
	rc := d.profile("getmail")
	d.firstFolder(rc)
	if os.Geteuid() == 0 { // getmail delivers into no Maildir as root
		b, err := os.ReadFile(rc)
		if err != nil {
			t.Fatal(err)
		}
		taken := fmt.Sprintf("type = MDA_external\npath = /bin/sh\narguments = (\"-c\", \"cat >> %s\")\nallow_root_commands = true\n", filepath.Join(d.home, "Mail", "taken"))
		maildir := "type = Maildir\npath = ~/Mail/" + rossi + "/\n"
		if !strings.Contains(string(b), maildir) {
			t.Fatalf("no %q in the settings", maildir)
		}
		if err := os.WriteFile(rc, []byte(strings.Replace(string(b), maildir, taken, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.incoming("prima")
	d.command("", getmail, "--getmaildir", d.home, "--rcfile", rc)
	d.wantMail("Mail", "prima")
	d.incoming("seconda")
	d.command("", getmail, "--getmaildir", d.home, "--rcfile", rc)
	d.wantMail("Mail", "prima", "seconda")
	if got := len(d.clients.Messages(rossi, "INBOX")); got != 2 {
		t.Errorf("messages left on the server: got %d, want 2", got)
	}
}

func TestProfileFetchmail(t *testing.T) {
	t.Parallel()
	servertest.Require(t, "fetchmail")
	d := newDesk(t, awkward)
	script := d.profile("fetchmail")
	d.incoming("prima")
	d.command("", script, "--mda", "cat >> "+filepath.Join(d.home, "taken"))
	d.wantMail("taken", "prima")
	if got := len(d.clients.Messages(rossi, "INBOX")); got != 1 {
		t.Errorf("messages left on the server: got %d, want 1", got)
	}
}

func TestProfileMsmtp(t *testing.T) {
	t.Parallel()
	msmtp := servertest.Require(t, "msmtp")
	d := newDesk(t, awkward)
	postfix := servertest.StartPostfix(t, servertest.PostfixOptions{Dovecot: d.clients})
	_, port, _ := net.SplitHostPort(postfix.Addr())
	d.edit("localhost:1\"", "localhost:"+port+"\"")
	rc := d.profile("msmtp")
	if err := os.Chmod(rc, 0o600); err != nil {
		t.Fatal(err)
	}
	d.command("Subject: prova\nMessage-ID: <prova@x.example>\n\nCiao\n", msmtp, "-C", rc, "-a", rossi, bianchi)
	if got := postfix.Await(bianchi, 1); got[0].MessageID != "<prova@x.example>" {
		t.Errorf("message that arrived: got %s", got[0].MessageID)
	}
}

// Every format gives settings without a password, and the command line takes
// the formats that there are.
func TestProfileFormats(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}, config: func(c string) string {
		return strings.Replace(c, "\nimap = ", "\nsmtp = \"smtp.gestore.example:587\"\nimap = ", 1)
	}})
	s.ok("client", "add", rossi, "--provider", "prova")
	if r := s.runWith(passwords[rossi]+"\n", "set", rossi); r.code != exitOK {
		t.Fatal(r)
	}
	for _, format := range ingest.ProfileFormats() {
		out := s.ok("profile", rossi, "--for", format)
		if strings.Contains(out, passwords[rossi]) {
			t.Errorf("%s: the password is in it", format)
		}
		if !strings.Contains(out, rossi) {
			t.Errorf("%s: the mailbox is not in it:\n%s", format, out)
		}
	}
	s.exits(exitUsage, "profile", rossi, "--for", "eudora")
	s.exits(exitNotFound, "profile", bianchi, "--for", "isync")

	var p ingest.Profile
	if err := json.Unmarshal([]byte(s.ok("profile", rossi, "--for", "json")), &p); err != nil {
		t.Fatal(err)
	}
	if p.SMTP == nil || p.SMTP.Port != 587 || p.SMTP.TLS != "starttls" || p.Login != rossi || p.Guessed {
		t.Errorf("json: got %+v", p)
	}
	if n := len(p.Command); n < 2 || p.Command[n-2] != "get" || p.Command[n-1] != rossi || !slices.Contains(p.Command, s.configPath()) {
		t.Errorf("password_command: got %q", p.Command)
	}

	// Nobody reads a password by asking for settings.
	if audit := s.ok("audit"); strings.Contains(audit, "secret.read") {
		t.Errorf("the audit log counts a read:\n%s", audit)
	}
}

// What Thunderbird demands of an autoconfig file (its reader drops servers
// and whole files for less).
func TestProfileThunderbird(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}, config: func(c string) string {
		return strings.Replace(c, "\nimap = ", "\nsmtp = \"smtp.gestore.example:465\"\nimap = ", 1)
	}})
	s.ok("client", "add", rossi, "--provider", "prova", "--name", `Rossi & "Figli" <srl>`)
	type server struct {
		Type     string `xml:"type,attr"`
		Hostname string `xml:"hostname"`
		Port     int    `xml:"port"`
		Socket   string `xml:"socketType"`
		Username string `xml:"username"`
		Auth     string `xml:"authentication"`
	}
	var c struct {
		XMLName  xml.Name `xml:"clientConfig"`
		Version  string   `xml:"version,attr"`
		Provider struct {
			ID       string   `xml:"id,attr"`
			Domains  []string `xml:"domain"`
			Name     string   `xml:"displayName"`
			Incoming []server `xml:"incomingServer"`
			Outgoing []server `xml:"outgoingServer"`
		} `xml:"emailProvider"`
	}
	if err := xml.Unmarshal([]byte(s.ok("profile", rossi, "--for", "thunderbird")), &c); err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(s.clients.Addr())
	in, out := c.Provider.Incoming, c.Provider.Outgoing
	if len(in) != 1 || len(out) != 1 {
		t.Fatalf("servers: got %d incoming, %d outgoing, want one each", len(in), len(out))
	}
	if got := in[0]; got.Type != "imap" || got.Hostname != host || fmt.Sprint(got.Port) != port || got.Socket != "SSL" ||
		got.Username != rossi || got.Auth != "password-cleartext" {
		t.Errorf("incoming server: got %+v", got)
	}
	if got := out[0]; got.Type != "smtp" || got.Hostname != "smtp.gestore.example" || got.Port != 465 || got.Socket != "SSL" || got.Username != rossi {
		t.Errorf("outgoing server: got %+v", got)
	}
	if c.Version != "1.1" || len(c.Provider.Domains) != 1 || c.Provider.Domains[0] != "pec.gestore.example" || c.Provider.Name != `Rossi & "Figli" <srl>` {
		t.Errorf("provider: got version %q, domains %q, name %q", c.Version, c.Provider.Domains, c.Provider.Name)
	}
}
