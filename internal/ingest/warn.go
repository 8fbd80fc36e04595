package ingest

import (
	"context"
	"fmt"
	"time"

	"pec-ingest/internal/notify"
	"pec-ingest/internal/schedule"
	"pec-ingest/internal/vault"
)

// WarnIfDue runs the warnings when their schedule has come up since they last
// ran, or with force. On a fresh vault only the starting point is noted.
func (s *Service) WarnIfDue(ctx context.Context, now time.Time, force bool) error {
	last, err := s.lastRun(ctx, JobWarnings, now)
	if err != nil {
		return err
	}
	if !force && !s.warnings.MissedWorking(last, now, s.policy) {
		return nil
	}
	return s.Warn(ctx, now)
}

// CheckIfDue runs the daily check of the stored passwords when its time has
// come, and else those that are to be tried again.
func (s *Service) CheckIfDue(ctx context.Context, now time.Time) (CheckSummary, error) {
	last, err := s.lastRun(ctx, JobProbe, now)
	if err != nil {
		return CheckSummary{}, err
	}
	daily := s.probes.MissedSince(last, now)
	sum, err := s.CheckStored(ctx, daily)
	if err == nil && daily {
		err = s.vault.Update(ctx, func(tx *vault.Tx) error { return tx.PutJob(JobProbe, now) })
	}
	return sum, err
}

// lastRun is when a job last ran; on a fresh vault it is noted that it could
// have run until now.
func (s *Service) lastRun(ctx context.Context, job string, now time.Time) (last time.Time, err error) {
	var known bool
	err = s.vault.View(ctx, func(tx *vault.Tx) error {
		last, known, err = tx.Job(job)
		return err
	})
	if err != nil || known {
		return last, err
	}
	err = s.vault.Update(ctx, func(tx *vault.Tx) error { return tx.PutJob(job, now) })
	return now, err
}

// Warn queues the warnings that are due now, and the studio's digest.
//
// The invariant is schedule.Due's: each (mailbox, login, version, expiry date,
// threshold) at most once, ever. The mark that it was warned of is written in
// the transaction that queues the message.
func (s *Service) Warn(ctx context.Context, now time.Time) error {
	all, warned, err := s.warnable(ctx)
	if err != nil {
		return fmt.Errorf("reading what is to be warned of: %w", err)
	}
	by := map[[2]string]known{}
	for _, k := range all {
		by[[2]string{k.client.Mailbox, k.cred.Login}] = k
	}
	due := schedule.Due(now, s.warnings.NextWorking(now, s.policy), factsOf(s, all), warned, s.policy)
	for _, w := range due {
		k, ok := by[[2]string{w.Mailbox, w.Login}]
		if !ok {
			continue
		}
		if err := s.queueWarning(ctx, w, k, now); err != nil {
			return fmt.Errorf("queueing a warning for %s: %w", w.Mailbox, err)
		}
	}
	if len(due) > 0 {
		s.log.Info("warnings queued", "event", "warnings.queued", "count", len(due))
	}
	if err := s.queueDigest(ctx, all, now); err != nil {
		return fmt.Errorf("queueing the digest: %w", err)
	}
	return s.vault.Update(ctx, func(tx *vault.Tx) error { return tx.PutJob(JobWarnings, now) })
}

func (s *Service) queueWarning(ctx context.Context, w schedule.Warning, k known, now time.Time) error {
	killPoint("before-warning")
	cause := warningCause(w.Key())
	err := s.vault.Update(ctx, func(tx *vault.Tx) error {
		done, err := tx.Caused(cause)
		if err != nil || done {
			return err
		}
		if err := tx.MarkCause(cause, now.UTC().Format(time.RFC3339)); err != nil {
			return err
		}
		d := s.dataFor(k.client, k.cred.Signer, k.version)
		d.Expires = w.Expires
		d.DaysLeft = schedule.DaysLeft(w.Expires, s.today(now))
		if w.ToClient {
			for _, to := range []string{k.client.Mailbox, k.client.Email} {
				if to == "" {
					continue
				}
				if err := s.queue(tx, cause+"/"+to, clientKind(w), k.client, to, d, priorityWarning); err != nil {
					return err
				}
			}
		}
		return tx.Audit(vault.AuditEntry{Actor: ActorService, Event: "warning.queued", Mailbox: w.Mailbox, Login: w.Login, Version: w.Version,
			Detail: "threshold=" + w.Threshold + " expires=" + w.Expires.Format(time.DateOnly)})
	})
	killPoint("after-warning")
	return err
}

func clientKind(w schedule.Warning) notify.Kind {
	switch w.Threshold {
	case schedule.ThresholdExpired:
		return notify.KindExpired
	case schedule.ThresholdBroken:
		return notify.KindBroken
	}
	return notify.KindExpiring
}

// warningCause is the mark of one warning in the vault.
func warningCause(key string) string { return shortCause(causeWarning + key) }
