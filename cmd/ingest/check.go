package main

import (
	"context"
	"fmt"
	"time"

	"pec-ingest/internal/ingest"
)

type checkCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c *checkCmd) Run(ctx context.Context, env *environment) error {
	cfg, err := env.loadConfig()
	if err != nil {
		return err
	}
	s, openErr := ingest.Open(cfg, ingest.Reading, env.log)
	if openErr == nil {
		defer s.Close()
	}
	lines := ingest.SelfCheck(ctx, cfg, s, openErr, time.Now())
	if c.JSON {
		err = printJSON(env.stdout, lines)
	} else {
		for _, l := range lines {
			fmt.Fprintf(env.stdout, "%-8s %-9s %s\n", l.Level, l.Name, l.Msg)
			if l.Hint != "" {
				fmt.Fprintf(env.stdout, "%18s hint: %s\n", "", l.Hint)
			}
		}
	}
	if err != nil {
		return err
	}
	for _, l := range lines {
		if l.Level == ingest.LevelError {
			return &exitError{exitFailed}
		}
	}
	return nil
}
