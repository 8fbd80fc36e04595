package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/web/gate"
)

type pageCmd struct {
	Link   pageLinkCmd   `cmd:"" default:"withargs" help:"Print a link to the page that lets one person in, once, within five minutes."`
	List   pageListCmd   `cmd:"" help:"Who is inside the page."`
	Revoke pageRevokeCmd `cmd:"" help:"End a session, or all of them and all links that wait."`
}

type pageLinkCmd struct {
	Name   string `help:"The person, as the audit log shall name him; default: your account." placeholder:"NAME"`
	Lang   string `help:"Language of the page: it or en." enum:"it,en" default:"it"`
	View   bool   `help:"A link for somebody who looks and decides nothing."`
	Reveal bool   `help:"A link that may also show passwords under review in clear; each time is audited."`
	JSON   bool   `help:"Print JSON."`
}

func (c *pageLinkCmd) Run(ctx context.Context, env *environment) error {
	return env.withDaemon(func(r *remote) error {
		out, err := r.PageLink(ctx, linkIn{c.Name, c.Lang, c.View, c.Reveal})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(env.stdout, out)
		}
		what := "looks"
		if out.Decide {
			what += " and decides"
		}
		if out.Reveal {
			what += ", may see passwords under review"
		}
		fmt.Fprintf(env.stderr, "for %s, who %s; once, until %s:\n", out.Name, what, out.Until.Local().Format("15:04:05"))
		_, err = fmt.Fprintln(env.stdout, out.URL)
		return err
	})
}

type pageListCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c *pageListCmd) Run(ctx context.Context, env *environment) error {
	return env.withDaemon(func(r *remote) error {
		list, err := r.PageSessions(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(env.stdout, list)
		}
		t := newTable(env.stdout, "N", "NAME", "RIGHTS", "LINK BY", "SINCE", "LAST USED")
		for _, s := range list {
			t.row(s.N, s.Name, s.Rights, s.Issuer, s.Since, s.Used)
		}
		return t.flush()
	})
}

type pageRevokeCmd struct {
	Session string `arg:"" help:"Number of a session, or all." placeholder:"N|all"`
}

func (c *pageRevokeCmd) Run(ctx context.Context, env *environment) error {
	n := 0
	if c.Session != "all" {
		var err error
		if n, err = strconv.Atoi(c.Session); err != nil || n < 1 {
			return &ingest.Error{Class: ingest.Usage, Msg: "which session?", Hint: "a number of `ingest page list`, or all"}
		}
	}
	return env.withDaemon(func(r *remote) error {
		ended, err := r.PageRevoke(ctx, n)
		if err != nil {
			return err
		}
		if ended == 0 && n > 0 {
			return &ingest.Error{Class: ingest.NotFound, Msg: fmt.Sprintf("there is no session %d", n), Hint: "`ingest page list` shows them"}
		}
		_, err = fmt.Fprintf(env.stdout, "ended: %d\n", ended)
		return err
	})
}

// withDaemon runs fn on the running daemon; nobody else can do what it does.
func (e *environment) withDaemon(fn func(*remote) error) error {
	cfg, err := e.loadConfig()
	if err != nil {
		return err
	}
	r, err := dialDaemon(cfg)
	if err != nil {
		return err
	}
	if r == nil {
		return &ingest.Error{Msg: "no service is running, and the page is part of it", Hint: "`systemctl start pec-ingest`, or `ingest demo` for a look at it"}
	}
	defer r.close()
	r.watching.tell = personAt(e.stderr)
	return fn(r)
}

// feedFlags are those of a command whose output programs may fetch too.
type feedFlags struct {
	List   bool   `help:"List who may fetch it over HTTP."`
	Revoke string `help:"Take it back from somebody." placeholder:"NAME"`
	JSON   bool   `help:"With --list: print JSON."`
}

// feedBackend keeps the keys of programs.
type feedBackend interface {
	AddFeedKey(ctx context.Context, actor, kind, name, token string, now time.Time) error
	FeedKeys(ctx context.Context, kind string) ([]ingest.FeedKeyRow, error)
	RevokeFeedKey(ctx context.Context, actor, kind, name string) error
}

// keys does what one of the flags asks for; done is false where none does.
func (f *feedFlags) keys(ctx context.Context, env *environment, kind string) (done bool, err error) {
	switch {
	case f.Revoke != "":
		return true, env.with(ingest.Writing, func(s backend) error { return s.RevokeFeedKey(ctx, actor(), kind, f.Revoke) })
	case f.List:
		return true, env.with(ingest.Reading, func(s backend) error {
			rows, err := s.FeedKeys(ctx, kind)
			if err != nil {
				return err
			}
			if f.JSON {
				return printJSON(env.stdout, rows)
			}
			t := newTable(env.stdout, "NAME", "SINCE", "BY")
			for _, r := range rows {
				t.row(r.Name, r.At, r.By)
			}
			return t.flush()
		})
	}
	return false, nil
}

// newKey makes a key for a program, prints what show makes of its token, and
// keeps the hash alone.
func newKey(ctx context.Context, env *environment, kind, name string, show func(base, token string) string) error {
	cfg, err := env.loadConfig()
	if err != nil {
		return err
	}
	base, err := feedBase(cfg)
	if err != nil {
		return err
	}
	token, _ := gate.NewToken()
	err = env.with(ingest.Writing, func(s backend) error {
		return s.AddFeedKey(ctx, actor(), kind, name, token, time.Now())
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(env.stdout, show(base, token))
	return err
}
