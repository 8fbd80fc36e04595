package ingest

import (
	"context"
	"errors"
	"slices"
	"strings"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/vault"
)

// fileAway moves what is settled out of the studio's inbox, after the
// outcome is committed and never before. A message that serves several
// mailboxes is moved when all of its submissions are settled and none of
// them needs it in the inbox.
func (p *pass) fileAway(ctx context.Context) error {
	pending, err := p.pendingFiles(ctx)
	if err != nil {
		return err
	}
	var items []inbox.FileItem
	var lost, there []vault.Submission
	bySub := map[uint32][]vault.Submission{}
	for _, sub := range pending {
		if sub.Location.Folder != p.folderName() {
			there = append(there, sub) // read again where it had been filed
			continue
		}
		if sub.Location.UIDValidity != p.box.UIDValidity {
			// The rescan would have followed the message to its new number:
			// somebody moved or deleted it.
			lost = append(lost, sub)
			continue
		}
		uid := sub.Location.UID
		if len(bySub[uid]) == 0 {
			items = append(items, inbox.FileItem{UID: uid, MessageID: sub.Location.MessageID})
		}
		bySub[uid] = append(bySub[uid], sub)
	}
	if err := p.markFiled(ctx, lost, FiledGone); err != nil {
		return err
	}
	if err := p.markFiled(ctx, there, FiledMoved); err != nil {
		return err
	}
	receipts, err := p.pendingReceipts(ctx)
	if err != nil {
		return err
	}
	for uid, at := range receipts {
		items = append(items, inbox.FileItem{UID: uid, MessageID: at.MessageID})
	}
	if len(items) == 0 {
		return nil
	}
	killPoint("before-move")
	filed, gone, err := p.sess.File(ctx, p.box.UIDValidity, items, inbox.After(p.cfg.Inbox.After))
	killPoint("after-move")
	// What was moved before an error is recorded all the same.
	if merr := p.markFiled(ctx, subsOf(bySub, filed), FiledMoved); merr != nil {
		return merr
	}
	if merr := p.markFiled(ctx, subsOf(bySub, gone), FiledGone); merr != nil {
		return merr
	}
	if merr := p.forgetReceipts(ctx, receipts, append(slices.Clone(filed), gone...)); merr != nil {
		return merr
	}
	killPoint("after-filed")
	if len(filed) > 0 {
		p.log.Info("messages filed away", "event", "message.filed", "count", len(filed), "folder", p.sess.ProcessedFolder(), "how", p.cfg.Inbox.After)
	}
	if len(gone) > 0 {
		p.log.Info("messages to file away were gone already", "event", "message.gone", "count", len(gone))
	}
	if errors.Is(err, inbox.ErrCannotFile) {
		// A full mailbox, a folder that may not be written to: no reason not
		// to read what arrives.
		p.sum.Errors++
		p.log.Warn("settled messages can't be filed away", "event", "message.not_filed", "count", len(items)-len(filed)-len(gone), "err", err,
			"hint", "is the mailbox full, or may the folder "+p.cfg.Inbox.ProcessedFolder+" not be written to? they stay in the inbox, it is tried again at each pass")
		return nil
	}
	if err != nil {
		return p.inboxError(err)
	}
	return nil
}

// pendingReceipts lists the counted receipts that are still in the inbox;
// those of another UIDVALIDITY are looked for no more.
func (p *pass) pendingReceipts(ctx context.Context) (map[uint32]vault.Location, error) {
	byUID := map[uint32]vault.Location{}
	var stale []vault.Location
	err := p.vault.View(ctx, func(tx *vault.Tx) error {
		clear(byUID)
		stale = nil
		list, err := tx.Filings()
		for _, f := range list {
			if f.Location.UIDValidity == p.box.UIDValidity && f.Location.Folder == p.folderName() {
				byUID[f.Location.UID] = f.Location
			} else {
				stale = append(stale, f.Location)
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return byUID, p.deleteFilings(ctx, stale)
}

func (p *pass) forgetReceipts(ctx context.Context, receipts map[uint32]vault.Location, done []uint32) error {
	var places []vault.Location
	for _, uid := range done {
		if at, ok := receipts[uid]; ok {
			places = append(places, at)
		}
	}
	return p.deleteFilings(ctx, places)
}

func (p *pass) deleteFilings(ctx context.Context, places []vault.Location) error {
	for part := range slices.Chunk(places, 100) {
		if err := p.vault.Update(ctx, func(tx *vault.Tx) error {
			for _, at := range part {
				if err := tx.DeleteFiling(at); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

func subsOf(by map[uint32][]vault.Submission, uids []uint32) (subs []vault.Submission) {
	for _, uid := range uids {
		subs = append(subs, by[uid]...)
	}
	return subs
}

// pendingFiles lists the settled submissions whose message may be moved now.
func (p *pass) pendingFiles(ctx context.Context) (pending []vault.Submission, err error) {
	err = p.vault.View(ctx, func(tx *vault.Tx) error {
		pending = nil
		open, err := tx.OpenSubmissions()
		if err != nil {
			return err
		}
		backup, _, err := tx.Job(JobBackup)
		if err != nil {
			return err
		}
		for _, sub := range open {
			if sub.Stage != vault.StageSettled || sub.Filed != FiledPending {
				continue
			}
			if p.cfg.Inbox.After == "delete" && !backup.After(sub.JudgedAt) {
				continue // deleting waits for a backup that holds what was read
			}
			free, err := allFree(tx, sub.ID)
			if err != nil {
				return err
			}
			if free {
				pending = append(pending, sub)
			}
		}
		return nil
	})
	return pending, err
}

// allFree tells whether every submission of the same message may leave.
func allFree(tx *vault.Tx, id string) (bool, error) {
	base, _, _ := strings.Cut(id, "#")
	for n := range maxShares {
		s, ok, err := tx.Submission(submissionID(base, n))
		if err != nil || !ok {
			return n > 0, err
		}
		if s.Stage != vault.StageSettled || s.Filed == FiledStays {
			return false, nil
		}
	}
	return true, nil
}

func (p *pass) markFiled(ctx context.Context, subs []vault.Submission, how string) error {
	for part := range slices.Chunk(subs, commitBatch) {
		err := p.vault.Update(ctx, func(tx *vault.Tx) error {
			for _, sub := range part {
				s, ok, err := tx.Submission(sub.ID)
				if err != nil {
					return err
				}
				if !ok || s.Filed != FiledPending {
					continue
				}
				s.Filed = how
				if err := tx.PutSubmission(s); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
