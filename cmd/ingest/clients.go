package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"pec-ingest/internal/ingest"
)

type clientCmd struct {
	List   clientListCmd   `cmd:"" default:"withargs" help:"List the clients."`
	Add    clientAddCmd    `cmd:"" help:"Add a client, or change what is on record."`
	Import clientImportCmd `cmd:"" help:"Add and change clients from CSV; never removes."`
	Remove clientRemoveCmd `cmd:"" help:"Stop the work for a client and destroy the secrets."`
	Export clientExportCmd `cmd:"" help:"Everything kept on one client, as JSON, without secrets."`
}

type clientListCmd struct {
	JSON bool `help:"Print JSON." xor:"form"`
	CSV  bool `name:"csv" help:"Print CSV, as client import takes it." xor:"form"`
}

func (c *clientListCmd) Run(ctx context.Context, env *environment) error {
	return env.with(ingest.Reading, func(s backend) error {
		rows, err := s.Clients(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(env.stdout, rows)
		}
		if c.CSV {
			return ingest.WriteClientCSV(env.stdout, rows)
		}
		t := newTable(env.stdout, "MAILBOX", "NAME", "PROVIDER", "LOGIN", "PHONE", "EMAIL")
		for _, r := range rows {
			t.row(r.Mailbox, r.Name, r.Provider, r.Login, r.Phone, r.Email)
		}
		return t.flush()
	})
}

type clientAddCmd struct {
	Mailbox  string   `arg:"" help:"The client's PEC address."`
	Name     *string  `help:"Name of the client."`
	Provider *string  `help:"Who runs the mailbox (see ingest provider list)."`
	Login    *string  `help:"What it logs in with, where that is not the address."`
	Email    *string  `help:"Ordinary e-mail address, for warnings."`
	Phone    *string  `help:"Telephone number, for the list of whom to call."`
	Lang     *string  `help:"Language of the messages: it or en."`
	IMAP     *string  `name:"imap" help:"IMAP server of this mailbox, where no provider entry says it." placeholder:"HOST:PORT"`
	UsedIn   []string `help:"Where the password is also kept by hand; may be repeated."`
	Sender   []string `help:"Another mailbox that may send for this one; may be repeated."`
}

func (c *clientAddCmd) Run(ctx context.Context, env *environment) error {
	return env.with(ingest.Writing, func(s backend) error {
		added, changed, err := s.AddClient(ctx, actor(), c.Mailbox, ingest.ClientFields{Name: c.Name, Provider: c.Provider,
			Login: c.Login, Email: c.Email, Phone: c.Phone, Lang: c.Lang, IMAPAddr: c.IMAP, UsedIn: c.UsedIn, Senders: c.Sender}, time.Now())
		if err != nil {
			return err
		}
		word := "unchanged"
		switch {
		case added:
			word = "added"
		case changed:
			word = "changed"
		}
		_, err = fmt.Fprintf(env.stdout, "%s: %s\n", strings.ToLower(c.Mailbox), word)
		return err
	})
}

type clientImportCmd struct {
	File   string `arg:"" help:"CSV with a header line; - is standard input."`
	DryRun bool   `help:"Show what would be done."`
	JSON   bool   `help:"Print JSON."`
}

func (c *clientImportCmd) Run(ctx context.Context, env *environment) error {
	in := env.stdin
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return &ingest.Error{Msg: "opening the CSV", Err: err}
		}
		defer f.Close()
		in = f
	}
	return env.with(ingest.Writing, func(s backend) error {
		res, err := s.ImportClients(ctx, actor(), in, c.DryRun, time.Now())
		if err != nil {
			return err
		}
		if c.JSON {
			err = printJSON(env.stdout, res)
		} else {
			err = printImport(env.stdout, res, c.DryRun)
		}
		if err == nil && len(res.Faults) > 0 {
			err = &exitError{exitFailed}
		}
		return err
	})
}

func printImport(w io.Writer, res ingest.ImportResult, dryRun bool) error {
	for _, f := range res.Faults {
		fmt.Fprintf(w, "line %d left out: %s\n", f.Line, f.Msg)
	}
	for _, f := range res.Warnings {
		fmt.Fprintf(w, "line %d: %s\n", f.Line, f.Msg)
	}
	would := ""
	if dryRun {
		would = "would be "
	}
	_, err := fmt.Fprintf(w, "%d %sadded, %d changed, %d unchanged, %d left out\n", res.Added, would, res.Changed, res.Unchanged, len(res.Faults))
	return err
}

type clientRemoveCmd struct {
	Mailbox string `arg:"" help:"The client's PEC address."`
}

func (c *clientRemoveCmd) Run(ctx context.Context, env *environment) error {
	return env.with(ingest.Writing, func(s backend) error {
		if err := s.RemoveClient(ctx, actor(), c.Mailbox, time.Now()); err != nil {
			return err
		}
		_, err := fmt.Fprintf(env.stdout, "%s: removed, its secrets are destroyed\n", c.Mailbox)
		return err
	})
}

type clientExportCmd struct {
	Mailbox string `arg:"" help:"The client's PEC address."`
}

func (c *clientExportCmd) Run(ctx context.Context, env *environment) error {
	return env.with(ingest.Reading, func(s backend) error {
		e, err := s.ExportClient(ctx, c.Mailbox)
		if err != nil {
			return err
		}
		return printJSON(env.stdout, e)
	})
}
