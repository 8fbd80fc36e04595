package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/provider"
)

type providerCmd struct {
	List providerListCmd `cmd:"" default:"withargs" help:"List the known providers."`
	Show providerShowCmd `cmd:"" help:"One provider with its guide."`
}

type providerListCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c *providerListCmd) Run(env *environment) error {
	rows := env.providers().All()
	if c.JSON {
		views := make([]providerView, 0, len(rows))
		for _, p := range rows {
			views = append(views, viewOfProvider(p))
		}
		return printJSON(env.stdout, views)
	}
	t := newTable(env.stdout, "ID", "NAME", "IMAP", "SMTP", "LOGIN", "VALIDITY", "CONFIRMED")
	for _, p := range rows {
		validity := "-"
		if p.ValidityDays > 0 {
			validity = fmt.Sprintf("%d days", p.ValidityDays)
		}
		t.row(p.ID, p.Name, p.IMAP.Addr(), p.SMTP.Addr(), p.Login, validity, p.ValidityConfirmed)
	}
	return t.flush()
}

// providers is the table as configured, or the built-in one where there is
// no configuration.
func (e *environment) providers() *provider.Table {
	if cfg, err := e.loadConfig(); err == nil {
		if table, err := ingest.Providers(cfg); err == nil {
			return table
		}
	}
	return provider.Builtin()
}

type providerShowCmd struct {
	ID   string `arg:"" help:"Which provider."`
	JSON bool   `help:"Print JSON."`
}

func (c *providerShowCmd) Run(env *environment) error {
	p, ok := env.providers().ByID(c.ID)
	if !ok {
		return &ingest.Error{Class: ingest.NotFound, Msg: fmt.Sprintf("no provider %q", c.ID), Hint: "`ingest provider list` shows them"}
	}
	if c.JSON {
		return printJSON(env.stdout, viewOfProvider(p))
	}
	w := env.stdout
	fmt.Fprintf(w, "%s  %s\nsigners   %s\nimap      %s %s\nsmtp      %s %s\nlogin     %s\nprograms  %s\nvalidity  %d days, confirmed %s\n",
		p.ID, p.Name, cell(fmt.Sprint(p.Signers)), cell(p.IMAP.Addr()), p.IMAP.TLS, cell(p.SMTP.Addr()), p.SMTP.TLS, p.Login, p.AppPassword,
		p.ValidityDays, cell(p.ValidityConfirmed))
	for _, lang := range []string{"it", "en"} {
		printSteps(env, "new password ("+lang+")", p.Steps[lang])
		printSteps(env, "postpone ("+lang+")", p.Postpone[lang])
	}
	_, err := fmt.Fprintf(w, "source    %s\n", p.Source)
	return err
}

func printSteps(env *environment, title string, steps []string) {
	if len(steps) == 0 {
		return
	}
	fmt.Fprintf(env.stdout, "%s\n", title)
	for i, s := range steps {
		fmt.Fprintf(env.stdout, "  %d. %s\n", i+1, s)
	}
}

type auditCmd struct {
	Verify  bool   `help:"Check the chain and print its head."`
	Head    string `help:"With --verify: the head that a digest gave; that entry must still be there, unchanged." placeholder:"SEQ:HASH"`
	Mailbox string `help:"Only this mailbox."`
	Actor   string `help:"Only what this actor did: a user's name, uid:N, or service." placeholder:"WHO"`
	Event   string `help:"Only this event, or all that begin so: credential." placeholder:"EVENT"`
	Since   string `help:"Only from this day on (YYYY-MM-DD)." placeholder:"DATE"`
	Until   string `help:"Only up to this day, it included." placeholder:"DATE"`
	JSON    bool   `help:"Print JSON."`
}

func (c *auditCmd) Run(ctx context.Context, env *environment) error {
	wanted, err := c.filter()
	if err != nil {
		return err
	}
	headSeq, headHash, err := c.head()
	if err != nil {
		return err
	}
	return env.with(ingest.Reading, func(s backend) error {
		if c.Verify {
			if err := s.AuditCompare(ctx, headSeq, headHash); err != nil {
				return err
			}
			seq, hash, err := s.AuditVerify(ctx)
			if err != nil {
				return err
			}
			if c.JSON {
				return printJSON(env.stdout, map[string]any{"ok": true, "entries": seq, "head": hash})
			}
			_, err = fmt.Fprintf(env.stdout, "the chain of %d entries holds; head %s\n", seq, hash)
			return err
		}
		rows, err := s.Audit(ctx, c.Mailbox)
		if err != nil {
			return err
		}
		rows = slices.DeleteFunc(rows, func(r ingest.AuditRow) bool { return !wanted(r) })
		if c.JSON {
			return printJSON(env.stdout, rows)
		}
		t := newTable(env.stdout, "SEQ", "AT", "ACTOR", "EVENT", "MAILBOX", "DETAIL")
		for _, r := range rows {
			t.row(r.Seq, r.At, r.Actor, r.Event, r.Mailbox, r.Detail)
		}
		return t.flush()
	})
}

type versionCmd struct{}

func (versionCmd) Run(env *environment) error {
	_, err := fmt.Fprintln(env.stdout, "ingest", versionOf())
	return err
}

// versionOf is the version from the version control system.
func versionOf() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (version == "" || version == "(devel)") {
			version = s.Value
		}
	}
	return version + " " + info.GoVersion
}
