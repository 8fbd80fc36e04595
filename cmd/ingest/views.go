package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/web/gate"
)

type calendarCmd struct {
	Link string `help:"Print an address for somebody's calendar program to subscribe to." placeholder:"NAME"`
	feedFlags
}

func (c *calendarCmd) Run(ctx context.Context, env *environment) error {
	if c.Link != "" {
		return newKey(ctx, env, gate.KeyCalendar, c.Link, func(base, token string) string { return base + gate.CalendarPath(token) })
	}
	if done, err := c.keys(ctx, env, gate.KeyCalendar); done {
		return err
	}
	return env.with(ingest.Reading, func(s backend) error {
		return s.Calendar(ctx, env.stdout, time.Now())
	})
}

type outboxPreviewCmd struct {
	Kind string `arg:"" optional:"" help:"Which message; without it they are listed."`
	Lang string `help:"it or en." enum:"it,en" default:"it"`
}

func (c *outboxPreviewCmd) Run(env *environment) error {
	if c.Kind == "" {
		_, err := fmt.Fprintln(env.stdout, strings.Join(ingest.PreviewKinds(), "\n"))
		return err
	}
	return env.with(ingest.Reading, func(s backend) error {
		subject, text, err := s.Preview(c.Kind, c.Lang, time.Now())
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(env.stdout, "Subject: %s\n\n%s\n", subject, text)
		return err
	})
}
