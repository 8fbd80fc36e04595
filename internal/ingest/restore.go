package ingest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"pec-ingest/internal/config"
	"pec-ingest/internal/vault"
)

const (
	// jobRestored is when the vault was restored; jobRestoredAsOf the time up
	// to which the backup knows what happened.
	jobRestored     = "restored"
	jobRestoredAsOf = "restored-as-of"
	// jobReread is when the processed folder was read again after a restore.
	jobReread = "reread"
)

// RestoreResult is what `restore --json` prints.
type RestoreResult struct {
	Vault        string    `json:"vault"`
	AsOf         time.Time `json:"as_of"` // the last thing that the backup knows of
	Clients      int       `json:"clients"`
	Versions     int       `json:"versions"`
	AuditEntries int       `json:"audit_entries"`
	Held         int       `json:"held"` // messages that are not sent before they were looked for
}

// Restore makes the vault of a configuration from a backup: checked before,
// and never over a vault that is there. What the lost vault did after the
// backup is not known to this one, so
//
//   - what waited to be sent is in doubt: sent again, with its old Message-ID,
//     only when no acceptance receipt for it was found;
//   - the processed folder is read again by the next pass (reread), and until
//     then nothing is sent at all.
func Restore(ctx context.Context, cfg *config.Config, actor, file string, now time.Time, log *slog.Logger, ask Asker) (RestoreResult, error) {
	path := firstOf(cfg.Vault.Path, cfg.Vault.URL)
	sum, undo, err := fillVault(ctx, cfg, file, log)
	if err != nil {
		return RestoreResult{}, restoreError(path, err)
	}
	r := RestoreResult{Vault: path, Clients: sum.Clients, Versions: sum.Versions, AuditEntries: sum.AuditEntries}
	v, err := OpenVault(cfg, Reading, ask)
	if err != nil {
		// Of another installation, or for another key: leave no vault behind
		// that can't be used. The backup stays.
		return r, errors.Join(err, undo())
	}
	r.AsOf, r.Held, err = afterRestore(ctx, v, actor, now)
	if err = errors.Join(err, v.Close()); err != nil {
		return r, errors.Join(&Error{Msg: "preparing the restored vault", Err: err, Hint: "nothing was kept; try again"}, undo())
	}
	log.Info("vault restored", "event", "vault.restored", "as_of", r.AsOf, "held", r.Held)
	return r, nil
}

func restoreError(path string, err error) error {
	if errors.Is(err, fs.ErrExist) {
		return &Error{Msg: "there is a vault already", Err: err,
			Hint: fmt.Sprintf("stop the service and move it away first: mv %q %q", path, path+".old")}
	}
	e := &Error{Class: NoVault, Msg: "the backup can't be restored", Err: err, Hint: "nothing was changed; try an older backup"}
	var oe *vault.OpenError
	switch { // what is said of a bad vault does not help with a bad backup
	case errors.Is(err, vault.ErrForeign):
		e.Hint = "nothing was changed; give a file that `ingest backup` wrote"
	case errors.Is(err, vault.ErrDamaged):
	case errors.As(err, &oe) && oe.Hint != "":
		e.Hint = oe.Hint
	}
	return e
}

// holdAtOnce bounds the messages of one transaction.
const holdAtOnce = 20

// afterRestore puts a restored vault into the state that Restore promises.
func afterRestore(ctx context.Context, v *vault.Vault, actor string, now time.Time) (asOf time.Time, held int, err error) {
	now = now.UTC().Truncate(time.Second)
	var queued []vault.Outgoing
	err = v.View(ctx, func(tx *vault.Tx) error {
		queued = nil
		open, err := tx.OpenOutgoing()
		if err != nil {
			return err
		}
		for _, o := range open {
			if o.State == vault.OutQueued {
				queued = append(queued, o)
			}
		}
		return tx.AuditLog(func(a vault.AuditEntry) error {
			asOf = a.At
			return nil
		})
	})
	if err != nil {
		return asOf, 0, err
	}
	for part := range slices.Chunk(queued, holdAtOnce) {
		err := v.Update(ctx, func(tx *vault.Tx) error {
			for _, o := range part {
				o.State, o.SentAt, o.LastError = vault.OutInDoubt, now, restoredDoubt
				if err := tx.PutOutgoing(o); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return asOf, held, err
		}
		held += len(part)
	}
	return asOf, held, v.Update(ctx, func(tx *vault.Tx) error {
		if err := errors.Join(tx.PutJob(jobRestored, now), tx.PutJob(jobRestoredAsOf, asOf)); err != nil {
			return err
		}
		return tx.Audit(vault.AuditEntry{Actor: actor, Event: "vault.restored", Detail: fmt.Sprintf("as_of=%s held=%d", asOf.Format(time.RFC3339), held)})
	})
}

// damagedHint says what to do about a damaged vault: it names the newest
// backup that is good.
func damagedHint(cfg *config.Config) string {
	move := fmt.Sprintf("move the file away (mv %q %q), then `ingest restore FILE`", cfg.Vault.Path, cfg.Vault.Path+".damaged")
	if cfg.Vault.BackupDir == "" {
		return move + "; no vault.backup_dir is configured, so you know where the backups are"
	}
	path, sum, err := vault.NewestGoodBackup(cfg.Vault.BackupDir, "*.db")
	if err != nil {
		return move + "; there is no good backup in " + cfg.Vault.BackupDir
	}
	return fmt.Sprintf("%s; the newest good backup is %s (%d clients, %d audit entries)", move, path, sum.Clients, sum.AuditEntries)
}
