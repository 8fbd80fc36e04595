package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/quickget"
	"pec-ingest/internal/secret"
)

type statusCmd struct {
	Mailbox string `arg:"" optional:"" help:"Only this mailbox."`
	JSON    bool   `help:"Print JSON."`
	// Codes of monitoring plugins; the contract's own are those without it.
	ExitCode bool `help:"One line and an exit code for monitoring: 0 well, 1 due or unverified, 2 expired, broken or missing, 3 unknown."`
}

func (c *statusCmd) Run(ctx context.Context, env *environment) error {
	if c.ExitCode {
		return monitorStatus(ctx, env, c.Mailbox)
	}
	return env.with(ingest.Reading, func(s backend) error {
		rows, err := s.Status(ctx, c.Mailbox, time.Now())
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(env.stdout, rows)
		}
		if err := printStatus(env.stdout, rows); err != nil {
			return err
		}
		return printDaemon(ctx, env.stdout, s)
	})
}

// printDaemon says how the service stands, where one runs.
func printDaemon(ctx context.Context, w io.Writer, s backend) error {
	d, err := s.Daemon(ctx)
	if err != nil || d == nil {
		return err
	}
	_, err = fmt.Fprintf(w, "\nservice: %s\n", d.Line())
	return err
}

func printStatus(w io.Writer, rows []ingest.StatusRow) error {
	head := []string{"MAILBOX", "CLIENT", "STATE", "VERSION", "EXPIRES", "DAYS", "LAST CHECK", "NEXT WARNING"}
	logins := slices.ContainsFunc(rows, func(r ingest.StatusRow) bool { return r.Login != nil && *r.Login != r.Mailbox })
	if logins {
		head = slices.Insert(head, 1, "LOGIN")
	}
	t := newTable(w, head...)
	for _, r := range rows {
		check := "-"
		if r.LastCheck != nil {
			check = r.LastCheck.Result
			if r.LastCheck.TroubleSince != nil {
				check += " since " + cell(r.LastCheck.TroubleSince)
			}
		}
		cells := []any{r.Mailbox, r.Client, r.State, r.Version, r.ExpiresAt, r.DaysLeft, check, r.NextWarningAt}
		if logins {
			cells = slices.Insert(cells, 1, any(r.Login))
		}
		t.row(cells...)
	}
	return t.flush()
}

type getCmd struct {
	Mailbox string `arg:"" help:"Whose password."`
	Login   string `help:"Which login, where the mailbox has several."`
	Wait    bool   `help:"Wait until there is one that works."`
	JSON    bool   `help:"Print JSON with version and expiry."`
}

func (c *getCmd) Run(ctx context.Context, env *environment) error {
	if c.Wait {
		if err := c.wait(ctx, env); err != nil {
			return err
		}
	}
	if body := quickget.Refusal(); body != nil && !isBusy(body) {
		return refused(body)
	}
	return env.with(ingest.Reading, func(s backend) error {
		p, err := s.Get(ctx, actor(), c.Mailbox, c.Login, time.Now())
		if err != nil {
			return err
		}
		defer p.Secret.Wipe()
		if c.JSON {
			return printJSON(env.stdout, map[string]any{"mailbox": p.Mailbox, "login": p.Login, "version": p.Version,
				"state": p.State, "expires_at": p.ExpiresAt.Format(time.DateOnly), "password": p.Secret.RevealString()})
		}
		line := getOut{Secret: p.Secret.Reveal()}.Plain()
		defer clear(line)
		_, err = env.stdout.Write(line)
		return err
	})
}

// maxPassword is more than any provider allows.
const maxPassword = 1024

// readPassword reads one line from standard input, all that there is in it; the
// line end is no part of it. On a terminal it asks, the line ends with Enter, and
// it is not shown.
func (e *environment) readPassword() (secret.Secret, error) {
	return e.readLine("Password: ", maxPassword)
}

// readLine is readPassword for a line of at most so many bytes.
func (e *environment) readLine(question string, most int) (secret.Secret, error) {
	if tty := e.terminal(); tty != nil {
		e.typedOn = tty
		typed, err := typeUnseen(tty, e.stderr, question)
		if err != nil {
			return secret.Secret{}, fmt.Errorf("reading from the terminal: %w", err)
		}
		defer typed.Wipe()
		return oneLine(typed.Reveal(), most)
	}
	b, err := io.ReadAll(io.LimitReader(e.stdin, int64(most)+2))
	defer clear(b)
	if err != nil {
		return secret.Secret{}, fmt.Errorf("reading standard input: %w", err)
	}
	return oneLine(b, most)
}

// oneLine is b without its line end, if that is one line of text.
func oneLine(b []byte, most int) (secret.Secret, error) {
	line := bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	fault := &ingest.Error{Class: ingest.Usage, Hint: "give it alone, on one line"}
	switch {
	case bytes.ContainsAny(line, "\r\n"):
		fault.Msg = "standard input holds more than one line"
	case bytes.IndexByte(line, 0) >= 0:
		fault.Msg = "standard input holds a zero byte: that is no text"
	case len(line) > most:
		fault.Msg = fmt.Sprintf("standard input holds more than %d bytes", most)
	default:
		return secret.New(line), nil
	}
	return secret.Secret{}, fault
}

type setCmd struct {
	Mailbox string `arg:"" optional:"" help:"Whose password."`
	Inbox   bool   `help:"The password of the studio's own inbox."`
	Login   string `help:"Which login, where it is not the client's usual one."`
	Expires string `help:"Last day on which it is valid (YYYY-MM-DD)." placeholder:"DATE"`
	Source  string `help:"How it came: phone, letter…" placeholder:"TEXT"`
	JSON    bool   `help:"Print JSON."`
}

func (c *setCmd) Run(ctx context.Context, env *environment) error {
	expires, err := parseDay("--expires", c.Expires)
	if err != nil {
		return err
	}
	if c.Inbox == (c.Mailbox != "") {
		return &ingest.Error{Class: ingest.Usage, Msg: "say whose password it is", Hint: "a mailbox, or --inbox for the studio's own"}
	}
	password, err := env.readPassword()
	if err != nil {
		return err
	}
	defer password.Wipe()
	if c.Inbox {
		return c.setInbox(ctx, env, password, expires)
	}
	return env.with(ingest.Writing, func(s backend) error {
		r, err := s.Set(ctx, ingest.SetRequest{Actor: actor(), Mailbox: c.Mailbox, Login: c.Login, Expires: expires,
			Source: c.Source, Secret: password}, time.Now())
		if err != nil {
			return err
		}
		return printSet(env, c.JSON, r)
	})
}

func (c *setCmd) setInbox(ctx context.Context, env *environment, password secret.Secret, expires time.Time) error {
	return env.with(ingest.Writing, func(s backend) error {
		r, err := s.SetInbox(ctx, ingest.SetInboxRequest{Actor: actor(), Expires: expires, Secret: password}, time.Now())
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(env.stdout, r)
		}
		_, err = fmt.Fprintf(env.stdout, "%s: %s, valid until %s\n", r.Username, r.State, r.ExpiresAt)
		return err
	})
}

func printSet(env *environment, asJSON bool, r ingest.SetResult) error {
	if asJSON {
		return printJSON(env.stdout, r)
	}
	_, err := fmt.Fprintf(env.stdout, "%s: version %d, %s, valid until %s\n", r.Mailbox, r.Version, r.State, r.ExpiresAt)
	return err
}

type useCmd struct {
	Mailbox string `arg:"" help:"Whose password."`
	Version int    `arg:"" help:"Which version."`
	Login   string `help:"Which login, where the mailbox has several."`
	JSON    bool   `help:"Print JSON."`
}

func (c *useCmd) Run(ctx context.Context, env *environment) error {
	return env.with(ingest.Writing, func(s backend) error {
		r, err := s.Use(ctx, actor(), c.Mailbox, c.Login, c.Version, time.Now())
		if err != nil {
			return err
		}
		return printSet(env, c.JSON, r)
	})
}

func parseDay(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	day, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return day, &ingest.Error{Class: ingest.Usage, Msg: flag + ": " + fmt.Sprintf("%q is no date", s), Hint: "write it as 2026-12-31"}
	}
	return day, nil
}

type historyCmd struct {
	Mailbox string `arg:"" help:"Whose history."`
	JSON    bool   `help:"Print JSON."`
}

func (c *historyCmd) Run(ctx context.Context, env *environment) error {
	return env.with(ingest.Reading, func(s backend) error {
		rows, err := s.History(ctx, c.Mailbox)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(env.stdout, rows)
		}
		head := []string{"VERSION", "STATE", "RECEIVED", "PROVEN", "EXPIRES", "FROM", "SOURCE", "ENDED"}
		logins := slices.ContainsFunc(rows, func(r ingest.HistoryRow) bool { return r.Login != r.Mailbox })
		if logins {
			head = slices.Insert(head, 0, "LOGIN")
		}
		t := newTable(env.stdout, head...)
		for _, r := range rows {
			version := fmt.Sprint(r.Version)
			if r.Current {
				version += " *"
			}
			cells := []any{version, r.State, r.ReceivedAt, r.ProvenAt, r.ExpiresAt, r.ExpiresFrom, r.Source, r.Ended}
			if logins {
				cells = slices.Insert(cells, 0, any(r.Login))
			}
			t.row(cells...)
		}
		return t.flush()
	})
}

type dueCmd struct {
	On   string `help:"On which day (YYYY-MM-DD); default now." placeholder:"DATE"`
	JSON bool   `help:"Print JSON."`
}

func (c *dueCmd) Run(ctx context.Context, env *environment) error {
	on, err := parseDay("--on", c.On)
	if err != nil {
		return err
	}
	return env.with(ingest.Reading, func(s backend) error {
		rows, err := s.Due(ctx, time.Now(), on)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(env.stdout, rows)
		}
		t := newTable(env.stdout, "MAILBOX", "CLIENT", "EXPIRES", "DAYS", "WARNING", "TO")
		for _, r := range rows {
			t.row(r.Mailbox, r.Client, r.ExpiresAt, r.DaysLeft, r.Threshold, strings.Join(r.To, ", "))
		}
		return t.flush()
	})
}
