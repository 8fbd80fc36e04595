package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/vault"
)

type onceCmd struct {
	Warn   bool `help:"Run the warnings now, whatever their schedule."`
	DryRun bool `help:"Show what a pass would do; commits, tries, moves and sends nothing."`
	JSON   bool `help:"Print the summary as JSON."`
}

func (c *onceCmd) Run(ctx context.Context, env *environment) error {
	var opts ingest.RunOptions
	opts.Warn, opts.DryRun = c.Warn, c.DryRun
	if f, ok := env.stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		opts.Asked = true // by a person, and not by a timer
		opts.Progress = (&bar{out: f}).show
	}
	if c.DryRun {
		out := env.stdout
		if c.JSON {
			out = env.stderr
		}
		opts.Observe = func(o ingest.Observation) {
			if o.Outcome != "" || o.Find == "" {
				fmt.Fprintf(out, "uid %d: %s\n", o.UID, joinWords(string(o.Kind), o.Mailbox, o.Outcome, o.Reason))
			}
		}
	}
	pass := func(s backend) error {
		sum, err := s.Once(ctx, opts)
		if ingest.ClassOf(err) == ingest.NotPermitted {
			return err
		}
		if err != nil && sum.Errors == 0 {
			sum.Errors = 1 // what ended the pass
		}
		// The summary is printed even when the pass broke off: what was done is done.
		if perr := c.print(env, sum); err == nil {
			err = perr
		}
		if err != nil {
			return err
		}
		if sum.Errors > 0 {
			return &exitError{exitFailed}
		}
		return nil
	}
	if !c.DryRun {
		return env.with(ingest.Writing, pass)
	}
	err := env.with(ingest.Reading, pass) // a trial makes no vault
	if errors.Is(err, vault.ErrMissing) {
		return env.withEmptyVault(pass)
	}
	return err
}

// joinWords puts a space between those that are not empty.
func joinWords(words ...string) string {
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")
}

func (c *onceCmd) print(env *environment, s ingest.Summary) error {
	if c.JSON {
		return printJSONLine(env.stdout, s)
	}
	_, err := fmt.Fprintf(env.stdout, "seen %d: accepted %d, superseded %d, extended %d, review %d, rejected %d, ignored %d, receipts %d, errors %d\n",
		s.Seen, s.Accepted, s.Superseded, s.Extended, s.Review, s.Rejected, s.Ignored, s.Receipts, s.Errors)
	return err
}
