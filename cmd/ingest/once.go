package main

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/term"

	"pec-ingest/internal/ingest"
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
		opts.Observe = func(o ingest.Observation) {
			if o.Outcome != "" || o.Find == "" {
				fmt.Fprintf(env.stderr, "uid %d: %s %s %s %s\n", o.UID, o.Kind, o.Mailbox, o.Outcome, o.Reason)
			}
		}
	}
	mode := ingest.Writing
	if c.DryRun {
		mode = ingest.Reading // a trial makes no vault
	}
	return env.with(mode, func(s backend) error {
		sum, err := s.Once(ctx, opts)
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
	})
}

func (c *onceCmd) print(env *environment, s ingest.Summary) error {
	if c.JSON {
		return printJSONLine(env.stdout, s)
	}
	_, err := fmt.Fprintf(env.stdout, "seen %d: accepted %d, superseded %d, extended %d, review %d, rejected %d, ignored %d, receipts %d, errors %d\n",
		s.Seen, s.Accepted, s.Superseded, s.Extended, s.Review, s.Rejected, s.Ignored, s.Receipts, s.Errors)
	return err
}
