package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"pec-ingest/internal/vault"
)

// jobBackups is when scheduled backups were last made; JobBackup is when the
// newest good one of any kind was begun.
const jobBackups = "backups"

// Backup writes the vault as it is at this moment to w, with an entry in its
// audit log that says so. Others go on working. What w got counts only when
// it was checked (vault.VerifyFile): then BackupDone says so.
func (s *Service) Backup(ctx context.Context, actor string, w io.Writer) (begun time.Time, err error) {
	begun = time.Now().UTC().Truncate(time.Second)
	err = s.vault.Update(ctx, func(tx *vault.Tx) error {
		return tx.Audit(vault.AuditEntry{Actor: actor, Event: "vault.backup"})
	})
	if err != nil {
		return begun, err
	}
	_, err = s.vault.Backup(ctx, w)
	return begun, err
}

// BackupDone notes that a backup begun then was checked and is good: what was
// read from the inbox before may be deleted there, where the studio wants it.
func (s *Service) BackupDone(ctx context.Context, actor string, begun time.Time) error {
	if now := time.Now(); begun.After(now) {
		begun = now
	}
	return s.vault.Update(ctx, func(tx *vault.Tx) error {
		last, _, err := tx.Job(JobBackup)
		if err != nil || !begun.After(last) {
			return err
		}
		return tx.PutJob(JobBackup, begun)
	})
}

// BackupSource gives a backup's bytes: a Service, or the connection to one.
type BackupSource interface {
	Backup(ctx context.Context, actor string, w io.Writer) (begun time.Time, err error)
	BackupDone(ctx context.Context, actor string, begun time.Time) error
}

// SaveBackup makes a checked backup file, which must not exist yet.
func SaveBackup(ctx context.Context, from BackupSource, actor, path string) (vault.Summary, error) {
	var begun time.Time
	sum, err := vault.SaveBackup(path, func(w io.Writer) (err error) {
		begun, err = from.Backup(ctx, actor, w)
		return err
	})
	if err != nil {
		return sum, backupError(path, err)
	}
	return sum, from.BackupDone(ctx, actor, begun)
}

func backupError(path string, err error) error {
	e := &Error{Msg: fmt.Sprintf("writing the backup %q", path), Err: err}
	switch {
	case errors.Is(err, fs.ErrExist):
		e.Hint = "a backup never overwrites: choose another name"
	case errors.Is(err, fs.ErrNotExist):
		e.Hint = "only the last folder of a path is made, and none right below /: is the path right, and the disk mounted?"
	case errors.Is(err, vault.ErrPermissions):
		e.Hint = "choose a folder to which nobody else can write; one that does not exist is made so"
	}
	return e
}

// scheduledName is how scheduled backups are called; only files of such names
// are ever removed.
var scheduledName = regexp.MustCompile(`^vault-[0-9]{8}T[0-9]{6}Z\.db$`)

// backUpIfDue makes the scheduled backup when its time has come up since the
// last one, and then removes those that are too many. A new backup that fails
// removes nothing.
func (s *Service) backUpIfDue(ctx context.Context, now time.Time) error {
	dir := s.cfg.Vault.BackupDir
	if dir == "" {
		return nil
	}
	last, err := s.lastRun(ctx, jobBackups, now)
	if err != nil || !mustCron(s.cfg.Vault.BackupSchedule, s.policy.Location).MissedSince(last, now) {
		return err
	}
	path := filepath.Join(dir, now.UTC().Format("vault-20060102T150405Z.db"))
	sum, err := SaveBackup(ctx, s, ActorService, path)
	if err != nil {
		s.Alert(ctx, Event{Event: "backup.failed", At: now, Msg: "the scheduled backup could not be made: " + err.Error(),
			Hint: "is vault.backup_dir there, 0700, the service's own, and not full? Under systemd another disk needs ReadWritePaths= (docs/systemd.md)"})
		return err
	}
	s.log.Info("backup made and checked", "event", "backup.made", "file", path, "records", sum.Records, "audit_entries", sum.AuditEntries)
	if err := s.vault.Update(ctx, func(tx *vault.Tx) error { return tx.PutJob(jobBackups, now) }); err != nil {
		return err
	}
	return s.removeOldBackups(dir)
}

func (s *Service) removeOldBackups(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("looking for old backups: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && scheduledName.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names) // by time: it is in the name
	for len(names) > max(s.cfg.Vault.BackupKeep, 1) {
		if err := os.Remove(filepath.Join(dir, names[0])); err != nil {
			return fmt.Errorf("removing an old backup: %w", err)
		}
		s.log.Info("old backup removed", "event", "backup.removed", "file", names[0])
		names = names[1:]
	}
	return nil
}

// Rekey seals everything anew to the recipients of the configuration.
func (s *Service) Rekey(ctx context.Context, actor string) (int, error) {
	file, err := os.ReadFile(s.cfg.Vault.RecipientsFile)
	if err != nil {
		return 0, &Error{Msg: "reading vault.recipients_file", Err: err}
	}
	same, err := s.vault.SameRecipients(file)
	if err != nil {
		return 0, &Error{Msg: "reading vault.recipients_file", Err: err, Hint: "one age public key a line"}
	}
	if !same {
		return 0, &Error{Msg: "the recipients have changed since the service was started", Hint: "restart the service, then run `ingest rekey` again"}
	}
	n, err := s.vault.Rekey(ctx)
	if err != nil {
		e := &Error{Msg: "sealing everything anew", Err: err, Hint: "what was done stays good; run `ingest rekey` again"}
		if errors.Is(err, vault.ErrWrongKey) {
			e.Hint = "the service's own key must stay among the recipients: add it to vault.recipients_file again"
		}
		return n, e
	}
	seeds, err := s.rekeyOTPs(ctx)
	if n += seeds; err != nil {
		return n, err
	}
	return n, s.vault.Update(ctx, func(tx *vault.Tx) error {
		return tx.Audit(vault.AuditEntry{Actor: actor, Event: "vault.rekeyed", Detail: fmt.Sprintf("sealed=%d", n)})
	})
}

// Care does what the vault needs from time to time: the scheduled backup, the
// end of old secrets and of old letters, the files that tell programs of new passwords.
func (s *Service) Care(ctx context.Context, now time.Time) error {
	return errors.Join(s.Touch(ctx), s.backUpIfDue(ctx, now), s.destroyOld(ctx, now), s.purgeIfDue(ctx, now))
}
