package ingest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"pec-ingest/internal/notify"
	"pec-ingest/internal/probe"
	"pec-ingest/internal/vault"
)

// Names of the jobs whose last run the vault keeps.
const (
	JobProbe    = "probe"
	JobWarnings = "warnings"
	JobBackup   = "backup"
)

// CheckSummary is what one run over the stored passwords found.
type CheckSummary struct {
	Tried, Accepted, Refused, Trouble int
	// Suspended: a provider refused too many; nothing was concluded.
	Suspended []string
}

// stored is one credential to be tried.
type stored struct {
	cred     vault.Credential
	version  vault.Version
	client   vault.Client
	target   probe.Target
	provider string
}

// CheckStored tries stored passwords on the servers that accepted them
// before: all of them when daily is set, else those whose last attempt ended
// in trouble and is due again. A daily run that was ended in its middle is
// gone on with: no mailbox is logged in to twice for it, and it comes to its
// end also where the program never lives long.
//
// A refused secret is closed: it is not tried again by any later run. Results
// that say "refused" are committed at the end; if in this run more than two
// mailboxes and more than 5 % of a provider's are refused, that is the
// provider and not the passwords: no state changes, nobody is written to.
func (s *Service) CheckStored(ctx context.Context, daily bool) (CheckSummary, error) {
	var sum CheckSummary
	if !s.cfg.Probe.Enabled || !s.vault.CanOpen() {
		return sum, nil
	}
	now := time.Now().UTC().Truncate(time.Second)
	due, perProvider, err := s.dueChecks(ctx, now, daily)
	if err != nil {
		return sum, fmt.Errorf("reading what is to be checked: %w", err)
	}
	brk := breaker{patience: mostHanging}
	refused := map[string][]stored{}
	suspended := map[string]bool{}
	var broken error // what ended the run before its end
	note := func(r checked) {
		if r.err != nil {
			broken = firstError(broken, fmt.Errorf("checking the password of %s: %w", r.cred.Mailbox, r.err))
			return
		}
		if !r.tried {
			return
		}
		brk.note(r.target.Addr, r.result)
		sum.Tried++
		switch r.result.Outcome {
		case probe.Accepted:
			sum.Accepted++
		case probe.Refused:
			sum.Refused++
			refused[r.provider] = append(refused[r.provider], r.stored)
			if n := len(refused[r.provider]); n > 2 && 20*n > perProvider[r.provider] {
				suspended[r.provider] = true
			}
		default:
			sum.Trouble++
		}
	}
	beside := s.newBeside(note)
	for i, c := range interleave(troubledLast(due)) {
		if suspended[c.provider] || brk.open(c.target.Addr) {
			continue
		}
		if i > 0 {
			s.spread(ctx, daily, len(due))
		}
		if broken = firstError(broken, ctx.Err()); broken != nil {
			break
		}
		beside.start(ctx, c, now)
	}
	beside.finish()
	// What was refused is committed also when the run is broken off: it must
	// not be tried again after a restart.
	ctx = context.WithoutCancel(ctx)
	for provider, list := range refused {
		if suspended[provider] {
			sum.Suspended = append(sum.Suspended, provider)
			s.log.Error("a provider refuses many stored passwords at once: no state is changed", "event", "probe.mass_refusal",
				"provider", provider, "refused", len(list), "hint", "this looks like the provider's trouble: sign in to one of these mailboxes by hand, then run `ingest once` again")
		}
		for _, c := range list {
			if err := s.closeCheck(ctx, c, now, suspended[provider]); err != nil {
				return sum, errors.Join(broken, err)
			}
		}
	}
	return sum, broken
}

// interleave puts the mailboxes of different providers in turn.
func interleave(due []stored) []stored {
	var order []string
	by := map[string][]stored{}
	for _, c := range due {
		if by[c.provider] == nil {
			order = append(order, c.provider)
		}
		by[c.provider] = append(by[c.provider], c)
	}
	out := make([]stored, 0, len(due))
	for len(out) < len(due) {
		for _, p := range order {
			if list := by[p]; len(list) > 0 {
				out = append(out, list[0])
				by[p] = list[1:]
			}
		}
	}
	return out
}

// spread waits before the next of n logins of the daemon's daily run, so that
// many take an hour together; few need not wait that long.
func (s *Service) spread(ctx context.Context, daily bool, n int) {
	if !daily || !s.leisurely {
		return
	}
	pause := min(time.Hour/time.Duration(n), time.Minute)
	t := time.NewTimer(pause/2 + rand.N(pause))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// dueChecks collects what is to be tried, and how many mailboxes each
// provider has.
func (s *Service) dueChecks(ctx context.Context, now time.Time, daily bool) (due []stored, perProvider map[string]int, err error) {
	perProvider = map[string]int{}
	err = s.vault.View(ctx, func(tx *vault.Tx) error {
		due = nil
		clear(perProvider)
		return tx.Credentials(func(cred vault.Credential) error {
			if cred.Current == 0 {
				return nil
			}
			client, ok, err := tx.Client(cred.Mailbox)
			if err != nil || !ok || !client.RemovedAt.IsZero() {
				return err
			}
			v, ok, err := tx.Version(cred.Mailbox, cred.Login, cred.Current)
			if err != nil || !ok {
				return err
			}
			signer, err := sourceSigner(tx, v)
			if err != nil {
				return err
			}
			target, providerID, known, err := s.storedTarget(client, v, signer)
			if err != nil || !known {
				return nil // said by `ingest check`; one bad entry must not stop the others
			}
			perProvider[providerID]++
			last := cred.LastCheck
			wanted := daily && (last.At.IsZero() || s.probes.MissedSince(last.At, now))
			if retry := !last.NextAt.IsZero(); retry {
				wanted = !pausing(last.NextAt, now, maxCheckPause)
			}
			if cred.Refused || len(v.Sealed) == 0 || !wanted {
				return nil
			}
			due = append(due, stored{cred, v, client, target, providerID})
			return nil
		})
	})
	return due, perProvider, err
}

// checkOne tries one stored password: intent, login, and the commit of every
// answer but "refused", which waits for the end of the run.
func (s *Service) checkOne(ctx context.Context, c stored, now time.Time) (result probe.Result, tried bool, err error) {
	ok, err := s.intendCheck(ctx, c, now)
	if err != nil || !ok {
		return result, false, err
	}
	password, err := s.vault.Unseal(c.version.Label, c.version.Sealed)
	if err != nil {
		return result, false, err
	}
	killPoint("after-check-intent")
	result = s.logIn(ctx, c.target, c.cred.Login, password)
	password.Wipe()
	killPoint("after-check-login")
	if interrupted(ctx, result) {
		return result, true, ctx.Err() // the intent stays: repeated once
	}
	s.log.Info("stored password tried", "event", "probe.done", "mailbox", c.cred.Mailbox, "host", c.target.Addr, "result", string(result.Outcome))
	if result.Outcome == probe.Refused {
		return result, true, nil
	}
	return result, true, s.commitCheck(context.WithoutCancel(ctx), c, result, now)
}

// intendCheck commits the intent of a login with a stored password.
func (s *Service) intendCheck(ctx context.Context, c stored, now time.Time) (ok bool, err error) {
	err = s.vault.Update(ctx, func(tx *vault.Tx) error {
		ok = false
		cred, there, err := tx.Credential(c.cred.Mailbox, c.cred.Login)
		if err != nil || !there || cred.Current != c.version.N || cred.Refused {
			return err
		}
		at, _, err := tx.Attempts(cred.Mailbox)
		if err != nil {
			return err
		}
		if countsOf(at, cred.Mailbox, s.today(now)).Refusals >= MaxRefusals {
			return nil
		}
		tries := 0
		if cred.Intent != nil && cred.Intent.Candidate == c.version.N {
			tries = cred.Intent.Tries
		}
		if tries >= maxTries {
			// Died twice in this login: left alone until tomorrow.
			cred.Intent = nil
			cred.LastCheck = vault.Check{At: now, Result: "unknown", TroubleSince: now, NextAt: now.Add(24 * time.Hour)}
			return tx.PutCredential(cred)
		}
		cred.Intent = &vault.Intent{At: now, Candidate: c.version.N, Tries: tries + 1}
		ok = true
		return tx.PutCredential(cred)
	})
	return ok, err
}

// commitCheck stores an accepted login or a trouble.
func (s *Service) commitCheck(ctx context.Context, c stored, result probe.Result, now time.Time) error {
	return s.vault.Update(ctx, func(tx *vault.Tx) error {
		cred, there, err := tx.Credential(c.cred.Mailbox, c.cred.Login)
		if err != nil || !there {
			return err
		}
		cred.Intent = nil
		if cred.Current != c.version.N {
			return tx.PutCredential(cred)
		}
		v, _, err := tx.Version(cred.Mailbox, cred.Login, cred.Current)
		if err != nil {
			return err
		}
		if result.Denied {
			// A "no" that may mean anything is no refusal, but to the provider
			// it is a failed login like any other.
			if err := countRefusal(tx, cred.Mailbox, s.today(now)); err != nil {
				return err
			}
		}
		if result.Outcome != probe.Accepted {
			since := cred.LastCheck.TroubleSince
			if since.IsZero() {
				since = now
			}
			cred.LastCheck = vault.Check{At: now, Result: string(result.Outcome), TroubleSince: since, NextAt: nextTry(since, now)}
			return tx.PutCredential(cred)
		}
		cred.LastCheck = vault.Check{At: now, Result: string(probe.Accepted)}
		if err := s.proveVersion(tx, &cred, &v, c.target.Addr, now); err != nil {
			return err
		}
		s.countGoodLogin(&cred, &v, now)
		if err := tx.PutVersion(v); err != nil {
			return err
		}
		return tx.PutCredential(cred)
	})
}

// proveVersion: a login was accepted; an unverified version becomes the one
// that counts, and its sender learns that it works.
func (s *Service) proveVersion(tx *vault.Tx, cred *vault.Credential, v *vault.Version, addr string, now time.Time) error {
	if v.State == VersionProven {
		return nil
	}
	v.State, v.ProvenAt, v.Addr = VersionProven, now, addr
	if err := endVersion(tx, *cred, cred.Proven, v.N, now); err != nil {
		return err
	}
	cred.Proven = v.N
	if err := tx.Audit(vault.AuditEntry{Actor: ActorService, Event: "credential.proven", Mailbox: cred.Mailbox, Login: cred.Login, Version: v.N}); err != nil {
		return err
	}
	sub, ok, err := tx.Submission(v.Source)
	if err != nil {
		return err
	}
	if !ok { // a person decided on it, or typed it
		if cred.Signer == "" {
			return nil
		}
		return learnSigner(tx, vault.Submission{Mailbox: cred.Mailbox, Signer: cred.Signer})
	}
	cred.Signer = firstOf(sub.Signer, cred.Signer)
	if err := learnSigner(tx, sub); err != nil {
		return err
	}
	return s.reply(tx, sub, notify.KindAccepted, *v)
}

// expiresProved stands in a version whose date was moved by logins after it.
const expiresProved = "proved"

// countGoodLogin: a login after the date proves nothing by itself, three on
// three days in a row prove that the owner postponed it: then the date moves
// to the one claimed, or by the validity when nobody said anything.
func (s *Service) countGoodLogin(cred *vault.Credential, v *vault.Version, now time.Time) {
	today := s.today(now)
	if !today.After(v.Expires) {
		cred.GoodLogins, cred.GoodLoginDay = 0, ""
		return
	}
	day := today.Format(time.DateOnly)
	switch cred.GoodLoginDay {
	case day:
		return
	case today.AddDate(0, 0, -1).Format(time.DateOnly):
		cred.GoodLogins++
	default:
		cred.GoodLogins = 1
	}
	cred.GoodLoginDay = day
	if cred.GoodLogins < 3 {
		return
	}
	moved := v.Claimed
	if !moved.After(today) {
		moved = v.Expires
		for days := max(v.ValidityDays, 1); !moved.After(today); {
			moved = moved.AddDate(0, 0, days)
		}
	}
	s.log.Info("the password works after its date: the date moves", "event", "credential.postponed", "mailbox", cred.Mailbox,
		"expires", moved.Format(time.DateOnly))
	v.Expires, v.ExpiresFrom, v.Claimed = moved, expiresProved, time.Time{}
	cred.GoodLogins, cred.GoodLoginDay = 0, ""
}

// closeCheck commits a refusal at the end of the run. A proven password is
// broken from now on; one that was never proven is destroyed, and the one
// before it counts again.
func (s *Service) closeCheck(ctx context.Context, c stored, now time.Time, suspended bool) error {
	return s.vault.Update(ctx, func(tx *vault.Tx) error {
		cred, there, err := tx.Credential(c.cred.Mailbox, c.cred.Login)
		if err != nil || !there {
			return err
		}
		cred.Intent = nil
		// The mailbox has seen a refusal, whatever is concluded from it.
		if err := countRefusal(tx, cred.Mailbox, s.today(now)); err != nil {
			return err
		}
		if suspended || cred.Current != c.version.N {
			if !cred.LastCheck.NextAt.IsZero() {
				cred.LastCheck.NextAt = now.Add(24 * time.Hour) // not at every pass
			}
			return tx.PutCredential(cred)
		}
		cred.LastCheck = vault.Check{At: now, Result: string(probe.Refused)}
		cred.GoodLogins, cred.GoodLoginDay = 0, ""
		v, _, err := tx.Version(cred.Mailbox, cred.Login, cred.Current)
		if err != nil {
			return err
		}
		event := "credential.broken"
		if v.State == VersionUnverified {
			event = "credential.rejected"
			v.State, v.EndedAt, v.Ended, v.Sealed = VersionRefused, now, "refused by the provider", nil
			if err := fallBack(tx, &cred); err != nil {
				return err
			}
			if sub, ok, err := tx.Submission(v.Source); err != nil {
				return err
			} else if ok {
				if err := s.reply(tx, sub, notify.KindRefused, v); err != nil {
					return err
				}
			}
		} else {
			cred.Refused, v.State = true, VersionRefused
		}
		if err := tx.PutVersion(v); err != nil {
			return err
		}
		if err := tx.PutCredential(cred); err != nil {
			return err
		}
		s.log.Warn("a stored password is refused", "event", event, "mailbox", cred.Mailbox, "version", v.N,
			"hint", "it is not tried again; the client is asked for a new one")
		return tx.Audit(vault.AuditEntry{Actor: ActorService, Event: event, Mailbox: cred.Mailbox, Login: cred.Login, Version: v.N})
	})
}

// fallBack makes the last proven version the current one again. One that was
// broken before is broken still.
func fallBack(tx *vault.Tx, cred *vault.Credential) error {
	cred.Current = cred.Proven
	if cred.Current == 0 {
		return nil
	}
	v, _, err := tx.Version(cred.Mailbox, cred.Login, cred.Current)
	cred.Refused = v.State == VersionRefused
	return err
}

func countRefusal(tx *vault.Tx, mailbox string, today time.Time) error {
	at, _, err := tx.Attempts(mailbox)
	if err != nil {
		return err
	}
	at = countsOf(at, mailbox, today)
	at.Refusals++
	return tx.PutAttempts(at)
}
