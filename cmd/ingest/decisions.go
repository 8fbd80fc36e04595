package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/secret"
)

type reviewCmd struct {
	List    reviewListCmd    `cmd:"" default:"withargs" help:"What waits for a person."`
	Show    reviewShowCmd    `cmd:"" help:"One item, with the letter; candidates and unusual words masked."`
	File    reviewFileCmd    `cmd:"" help:"Write a picture or document of an item to a file; this is audited."`
	Approve reviewApproveCmd `cmd:"" help:"Take a candidate, or a typed password, after trying it."`
	Reject  reviewRejectCmd  `cmd:"" help:"Put an item aside."`
}

type reviewListCmd struct {
	All  bool `help:"Also what was decided."`
	JSON bool `help:"Print JSON."`
}

func (c *reviewListCmd) Run(ctx context.Context, env *environment) error {
	return env.with(ingest.Reading, func(s backend) error {
		rows, err := s.Reviews(ctx, c.All)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(env.stdout, rows)
		}
		t := newTable(env.stdout, "N", "MAILBOX", "REASON", "LETTERS", "SINCE", "DECIDED")
		for _, r := range rows {
			t.row(r.N, r.Mailbox, r.Reason, r.Letters, r.OpenedAt, r.Decision)
		}
		return t.flush()
	})
}

type reviewShowCmd struct {
	N      int  `arg:"" help:"Which item."`
	Reveal bool `help:"Show the letter and the candidates in clear; this is audited."`
	JSON   bool `help:"Print JSON."`
}

func (c *reviewShowCmd) Run(ctx context.Context, env *environment) error {
	return env.with(ingest.Reading, func(s backend) error {
		item, err := s.ReviewShow(ctx, actor(), c.N, c.Reveal)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(env.stdout, item)
		}
		w := env.stdout
		fmt.Fprintf(w, "item %d   %s   %s\nsent     %s\nreason   %s%s\nsubject  %s\nexpires  %s\nnotes    %s\n", item.N, item.Mailbox,
			cell(item.Client), cell(item.SentAt), item.Reason, lettersOf(item.ReviewRow), cell(item.Subject), cell(item.Expires), cell(strings.Join(item.Notes, ", ")))
		for _, cand := range item.Candidates {
			mark := ""
			if cand.Refused {
				mark = "  refused by the provider"
			}
			text := fmt.Sprintf("%d characters", cand.Length)
			if cand.Secret != nil {
				text = *cand.Secret
			}
			fmt.Fprintf(w, "candidate %d  %s  (%s)%s\n", cand.N, text, cand.Where, mark)
		}
		for _, f := range item.Files {
			fmt.Fprintf(w, "file %d       %s, %s, %d bytes\n", f.N, cell(f.Name), cell(f.Type), f.Size)
		}
		fmt.Fprintf(w, "\n%s\n\n", item.Letter)
		return c.next(env, item)
	})
}

// lettersOf says where an item stands for many letters.
func lettersOf(r ingest.ReviewRow) string {
	if r.Letters == 1 {
		return ""
	}
	return fmt.Sprintf(" (%d letters, all of them in the inbox)", r.Letters)
}

// next says what a person can type now, or who decided.
func (c *reviewShowCmd) next(env *environment, item ingest.ReviewItem) error {
	if item.DecidedAt != nil {
		_, err := fmt.Fprintf(env.stdout, "decided: %s, by %s: %s\n", cell(item.DecidedAt), cell(item.DecidedBy), whole(item.Decision))
		return err
	}
	approve := fmt.Sprintf("ingest review approve %d", item.N)
	if !item.Listed {
		approve += " --new-client NAME"
	}
	if len(item.Candidates) == 0 {
		approve += " --typed"
	}
	if len(item.Files) > 0 {
		fmt.Fprintf(env.stdout, "look:    ingest review file %d 1 OUTPUT\n", item.N)
	}
	_, err := fmt.Fprintf(env.stdout, "approve: %s\nreject:  ingest review reject %d --reason TEXT [--tell]\n", approve, item.N)
	return err
}

type reviewFileCmd struct {
	N      int    `arg:"" help:"Which item."`
	File   int    `arg:"" help:"Which of its files."`
	Output string `arg:"" help:"Where to write it; it must not exist yet."`
}

func (c *reviewFileCmd) Run(ctx context.Context, env *environment) error {
	return env.with(ingest.Writing, func(s backend) error {
		_, data, err := s.ReviewFile(ctx, actor(), c.N, c.File)
		if err != nil {
			return err
		}
		defer clear(data)
		return writeNew(c.Output, data)
	})
}

// writeNew writes a file that is not there yet, for its owner alone.
func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return &ingest.Error{Msg: "writing the file", Err: err}
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

type reviewApproveCmd struct {
	N         int    `arg:"" help:"Which item."`
	Candidate int    `help:"Which candidate; default the first." placeholder:"K"`
	Typed     bool   `help:"Read the password from standard input instead."`
	Mailbox   string `help:"For which client's mailbox, where the sender is none."`
	Login     string `help:"With which login, where none is known."`
	Expires   string `help:"Last day on which it is valid (YYYY-MM-DD)." placeholder:"DATE"`
	NewClient string `help:"Take an unlisted sender as a client of this name first." placeholder:"NAME"`
	JSON      bool   `help:"Print JSON."`
}

func (c *reviewApproveCmd) Run(ctx context.Context, env *environment) error {
	expires, err := parseDay("--expires", c.Expires)
	if err != nil {
		return err
	}
	var typed secret.Secret
	if c.Typed {
		if typed, err = env.readPassword(); err != nil {
			return err
		}
		defer typed.Wipe()
		if typed.IsZero() {
			return &ingest.Error{Class: ingest.Usage, Msg: "no password on standard input",
				Hint: fmt.Sprintf("ingest review approve %d --typed < file, or type it and press Enter", c.N)}
		}
	}
	return env.with(ingest.Writing, func(s backend) error {
		r, err := s.ReviewApprove(ctx, ingest.Approval{Actor: actor(), N: c.N, Candidate: c.Candidate, Typed: typed,
			Mailbox: c.Mailbox, Login: c.Login, Expires: expires, NewClient: c.NewClient}, time.Now())
		if err != nil {
			return err
		}
		return printSet(env, c.JSON, r)
	})
}

type reviewRejectCmd struct {
	N      int    `arg:"" help:"Which item."`
	Reason string `help:"Why, for the record." placeholder:"TEXT"`
	Tell   bool   `help:"Send the reason to the client."`
}

func (c *reviewRejectCmd) Run(ctx context.Context, env *environment) error {
	return env.with(ingest.Writing, func(s backend) error {
		if err := s.ReviewReject(ctx, actor(), c.N, c.Reason, c.Tell, time.Now()); err != nil {
			return err
		}
		_, err := fmt.Fprintf(env.stdout, "item %d: rejected\n", c.N)
		return err
	})
}

type outboxCmd struct {
	List    outboxListCmd    `cmd:"" default:"withargs" help:"Messages that are queued, in doubt or failed."`
	Show    outboxShowCmd    `cmd:"" help:"One message with its text."`
	Retry   outboxRetryCmd   `cmd:"" help:"Queue a message again that failed or is in doubt."`
	Drop    outboxDropCmd    `cmd:"" help:"Give a message up."`
	Preview outboxPreviewCmd `cmd:"" help:"A message as a client would get it, with sample data."`
}

type outboxListCmd struct {
	All  bool `help:"Also those that were sent."`
	JSON bool `help:"Print JSON."`
}

func (c *outboxListCmd) Run(ctx context.Context, env *environment) error {
	return env.with(ingest.Reading, func(s backend) error {
		rows, err := s.Outbox(ctx, c.All)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(env.stdout, rows)
		}
		t := newTable(env.stdout, "N", "KIND", "TO", "STATE", "QUEUED", "SENT", "ERROR", "NEXT")
		for _, r := range rows {
			t.row(r.N, r.Kind, r.To, r.State, r.QueuedAt, r.SentAt, r.LastError, r.Next)
		}
		return t.flush()
	})
}

type outboxShowCmd struct {
	N       int    `arg:"" help:"Which message."`
	Receipt string `help:"Write its delivery receipt, the legal proof, to this file." placeholder:"FILE"`
}

func (c *outboxShowCmd) Run(ctx context.Context, env *environment) error {
	return env.with(ingest.Reading, func(s backend) error {
		if c.Receipt != "" {
			raw, err := s.OutboxReceipt(ctx, c.N)
			if err != nil {
				return err
			}
			return writeNew(c.Receipt, raw)
		}
		row, subject, text, err := s.OutboxMessage(ctx, c.N)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(env.stdout, "message %d  %s  %s\nto       %s\nqueued   %s\nsent     %s\nerror    %s\nnext     %s\nsubject  %s\n\n%s\n",
			row.N, row.Kind, row.State, row.To, cell(row.QueuedAt), cell(row.SentAt), whole(row.LastError), row.Next, subject, text)
		return err
	})
}

type outboxRetryCmd struct {
	N int `arg:"" help:"Which message."`
}

func (c *outboxRetryCmd) Run(ctx context.Context, env *environment) error {
	return env.with(ingest.Writing, func(s backend) error { return s.OutboxRetry(ctx, actor(), c.N) })
}

type outboxDropCmd struct {
	N int `arg:"" help:"Which message."`
}

func (c *outboxDropCmd) Run(ctx context.Context, env *environment) error {
	return env.with(ingest.Writing, func(s backend) error { return s.OutboxDrop(ctx, actor(), c.N) })
}
