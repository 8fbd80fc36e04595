package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/robfig/cron/v3"

	"pec-ingest/internal/schedule"
	"pec-ingest/internal/vault"
)

// How often the loops look for work that nobody told them of.
const (
	deliverEvery = 30 * time.Second // messages whose next try has come
	jobsEvery    = 10 * time.Minute // logins to be tried again; a clock that was set
)

// OutboxChanged tells the daemon that there may be something to send.
func (s *Service) OutboxChanged() { signal(s.daemon.queue) }

// deliverLoop sends what the outbox holds, beside the passes: a slow server
// delays no message that comes in.
func (s *Service) deliverLoop(ctx, work context.Context) {
	t := time.NewTicker(deliverEvery)
	defer t.Stop()
	for {
		err := s.caught("sending what waits", func() error { return s.Deliver(work) })
		if ctx.Err() != nil {
			return
		}
		if err != nil && s.daemon.repeats.first("deliver "+err.Error(), time.Now()) {
			s.log.Warn("messages wait in the outbox", "event", "outbox.waiting", "err", err, "hint", HintOf(err))
		}
		s.daemon.update(func(st *DaemonState) { st.SendError = errText(err) })
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-s.daemon.queue:
		}
	}
}

// jobLoop runs the checks of stored passwords and the warnings when their
// time comes, at once for what was missed while the service was down, and
// looks every ten minutes for logins that are to be tried again.
func (s *Service) jobLoop(ctx, work context.Context) {
	log := cronLog{s.log}
	c := cron.New(cron.WithLocation(s.policy.Location), cron.WithLogger(log),
		// SkipIfStillRunning outside: a job that panics is over, too.
		cron.WithChain(cron.SkipIfStillRunning(log), cron.Recover(log)))
	run := func(leisurely bool) {
		now := time.Now()
		if err := s.runJobs(work, false, leisurely); err != nil && ctx.Err() == nil && s.daemon.repeats.first("jobs "+err.Error(), now) {
			s.log.Error("a job failed", "event", "job.failed", "err", err, "hint", "it runs again within ten minutes")
		}
	}
	add := func(spec schedule.Cron) {
		if spec.IsZero() {
			return
		}
		if _, err := c.AddFunc(spec.String(), func() { run(true) }); err != nil {
			s.log.Error("a job can't be scheduled", "event", "job.error", "err", err) // config.Load has refused it before
		}
	}
	add(s.probes)
	add(s.warnings)
	c.Schedule(cron.Every(jobsEvery), cron.NewChain(cron.SkipIfStillRunning(log), cron.Recover(log)).Then(cron.FuncJob(func() { run(true) })))
	cron.NewChain(cron.Recover(log)).Then(cron.FuncJob(func() { run(false) })).Run()
	c.Start()
	<-ctx.Done()
	<-c.Stop().Done()
}

// runChecks tries the stored passwords that are due, unless that is being
// done already. At their hour the checks may take their time, whichever of
// the jobs that fall on the same second comes first; what was missed is made
// up for quickly.
func (s *Service) runChecks(ctx context.Context, now time.Time, leisurely bool) error {
	if !s.checking.TryLock() {
		return nil
	}
	defer s.checking.Unlock()
	s.leisurely = leisurely && s.probes.MissedSince(now.Add(-jobsEvery), now)
	checks, err := s.CheckIfDue(ctx, now)
	for _, provider := range checks.Suspended {
		s.Alert(ctx, Event{Event: "probe.mass_refusal", At: now,
			Msg:  "the provider " + provider + " refuses many stored passwords at once; nothing was concluded from it",
			Hint: "sign in to one of these mailboxes by hand"})
	}
	return err
}

// runJobs does what is due of checks and warnings; each one at a time.
func (s *Service) runJobs(ctx context.Context, warn, leisurely bool) error {
	checkErr := s.runChecks(ctx, time.Now(), leisurely)
	s.jobs.Lock()
	defer s.jobs.Unlock()
	now := time.Now()
	s.alertClaims(ctx, now)
	warnErr := s.WarnIfDue(ctx, now, warn)
	readsErr := s.vault.CloseReads(ctx)
	careErr := s.Care(ctx, now)
	tokenErr := s.keepTokens(ctx)
	err := errors.Join(checkErr, warnErr, readsErr, careErr, tokenErr)
	if ctx.Err() == nil {
		s.daemon.update(func(st *DaemonState) { st.JobError = errText(err) })
		s.refresh(ctx)
		s.OutboxChanged()
	}
	return err
}

// claimsAlert is how many envelopes of one day that claim a client and are
// refused make an alert.
const claimsAlert = 3

// alertClaims tells people when somebody seems to try: envelopes that claim
// to come from clients and don't prove it.
func (s *Service) alertClaims(ctx context.Context, now time.Time) {
	n := 0
	err := s.vault.View(ctx, func(tx *vault.Tx) error {
		n = 0
		list, err := tx.RefusedSince(now.Add(-24 * time.Hour))
		for _, r := range list {
			if r.Listed {
				n++
			}
		}
		return err
	})
	if err == nil && n >= claimsAlert {
		s.Alert(ctx, Event{Event: "claims.refused", At: now,
			Msg:  fmt.Sprintf("%d messages of the last day claim to come from clients and are refused", n),
			Hint: "the digest lists them: ask these clients whether they wrote"})
	}
}

// cronLog gives the library's messages to our log.
type cronLog struct{ log *slog.Logger }

func (l cronLog) Info(msg string, _ ...any) { l.log.Debug("cron: "+msg, "event", "job.cron") }

func (l cronLog) Error(err error, msg string, keysAndValues ...any) {
	l.log.Error("a job failed badly", "event", "job.panic", "err", err, "detail", fmt.Sprint(msg, keysAndValues),
		"hint", "this is a fault of the program: please report it")
}

func daysLeft(expires, today time.Time) int { return schedule.DaysLeft(expires, today) }
