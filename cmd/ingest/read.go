package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/safetext"
)

type readCmd struct {
	File      []string `arg:"" help:"Messages, one a file; - is standard input."`
	JSON      bool     `help:"Print one JSON object a line."`
	Reveal    bool     `help:"Show the candidates in clear."`
	Trust     []string `help:"A further trust anchor: a PEM file or spki-sha256:HEX; may be repeated." placeholder:"PEM|PIN" sep:"none"`
	Recipient string   `help:"Ask that this address is among the recipients." placeholder:"ADDR"`
	At        string   `help:"When the messages were received (RFC 3339 or YYYY-MM-DD); default now." placeholder:"TIME"`
}

func (c *readCmd) Run(_ context.Context, env *environment) error {
	trust, err := c.trust()
	if err != nil {
		return err
	}
	at, err := parseTime(c.At)
	if err != nil {
		return err
	}
	opts := ingest.ReadOptions{Trust: trust, Recipient: c.Recipient, At: at, Reveal: c.Reveal}
	failed := false
	for _, file := range c.File {
		raw, err := readMessage(env.stdin, file)
		if err != nil {
			fmt.Fprintf(env.stderr, "ingest: error: reading %s: %v\n", safetext.Line(file), err)
			failed = true
			continue
		}
		r := ingest.Read(file, raw, opts)
		if c.JSON {
			err = printJSONLine(env.stdout, r)
		} else {
			err = printReading(env.stdout, r)
		}
		if err != nil {
			return err
		}
	}
	if failed {
		return &exitError{exitFailed}
	}
	return nil
}

func (c *readCmd) trust() (*pec.Trust, error) {
	o := pec.TrustOptions{Builtin: true} // its domain list does not bind the anchors added here
	for _, t := range c.Trust {
		if strings.HasPrefix(t, "spki-sha256:") {
			o.Pins = append(o.Pins, t)
			continue
		}
		b, err := os.ReadFile(t)
		if err != nil {
			return nil, &ingest.Error{Class: ingest.Usage, Msg: "--trust", Err: err, Hint: "a PEM file, or spki-sha256: and 64 hex digits"}
		}
		o.PEM = append(o.PEM, b)
	}
	trust, err := pec.NewTrust(o)
	if err != nil {
		return nil, &ingest.Error{Class: ingest.Usage, Msg: "--trust", Err: err}
	}
	return trust, nil
}

func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Now(), nil
	}
	for _, form := range []string{time.RFC3339, time.DateTime, time.DateOnly} {
		if t, err := time.Parse(form, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, &ingest.Error{Class: ingest.Usage, Msg: fmt.Sprintf("--at: %q is no time", s), Hint: "write it as 2026-12-31T10:00:00Z"}
}

// maxRead is how much of a file is read: one byte more than is judged, so
// that a larger message is refused as too large and not as broken.
const maxRead = pec.DefaultMaxBytes + 1

func readMessage(stdin io.Reader, file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(io.LimitReader(stdin, maxRead))
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxRead))
}

func printReading(w io.Writer, r ingest.Verdict) error {
	fmt.Fprintf(w, "%s\n  kind       %s\n", safetext.Line(r.File), r.Kind)
	if r.Certified {
		fmt.Fprintf(w, "  certified  yes: sent by %s on %s, signed by %s\n", cell(r.Sender), cell(r.SentAt), r.Signer.Address)
	} else {
		fmt.Fprintf(w, "  certified  no (%s): %s\n", r.Reason, safetext.Line(r.Why))
	}
	if len(r.Weak) > 0 {
		fmt.Fprintf(w, "  weak       %s\n", strings.Join(r.Weak, ", "))
	}
	fmt.Fprintf(w, "  id         %s\n  subject    %s\n", cell(r.ID), cell(r.Subject))
	s := r.Submission
	if s == nil {
		_, err := fmt.Fprintln(w)
		return err
	}
	fmt.Fprintf(w, "  submission %s, mailbox %s, expires %s (%s)\n", s.State, cell(s.Mailbox), cell(s.Expires), cell(s.ExpiresFrom))
	for _, c := range s.Candidates {
		text := fmt.Sprintf("%d characters", c.Length)
		if c.Secret != nil {
			text = *c.Secret
		}
		fmt.Fprintf(w, "  candidate  %s at %s\n", text, c.Where)
	}
	_, err := fmt.Fprintln(w)
	return err
}
