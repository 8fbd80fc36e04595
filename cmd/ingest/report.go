package main

import (
	"context"
	"fmt"
	"time"

	"pec-ingest/internal/ingest"
)

type reportCmd struct {
	Mailbox string `arg:"" help:"Whose password."`
	Refused bool   `required:"" help:"It was refused."`
	Login   string `help:"Which login, where the mailbox has several."`
	JSON    bool   `help:"Print JSON."`
}

func (c *reportCmd) Run(ctx context.Context, env *environment) error {
	return env.with(ingest.Writing, func(s backend) error {
		r, err := s.ReportRefused(ctx, actor(), c.Mailbox, c.Login, time.Now())
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(env.stdout, r)
		}
		answer := r.Probe
		if answer == "" {
			answer = "not tried now: a report has it tried once an hour, and never again once it was refused"
		}
		_, err = fmt.Fprintf(env.stdout, "%s: version %d is %s (%s)\n", r.Mailbox, r.Version, r.State, answer)
		return err
	})
}
