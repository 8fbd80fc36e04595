package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"pec-ingest/internal/ingest"
)

type usedCmd struct {
	Mailbox string `arg:"" optional:"" help:"Only this mailbox."`
	Place   string `arg:"" optional:"" help:"Where the password is also kept by hand."`
	Done    bool   `help:"The current password was entered there."`
	Login   string `help:"Which login, where the mailbox has several; default all."`
	All     bool   `help:"Also places that are up to date."`
	JSON    bool   `help:"Print JSON."`
}

func (c *usedCmd) Run(ctx context.Context, env *environment) error {
	if c.Done != (c.Place != "") {
		return &ingest.Error{Class: ingest.Usage, Msg: "a place and --done go together",
			Hint: "`ingest used` lists the places; `ingest used MAILBOX PLACE --done` closes one"}
	}
	if c.Done {
		return env.with(ingest.Writing, func(b backend) error {
			rows, err := b.PlaceDone(ctx, actor(), c.Mailbox, c.Login, c.Place, time.Now())
			if err != nil {
				return err
			}
			return c.print(env, rows)
		})
	}
	return env.with(ingest.Reading, func(b backend) error {
		all, err := b.Places(ctx, c.Mailbox)
		if err != nil {
			return err
		}
		rows := []ingest.PlaceRow{}
		for _, r := range all {
			if r.Open || c.All {
				rows = append(rows, r)
			}
		}
		return c.print(env, rows)
	})
}

func (c *usedCmd) print(env *environment, rows []ingest.PlaceRow) error {
	if c.JSON {
		return printJSON(env.stdout, rows)
	}
	t := newTable(env.stdout, "MAILBOX", "CLIENT", "PLACE", "VERSION", "STATE")
	for _, r := range rows {
		state := "up to date"
		if r.Open {
			state = "to be updated"
		}
		t.row(r.Mailbox, r.Client, r.Place, r.Version, state)
	}
	return t.flush()
}

type backupCmd struct {
	File string `arg:"" help:"Where to write it; it must not exist yet."`
	JSON bool   `help:"Print JSON."`
}

// Run writes the file as the caller, in a folder that is the caller's alone;
// the bytes come from whoever has the vault open.
func (c *backupCmd) Run(ctx context.Context, env *environment) error {
	path, err := filepath.Abs(c.File)
	if err != nil {
		return err
	}
	return env.with(ingest.Reading, func(b backend) error {
		sum, err := ingest.SaveBackup(ctx, b, actor(), path)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(env.stdout, sum)
		}
		_, err = fmt.Fprintf(env.stdout, "%s: %d records, %d clients, %d versions, %d audit entries; checked\n",
			path, sum.Records, sum.Clients, sum.Versions, sum.AuditEntries)
		return err
	})
}

type restoreCmd struct {
	File string `arg:"" help:"The backup."`
	JSON bool   `help:"Print JSON."`
}

func (c *restoreCmd) Run(ctx context.Context, env *environment) error {
	cfg, err := env.loadConfig()
	if err != nil {
		return err
	}
	// A service that still has the old vault open, wherever that was moved to,
	// would go on with it and never see this one.
	d, err := dialDaemon(cfg)
	if err != nil {
		return err
	}
	if d != nil {
		d.close()
		return &ingest.Error{Msg: "a service is running: it would not see the restored vault", Hint: "stop it first: `systemctl stop pec-ingest`"}
	}
	r, err := ingest.Restore(ctx, cfg, actor(), c.File, time.Now(), env.log, env.ask)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(env.stdout, r)
	}
	_, err = fmt.Fprintf(env.stdout, `%s: restored, as it was at %s
%d clients, %d versions, %d audit entries
%d messages that were to be sent are held until their receipts are found, or for an hour

Next: start the service, or `+"`ingest once`"+`: it reads again what came in since.
`, r.Vault, r.AsOf.Local().Format("2006-01-02 15:04:05"), r.Clients, r.Versions, r.AuditEntries, r.Held)
	return err
}

type rekeyCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c *rekeyCmd) Run(ctx context.Context, env *environment) error {
	return env.with(ingest.Reading, func(b backend) error {
		n, err := b.Rekey(ctx, actor())
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(env.stdout, map[string]int{"sealed": n})
		}
		_, err = fmt.Fprintf(env.stdout, "%d sealed texts are now sealed to the keys of the recipients file; older backups still are to the old ones\n", n)
		return err
	})
}
