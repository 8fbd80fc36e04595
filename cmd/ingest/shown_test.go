package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pec-ingest/internal/servertest"
)

// nobodyReads is an output on a full disk, or one whose reader is gone.
type nobodyReads struct{}

func (nobodyReads) Write([]byte) (int, error) { return 0, errors.New("nobody reads this") }

// unread runs a command whose stdout can't be written.
func unread(t *testing.T, args ...string) result {
	t.Helper()
	var stderr bytes.Buffer
	return result{run(t.Context(), args, strings.NewReader(""), nobodyReads{}, &stderr), "", stderr.String()}
}

// A recovery key is shown once: where it could not be, the keys are taken
// back, or nobody would ever have the one that opens what they seal.
func TestRecoveryKeyNotShown(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{nil, {"--keys"}, {"--otp-keys"}} {
		dir := filepath.Join(t.TempDir(), "etc")
		args := append([]string{"init", dir}, flags...)
		if r := unread(t, args...); r.code != exitFailed || !strings.Contains(r.stderr, "recovery key") {
			t.Errorf("init %v: got %s, want exit 1 and why", flags, r)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("init %v: left %v, %v, want no file", flags, left, err)
		}
		r := runCommand(t.Context(), "", args...)
		if r.code != exitOK || !strings.Contains(r.stdout, "AGE-SECRET-KEY-1") {
			t.Errorf("init %v once more: got %s, want it to work", flags, r)
		}
	}
}

// Whoever must choose between logins, or asks about a decided item, is shown
// what there is to know, and no command that would be refused.
func TestShownToPeople(t *testing.T) {
	t.Parallel()
	const other = "M0123456"
	s := newStudio(t, studioOptions{clients: []string{rossi, bianchi}, apart: true,
		users: []servertest.User{{Name: rossi, Password: passwords[rossi]}, {Name: strings.ToLower(other), Password: passwords[bianchi]}}})
	if r := unread(t, "--config", s.configPath(), "check"); r.code != exitFailed {
		t.Errorf("check that nobody reads: got %s, want exit 1", r)
	}
	s.ok("client", "add", rossi, "--provider", "prova")
	for login, password := range map[string]string{rossi: passwords[rossi], other: passwords[bianchi]} {
		if r := s.runWith(password+"\n", "set", rossi, "--login", login); r.code != exitOK {
			t.Fatalf("set %s: got %s", login, r)
		}
	}
	if r := s.exits(exitNeedsPerson, "get", rossi); !strings.Contains(r.stderr, "`ingest status "+rossi+"` lists them") {
		t.Errorf("get with two logins: got %s", r)
	}
	for _, command := range []string{"status", "history"} {
		if out := s.ok(command, rossi); !strings.Contains(out, "LOGIN") || !strings.Contains(out, other) {
			t.Errorf("%s of a mailbox with two logins does not say which is which:\n%s", command, out)
		}
	}
	if out := s.ok("status", bianchi); strings.Contains(out, "LOGIN") {
		t.Errorf("status: got\n%swant no column for logins that are the addresses", out)
	}

	s.deliver(s.submission(neri, 1, "Ab3dEf9h"))
	s.once(sum{Seen: 1, Review: 1})
	if r := s.runWith("", "review", "approve", "1", "--typed", "--new-client", "Neri"); r.code != exitUsage || !strings.Contains(r.stderr, "no password on standard input") {
		t.Errorf("approve with nothing typed: got %s, want exit 2", r)
	}
	for typed, want := range map[string]string{"a\x00b\n": "zero byte", strings.Repeat("x", 5000): "1024 bytes", "a\nb\n": "one line"} {
		if r := s.runWith(typed, "set", rossi, "--login", rossi); r.code != exitUsage || !strings.Contains(r.stderr, want) {
			t.Errorf("set with %d bytes: got %s, want exit 2 and %q", len(typed), r, want)
		}
	}
	if out := s.ok("review", "show", "1"); !strings.Contains(out, "approve: ") || strings.Contains(out, "decided: ") {
		t.Errorf("an open item: got\n%s", out)
	}
	s.ok("review", "reject", "1", "--reason", "non è un cliente")
	if out := s.ok("review", "show", "1"); strings.Contains(out, "approve: ") || !strings.Contains(out, "non è un cliente") || !strings.Contains(out, "decided: ") {
		t.Errorf("a decided item: got\n%s", out)
	}

	// A client who comes back has no password, and so none that was checked.
	s.ok("client", "remove", rossi)
	s.ok("client", "add", rossi)
	for _, row := range s.rows("status", "--json", rossi) {
		if row["state"] != "missing" || row["last_check"] != nil {
			t.Errorf("a client who came back: got %v, want missing and never checked", row)
		}
	}
}

// Everybody may read the configuration and the recipients, but whoever may
// change them can have passwords sealed to a key of his.
func TestOthersMayChange(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	for _, name := range []string{"config.toml", "recipients.txt"} {
		path := filepath.Join(s.dir, name)
		for mode, want := range map[os.FileMode]int{0o600: exitOK, 0o644: exitOK, 0o664: exitConfig, 0o646: exitConfig, 0o666: exitConfig} {
			chmod(t, path, mode)
			r := s.run("status")
			if r.code != want || want == exitConfig && !strings.Contains(r.stderr, "chmod go-w "+path) {
				t.Errorf("%s %04o: got %s, want exit %d", name, mode, r, want)
			}
		}
		chmod(t, path, 0o644)
	}
}

// A restored vault that the running service would never see is not made.
func TestRestoreBesideService(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	file := filepath.Join(t.TempDir(), "backup")
	s.ok("backup", file)
	s.start()
	s.within(patience, "the service", func() bool { return strings.Contains(s.run("status").stdout, "service:") })
	if err := os.Rename(s.vaultPath(), s.vaultPath()+".old"); err != nil {
		t.Fatal(err)
	}
	if r := s.exits(exitFailed, "restore", file); !strings.Contains(r.stderr, "systemctl stop") {
		t.Errorf("restore: got %s", r)
	}
	if _, err := os.Stat(s.vaultPath()); !os.IsNotExist(err) {
		t.Errorf("a vault was made: %v", err)
	}
}

// A server that answers and refuses the password sends nothing: check says so,
// and does not try it again either.
func TestCheckSMTPPassword(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}, smtp: true})
	if out := s.ok("check"); !strings.Contains(out, "ok       smtp      signed in to "+studioPEC) {
		t.Errorf("check with the right password: got\n%s", out)
	}
	s.write("smtp-password", "vecchiaPassword1\n", 0o600)
	s.edit("password_file = \"inbox-password\"\nfrom = ", "password_file = \"smtp-password\"\nfrom = ")
	if r := s.exits(exitFailed, "check"); !strings.Contains(r.stdout, "error    smtp") || strings.Contains(r.stdout, "vecchiaPassword1") {
		t.Errorf("check with a refused password: got %s", r)
	}
	if r := s.run("check"); !strings.Contains(r.stdout, "is not tried again") {
		t.Errorf("check once more: got %s, want that it is not tried again", r)
	}
	if n := len(s.sink.received()); n > 0 {
		t.Errorf("check has sent %d mails", n)
	}
}
