package ingest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"pec-ingest/internal/config"
	"pec-ingest/internal/inbox"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/vault"
)

// FiledPurged: deleted from the processed folder after inbox.purge_after.
const FiledPurged = "purged"

const (
	jobPurge = "purge"
	// purgeEvery is how often the processed folder is looked through.
	purgeEvery = 20 * time.Hour
	purgeBatch = 500 // headers asked for at once
)

// purgeIfDue deletes from the processed folder the messages whose password
// has been replaced by a proven one and that were certified longer than
// inbox.purge_after ago. It touches only messages whose PEC identifier the
// vault knows as such a submission, and only in the processed folder; what
// holds more than the password was never moved there.
//
// Copies remain elsewhere: in the provider's archive, in a conservazione.
func (s *Service) purgeIfDue(ctx context.Context, now time.Time) error {
	if s.cfg.Inbox.PurgeAfter <= 0 || s.cfg.Inbox.After != config.AfterMove {
		return nil
	}
	last, err := s.lastRun(ctx, jobPurge, now.Add(-2*purgeEvery))
	if err != nil || pausing(last.Add(purgeEvery), now, purgeEvery) {
		return err
	}
	subs, err := s.purgeable(ctx, now.Add(-s.cfg.Inbox.PurgeAfter))
	if err == nil && len(subs) > 0 {
		err = s.purge(ctx, subs)
	}
	if err != nil {
		return err
	}
	return s.vault.Update(ctx, func(tx *vault.Tx) error { return tx.PutJob(jobPurge, now) })
}

// purgeable lists the identifiers of messages that may go: every share of
// theirs is settled, filed and replaced.
func (s *Service) purgeable(ctx context.Context, before time.Time) (map[string][]vault.Submission, error) {
	byID := map[string][]vault.Submission{}
	held := map[string]bool{}
	err := s.vault.View(ctx, func(tx *vault.Tx) error {
		clear(byID)
		clear(held)
		return tx.Submissions(func(sub vault.Submission) error {
			id, _, _ := strings.Cut(sub.ID, "#")
			replaced, err := replacedBy(tx, sub)
			if err != nil {
				return err
			}
			if sub.Stage != vault.StageSettled || sub.Filed != FiledMoved || sub.HoldsMore || !sub.SentAt.Before(before) || !replaced {
				held[id] = true
				return nil
			}
			byID[id] = append(byID[id], sub)
			return nil
		})
	})
	for id := range held {
		delete(byID, id)
	}
	return byID, err
}

// replacedBy tells whether a newer password than the submission's is proven.
func replacedBy(tx *vault.Tx, sub vault.Submission) (bool, error) {
	if sub.Version == 0 {
		return false, nil
	}
	cred, ok, err := tx.Credential(sub.Mailbox, sub.Login)
	if err != nil || !ok || cred.Proven <= sub.Version {
		return false, err
	}
	v, ok, err := tx.Version(sub.Mailbox, sub.Login, cred.Proven)
	return ok && v.State == VersionProven && v.ReceivedAt.After(sub.SentAt), err
}

func (s *Service) purge(ctx context.Context, subs map[string][]vault.Submission) error {
	sess, err := s.openInbox(ctx, PassOptions{})
	if err != nil {
		return err
	}
	defer sess.Close()
	_, box, err := sess.TurnToProcessed(ctx)
	if errors.Is(err, inbox.ErrNoFolder) {
		return nil
	}
	if err != nil {
		return s.inboxError(err)
	}
	items, ids, err := s.purgeItems(ctx, sess, subs)
	if err != nil {
		return s.inboxError(err)
	}
	filed, gone, err := sess.File(ctx, box.UIDValidity, items, inbox.Delete)
	for _, uid := range slices.Concat(filed, gone) {
		if merr := s.markPurged(ctx, subs[ids[uid]]); merr != nil {
			return merr
		}
	}
	if len(filed) > 0 {
		s.log.Info("processed messages with replaced passwords deleted", "event", "message.purged", "count", len(filed))
	}
	if err != nil {
		return s.inboxError(err)
	}
	return nil
}

// purgeItems finds the messages in the processed folder.
func (s *Service) purgeItems(ctx context.Context, sess *inbox.Session, subs map[string][]vault.Submission) ([]inbox.FileItem, map[uint32]string, error) {
	uids, err := sess.Search(ctx, 1, time.Time{})
	if err != nil {
		return nil, nil, err
	}
	var items []inbox.FileItem
	ids := map[uint32]string{}
	for part := range slices.Chunk(uids, purgeBatch) {
		_, err := sess.Headers(ctx, part, func(h inbox.Header) error {
			var outer pec.Outer
			s.guarded(h.UID, func() { outer = s.Reader.Outer(h.Raw) })
			if len(subs[outer.ID]) > 0 && outer.Kind == pec.KindEnvelope {
				items = append(items, inbox.FileItem{UID: h.UID, MessageID: outer.ID})
				ids[h.UID] = outer.ID
			}
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return items, ids, nil
}

func (s *Service) markPurged(ctx context.Context, subs []vault.Submission) error {
	return s.vault.Update(ctx, func(tx *vault.Tx) error {
		for _, old := range subs {
			sub, ok, err := tx.Submission(old.ID)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			sub.Filed = FiledPurged
			if err := tx.PutSubmission(sub); err != nil {
				return err
			}
			if err := tx.Audit(vault.AuditEntry{Actor: ActorService, Event: "message.purged", Mailbox: sub.Mailbox, Login: sub.Login, Version: sub.Version}); err != nil {
				return err
			}
		}
		return nil
	})
}
