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
	"pec-ingest/internal/schedule"
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
	same, err := p.isCurrent(ctx, sub.Mailbox, sub.Login, password)
	if err != nil {
		return err
	}
	killPoint("before-outcome")
	outcome := OutcomeAccepted
	err = p.vault.Update(ctx, func(tx *vault.Tx) error {
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
		if same {
			v, outcome, err = p.confirmVersion(tx, &cred, s, a)
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
	})
	if err != nil {
		return err
	}
	killPoint("after-outcome")
	for _, e := range epoch {
		p.tell(e, OutcomeSuperseded, "", "")
	}
	p.tell(sub, outcome, "", string(a.result.Outcome))
	return nil
}

// isCurrent tells whether a password is the one stored as current. Without
// the identity nothing can be compared: then it counts as a new one.
func (s *Service) isCurrent(ctx context.Context, mailbox, login string, password secret.Secret) (bool, error) {
	var v vault.Version
	err := s.vault.View(ctx, func(tx *vault.Tx) error {
		cred, ok, err := tx.Credential(mailbox, login)
		if err != nil || !ok || cred.Current == 0 {
			return err
		}
		v, _, err = tx.Version(mailbox, login, cred.Current)
		return err
	})
	if err != nil || len(v.Sealed) == 0 || !s.vault.CanOpen() {
		return false, err
	}
	stored, err := s.vault.Unseal(v.Label, v.Sealed)
	if err != nil {
		return false, err
	}
	defer stored.Wipe()
	return stored.Equal(password), nil
}

// addVersion makes the next version of a credential. The older one is ended
// only by a proven successor: until then it is what `get` hands out.
func (p *pass) addVersion(tx *vault.Tx, cred *vault.Credential, s vault.Submission, epoch []vault.Submission,
	a attempt, client vault.Client, password secret.Secret) (vault.Version, error) {
	first := s
	if len(epoch) > 0 {
		first = epoch[0]
	}
	days := p.validityOf(client, s.Signer)
	expires, from, _ := schedule.Expiry(first.SentAt, first.Stated, days, p.policy)
	v := vault.Version{
		Mailbox: s.Mailbox, Login: s.Login, N: cred.Last + 1, Source: s.ID,
		ReceivedAt: first.SentAt, StoredAt: p.now, Expires: expires, ExpiresFrom: from, ValidityDays: days,
	}
	v.Label = vault.Label{Mailbox: v.Mailbox, Login: v.Login, Version: v.N, Source: v.Source}
	var err error
	if v.Sealed, err = p.vault.Seal(v.Label, password); err != nil {
		return v, fmt.Errorf("sealing version %d: %w", v.N, err)
	}
	p.claim(&v, s.Stated, s.SentAt)
	p.markTried(&v, a)
	before := cred.Current
	cred.Last, cred.Current, cred.Refused = v.N, v.N, false
	cred.GoodLogins, cred.GoodLoginDay = 0, ""
	if v.State != VersionUnverified {
		if err := endVersion(tx, *cred, before, v.N, p.now); err != nil {
			return v, err
		}
		if err := endVersion(tx, *cred, cred.Proven, v.N, p.now); err != nil {
			return v, err
		}
		cred.Proven = v.N
		cred.Signer = s.Signer
	}
	return v, tx.PutVersion(v)
}

// confirmVersion: the client sent the current password again. It stays the
// same version; a later date is a claim that it was postponed (DESIGN §8).
func (p *pass) confirmVersion(tx *vault.Tx, cred *vault.Credential, s vault.Submission, a attempt) (vault.Version, string, error) {
	v, _, err := tx.Version(s.Mailbox, s.Login, cred.Current)
	if err != nil {
		return v, "", err
	}
	outcome := OutcomeAccepted
	if p.claim(&v, s.Stated, s.SentAt) {
		outcome = OutcomeExtended
	}
	if a.unprobed || a.result.Outcome == probe.Accepted {
		p.markTried(&v, a)
		if err := endVersion(tx, *cred, cred.Proven, v.N, p.now); err != nil {
			return v, "", err
		}
		cred.Proven, cred.Refused, cred.Signer = v.N, false, s.Signer
	}
	return v, outcome, tx.PutVersion(v)
}

// claim notes that the owner says the date was moved: once a version, only
// to a later day, and not beyond policy.max_validity of the certified time.
func (p *pass) claim(v *vault.Version, stated, certified time.Time) bool {
	if !v.Claimed.IsZero() || !schedule.ClaimAllowed(certified, v.Expires, stated, p.policy) {
		return false
	}
	v.Claimed = stated
	return true
}

func (p *pass) markTried(v *vault.Version, a attempt) {
	switch {
	case a.unprobed:
		v.State = VersionUnprobed
	case a.result.Outcome == probe.Accepted:
		v.State, v.ProvenAt, v.Addr = VersionProven, p.now, a.addr
	default:
		v.State, v.Addr = VersionUnverified, ""
	}
}

// endVersion marks version n as ended by another one.
func endVersion(tx *vault.Tx, cred vault.Credential, n, by int, now time.Time) error {
	if n == 0 || n == by {
		return nil
	}
	v, ok, err := tx.Version(cred.Mailbox, cred.Login, n)
	if err != nil || !ok || !v.EndedAt.IsZero() {
		return err
	}
	v.State, v.EndedAt, v.Ended = VersionSuperseded, now, fmt.Sprintf("replaced by version %d", by)
	return tx.PutVersion(v)
}

func (s *Service) validityOf(c vault.Client, signer string) int {
	if p, ok := s.providerOf(c, signer); ok && p.ValidityDays > 0 {
		return p.ValidityDays
	}
	return s.policy.ValidityDays
}

// checkOf is the record of a login attempt, with the time of the next one
// where this one said nothing.
func (p *pass) checkOf(was vault.Check, a attempt) vault.Check {
	if a.unprobed {
		return was
	}
	c := vault.Check{At: p.now, Result: string(a.result.Outcome)}
	if a.result.Outcome != probe.Accepted && a.result.Outcome != probe.Refused {
		c.TroubleSince = p.now
		if !was.TroubleSince.IsZero() {
			c.TroubleSince = was.TroubleSince
		}
		c.NextAt = nextTry(c.TroubleSince, p.now)
	}
	return c
}

// nextTry spaces the attempts while a server is in trouble: after 5 minutes,
// then each time half of the time that the trouble has lasted; after 24 hours
// once a day (DESIGN §8).
func nextTry(since, now time.Time) time.Time {
	lasted := now.Sub(since)
	if lasted >= 24*time.Hour {
		return now.Add(24 * time.Hour)
	}
	return now.Add(max(5*time.Minute, lasted/2))
}

// learnSigner remembers by which provider a mailbox is known from now on:
// the signer of a submission whose password works.
func learnSigner(tx *vault.Tx, s vault.Submission) error {
	c, ok, err := tx.Client(s.Mailbox)
	if err != nil || !ok || c.Signer != "" {
		return err
	}
	c.Signer = s.Signer
	return tx.PutClient(c)
}

// supersede makes history of older submissions: each different password a
// version that was never current and never tried.
func (p *pass) supersede(ctx context.Context, subs []vault.Submission) error {
	for part := range slices.Chunk(subs, 15) {
		err := p.vault.Update(ctx, func(tx *vault.Tx) error {
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

// forget settles earlier submissions of a password that was refused just now:
// they make no version, a refused password is kept nowhere.
func (p *pass) forget(ctx context.Context, subs []vault.Submission) error {
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

// historyVersion keeps the password of a superseded submission, unless it is
// the same as the one before it.
func (p *pass) historyVersion(tx *vault.Tx, s *vault.Submission, last secret.Secret) (secret.Secret, error) {
	if submission.State(s.Find) != submission.Found || s.Login == "" || len(s.Candidates) == 0 || s.Candidates[0].Refused {
		return last, nil
	}
	cred, _, err := tx.Credential(s.Mailbox, s.Login)
	if err != nil {
		return last, err
	}
	cred.Mailbox, cred.Login = s.Mailbox, s.Login
	password, err := p.candidate(*s, 0)
	readable := err == nil
	if readable && !last.IsZero() && last.Equal(password) {
		s.Version = cred.Last
		return last, nil
	}
	client, _, err := tx.Client(s.Mailbox)
	if err != nil {
		return last, err
	}
	days := p.validityOf(client, s.Signer)
	expires, from, _ := schedule.Expiry(s.SentAt, s.Stated, days, p.policy)
	cred.Last++
	v := vault.Version{Mailbox: s.Mailbox, Login: s.Login, N: cred.Last, Source: s.ID, ReceivedAt: s.SentAt, StoredAt: p.now,
		Expires: expires, ExpiresFrom: from, ValidityDays: days, State: VersionSuperseded, EndedAt: p.now, Ended: "a newer one was sent"}
	v.Label = vault.Label{Mailbox: v.Mailbox, Login: v.Login, Version: v.N, Source: v.Source}
	if readable {
		v.Sealed, err = p.vault.Seal(v.Label, password)
	} else {
		v.Sealed, v.Label = s.Candidates[0].Sealed, s.Candidates[0].Label
	}
	if err != nil {
		return last, err
	}
	s.Version = v.N
	if err := tx.PutVersion(v); err != nil {
		return last, err
	}
	return password, tx.PutCredential(cred)
}

// extend notes that the owner says the date was postponed.
func (p *pass) extend(ctx context.Context, sub vault.Submission) error {
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
	err := p.vault.Update(ctx, func(tx *vault.Tx) error {
		s, open, err := openSubmission(tx, sub.ID)
		if err != nil || !open {
			return err
		}
		s.Reason = reason
		s.Intent = nil
		n, err := tx.AddReview(vault.Review{SubmissionID: s.ID, Mailbox: s.Mailbox, Login: s.Login, Reason: reason,
			OpenedAt: p.now, Letter: s.Letter, LetterLabel: s.LetterLabel})
		if err != nil {
			return err
		}
		s.ReviewN = n
		if err := p.reply(tx, s, notify.KindReview, vault.Version{}); err != nil {
			return err
		}
		if err := tx.Audit(vault.AuditEntry{Actor: ActorService, Event: "review.opened", Mailbox: s.Mailbox, Login: s.Login,
			Detail: fmt.Sprintf("n=%d reason=%s", n, reason)}); err != nil {
			return err
		}
		s.Letter, s.LetterLabel = nil, vault.Label{}
		s.Stage, s.Outcome, s.Filed = StageSettled, OutcomeReview, FiledStays
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
	return s, ok && s.Stage == StageJudged, err
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
	sub.Stage, sub.Outcome = StageSettled, outcome
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
