package ingest

import (
	"context"
	"slices"
	"strings"
	"time"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/vault"
)

// After a restore, the vault queues again what the lost one had queued after
// the backup: warnings, and replies to letters that are still in the inbox.
// Their Message-IDs are new, so receipts can't be matched by those. An
// acceptance receipt for a message that this vault knows nothing of says to
// whom which subject was sent: it stands for one such message, which is then
// not sent a second time.

const (
	causeLost     = "lost/"      // + what was sent + "/" + receipt
	causeLostUsed = "lost-used/" // + the same
	// lostWindow is how long after a restore messages are compared: until
	// the next warnings run on a working day, and a day more.
	lostWindow = 5 * 24 * time.Hour
	// lostMargin: clocks differ, and a message is accepted a moment after it
	// was queued.
	lostMargin = time.Hour
)

// sentKey names what was sent to whom.
func sentKey(to, subject string) string {
	return hashText(strings.ToLower(to) + "\x00" + strings.Join(strings.Fields(subject), " "))
}

// noteLost looks in a folder for acceptance receipts since the backup, of
// messages that this vault does not know.
func (p *pass) noteLost(ctx context.Context, sess *inbox.Session, asOf time.Time) error {
	uids, err := sess.Search(ctx, 1, p.today(asOf.Add(-lostMargin)))
	if err != nil {
		return p.inboxError(err)
	}
	var receipts []uint32
	for part := range slices.Chunk(uids, headerBatch) {
		_, err := sess.Headers(ctx, part, func(h inbox.Header) error {
			if pec.Triage(h.Raw) != pec.KindAcceptance {
				return nil
			}
			known, err := p.ours(ctx, pec.ClaimedOf(h.Raw))
			if err == nil && !known {
				receipts = append(receipts, h.UID)
			}
			return err
		})
		if err != nil {
			return p.inboxError(err)
		}
	}
	_, err = sess.Fetch(ctx, receipts, func(m inbox.Message) error {
		if m.TooLarge {
			return nil
		}
		v := pec.Judge(m.Raw, pec.Options{Trust: p.trust, ReceivedAt: m.InternalDate, MaxBytes: p.cfg.Inbox.MaxMessage})
		if v.Receipt == nil || v.Receipt.Kind != pec.KindAcceptance || !p.isOwn(v.Receipt.Sender) || v.Receipt.SentAt.Before(asOf.Add(-lostMargin)) {
			return nil
		}
		return p.markLost(ctx, v.Receipt)
	})
	if err != nil {
		return p.inboxError(err)
	}
	return nil
}

func (p *pass) markLost(ctx context.Context, r *pec.Message) error {
	return p.vault.Update(ctx, func(tx *vault.Tx) error {
		for _, to := range r.Recipients[:min(len(r.Recipients), 20)] { // ours have one
			cause := causeLost + sentKey(to.Address, r.Subject) + "/" + hashText(r.ID)
			done, err := tx.Caused(cause)
			if err != nil {
				return err
			}
			if !done {
				if err := tx.MarkCause(cause, r.SentAt.UTC().Format(time.RFC3339)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// matchLost takes out of the queue what the lost vault had sent already. Each
// receipt stands for one message, queued within lostWindow of the restore.
func (s *Service) matchLost(ctx context.Context, now time.Time) error {
	var queued []vault.Outgoing
	var lost []string
	err := s.vault.View(ctx, func(tx *vault.Tx) error {
		queued, lost = nil, nil
		restored, ok, err := tx.Job(jobRestored)
		if err != nil || !ok || now.Sub(restored) > lostWindow {
			return err
		}
		open, err := tx.OpenOutgoing()
		for _, o := range open {
			if o.State == vault.OutQueued && !o.QueuedAt.Before(restored) {
				queued = append(queued, o)
			}
		}
		if err != nil || len(queued) == 0 {
			return err
		}
		return tx.Causes(causeLost, func(cause string) error {
			lost = append(lost, strings.TrimPrefix(cause, causeLost))
			return nil
		})
	})
	if err != nil || len(lost) == 0 {
		return err
	}
	for _, o := range queued {
		mail, err := s.compose(o)
		if err != nil {
			continue // sendOne says so
		}
		if err := s.matchOne(ctx, o.N, sentKey(o.To, mail.Subject)+"/", lost); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) matchOne(ctx context.Context, n int, key string, lost []string) error {
	matched := false
	err := s.vault.Update(ctx, func(tx *vault.Tx) error {
		matched = false
		o, ok, err := tx.Outgoing(n)
		if err != nil || !ok || o.State != vault.OutQueued {
			return err
		}
		for _, l := range lost {
			if !strings.HasPrefix(l, key) {
				continue
			}
			used, err := tx.Caused(causeLostUsed + l)
			if err != nil {
				return err
			}
			if used {
				continue
			}
			matched = true
			if err := tx.MarkCause(causeLostUsed+l, ""); err != nil {
				return err
			}
			o.State, o.LastError = vault.OutAccepted, "sent before the vault was restored"
			if err := tx.PutOutgoing(o); err != nil {
				return err
			}
			return tx.Audit(vault.AuditEntry{Actor: ActorService, Event: "outbox.matched", Mailbox: o.Mailbox})
		}
		return nil
	})
	if matched {
		s.log.Info("a message was sent before the restore already", "event", "outbox.matched", "n", n)
	}
	return err
}
