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
