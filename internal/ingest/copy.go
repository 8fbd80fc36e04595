package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"pec-ingest/internal/config"
	"pec-ingest/internal/vault"
)

// fillVault makes the vault of a configuration from a backup, where there is
// none. undo removes what it made.
func fillVault(ctx context.Context, cfg *config.Config, file string, log *slog.Logger) (sum vault.Summary, undo func() error, err error) {
	if path := cfg.Vault.Path; path != "" {
		sum, err = vault.Restore(path, file)
		return sum, func() error { return os.Remove(path) }, err
	}
	store, err := OpenStore(ctx, cfg, false, log)
	if err != nil {
		return sum, nil, err
	}
	sum, err = vault.Fill(ctx, store, file)
	undo = func() error {
		store, err := OpenStore(ctx, cfg, false, log)
		if err != nil {
			return err
		}
		return errors.Join(vault.Erase(ctx, store), store.Close())
	}
	return sum, undo, errors.Join(err, store.Close())
}

// CopyVault copies the vault at one URL to another, where there must be none,
// and compares the two record by record; urls are those of vault.url, whose
// other keys count for both. Nobody may work on it meanwhile, so on a cluster
// no service may run; a file is locked.
//
// It is the same vault afterwards: what goes on at one of the two is not known
// to the other, and both would write to the same people. The old one is to be
// put away.
func CopyVault(ctx context.Context, from, to *config.Config, log *slog.Logger) (sum vault.Summary, err error) {
	if from.Vault.URL == to.Vault.URL {
		return sum, usage("a vault can't be copied onto itself")
	}
	if file := from.Vault.Path; file != "" {
		sum, _, err = fillVault(ctx, to, file, log)
	} else {
		sum, err = copyCluster(ctx, from, to, log)
	}
	if err != nil {
		return sum, copyError(from, to, err)
	}
	log.Info("vault copied and compared", "event", "vault.copied", "records", sum.Records, "audit_entries", sum.AuditEntries)
	return sum, nil
}

// copyCluster copies a vault that lies in a cluster. No service may work on it;
// none begins to before the copy is made.
func copyCluster(ctx context.Context, from, to *config.Config, log *slog.Logger) (sum vault.Summary, err error) {
	store, err := OpenStore(ctx, from, false, log)
	if err != nil {
		return sum, err
	}
	defer store.Close()
	names, err := store.Members(ctx)
	if err != nil {
		return sum, err
	}
	if len(names) > 0 {
		return sum, &Error{Class: NoVault, Msg: fmt.Sprintf("%d services work on this vault, %s leads", len(names), names[0]),
			Hint: "stop them all first; one that was killed is forgotten after ten seconds"}
	}
	term, err := store.Campaign(ctx)
	if err != nil {
		return sum, err
	}
	defer term.Resign()
	if path := to.Vault.Path; path != "" {
		return vault.SaveVault(path, func(w io.Writer) error { return vault.Export(ctx, store, w) })
	}
	target, err := OpenStore(ctx, to, false, log)
	if err != nil {
		return sum, err
	}
	sum, err = vault.Copy(ctx, target, store)
	return sum, errors.Join(err, target.Close())
}

func copyError(from, to *config.Config, err error) error {
	var told *Error
	if errors.As(err, &told) {
		return told
	}
	e := &Error{Class: NoVault, Msg: "copying the vault", Err: err, Hint: "nothing was changed at " + from.Vault.URL}
	switch {
	case errors.Is(err, vault.ErrLocked):
		e.Hint = "stop the service first: what it did meanwhile would be missing in the copy"
	case errors.Is(err, os.ErrExist):
		e.Hint = "there is a vault at " + to.Vault.URL + " already: a copy never overwrites"
	case errors.Is(err, vault.ErrMissing):
		e.Hint = "there is no vault at " + from.Vault.URL
	}
	return e
}
