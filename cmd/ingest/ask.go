package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

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
	before, err := term.GetState(int(tty.Fd()))
	if err != nil {
		return secret.Secret{}, ingest.ErrNobodyToAsk
	}
	// Ctrl-C must not leave a terminal behind that shows nothing.
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(interrupted)

	e.asked = true
	fmt.Fprintf(tty, "Passphrase of %s: ", file)
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
		a.err = errors.New("interrupted")
		_ = term.Restore(int(tty.Fd()), before)
	}
	fmt.Fprintln(tty)
	if a.err != nil {
		return secret.Secret{}, &ingest.Error{Class: ingest.NoVault, Msg: "reading the passphrase", Err: a.err}
	}
	return a.passphrase, nil
}

type typedIn struct {
	passphrase secret.Secret
	err        error
}
