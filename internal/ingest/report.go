package ingest

import (
	"context"
	"time"

	"pec-ingest/internal/probe"
	"pec-ingest/internal/schedule"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// ReportResult says what followed from a program's report.
type ReportResult struct {
	Mailbox string `json:"mailbox"`
	Version int    `json:"version"`
	State   string `json:"state"`
	Probe   string `json:"probe"` // "" = not tried
}

// ReportRefused: a program tells that the password it got was refused. Reports
// have it tried at most once a version and hour; the state follows from the
// answer, not from the report. A login of another origin does not count: the
// password may have been changed just after it.
func (s *Service) ReportRefused(ctx context.Context, actor, mailbox, login string, now time.Time) (ReportResult, error) {
	ctx, end, here, err := s.duty(ctx)
	if err != nil {
		return ReportResult{}, err
	}
	if !here {
		return ask[ReportResult](ctx, s, asked{Name: askReport, Actor: actor, Mailbox: mailbox, Login: login}, secret.Secret{})
	}
	defer end()
	k, err := s.pick(ctx, mailbox, login)
	if err != nil {
		return ReportResult{}, err
	}
	if k.version.N == 0 {
		return ReportResult{}, notFound("no password of %s is stored", k.client.Mailbox)
	}
	now = now.UTC().Truncate(time.Second)
	res := ReportResult{Mailbox: k.client.Mailbox, Version: k.version.N}
	if given := handedOut(k).N; given > 0 {
		res.Version = given
	}
	due := false
	err = s.vault.Update(ctx, func(tx *vault.Tx) error {
		due, err = s.takeReport(tx, k, now)
		if err != nil {
			return err
		}
		return tx.Audit(vault.AuditEntry{Actor: actor, Event: "credential.reported", Mailbox: k.client.Mailbox, Login: k.cred.Login, Version: res.Version})
	})
	if err == nil && due {
		res.Probe, err = s.tryReported(ctx, k, now)
	}
	if err != nil {
		return res, err
	}
	if k, err = s.pick(ctx, k.client.Mailbox, k.cred.Login); err != nil {
		return res, err
	}
	res.State = schedule.StateOf(s.facts(k), s.today(now), s.policy)
	return res, nil
}

// takeReport tells whether a report has this version tried, and notes that it
// does: the next one within the hour does not, whatever becomes of this login.
func (s *Service) takeReport(tx *vault.Tx, k known, now time.Time) (due bool, err error) {
	cred, there, err := tx.Credential(k.cred.Mailbox, k.cred.Login)
	if err != nil || !there || !s.cfg.Probe.Enabled || cred.Refused {
		return false, err
	}
	if cred.Reported == k.version.N && pausing(cred.ReportedAt.Add(time.Hour), now, time.Hour) {
		return false, nil
	}
	cred.Reported, cred.ReportedAt = k.version.N, now
	return true, tx.PutCredential(cred)
}

// tryReported tries the current password; where that was never proven and is
// refused, the one before it counts again, is the one that the program had,
// and is tried as well. It gives what the last login said.
func (s *Service) tryReported(ctx context.Context, k known, now time.Time) (said string, err error) {
	for due := true; due; {
		tried := k.version.N
		result, err := s.checkReported(ctx, k, now)
		if err != nil {
			return said, err
		}
		said = string(result.Outcome)
		if k, err = s.pick(ctx, k.client.Mailbox, k.cred.Login); err != nil {
			return said, err
		}
		if result.Outcome != probe.Refused || k.version.N == tried || k.version.N == 0 {
			return said, nil
		}
		err = s.vault.Update(ctx, func(tx *vault.Tx) error {
			due, err = s.takeReport(tx, k, now)
			return err
		})
		if err != nil {
			return said, err
		}
	}
	return said, nil
}

// checkReported tries the one password that was reported.
func (s *Service) checkReported(ctx context.Context, k known, now time.Time) (probe.Result, error) {
	var signer string
	err := s.vault.View(ctx, func(tx *vault.Tx) (err error) {
		signer, err = sourceSigner(tx, k.version)
		return err
	})
	if err != nil {
		return probe.Result{}, err
	}
	target, providerID, ok, err := s.storedTarget(k.client, k.version, signer)
	if err != nil || !ok {
		return probe.Result{}, err
	}
	c := stored{k.cred, k.version, k.client, target, providerID}
	result, tried, err := s.checkOne(ctx, c, now)
	if err != nil || !tried {
		return probe.Result{}, err
	}
	if result.Outcome == probe.Refused {
		err = s.closeCheck(ctx, c, now, false)
	}
	return result, err
}
