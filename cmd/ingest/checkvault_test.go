package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// An administrator checks before the first start: the inbox is tried, the
// vault that is missing is no error, and check does not make one.
func TestCheckBeforeTheFirstStart(t *testing.T) {
	s := newStudio(t, studioOptions{clients: []string{}})
	out := s.ok("check")
	if !strings.Contains(out, "warning  vault") || !strings.Contains(out, "ok       inbox") {
		t.Errorf("got %s, want a warning about the vault, and the inbox tried", out)
	}
	if _, err := os.Stat(s.vaultPath()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("check has made a vault: %v", err)
	}
	s.write("inbox-password", "wrong\n", 0o600)
	if out := s.exits(exitFailed, "check").stdout; !strings.Contains(out, "error    inbox") {
		t.Errorf("got %s, want the inbox's refusal", out)
	}
}

// What would only be seen when the service starts, or when it needs it, check
// says now.
func TestCheckSeesWhatTheServiceWouldMiss(t *testing.T) {
	s := newStudio(t, studioOptions{clients: []string{}})
	s.write("plain-file", "#!/bin/sh\n", 0o644)
	sound, err := os.ReadFile(s.configPath())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, old, new string
		code           int
		want           []string
	}{
		{"nothing wrong", "[web]\n", "[alert]\ncommand = [\"/bin/sh\"]\n[web]\nreaders = [\"root\"]\n", exitOK,
			[]string{"ok       socket", "ok       alert     alert.command: /bin/sh"}},
		{"no such group", "[web]\n", "[web]\nreaders = [\"nessuno-di-noi\"]\n", exitFailed,
			[]string{"error    socket", `no group "nessuno-di-noi"`, "groupadd"}},
		{"no such group for codes", "[web]\n", "[otp]\nreaders = [\"nessuno-di-noi\"]\n[web]\n", exitFailed,
			[]string{"error    socket", "otp.readers", `no group "nessuno-di-noi"`}},
		{"a socket's path of 108 bytes", "socket = \"" + s.dir, "socket = \"/run/" + strings.Repeat("x", 108-len("/run//sock")), exitFailed,
			[]string{"error    socket", "107 bytes", "shorter path"}},
		{"an alert command that is not there", "[web]\n", "[alert]\ncommand = [\"/nowhere/alert\", \"-x\"]\n[web]\n", exitFailed,
			[]string{"error    alert", "/nowhere/alert", "hint"}},
		{"one that is no program", "[web]\n", "[alert]\nheartbeat_command = [\"" + s.dir + "/plain-file\"]\n[web]\n", exitFailed,
			[]string{"error    alert", "heartbeat_command", "plain-file", "chmod"}},
		{"a first day to come", "[inbox]\n", "[inbox]\nsince = \"2199-01-01\"\n", exitOK,
			[]string{"warning  since", "2199-01-01 is in the future"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := *s
			s.t = t
			s.write("config.toml", string(sound), 0o644)
			s.edit(c.old, c.new)
			r := s.exits(c.code, "check")
			for _, w := range c.want {
				if !strings.Contains(r.stdout, w) {
					t.Errorf("no %q in:\n%s", w, r.stdout)
				}
			}
		})
	}
}
