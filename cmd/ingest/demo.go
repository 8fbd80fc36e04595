package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/term"

	"pec-ingest/internal/config"
	"pec-ingest/internal/demo"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/web/gate"
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
	return c.page(ctx, env, d)
}

// page serves the page of the demo until ctx ends.
func (c *demoCmd) page(ctx context.Context, env *environment, d *demo.Demo) error {
	fmt.Fprintf(env.stdout, "\nThe letters of a studio's other clients are read, for the page…\n")
	if err := d.Populate(ctx); err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	if env.LogLevel != "info" {
		log = env.log
	}
	now := func() *ingest.Service { return d.Service }
	door := newDoor(now, func(context.Context) bool { return true }, pageOf(now, "Studio Dimostrazione", log), log)
	defer door.close()
	var cfg config.Config
	for _, cfg.Web.Listen = range []string{c.Listen, "127.0.0.1:0"} { // the port may be taken
		if door.open(&cfg); door.base != "" {
			break
		}
	}
	if door.base == "" {
		return &ingest.Error{Msg: "the page can't listen on " + c.Listen, Hint: "--listen 127.0.0.1:PORT"}
	}
	at := time.Now()
	uid := uint32(os.Getuid())
	token := door.gate.Link(gate.Grant{Name: "demo", CanDecide: true, CanReveal: true, Issuer: actor(), IssuerUID: uid}, at)
	fmt.Fprintf(env.stdout, "\nThe page, once, until %s:\n\n  %s\n\nUntil Ctrl-C everything on it works; nothing leaves this machine.\n",
		at.Add(gate.TicketLife).Format("15:04"), door.link(token, ""))
	return d.Serve(ctx)
}
