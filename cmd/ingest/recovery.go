package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"pec-ingest/internal/config"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/schedule"
	"pec-ingest/internal/vault"
)

// waitEvery is how often `get --wait` looks.
const waitEvery = time.Second

// wait ends when the mailbox has a password that works as far as anybody
// knows. It looks without reading the secret, so that waiting leaves one entry
// in the audit log and not hundreds; a vault that is busy is waited for too.
func (c *getCmd) wait(ctx context.Context, env *environment) error {
	t := time.NewTicker(waitEvery)
	defer t.Stop()
	for {
		works := false
		err := env.with(ingest.Reading, func(b backend) error {
			rows, err := b.Status(ctx, c.Mailbox, time.Now())
			for _, r := range rows {
				if c.Login == "" || r.Login != nil && *r.Login == c.Login {
					works = r.State == schedule.StateValid || r.State == schedule.StateDue
				}
			}
			return err
		})
		if err != nil && !errors.Is(err, vault.ErrLocked) || works {
			return err
		}
		select {
		case <-ctx.Done():
			return &ingest.Error{Msg: "interrupted while waiting for a password of " + c.Mailbox}
		case <-t.C:
		}
	}
}

// recoveryLine says whether a recovery key opens what it should, what being
// the name of that, for how many secrets.
func recoveryLine(name, what, recipients, secrets string, prove func() (opened int, err error)) ingest.CheckLine {
	opened, err := prove()
	switch {
	case errors.Is(err, vault.ErrIdentityMissing):
		return ingest.CheckLine{Name: name, Level: ingest.LevelError, Msg: "there is no recovery key to prove: " + err.Error(),
			Hint: "type it into a file first: docs/recovery.md, \"Today, before anything happens\""}
	case errors.Is(err, vault.ErrWrongKey), errors.Is(err, vault.ErrPassphrase):
		return ingest.CheckLine{Name: name, Level: ingest.LevelError, Msg: "this key does not open " + what + ": " + err.Error(),
			Hint: "is its public half in " + recipients + "? then `ingest rekey`; else look for the right key, now"}
	case err != nil:
		return ingest.CheckLine{Name: name, Level: ingest.LevelError, Msg: err.Error(), Hint: ingest.HintOf(err)}
	}
	return ingest.CheckLine{Name: name, Level: ingest.LevelOK, Msg: fmt.Sprintf("the recovery key opens all %d %s; put it away again", opened, secrets)}
}

// proveRecovery proves a recovery key on a copy of the vault as it is now: it
// opens the copy, each password in it, and what is sealed from now on. The
// copy is removed again; it is sealed as the vault is. The key leaves this
// process by no way.
func proveRecovery(ctx context.Context, env *environment, cfg *config.Config, file string) (opened int, err error) {
	identity, err := readIdentity(env, file)
	if err != nil {
		return 0, err
	}
	defer clear(identity)
	err = withCopy(ctx, env, cfg, identity, func(v *vault.Vault) error {
		if err := v.ProveIdentity(ctx, identity); err != nil {
			return err
		}
		opened, err = openAll(ctx, v)
		return err
	})
	return opened, err
}

// proveOTPRecovery is the same for the one-time codes, which have keys of
// their own.
func proveOTPRecovery(ctx context.Context, env *environment, cfg *config.Config, file string) (opened int, err error) {
	identity, err := readIdentity(env, file)
	if err != nil {
		return 0, err
	}
	defer clear(identity)
	recipients, err := os.ReadFile(cfg.OTP.RecipientsFile)
	if err != nil {
		return 0, err
	}
	ring, err := vault.NewRing(recipients, identity)
	if err != nil {
		return 0, err
	}
	err = withCopy(ctx, env, cfg, nil, func(v *vault.Vault) error {
		opened, err = openSeeds(ctx, v, ring)
		return err
	})
	return opened, err
}

// withCopy opens a copy of the vault, with an identity or without, and removes
// it afterwards.
func withCopy(ctx context.Context, env *environment, cfg *config.Config, identity []byte, fn func(*vault.Vault) error) error {
	recipients, err := os.ReadFile(cfg.Vault.RecipientsFile)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ingest-recovery-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "copy.db")
	err = env.with(ingest.Reading, func(b backend) error {
		_, err := vault.SaveBackup(path, func(w io.Writer) error {
			_, err := b.Backup(ctx, actor(), w)
			return err
		})
		return err
	})
	if err != nil {
		return err
	}
	v, err := vault.Open(vault.Options{Path: path, Recipients: recipients, Identity: identity, ReadOnly: true})
	if err != nil {
		return err
	}
	defer v.Close()
	return fn(v)
}

// openSeeds opens each seed of one-time codes once.
func openSeeds(ctx context.Context, v *vault.Vault, ring *vault.Ring) (opened int, err error) {
	var list []vault.OneTime
	err = v.View(ctx, func(tx *vault.Tx) (err error) {
		list, err = tx.OneTimes("")
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, one := range list {
		seed, err := ring.Unseal(one.Label(), one.Sealed)
		seed.Wipe()
		if err != nil {
			return opened, fmt.Errorf("the seed of %s, account %s: %w", one.Mailbox, one.Account, err)
		}
		opened++
	}
	return opened, nil
}

// openAll opens each stored password once.
func openAll(ctx context.Context, v *vault.Vault) (opened int, err error) {
	var versions []vault.Version
	err = v.View(ctx, func(tx *vault.Tx) error {
		versions = nil
		return tx.Credentials(func(c vault.Credential) error {
			list, err := tx.Versions(c.Mailbox, c.Login)
			versions = append(versions, list...)
			return err
		})
	})
	if err != nil {
		return 0, err
	}
	for _, one := range versions {
		if len(one.Sealed) == 0 {
			continue
		}
		password, err := v.Unseal(one.Label, one.Sealed)
		password.Wipe()
		if err != nil {
			return opened, fmt.Errorf("version %d of %s: %w", one.N, one.Mailbox, err)
		}
		opened++
	}
	return opened, nil
}

// readIdentity reads an age identity from wherever the recovery key is kept;
// for one under a passphrase, that is read from standard input.
func readIdentity(env *environment, file string) ([]byte, error) {
	b, err := vault.ReadSecretFile(file, true)
	if err != nil || !vault.IdentityLocked(b) {
		return b, err
	}
	fmt.Fprintln(env.stderr, "ingest: the key is protected: its passphrase is read from standard input")
	passphrase, err := env.readLine("Passphrase: ", maxPassword)
	if err != nil {
		return nil, err
	}
	defer passphrase.Wipe()
	return vault.UnlockIdentity(b, passphrase)
}
