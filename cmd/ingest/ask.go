package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/secret"
)

// ask asks the person at the terminal for the passphrase of a file, without
// showing what is typed. The terminal is asked and not standard input, which
// may hold something else. It is an ingest.Asker.
func (e *environment) ask(file string) (secret.Secret, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return secret.Secret{}, ingest.ErrNobodyToAsk
	}
	defer tty.Close()
	if !term.IsTerminal(int(tty.Fd())) {
		return secret.Secret{}, ingest.ErrNobodyToAsk
	}
	e.asked = true
	passphrase, err := typeUnseen(tty, tty, fmt.Sprintf("Passphrase of %s: ", file))
	if err != nil {
		return secret.Secret{}, &ingest.Error{Class: ingest.NoVault, Msg: "reading the passphrase", Err: err}
	}
	return passphrase, nil
}

// typeUnseen reads a line from a terminal, which does not show it, after a
// question written to w.
func typeUnseen(tty *os.File, w io.Writer, question string) (secret.Secret, error) {
	before, err := term.GetState(int(tty.Fd()))
	if err != nil {
		return secret.Secret{}, err
	}
	// Ctrl-C must not leave a terminal behind that shows nothing.
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(interrupted)

	fmt.Fprint(w, question)
	typed := make(chan typedIn, 1)
	go func() {
		b, err := term.ReadPassword(int(tty.Fd()))
		typed <- typedIn{secret.New(b), err}
		clear(b)
	}()
	var a typedIn
	select {
	case a = <-typed:
	case <-interrupted:
		a.err = errInterrupted
		_ = term.Restore(int(tty.Fd()), before)
	}
	fmt.Fprintln(w)
	return a.line, a.err
}

type typedIn struct {
	line secret.Secret
	err  error
}

// terminal is standard input if somebody types there, else nil.
func (e *environment) terminal() *os.File {
	s, ok := e.stdin.(stoppable)
	if !ok {
		return nil
	}
	f, ok := s.r.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return f
}

// dropTyped throws away what was typed beyond the line that was asked for: a
// Ctrl-D, by habit, would end the shell.
func (e *environment) dropTyped() {
	if e.typedOn != nil {
		_ = unix.IoctlSetInt(int(e.typedOn.Fd()), unix.TCFLSH, unix.TCIFLUSH)
	}
}
