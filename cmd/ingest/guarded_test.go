package main

import (
	"bytes"
	"strings"
	"testing"
)

// A command that fails badly says so without what it was about, and its exit
// code is that of a failure.
func TestGuarded(t *testing.T) {
	var b bytes.Buffer
	if code := guarded(&b, func() int { panic("Xk7pQ2mv9") }); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	got := b.String()
	if strings.Contains(got, "Xk7pQ2mv9") || !strings.HasPrefix(got, "ingest: error: ") || !strings.Contains(got, "ingest: hint: ") || !strings.Contains(got, "guarded_test.go") {
		t.Errorf("got %q", got)
	}
	if code := guarded(&b, func() int { return exitUsage }); code != exitUsage {
		t.Errorf("exit code %d, want the command's own", code)
	}
}
