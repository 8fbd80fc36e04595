package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pec-ingest/internal/config"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/vault"
	"pec-ingest/internal/web"
)

type checkCmd struct {
	JSON        bool   `help:"Print JSON."`
	Recovery    string `help:"Also prove that this recovery key opens everything." placeholder:"FILE"`
	OTPRecovery string `name:"otp-recovery" help:"Also prove that this recovery key opens the one-time codes." placeholder:"FILE"`
}

func (c *checkCmd) Run(ctx context.Context, env *environment) error {
	cfg, err := env.loadConfig()
	if err != nil {
		return err
	}
	lines, err := selfCheck(ctx, cfg, env)
	if err != nil {
		return err
	}
	lines = append(lines, checkSockets(cfg))
	if c.Recovery != "" {
		lines = append(lines, recoveryLine("recovery", "the vault", "vault.recipients_file", "passwords", func() (int, error) {
			return proveRecovery(ctx, env, cfg, c.Recovery)
		}))
	}
	if c.OTPRecovery != "" {
		lines = append(lines, recoveryLine("recovery", "the one-time codes", "otp.recipients_file", "seeds of one-time codes", func() (int, error) {
			return proveOTPRecovery(ctx, env, cfg, c.OTPRecovery)
		}))
	}
	if c.JSON {
		err = printJSON(env.stdout, lines)
	} else {
		var text strings.Builder
		for _, l := range lines {
			fmt.Fprintf(&text, "%-8s %-9s %s\n", l.Level, l.Name, l.Msg)
			if l.Hint != "" {
				fmt.Fprintf(&text, "%18s hint: %s\n", "", l.Hint)
			}
		}
		_, err = io.WriteString(env.stdout, text.String())
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

const shorterSocket = "choose a shorter path, such as /run/pec-ingest/ingest.sock"

// checkSockets tells whether a service could listen where the configuration
// says, and let in whom it names.
func checkSockets(cfg *config.Config) ingest.CheckLine {
	for _, socket := range []struct{ key, path string }{{"web.socket", cfg.Web.Socket}, {"web.page_socket", cfg.Web.PageSocket}} {
		if err := web.CheckPath(socket.path); err != nil {
			return ingest.CheckLine{Name: "socket", Level: ingest.LevelError, Msg: cfg.Where(socket.key) + ": " + err.Error(), Hint: shorterSocket}
		}
	}
	if _, err := access(cfg); err != nil {
		return ingest.CheckLine{Name: "socket", Level: ingest.LevelError, Msg: err.Error(), Hint: ingest.HintOf(err)}
	}
	return ingest.CheckLine{Name: "socket", Level: ingest.LevelOK, Msg: cfg.Web.Socket}
}

// selfCheck has the daemon check itself where one runs.
func selfCheck(ctx context.Context, cfg *config.Config, env *environment) ([]ingest.CheckLine, error) {
	r, err := dialDaemon(cfg)
	if err != nil {
		return nil, err
	}
	if r != nil {
		defer r.close()
		r.watching.tell = personAt(env.stderr)
		lines, err := r.Check(ctx)
		return append([]ingest.CheckLine{{Name: "service", Level: ingest.LevelOK, Msg: "runs, and answers on " + cfg.Web.Socket}}, lines...), err
	}
	s, openErr := openHere(cfg, ingest.Reading, env)
	if errors.Is(openErr, vault.ErrMissing) {
		return checkWithoutVault(ctx, cfg, env)
	}
	if openErr == nil {
		defer s.Close()
	}
	return ingest.SelfCheck(ctx, cfg, s, openErr, time.Now()), nil
}

// checkWithoutVault checks all the rest, on an empty vault that is thrown
// away: an administrator asks before anything is stored, and check itself
// stores nothing.
func checkWithoutVault(ctx context.Context, cfg *config.Config, env *environment) ([]ingest.CheckLine, error) {
	dir, err := os.MkdirTemp("", "pec-ingest-check-") // 0700
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	trial := *cfg
	trial.Vault.Path = filepath.Join(dir, "vault.db")
	s, openErr := ingest.OpenAsking(&trial, ingest.Writing, env.log, env.ask)
	if openErr == nil {
		defer s.Close()
	}
	lines := ingest.SelfCheck(ctx, &trial, s, openErr, time.Now())
	for i := range lines {
		if lines[i].Name == "vault" && lines[i].Level == ingest.LevelOK {
			lines[i] = ingest.CheckLine{Name: "vault", Level: ingest.LevelWarning, Msg: "there is none yet at " + cfg.Vault.Path,
				Hint: "the service, or the first command that stores something, makes it"}
		}
	}
	return lines, nil
}
