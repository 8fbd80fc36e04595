package ingest

import (
	"context"
	"errors"
	"time"

	"pec-ingest/internal/probe"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// MaxRefusals is how many refused logins a mailbox may see in one day: each
// one brings it nearer to a lock.
const MaxRefusals = 3

// maxTries is how often one login is tried: once, and once more when the
// process died before the answer was known.
const maxTries = 2

// worthALogin is the score below which a candidate is for a person only: an
// old password, a quoted one, the webmail's. Candidates come best first.
const worthALogin = 50

var errErased = errors.New("ingest: the candidate is erased")

// attempt is how trying a submission's candidates ended.
type attempt struct {
	index    int          // the candidate that the result is about
	result   probe.Result // zero with unprobed or a reason
	addr     string       // the server that answered
	unprobed bool         // the probe is off
	reason   string       // a person must look: why
}

// tryCandidates logs in with the candidates, best first, until one is
// accepted, trouble says nothing, or all allowed ones are refused. It returns
// the submission as the vault now has it.
func (p *pass) tryCandidates(ctx context.Context, sub vault.Submission, target probe.Target) (attempt, vault.Submission, error) {
	last := attempt{index: -1, addr: target.Addr, result: probe.Result{Outcome: probe.Refused}}
	for i := range sub.Candidates {
		if i >= p.cfg.Probe.MaxLogins || sub.Candidates[i].Score < worthALogin {
			break
		}
		if sub.Candidates[i].Refused {
			last.index = i // by an interrupted pass: never again
			continue
		}
		if sub.Intent != nil && sub.Intent.Candidate == i && sub.Intent.Tries >= maxTries {
			return attempt{reason: ReviewCrashed}, sub, nil
		}
		password, err := p.candidate(sub, i)
		if err != nil {
			p.log.Error("a candidate can't be read back", "event", "vault.unseal_failed", "mailbox", sub.Mailbox, "err", err)
			return attempt{reason: ReviewNoIdentity}, sub, nil
		}
		if p.breaker.open(target.Addr) {
			return attempt{index: i, addr: target.Addr, result: probe.Result{Outcome: probe.Network, Detail: "not tried: the server did not answer for others"}}, sub, nil
		}
		allowed, err := p.commitIntent(ctx, &sub, i)
		if err != nil {
			return attempt{}, sub, err
		}
		if !allowed {
			return attempt{index: i, addr: target.Addr, result: probe.Result{Outcome: probe.RateLimited, Detail: "three refusals today: tried again tomorrow"}}, sub, nil
		}
		killPoint("after-intent")
		result := p.login(ctx, target, sub, password)
		killPoint("after-login")
		if interrupted(ctx, result) {
			return attempt{}, sub, p.dropIntent(ctx, &sub, result)
		}
		p.breaker.note(target.Addr, result)
		last = attempt{index: i, addr: target.Addr, result: result}
		if result.Outcome == probe.Accepted {
			return last, sub, nil // its result is committed with the outcome
		}
		// An answer once heard is kept, also when the program is ending.
		if err := p.commitAnswer(context.WithoutCancel(ctx), &sub, i, result); err != nil {
			return attempt{}, sub, err
		}
		killPoint("after-answer-commit")
		if result.Outcome != probe.Refused {
			return last, sub, nil
		}
	}
	if last.index < 0 {
		return attempt{reason: ReviewAmbiguous}, sub, nil
	}
	return last, sub, nil
}

func (p *pass) login(ctx context.Context, t probe.Target, sub vault.Submission, password secret.Secret) probe.Result {
	start := time.Now()
	result := p.logIn(ctx, t, sub.Login, password)
	p.log.Info("login tried", "event", "probe.done", "mailbox", sub.Mailbox, "host", t.Addr,
		"result", string(result.Outcome), "ms", time.Since(start).Milliseconds())
	return result
}

// commitIntent records, before a login, that it is going to be tried; allowed
// is false when the mailbox has seen its refusals for today.
func (p *pass) commitIntent(ctx context.Context, sub *vault.Submission, i int) (allowed bool, err error) {
	killPoint("before-intent")
	err = p.vault.Update(ctx, func(tx *vault.Tx) error {
		at, _, err := tx.Attempts(sub.Mailbox)
		if err != nil {
			return err
		}
		if allowed = countsOf(at, sub.Mailbox, p.today(p.now)).Refusals < MaxRefusals; !allowed {
			return nil
		}
		s, ok, err := tx.Submission(sub.ID)
		if err != nil || !ok {
			return firstError(err, vault.ErrNotFound)
		}
		tries := 0
		if s.Intent != nil && s.Intent.Candidate == i {
			tries = s.Intent.Tries
		}
		s.Intent = &vault.Intent{At: p.now, Candidate: i, Tries: tries + 1}
		if err := tx.PutSubmission(s); err != nil {
			return err
		}
		sub.Intent = s.Intent
		return nil
	})
	return allowed, err
}

// interrupted tells whether a login was cut short by the end of the program,
// so that its result is not the server's.
func interrupted(ctx context.Context, r probe.Result) bool {
	return ctx.Err() != nil && r.Outcome.Trouble()
}

// dropIntent ends an interrupted attempt. Where the password was not sent yet
// there was none; else its answer is unknown and the intent stays, so that it
// is repeated once and no more. The error is the context's.
func (p *pass) dropIntent(ctx context.Context, sub *vault.Submission, r probe.Result) error {
	if r.Sent {
		return ctx.Err()
	}
	err := p.vault.Update(context.WithoutCancel(ctx), func(tx *vault.Tx) error {
		s, ok, err := tx.Submission(sub.ID)
		if err != nil || !ok || s.Intent == nil {
			return err
		}
		if s.Intent.Tries--; s.Intent.Tries <= 0 {
			s.Intent = nil
		}
		sub.Intent = s.Intent
		return tx.PutSubmission(s)
	})
	return firstError(err, ctx.Err())
}

// commitAnswer records what a login that was not accepted said. A refused
// candidate is erased at once and marked, so that nothing, not even a crash
// right now, makes it be tried again.
func (p *pass) commitAnswer(ctx context.Context, sub *vault.Submission, i int, result probe.Result) error {
	return p.vault.Update(ctx, func(tx *vault.Tx) error {
		s, ok, err := tx.Submission(sub.ID)
		if err != nil || !ok {
			return firstError(err, vault.ErrNotFound)
		}
		s.Intent = nil
		if result.Outcome == probe.Refused {
			s.Candidates[i].Refused, s.Candidates[i].RefusedAt = true, p.now
			s.Candidates[i].Sealed = nil
		}
		if result.Denied || result.Outcome == probe.Refused {
			if err := countRefusal(tx, s.Mailbox, p.today(p.now)); err != nil {
				return err
			}
		}
		if err := tx.PutSubmission(s); err != nil {
			return err
		}
		sub.Intent, sub.Candidates = s.Intent, s.Candidates
		return tx.Audit(vault.AuditEntry{Actor: ActorService, Event: "probe." + string(result.Outcome), Mailbox: s.Mailbox, Login: s.Login})
	})
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
