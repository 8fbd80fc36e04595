package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/safetext"
	"pec-ingest/internal/web"
)

// An answer may take long: a pass, a login to a mailbox, a copy of the vault.
// A service that hangs never gives one. Which of the two it is a second
// question tells, of the kind that is answered at once: somebody at a terminal
// is told after some seconds, and a service that gives no sign of life at all
// is given up after two minutes, when its watchdog would have ended it.

// watching is how a call is watched over. The zero value does not.
type watching struct {
	socket string
	tell   io.Writer // a person's terminal; nil: nobody is told
	after  time.Duration
	look   time.Duration // how long a sign of life may take
	giveUp time.Duration
}

// overSocket watches as is right for people and programs.
func overSocket(socket string) watching {
	return watching{socket: socket, after: 10 * time.Second, look: 5 * time.Second, giveUp: 2 * time.Minute}
}

// personAt is w if a person sees it, else nil.
func personAt(w io.Writer) io.Writer {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// errHangs: the service gave no sign of life.
var errHangs = errors.New("the service hangs")

// watched makes a call, and ends it when the service hangs.
func (w watching) watched(ctx context.Context, call func(context.Context) error) error {
	if w.socket == "" {
		return call(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	watch, done := context.WithCancel(ctx)
	var over sync.WaitGroup
	over.Go(func() { w.watch(watch, cancel) })
	err := call(ctx)
	hangs := errors.Is(context.Cause(ctx), errHangs)
	done()
	over.Wait()
	cancel(nil)
	if err != nil && hangs {
		return &ingest.Error{Msg: "the running service does not answer",
			Hint: "does it hang? `systemctl status pec-ingest`, `journalctl -u pec-ingest -e`; a restart loses nothing; what this command asked for may have been done or not"}
	}
	return err
}

// watch looks for signs of life until ctx ends, and calls cancel when there
// have been none for too long.
func (w watching) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	alive := time.Now()
	said := ""
	for sleep(ctx, w.after) {
		state, err := w.sign(ctx)
		if ctx.Err() != nil {
			return
		}
		text := "ingest: the service does not answer; waiting on\n" +
			"ingest: hint: `systemctl status pec-ingest` and `journalctl -u pec-ingest -e` say how it stands; Ctrl-C ends this command\n"
		if err == nil {
			alive = time.Now()
			text = "ingest: the service is at work on it; waiting on\n"
			if state != nil {
				text = fmt.Sprintf("ingest: the service is at work on it (%s); waiting on\n", safetext.Line(state.Line()))
			}
		}
		// Once a person knows which of the two it is, nothing is said again.
		if kind := fmt.Sprint(err == nil); w.tell != nil && kind != said {
			said = kind
			_, _ = io.WriteString(w.tell, text)
		}
		if time.Since(alive) >= w.giveUp {
			cancel(errHangs)
			return
		}
	}
}

// sign asks the service how it stands. Any answer is a sign of life, and so is
// a refusal; state is nil then.
func (w watching) sign(ctx context.Context) (state *ingest.DaemonState, err error) {
	ctx, cancel := context.WithTimeout(ctx, w.look)
	defer cancel()
	c, err := web.Dial(ctx, w.socket)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	err = c.Call(ctx, "daemon", nothing{}, &state)
	var refused *web.Problem
	if errors.As(err, &refused) {
		return nil, nil
	}
	return state, err
}
