package ingest

import (
	"context"
	"io"
	"time"

	"pec-ingest/internal/metrics"
)

// Metrics writes what the service knows, and what c has counted, in
// Prometheus' text format. The clients' mailboxes are in it.
func (s *Service) Metrics(ctx context.Context, w io.Writer, c *metrics.Counters, version string, now time.Time) error {
	snap := metrics.Snapshot{Version: version}
	rows, err := s.Status(ctx, "", now)
	if err != nil {
		return err
	}
	for _, r := range rows {
		k := metrics.Credential{Mailbox: r.Mailbox, Login: orEmpty(r.Login), Provider: orEmpty(r.Provider), State: r.State}
		if r.ExpiresAt != nil {
			k.Expires = s.endOfDay(*r.ExpiresAt)
		}
		if r.LastCheck != nil {
			k.LastCheck = r.LastCheck.At
		}
		snap.Credentials = append(snap.Credentials, k)
	}
	waiting, err := s.waiting(ctx, "")
	if err != nil {
		return err
	}
	snap.Review, snap.OutboxQueued, snap.OutboxFailed, snap.Open = waiting.Review, waiting.Outbox, waiting.Failed, waiting.Open
	account, known, err := s.account(ctx, AccountInbox)
	if err != nil {
		return err
	}
	if known && !account.Expires.IsZero() {
		snap.InboxExpires = s.endOfDay(account.Expires.Format(time.DateOnly))
	}
	d, err := s.Daemon(ctx)
	if err != nil {
		return err
	}
	if d != nil {
		snap.Started, snap.Connected = d.StartedAt, d.ConnectedSince != nil
		snap.LastPass, snap.Failing = orZero(d.LastPassAt), orZero(d.FailingSince)
		snap.Reconnects, snap.Passes = d.Reconnects, d.Passes
		snap.Clustered, snap.Leading, snap.Members = s.cluster.store != nil, d.Leading, len(d.Members)
	}
	return c.Write(w, snap)
}

// endOfDay is when a calendar day of the studio's ends; zero for no day.
func (s *Service) endOfDay(day string) time.Time {
	t, err := time.ParseInLocation(time.DateOnly, day, s.policy.Location)
	if err != nil {
		return time.Time{}
	}
	return time.Date(t.Year(), t.Month(), t.Day()+1, 0, 0, 0, 0, s.policy.Location)
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
