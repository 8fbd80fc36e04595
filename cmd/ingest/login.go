package main

import (
	"context"
	"fmt"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/secret"
)

type loginCmd struct {
	Account string `arg:"" help:"Which [[oauth]] account of the configuration."`
}

// Run does the sign-in in this process, which needs no secret for it; the
// token goes to the service, which tries and seals it.
func (c *loginCmd) Run(ctx context.Context, env *environment) error {
	cfg, err := env.loadConfig()
	if err != nil {
		return err
	}
	token, err := ingest.DeviceLogin(ctx, cfg, c.Account, func(p ingest.DevicePrompt) error {
		until := ""
		if !p.Expires.IsZero() {
			until = fmt.Sprintf(" (valid until %s)", p.Expires.Local().Format(time.TimeOnly))
		}
		_, err := fmt.Fprintf(env.stdout, "open   %s\nenter  %s%s\nwaiting for the sign-in; Ctrl-C ends it and changes nothing\n", p.URL, p.Code, until)
		return err
	})
	if err != nil {
		return err
	}
	defer token.Wipe()
	return env.with(ingest.Writing, func(s backend) error {
		if err := s.KeepToken(ctx, actor(), c.Account, token); err != nil {
			return err
		}
		_, err := fmt.Fprintf(env.stdout, "%s: signed in; the token is sealed in the vault and renewed by itself\n", c.Account)
		return err
	})
}

type tokenIn struct {
	Account string `json:"account"`
	Token   []byte `json:"token"`
}

// KeepToken implements backend.
func (r *remote) KeepToken(ctx context.Context, _, id string, token secret.Secret) error {
	_, err := ask[nothing](ctx, r, "login", tokenIn{id, reveal(token)})
	return err
}
