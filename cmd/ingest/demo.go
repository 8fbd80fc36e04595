package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/term"

	"pec-ingest/internal/demo"
)

type demoCmd struct {
	Once   bool   `help:"End after the story."`
	Listen string `help:"Where to serve the page afterwards." default:"127.0.0.1:8470" placeholder:"ADDR"`
}

func (c *demoCmd) Run(ctx context.Context, env *environment) (err error) {
	colour := false
	if f, ok := env.stdout.(*os.File); ok {
		colour = term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == ""
	}
	log := env.log
	if env.LogLevel == "info" {
		log = nil // the story is told on stdout; --log-level debug shows the log too
	}
	d, err := demo.Run(ctx, demo.Options{Out: env.stdout, Colour: colour, Log: log, Summary: printStatus})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if c.Once {
		return nil
	}
	fmt.Fprintf(env.stdout, "\nThe servers stay up until Ctrl-C.\n")
	<-ctx.Done()
	return nil
}
