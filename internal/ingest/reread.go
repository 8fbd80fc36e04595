package ingest

import (
	"context"
	"errors"
	"time"

	"pec-ingest/internal/config"
	"pec-ingest/internal/inbox"
	"pec-ingest/internal/vault"
)

// rereadMargin is how much earlier than the backup the processed folder is
// read again: clocks differ, and a message may have been filed long after it
// came. What the vault knows is skipped by its header.
const rereadMargin = 7 * 24 * time.Hour

// folderName is the folder that this pass reads.
func (p *pass) folderName() string {
	if p.folder != "" {
		return p.folder
	}
	return p.cfg.Inbox.Folder
}

// rereading tells whether this is the second look after a restore: what is
// found was settled, answered and filed by the vault that was lost.
func (p *pass) rereading() bool { return p.folder != "" }

// restoredAsOf tells whether the vault was restored and the processed folder
// not yet read again, and from when on it is to be.
func (s *Service) restoredAsOf(ctx context.Context) (asOf time.Time, due bool, err error) {
	err = s.vault.View(ctx, func(tx *vault.Tx) error {
		asOf, due = time.Time{}, false
		restored, ok, err := tx.Job(jobRestored)
		if err != nil || !ok {
			return err
		}
		reread, ok, err := tx.Job(jobReread)
		if err != nil || ok && !reread.Before(restored) {
			return err
		}
		due = true
		asOf, _, err = tx.Job(jobRestoredAsOf)
		return err
	})
	return asOf, due, err
}

// reread reads the processed folder again after a restore, from the backup's
// date on: passwords that the lost vault had taken are taken again, and
// receipts of what it had sent are counted. Nobody is answered twice, and the
// messages stay where they are.
func (p *pass) reread(ctx context.Context) error {
	asOf, due, err := p.restoredAsOf(ctx)
	if err != nil || p.opts.DryRun {
		return err
	}
	if !due {
		return p.noteLate(ctx)
	}
	if err := p.noteLost(ctx, p.sess, asOf); err != nil {
		return err
	}
	if p.cfg.Inbox.After == config.AfterMove {
		if err := p.rereadFolder(ctx, asOf); err != nil {
			return err
		}
	}
	return p.vault.Update(ctx, func(tx *vault.Tx) error { return tx.PutJob(jobReread, p.now) })
}

func (p *pass) rereadFolder(ctx context.Context, asOf time.Time) error {
	sess, err := p.openInbox(ctx, p.opts)
	if err != nil {
		return err
	}
	defer sess.Close()
	q := *p
	q.sess = sess
	q.folder, q.box, err = sess.TurnToProcessed(ctx)
	if errors.Is(err, inbox.ErrNoFolder) {
		return nil // nothing was ever filed away
	}
	if err != nil {
		return p.inboxError(err)
	}
	q.rereadFrom = asOf.Add(-rereadMargin)
	p.log.Info("reading the processed folder again after a restore", "event", "restore.reread", "folder", q.folder,
		"messages", q.box.Messages, "since", q.rereadFrom)
	err = q.scan(ctx)
	p.sum, p.planned = q.sum, q.planned // also of what came before an error
	if err != nil {
		return err
	}
	return p.noteLost(ctx, sess, asOf)
}

// heldByRestore tells whether nothing may be sent yet: after a restore the
// receipts of what the lost vault had sent are counted first.
func (s *Service) heldByRestore(ctx context.Context) (hold bool, err error) {
	if _, hold, err = s.restoredAsOf(ctx); err != nil {
		return true, err
	}
	if hold {
		s.log.Info("nothing is sent before the processed folder was read again", "event", "outbox.held")
		return true, nil
	}
	return false, s.matchLost(ctx)
}
