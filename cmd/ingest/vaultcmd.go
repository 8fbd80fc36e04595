package main

import (
	"context"
	"fmt"

	"pec-ingest/internal/config"
	"pec-ingest/internal/ingest"
)

type vaultCmd struct {
	Copy vaultCopyCmd `cmd:"" help:"Copy the vault to another place or kind of storage, and compare the two."`
}

type vaultCopyCmd struct {
	From string `arg:"" help:"Where it is: as vault.url says it, bbolt:///FILE or etcd://HOST:PORT,…/PREFIX."`
	To   string `arg:"" help:"Where it goes; there must be none yet."`
	JSON bool   `help:"Print JSON."`
}

func (c *vaultCopyCmd) Help() string {
	return `No service may run on either. Keys of [vault] other than url count for both
ends. Afterwards set vault.url to the new place, and put the old vault away:
two services on two copies would write to the same clients.`
}

func (c *vaultCopyCmd) Run(ctx context.Context, env *environment) error {
	from, err := config.LoadAt(env.Config, c.From)
	if err != nil {
		return err
	}
	to, err := config.LoadAt(env.Config, c.To)
	if err != nil {
		return err
	}
	for _, cfg := range []*config.Config{from, to} {
		if err := mayOpen(cfg.Vault.Path); err != nil {
			return err
		}
	}
	sum, err := ingest.CopyVault(ctx, from, to, env.log)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(env.stdout, sum)
	}
	_, err = fmt.Fprintf(env.stdout, `%s: %d records, %d clients, %d versions, %d audit entries; both are the same

Next: vault.url = %q, then put the old vault away.
`, c.To, sum.Records, sum.Clients, sum.Versions, sum.AuditEntries, c.To)
	return err
}
