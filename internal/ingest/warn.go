package ingest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
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
	if force {
		return s.Warn(ctx, now)
	}
	if !s.warnings.MissedWorking(last, now, s.policy) {
		return nil
	}
	if doubtful, err := s.clockDoubtful(ctx, now); err != nil || doubtful {
		if doubtful && s.daemon.repeats.first("clock.doubtful", now) {
			s.log.Warn("no warnings yet: they have not run for long, and the clock may be wrong", "event", "clock.doubtful",
				"last", last, "hint", "they run as soon as the inbox has been signed in to; if the clock is right, `ingest once --warn` runs them now")
		}
		return err
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
		f := s.facts(k)
		by[[2]string{f.Mailbox, f.Login}] = k
	}
	due := schedule.Due(now, s.warnings.NextWorking(now, s.policy), factsOf(s, all), warned, s.policy)
	before, err := s.dueBeforeRestore(ctx, factsOf(s, all), warned)
	if err != nil {
		return fmt.Errorf("reading what was due before a restore: %w", err)
	}
	for _, group := range groupWarnings(due, by) {
		for i := range group {
			group[i].again = before[group[i].w.Key()]
		}
		if err := s.queueWarnings(ctx, group, now); err != nil {
			return fmt.Errorf("queueing a warning for %s: %w", group[0].w.Mailbox, err)
		}
	}
	if len(due) > 0 {
		s.log.Info("warnings queued", "event", "warnings.queued", "count", len(due))
	}
	if err := s.warnOfInbox(ctx, now); err != nil {
		return fmt.Errorf("queueing the warning of the studio's inbox: %w", err)
	}
	if err := s.queueDigest(ctx, all, now); err != nil {
		return fmt.Errorf("queueing the digest: %w", err)
	}
	return s.vault.Update(ctx, func(tx *vault.Tx) error { return tx.PutJob(JobWarnings, now) })
}

// dueWarning is a warning with what it is about.
type dueWarning struct {
	w     schedule.Warning
	k     known
	again bool // the vault that was lost may have given it
}

// maxTogether bounds how many mailboxes one message names, and with that its
// transaction.
const maxTogether = 15

// groupWarnings puts together what one client is told in one message: the
// mailboxes of the same name and the same kind of message, nearest date first.
func groupWarnings(due []schedule.Warning, by map[[2]string]known) [][]dueWarning {
	var groups [][]dueWarning
	at := map[string]int{}
	for _, w := range due {
		k, ok := by[[2]string{w.Mailbox, w.Login}]
		if !ok {
			continue
		}
		key := strings.Join([]string{sameClientAs(k.client), string(clientKind(w)), strconv.FormatBool(w.ToClient)}, "\x00")
		i, there := at[key]
		if !there || len(groups[i]) == maxTogether {
			i = len(groups)
			at[key] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], dueWarning{w: w, k: k})
	}
	for _, g := range groups {
		slices.SortStableFunc(g, func(a, b dueWarning) int { return a.w.Expires.Compare(b.w.Expires) })
	}
	return groups
}

// sameClientAs is equal for mailboxes that certainly belong to one client. A
// name alone is not enough: a namesake must not read which other mailboxes
// the studio looks after. The steps shown are those of one provider.
func sameClientAs(c vault.Client) string {
	if c.Name == "" || c.Email == "" && c.Phone == "" {
		return c.Mailbox
	}
	return strings.Join([]string{c.Name, strings.ToLower(c.Email), c.Phone, c.Provider, langOf(c)}, "\x00")
}

// queueWarnings marks the warnings of one client as given and queues the
// message that gives them, in one transaction.
func (s *Service) queueWarnings(ctx context.Context, group []dueWarning, now time.Time) error {
	killPoint("before-warning")
	err := s.vault.Update(ctx, func(tx *vault.Tx) error {
		var told []dueWarning
		for _, d := range group {
			cause := warningCause(d.w.Key())
			done, err := tx.Caused(cause)
			if err != nil {
				return err
			}
			if done {
				continue
			}
			if err := tx.MarkCause(cause, now.UTC().Format(time.RFC3339)); err != nil {
				return err
			}
			if err := tx.Audit(vault.AuditEntry{Actor: ActorService, Event: "warning.queued", Mailbox: d.w.Mailbox, Login: d.w.Login,
				Version: d.w.Version, Detail: "threshold=" + d.w.Threshold + " expires=" + d.w.Expires.Format(time.DateOnly)}); err != nil {
				return err
			}
			told = append(told, d)
		}
		if len(told) == 0 || !told[0].w.ToClient {
			return nil
		}
		return s.queueForClient(tx, told, now)
	})
	killPoint("after-warning")
	return err
}

// queueForClient queues one message about all the warnings: to the mailbox
// that expires first, and to the client's ordinary address.
func (s *Service) queueForClient(tx *vault.Tx, told []dueWarning, now time.Time) error {
	first := told[0]
	data := s.dataFor(first.k.client, first.k.cred.Signer, first.k.version)
	data.Expires, data.DaysLeft = first.w.Expires, schedule.DaysLeft(first.w.Expires, s.today(now))
	data.Mailboxes = nil
	for _, d := range told {
		data.Mailboxes = append(data.Mailboxes, d.w.Mailbox)
		data.Items = append(data.Items, notify.Item{Mailbox: d.w.Mailbox, Client: d.k.client.Name, Expires: d.w.Expires,
			DaysLeft: schedule.DaysLeft(d.w.Expires, s.today(now)), State: schedule.StateOf(s.facts(d.k), s.today(now), s.policy)})
	}
	if len(told) == 1 {
		data.Items = nil
	}
	cause := warningCause(first.w.Key())
	to := []string{first.k.client.Mailbox}
	if email := first.k.client.Email; email != "" && !strings.EqualFold(email, to[0]) {
		to = append(to, email)
	}
	again := slices.ContainsFunc(told, func(d dueWarning) bool { return d.again })
	for _, to := range to {
		if err := s.queueDoubtful(tx, cause+"/"+to, clientKind(first.w), first.k.client, to, data, priorityWarning, again); err != nil {
			return err
		}
	}
	return nil
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
