package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// get --wait ends when the client's password has come, and not before.
func TestGetWait(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	done := make(chan result, 1)
	go func() { done <- s.run("get", rossi, "--wait") }()
	time.Sleep(2 * waitEvery) // it looks at least once and finds nothing
	select {
	case r := <-done:
		t.Fatalf("get --wait did not wait: %v", r)
	default:
	}
	s.deliver(s.submission(rossi, 60, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	select {
	case r := <-done:
		if r.code != exitOK || r.stdout != passwords[rossi]+"\n" {
			t.Errorf("get --wait: got %v", r)
		}
	case <-time.After(patience):
		t.Fatal("get --wait did not end")
	}
	s.exits(exitNotFound, "get", bianchi, "--wait")
}

// Filters of the audit log, and its head compared with one from a digest.
func TestAudit(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi, bianchi}})
	s.deliver(s.submission(rossi, 60, passwords[rossi]), s.submission(bianchi, 60, passwords[bianchi]))
	s.once(sum{Seen: 2, Accepted: 2})
	count := func(want int, args ...string) {
		t.Helper()
		if rows := s.rows(append([]string{"audit", "--json"}, args...)...); len(rows) != want {
			t.Errorf("audit %v: got %d entries, want %d: %v", args, len(rows), want, rows)
		}
	}
	all := len(s.rows("audit", "--json"))
	count(2, "--event", "credential.accepted")
	count(2, "--event", "credential")
	count(2, "--event", "client.added", "--actor", fmt.Sprintf("uid:%d", os.Getuid()))
	count(0, "--event", "client.added", "--actor", "service")
	count(1, "--event", "credential", "--mailbox", rossi, "--actor", "service")
	count(all, "--since", time.Now().AddDate(0, 0, -1).Format(time.DateOnly), "--until", time.Now().AddDate(0, 0, 1).Format(time.DateOnly))
	count(0, "--until", time.Now().AddDate(0, 0, -2).Format(time.DateOnly))
	count(0, "--since", time.Now().AddDate(0, 0, 2).Format(time.DateOnly))

	var head struct {
		OK      bool
		Entries int
		Head    string
	}
	decode(t, s.ok("audit", "--verify", "--json"), &head)
	earlier := fmt.Sprintf("%d:%s", head.Entries, head.Head)
	s.ok("client", "add", verdi)
	s.ok("audit", "--verify", "--head", earlier)
	s.ok("audit", "--verify", "--head", strings.ToUpper(earlier))
	other := fmt.Sprintf("%d:%s", head.Entries, strings.Repeat("0", 64))
	if r := s.exits(exitFailed, "audit", "--verify", "--head", other); !strings.Contains(r.stderr, fmt.Sprintf("entry %d", head.Entries)) {
		t.Errorf("a wrong head: the entry is not named: %s", r.stderr)
	}
	s.exits(exitFailed, "audit", "--verify", "--head", fmt.Sprintf("%d:%s", head.Entries+10, head.Head)) // a log that was cut
	s.exits(exitUsage, "audit", "--verify", "--head", "12")
	s.exits(exitUsage, "audit", "--head", earlier)
	s.exits(exitUsage, "audit", "--since", "ieri")
}

// check --recovery proves the key that init printed, refuses another, and
// leaves nothing behind.
func TestCheckRecovery(t *testing.T) {
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	other := filepath.Join(t.TempDir(), "etc")
	first := runCommand(t.Context(), "", "init", other).stdout
	i := strings.Index(first, "AGE-SECRET-KEY-")
	if i < 0 {
		t.Fatalf("init printed no recovery key: %s", first)
	}
	wrong := filepath.Join(tmp, "wrong.txt")
	right := filepath.Join(tmp, "right.txt")
	if err := os.WriteFile(wrong, []byte(strings.Fields(first[i:])[0]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The studio's own recovery key was printed by a command whose output is
	// gone: its identity does as well, it is a key among the recipients.
	identity, err := os.ReadFile(filepath.Join(s.dir, "identity.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(right, identity, 0o600); err != nil {
		t.Fatal(err)
	}
	s.deliver(s.submission(rossi, 60, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	if out := s.ok("check", "--recovery", right); !strings.Contains(out, "opens all 1 passwords") {
		t.Errorf("the right key: got %s", out)
	}
	if r := s.exits(exitFailed, "check", "--recovery", wrong+".not"); !strings.Contains(r.stdout, "there is no recovery key to prove") {
		t.Errorf("a file that isn't there: got %q", r.stdout)
	}
	if r := s.exits(exitFailed, "check", "--recovery", wrong); !strings.Contains(r.stdout, "does not open the vault") {
		t.Errorf("the wrong key: got %s", r.stdout)
	}
	s.exits(exitFailed, "check", "--recovery", filepath.Join(tmp, "none.txt"))
	left, err := filepath.Glob(filepath.Join(tmp, "ingest-recovery-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
