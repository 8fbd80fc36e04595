package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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

// On a terminal a password is asked for, not shown, and ends with Enter; what
// was typed behind it, a Ctrl-D by habit, is not left to the shell.
func TestTypedOnTerminal(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	s.ok("client", "add", rossi, "--provider", "prova")
	term := openTerminal(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() {
		for ; ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
			attr, err := unix.IoctlGetTermios(int(term.tty.Fd()), unix.TCGETS)
			if err == nil && attr.Lflag&unix.ECHO == 0 {
				_, _ = io.WriteString(term.File, passwords[rossi]+"\nresto\n\x04")
				return
			}
		}
	}()
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{"--config", s.configPath(), "set", rossi}, term.tty, &stdout, &stderr)
	if code != exitOK || !strings.Contains(stderr.String(), "Password: ") {
		t.Errorf("got exit %d, %q, %q", code, stdout.String(), stderr.String())
	}
	s.wantGet(rossi, passwords[rossi])
	if got := term.shown.String(); strings.Contains(got, passwords[rossi]) {
		t.Errorf("the terminal shows %q", got)
	}
	if n, err := unix.IoctlGetInt(int(term.tty.Fd()), unix.TIOCINQ); err != nil || n != 0 {
		t.Errorf("%d bytes are left to the shell, %v", n, err)
	}
	attr, err := unix.IoctlGetTermios(int(term.tty.Fd()), unix.TCGETS)
	if err != nil || attr.Lflag&unix.ECHO == 0 {
		t.Errorf("the terminal shows nothing any more: %v", err)
	}
}
