package ingest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"pec-ingest/internal/notify"
	"pec-ingest/internal/probe"
	"pec-ingest/internal/safetext"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/submission"
	"pec-ingest/internal/vault"
)

// The functions of this file make the SECOND COMMIT: the outcome of a
// submission, the version it makes, the reply to send and the audit entry,
// all in one transaction. Each begins by looking whether the submission is
// settled already, so that doing it again changes nothing.

// accept stores the candidate that a names as the current password. epoch
// are earlier submissions of the same password; the version is as old as the
// first of them.
func (p *pass) accept(ctx context.Context, sub vault.Submission, epoch []vault.Submission, a attempt, client vault.Client) error {
	password, err := p.candidate(sub, a.index)
	if err != nil {
		return p.reviewWith(ctx, sub, epoch, ReviewNoIdentity)
	}
	same, err := p.sameVersion(ctx, sub.Mailbox, sub.Login, password)
	if err != nil {
		return err
	}
	killPoint("before-outcome")
	outcome := OutcomeAccepted
	commit := func(tx *vault.Tx) error {
		s, open, err := openSubmission(tx, sub.ID)
		if err != nil || !open {
			return err
		}
		cred, _, err := tx.Credential(s.Mailbox, s.Login)
		if err != nil {
			return err
		}
		cred.Mailbox, cred.Login = s.Mailbox, s.Login
		var v vault.Version
		if same > 0 {
			v, outcome, err = p.confirmVersion(tx, &cred, s, same, a)
		} else {
			outcome = OutcomeAccepted
			v, err = p.addVersion(tx, &cred, s, epoch, a, client, password)
		}
		if err != nil {
			return err
		}
		cred.OrderAt, cred.OrderID = s.SentAt, s.ID
		cred.LastCheck = p.checkOf(cred.LastCheck, a)
		if err := tx.PutCredential(cred); err != nil {
			return err
		}
		if a.unprobed || a.result.Outcome == probe.Accepted {
			if err := learnSigner(tx, s); err != nil {
				return err
			}
		}
		for _, e := range epoch {
			if err := p.settleSubmission(tx, e.ID, OutcomeSuperseded, v.N); err != nil {
				return err
			}
		}
		if err := p.replyAccepted(tx, s, v, a, outcome); err != nil {
			return err
		}
		if err := tx.Audit(vault.AuditEntry{Actor: ActorService, Event: "credential." + outcome, Mailbox: s.Mailbox, Login: s.Login,
			Version: v.N, Detail: "expires=" + v.Expires.Format(time.DateOnly) + " from=" + v.ExpiresFrom + " state=" + v.State}); err != nil {
			return err
		}
		s.Version = v.N
		return p.putSettled(tx, s, outcome)
	}
	return p.commitWith(ctx, sub.Mailbox, 18+5*len(epoch), commit, func() {
		killPoint("after-outcome")
		for _, e := range epoch {
			p.tell(e, OutcomeSuperseded, "", "")
		}
		p.tell(sub, outcome, "", string(a.result.Outcome))
	})
}

// supersede makes history of older submissions: each different password a
// version that was never current and never tried.
func (p *pass) supersede(ctx context.Context, subs []vault.Submission) error {
	for part := range slices.Chunk(subs, 15) {
		commit := func(tx *vault.Tx) error {
			var last secret.Secret
			for _, sub := range part {
				s, open, err := openSubmission(tx, sub.ID)
				if err != nil {
					return err
				}
				if !open {
					continue
				}
				if last, err = p.historyVersion(tx, &s, last); err != nil {
					return err
				}
				if err := tx.Audit(vault.AuditEntry{Actor: ActorService, Event: "credential.superseded", Mailbox: s.Mailbox, Login: s.Login, Version: s.Version}); err != nil {
					return err
				}
				if err := p.putSettled(tx, s, OutcomeSuperseded); err != nil {
					return err
				}
			}
			return nil
		}
		err := p.commitWith(ctx, part[0].Mailbox, 6+5*len(part), commit, func() {
			for _, sub := range part {
				p.tell(sub, OutcomeSuperseded, "", "")
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// forget settles earlier submissions of a password that was refused just now:
// they make no version, a refused password is kept nowhere.
func (p *pass) forget(ctx context.Context, subs []vault.Submission) error {
	if err := p.commitPending(ctx); err != nil {
		return err
	}
	for part := range slices.Chunk(subs, 15) {
		err := p.vault.Update(ctx, func(tx *vault.Tx) error {
			for _, sub := range part {
				if err := p.settleSubmission(tx, sub.ID, OutcomeSuperseded, 0); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, sub := range part {
			p.tell(sub, OutcomeSuperseded, "", "")
		}
	}
	return nil
}

// extend notes that the owner says the date was postponed.
func (p *pass) extend(ctx context.Context, sub vault.Submission) error {
	if err := p.commitPending(ctx); err != nil {
		return err
	}
	outcome, reason := OutcomeExtended, ""
	err := p.vault.Update(ctx, func(tx *vault.Tx) error {
		outcome, reason = OutcomeExtended, ""
		s, open, err := openSubmission(tx, sub.ID)
		if err != nil || !open {
			return err
		}
		cred, _, err := tx.Credential(s.Mailbox, s.Login)
		if err != nil {
			return err
		}
		v, ok, err := tx.Version(s.Mailbox, s.Login, cred.Current)
		if err != nil {
			return err
		}
		stated := s.Stated
		if ok && stated.IsZero() {
			stated = v.Expires.AddDate(0, 0, v.ValidityDays)
		}
		switch {
		case cred.Current == 0 || !ok:
			reason = ReviewNothingToDefer
		case !v.Claimed.IsZero() && !v.Claimed.Equal(stated):
			reason = ReviewPostponedTwice
		case v.Claimed.IsZero() && !p.claim(&v, stated, s.SentAt):
			reason = ReviewFarDate
		}
		if reason != "" {
			return nil
		}
		if err := tx.PutVersion(v); err != nil {
			return err
		}
		if err := p.reply(tx, s, notify.KindExtension, v); err != nil {
			return err
		}
		if err := tx.Audit(vault.AuditEntry{Actor: ActorService, Event: "credential.extended", Mailbox: s.Mailbox, Login: s.Login,
			Version: v.N, Detail: "claimed_until=" + v.Claimed.Format(time.DateOnly)}); err != nil {
			return err
		}
		s.Version = v.N
		return p.putSettled(tx, s, OutcomeExtended)
	})
	if err != nil {
		return err
	}
	if reason != "" {
		return p.toReview(ctx, sub, reason)
	}
	p.tell(sub, outcome, "", "")
	return nil
}

// reject settles a submission whose candidates were all refused. The current
// credential is not touched.
func (p *pass) reject(ctx context.Context, sub vault.Submission) error {
	if err := p.commitPending(ctx); err != nil {
		return err
	}
	err := p.vault.Update(ctx, func(tx *vault.Tx) error {
		s, open, err := openSubmission(tx, sub.ID)
		if err != nil || !open {
			return err
		}
		if err := p.reply(tx, s, notify.KindRefused, vault.Version{}); err != nil {
			return err
		}
		if err := tx.Audit(vault.AuditEntry{Actor: ActorService, Event: "credential.rejected", Mailbox: s.Mailbox, Login: s.Login}); err != nil {
			return err
		}
		return p.putSettled(tx, s, OutcomeRejected)
	})
	if err != nil {
		return err
	}
	killPoint("after-reject")
	p.tell(sub, OutcomeRejected, "", string(probe.Refused))
	return nil
}

// toReview hands a submission to a person, with the letter and the sealed
// candidates, which stay until it is decided.
func (p *pass) toReview(ctx context.Context, sub vault.Submission, reason string) error {
	if err := p.commitPending(ctx); err != nil {
		return err
	}
	again := p.letterAgain(ctx, sub)
	err := p.vault.Update(ctx, func(tx *vault.Tx) error {
		s, open, err := openSubmission(tx, sub.ID)
		if err != nil || !open {
			return err
		}
		if len(s.Letter) == 0 {
			s.Letter, s.LetterLabel = again.Letter, again.LetterLabel
		}
		s.Reason = reason
		s.Intent = nil
		item, err := p.openReview(tx, &s)
		if err != nil {
			return err
		}
		if err := p.replyReview(tx, s, reason); err != nil {
			return err
		}
		if err := tx.Audit(vault.AuditEntry{Actor: ActorService, Event: "review.opened", Mailbox: s.Mailbox, Login: s.Login,
			Detail: fmt.Sprintf("n=%d reason=%s", item.N, reason)}); err != nil {
			return err
		}
		s.Letter, s.LetterLabel = nil, vault.Label{}
		s.Stage, s.Outcome, s.Filed = vault.StageSettled, OutcomeReview, FiledStays
		return tx.PutSubmission(s)
	})
	if err != nil {
		return err
	}
	killPoint("after-review")
	p.tell(sub, OutcomeReview, reason, "")
	return nil
}

// openSubmission reads a submission that is still to be settled.
func openSubmission(tx *vault.Tx, id string) (s vault.Submission, open bool, err error) {
	s, ok, err := tx.Submission(id)
	return s, ok && s.Stage == vault.StageJudged, err
}

func (p *pass) settleSubmission(tx *vault.Tx, id, outcome string, version int) error {
	s, open, err := openSubmission(tx, id)
	if err != nil || !open {
		return err
	}
	s.Version = version
	return p.putSettled(tx, s, outcome)
}

// putSettled stores the end of a submission: its candidates, letter and files
// are destroyed, and it is said what becomes of its message.
func (s *Service) putSettled(tx *vault.Tx, sub vault.Submission, outcome string) error {
	for i := range sub.Candidates {
		sub.Candidates[i].Sealed = nil
	}
	sub.Letter, sub.LetterLabel, sub.Intent = nil, vault.Label{}, nil
	if err := tx.DeleteBlobs(sub.ID); err != nil {
		return err
	}
	sub.Stage, sub.Outcome = vault.StageSettled, outcome
	switch {
	case sub.HoldsMore:
		sub.Filed = FiledStays
	case s.cfg.Inbox.After == "keep":
		sub.Filed = FiledKept
	default:
		sub.Filed = FiledPending
	}
	return tx.PutSubmission(sub)
}

// tell counts, logs and shows an outcome.
func (p *pass) tell(sub vault.Submission, outcome, reason, answer string) {
	if !strings.Contains(sub.ID, "#") { // a letter for several mailboxes counts once
		p.sum.count(outcome)
	}
	level := p.log.Info
	if outcome == OutcomeReview || outcome == OutcomeRejected {
		level = p.log.Warn
	}
	level("submission settled", "event", eventOf(outcome), "mailbox", sub.Mailbox, "reason", reason, "probe", answer,
		"id", safetext.Line(sub.ID))
	p.observe(Observation{UID: sub.Location.UID, ID: safetext.Line(sub.ID), Certified: true, Mailbox: sub.Mailbox,
		Find: submission.State(sub.Find), Outcome: outcome, Reason: reason, Probe: answer, Subject: sub.Masked})
}

// eventOf is the stable event name of an outcome.
func eventOf(outcome string) string {
	if outcome == OutcomeReview {
		return "review.opened"
	}
	return "credential." + outcome
}
