package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
)

// Ctrl-C ends a command that waits for something to be typed, and what was
// typed so far is not taken: half a password would be tried at the provider.
func TestInterruptedWhileTyping(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	s.ok("client", "add", rossi, "--provider", "prova")
	for _, args := range [][]string{{"set", rossi}, {"set", "--inbox"}, {"client", "import", "-"}, {"read", "-"}} {
		ctx, interrupt := context.WithCancel(t.Context())
		typing, typed := io.Pipe()
		go func() {
			_, _ = typed.Write([]byte("mez")) // returns when it was read
			interrupt()
		}()
		var stdout, stderr bytes.Buffer
		code := run(ctx, append([]string{"--config", s.configPath()}, args...), typing, &stdout, &stderr)
		_ = typed.Close()
		if code != exitFailed || !strings.Contains(stderr.String(), "interrupted") || stdout.Len() > 0 {
			t.Errorf("%v: got exit %d, %q, %q, want 1 and interrupted", args, code, stdout.String(), stderr.String())
		}
	}
	s.wantLogins(rossi, 0, 0)
}
