package ingest

import (
	"context"
	"errors"
	"time"

	"pec-ingest/internal/vault"
)

// Clocks are set, and set wrong: by a machine without a battery, by a person.
// What was written under a clock that ran ahead must not silence anything for
// the rest of that time, and what a clock that runs ahead says must not be
// told to clients.

// setBack is how far a clock may be set back without being called wrong.
const setBack = time.Minute

// pausing tells whether a pause that ends at next is still on. No pause is
// longer than longest: one that seems to be was written under a wrong clock,
// and is over.
func pausing(next, now time.Time, longest time.Duration) bool {
	return next.After(now) && next.Sub(now) <= longest+setBack
}

// countsOf is what a mailbox has seen today. What was counted under tomorrow's
// date is today's: another member of a cluster, whose clock runs ahead, wrote
// it, and members that take turns must not begin to count anew each time.
func countsOf(at vault.Attempts, mailbox string, today time.Time) vault.Attempts {
	day := today.Format(time.DateOnly)
	if at.Day == day || at.Day == today.AddDate(0, 0, 1).Format(time.DateOnly) {
		return at
	}
	return vault.Attempts{Mailbox: mailbox, Day: day}
}

// clockLeap is how far the clock must leap while nothing happens for a session
// to be opened anew: that checks the certificate's dates under the new time.
const clockLeap = time.Hour

var errClockSet = errors.New("ingest: the clock was set, or the machine slept: signing in again")

const (
	// clockGap is how long the warnings may not have run without the clock
	// being doubted.
	clockGap = 7 * 24 * time.Hour
	// clockProof is how old the last sign that the clock is right may be.
	clockProof = 24 * time.Hour
)

// clockDoubtful tells whether the clock may have jumped ahead: the warnings
// have not run for long, and since then the inbox was neither signed in to,
// which checks the dates of its server's certificate, nor read. After a long
// time without the service the first pass settles that.
func (s *Service) clockDoubtful(ctx context.Context, now time.Time) (bool, error) {
	var last, login time.Time
	var known bool
	err := s.vault.View(ctx, func(tx *vault.Tx) error {
		account, _, aerr := tx.Account(AccountInbox)
		login = account.GoodAt
		var err error
		last, known, err = tx.Job(JobWarnings)
		return errors.Join(aerr, err)
	})
	if err != nil || !known || now.Sub(last) <= clockGap {
		return false, err
	}
	proof := latest(login, time.Unix(s.lastScan.Load(), 0))
	return now.Sub(proof) > clockProof, nil
}
