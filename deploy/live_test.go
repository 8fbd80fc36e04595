package deploy_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/pectest"
	"pec-ingest/internal/servertest"
)

// sealedEnv is the number, as this machine counts, of the first process of a
// sealed Debian with a live systemd, as scripts/test-systemd.sh makes it. The
// test runs in the network of that Debian and on the files of this machine, so
// that both have the same loopback.
const sealedEnv = "PEC_INGEST_SEALED"

// live is that Debian, and the mail server beside it.
type live struct {
	pid       string
	dovecot   *servertest.Dovecot
	authority *pectest.Authority
	page      string // web.listen
	recovery  string // the recovery key that `init` printed
	letters   int    // sent so far
}

// run runs a command inside, as root, and returns what it printed.
func (l *live) run(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command("nsenter", append([]string{"-t", l.pid, "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--"}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "SYSTEMD_PAGER="}
	cmd.Stdin = strings.NewReader(stdin)
	var out, diag bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diag
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatalf("%v: %v", args, err)
	}
	return out.String(), diag.String(), cmd.ProcessState.ExitCode()
}

// exits wants one exit code, and returns all that was printed.
func (l *live) exits(t *testing.T, want int, stdin string, args ...string) string {
	t.Helper()
	out, diag, code := l.run(t, stdin, args...)
	if code != want {
		t.Fatalf("%v: got exit %d, want %d\n%s%s\njournal:\n%s", args, code, want, out, diag, l.log(t))
	}
	return out + diag
}

func (l *live) must(t *testing.T, args ...string) string {
	t.Helper()
	return l.exits(t, 0, "", args...)
}

// sh runs lines as a document gives them; the first that fails fails all.
func (l *live) sh(t *testing.T, lines string) string {
	t.Helper()
	return l.exits(t, 0, lines, "bash", "-e")
}

// as runs a command as another user, with that user's groups.
func as(user string, args ...string) []string {
	return append([]string{"setpriv", "--reuid=" + user, "--regid=" + user, "--init-groups"}, args...)
}

func (l *live) path(path string) string { return filepath.Join("/proc", l.pid, "root", path) }

func (l *live) read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(l.path(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (l *live) write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(l.path(path)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.path(path), []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// stat is mode, user and group of a path, as "700 pec-ingest:pec-ingest".
func (l *live) stat(t *testing.T, path string) string {
	t.Helper()
	return strings.TrimSpace(l.must(t, "stat", "-c", "%a %U:%G", path))
}

// show is one property of a unit, the service where none is named.
func (l *live) show(t *testing.T, property string, unit ...string) string {
	t.Helper()
	if unit == nil {
		unit = []string{"pec-ingest.service"}
	}
	return strings.TrimSpace(l.must(t, "systemctl", "show", "--value", "-p", property, unit[0]))
}

// log is the service's journal as an administrator reads it.
func (l *live) log(t *testing.T) string {
	t.Helper()
	out, _, _ := l.run(t, "", "journalctl", "--no-pager", "-o", "short", "-u", "pec-ingest")
	return out
}

// events are the journal entries of the service, newest last, that have this
// event in their field.
func (l *live) events(t *testing.T, event string) (entries []map[string]any) {
	t.Helper()
	out := l.must(t, "journalctl", "--no-pager", "-o", "json", "-u", "pec-ingest", "INGEST_EVENT="+event)
	for line := range strings.Lines(out) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("the journal's line %q: %v", line, err)
		}
		entries = append(entries, entry)
	}
	return entries
}

// waits waits until fn is true.
func (l *live) waits(t *testing.T, what string, fn func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if fn() {
			return
		}
	}
	status, _, _ := l.run(t, "", "systemctl", "status", "--no-pager", "pec-ingest")
	t.Fatalf("waited in vain: %s\n%s\njournal:\n%s", what, status, l.log(t))
}

// letter has the client send another password, which its mailbox takes from now on.
func (l *live) letter(t *testing.T, password string) {
	t.Helper()
	l.letters++
	l.dovecot.SetPassword(client, password)
	at := time.Now().Add(-time.Minute + time.Duration(l.letters)*time.Second).Truncate(time.Second)
	l.dovecot.Deliver(studio, "INBOX", letterWith(l.authority, password, l.letters, at), at)
}

// arrives waits until `ingest get` gives this password.
func (l *live) arrives(t *testing.T, password string) {
	t.Helper()
	l.waits(t, "the client's new password", func() bool {
		out, _, _ := l.run(t, "", "ingest", "get", client)
		return out == password+"\n"
	})
}

// dropIn does what `systemctl edit pec-ingest` does, in a file of this name.
func (l *live) dropIn(t *testing.T, name, text string) {
	t.Helper()
	l.write(t, "/etc/systemd/system/pec-ingest.service.d/"+name+".conf", "[Service]\n"+text, 0o644)
	l.must(t, "systemctl", "daemon-reload")
}

// edit changes the configuration file.
func (l *live) edit(t *testing.T, changes ...[2]string) {
	t.Helper()
	config := l.read(t, "/etc/pec-ingest/config.toml")
	for _, c := range changes {
		config = changed(t, config, c[0], c[1])
	}
	l.write(t, "/etc/pec-ingest/config.toml", config, 0o644)
}

// The installed package under a live systemd, from the README's first line to
// purge, each part on what the one before has left.
func TestUnderSystemd(t *testing.T) {
	pid := os.Getenv(sealedEnv)
	if pid == "" {
		t.Skipf("went without a live systemd: %s names none (scripts/test-systemd.sh does)", sealedEnv)
	}
	l := &live{pid: pid, authority: pectest.NewAuthority("pec"), page: freePort(t)}
	l.dovecot = servertest.StartDovecot(t, servertest.DovecotOptions{Users: []servertest.User{
		{Name: studio, Password: inboxPW}, {Name: client, Password: clientPW}}})
	for _, part := range []struct {
		name string
		run  func(*testing.T, *live)
	}{
		{"install as the README says", liveInstall},
		{"sandbox and folders", liveSandbox},
		{"letters, and what leaves the sandbox", liveTraces},
		{"who may call", liveCallers},
		{"reload", liveReload},
		{"killed", liveKilled},
		{"hung", liveHung},
		{"wrong configuration and keys", liveWrong},
		{"longer pauses", liveSteps},
		{"recovery", liveRecovery},
		{"encrypted credentials", liveEncrypted},
		{"upgrade, remove, purge", liveLeave},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.run(t, l) }) {
			return
		}
	}
	for _, secret := range []string{inboxPW, clientPW, secondPW, thirdPW} {
		if strings.Contains(l.must(t, "journalctl", "--no-pager", "-o", "json"), secret) {
			t.Errorf("a password is in the journal")
		}
	}
}
