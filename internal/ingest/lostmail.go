package ingest

import (
	"context"
	"slices"
	"strings"
	"time"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/schedule"
	"pec-ingest/internal/vault"
)

// After a restore, the vault queues again what the lost one had queued after
// the backup: warnings, and replies to letters that are still in the inbox.
// Their Message-IDs are new, so receipts can't be matched by those. An
// acceptance receipt for a message that this vault knows nothing of says to
// whom which subject was sent: it stands for one such message, which is then
// not sent a second time.
//
// Such a message is one whose reason is older than the restore: a letter
// received before it, a warning that was due at that moment. It is Doubtful:
// it waits an hour for its receipt, as what the backup held as unsent does,
// and is sent when none came. Where no receipts come back (ordinary mail, or
// another account) nobody can know: it stays in doubt, the outbox and the
// digest show it, and a person decides. A warning that comes later is not
// held, so that nobody is left without one; nor is the digest, which says how
// things stand now.

const (
	causeLost     = "lost/"      // + what was sent + "/" + receipt
	causeLostUsed = "lost-used/" // + the same
	// lostWindow is how long after a restore a reply may be one that was sent
	// already; older letters are not answered.
	lostWindow = AnswerWithin
	// lostMargin: clocks differ, and a message is accepted a moment after it
	// was queued.
	lostMargin = time.Hour
)

// afterRestoreOf tells whether the vault was restored lately, after a reason
// to write that came up at that time.
func afterRestoreOf(tx *vault.Tx, reason time.Time) (bool, error) {
	restored, ok, err := tx.Job(jobRestored)
	return err == nil && ok && reason.Before(restored) && time.Since(restored) < lostWindow, err
}

// dueBeforeRestore lists the keys of the warnings that were due when the vault
// was restored.
func (s *Service) dueBeforeRestore(ctx context.Context, facts []schedule.Facts, warned func(string) bool) (map[string]bool, error) {
	var at time.Time
	err := s.vault.View(ctx, func(tx *vault.Tx) (err error) {
		at, _, err = tx.Job(jobRestored)
		return err
	})
	keys := map[string]bool{}
	if err != nil || at.IsZero() {
		return keys, err
	}
	for _, w := range schedule.Due(at, s.warnings.NextWorking(at, s.policy), facts, warned, s.policy) {
		keys[w.Key()] = true
	}
	return keys, nil
}

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
			var outer pec.Outer
			p.guarded(h.UID, func() { outer = p.Reader.Outer(h.Raw) })
			if outer.Kind != pec.KindAcceptance {
				return nil
			}
			known := false
			err := p.vault.View(ctx, func(tx *vault.Tx) (err error) {
				known, err = p.ours(tx, outer.Claimed)
				return err
			})
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
		v := &pec.Judgement{}
		p.guarded(m.UID, func() {
			v = p.Reader.Judge(m.Raw, pec.Options{Trust: p.trust, ReceivedAt: m.InternalDate, MaxBytes: p.cfg.Inbox.MaxMessage})
		})
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

// noteLate looks for receipts that came after the folders were read again, as
// long as a message waits for one.
func (p *pass) noteLate(ctx context.Context) error {
	var asOf time.Time
	waits := false
	err := p.vault.View(ctx, func(tx *vault.Tx) error {
		waits = false
		open, err := tx.OpenOutgoing()
		for _, o := range open {
			waits = waits || o.Doubtful
		}
		if err != nil || !waits {
			return err
		}
		asOf, _, err = tx.Job(jobRestoredAsOf)
		return err
	})
	if err != nil || !waits || !p.tracked() {
		return err
	}
	return p.noteLost(ctx, p.sess, asOf)
}

// matchLost takes out of the queue what the lost vault had sent already; each
// receipt stands for one message. What has no receipt is then in doubt.
func (s *Service) matchLost(ctx context.Context) error {
	var doubtful []vault.Outgoing
	var lost []string
	var restored time.Time
	err := s.vault.View(ctx, func(tx *vault.Tx) error {
		doubtful, lost = nil, nil
		open, err := tx.OpenOutgoing()
		for _, o := range open {
			if o.Doubtful && (o.State == vault.OutQueued || s.tracked()) {
				doubtful = append(doubtful, o)
			}
		}
		if err != nil || len(doubtful) == 0 {
			return err
		}
		if restored, _, err = tx.Job(jobRestored); err != nil {
			return err
		}
		return tx.Causes(causeLost, func(cause string) error {
			lost = append(lost, strings.TrimPrefix(cause, causeLost))
			return nil
		})
	})
	if err != nil {
		return err
	}
	for _, o := range doubtful {
		key := ""
		if mail, err := s.compose(o); err == nil { // else sendOne will say so
			key = sentKey(o.To, mail.Subject) + "/"
		}
		if err := s.matchOne(ctx, o.N, key, lost, restored); err != nil {
			return err
		}
	}
	return nil
}

// matchOne gives a doubtful message one of the receipts with its key, or holds
// it until there is one.
func (s *Service) matchOne(ctx context.Context, n int, key string, lost []string, restored time.Time) error {
	matched, held := false, false
	err := s.vault.Update(ctx, func(tx *vault.Tx) error {
		matched, held = false, false
		o, ok, err := tx.Outgoing(n)
		if err != nil || !ok || !o.Doubtful || o.State != vault.OutQueued && o.State != vault.OutInDoubt {
			return err
		}
		for _, l := range lost {
			if key == "" || !strings.HasPrefix(l, key) {
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
			o.State, o.LastError, o.Doubtful = vault.OutAccepted, "sent before the vault was restored", false
			if err := tx.PutOutgoing(o); err != nil {
				return err
			}
			return tx.Audit(vault.AuditEntry{Actor: ActorService, Event: "outbox.matched", Mailbox: o.Mailbox})
		}
		if o.State == vault.OutInDoubt {
			return nil
		}
		held = true
		// The lost vault sent it before the restore, if ever; a minute earlier,
		// so that it does not count as sent just now.
		o.State, o.SentAt, o.LastError = vault.OutInDoubt, restored.Add(-time.Minute), restoredDoubt
		return tx.PutOutgoing(o)
	})
	if matched {
		s.log.Info("a message was sent before the restore already", "event", "outbox.matched", "n", n)
	}
	if held {
		s.log.Info("a message may have been sent before the restore: it waits for its receipt", "event", "outbox.doubtful", "n", n, "tracked", s.tracked())
	}
	return err
}

// restoredDoubt is why a message is in doubt after a restore.
const restoredDoubt = "the vault was restored: it may have been sent"
