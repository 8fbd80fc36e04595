package ingest

import (
	"context"
	"fmt"
	"time"

	"pec-ingest/internal/probe"
	"pec-ingest/internal/schedule"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/submission"
	"pec-ingest/internal/vault"
)

// How versions of a credential come about and end. All of these run inside the
// transaction that settles what made them.

// sameVersion finds the version that holds a password already: the current
// one, or the proven one beside a current one that could not be tried; 0 when
// neither does. Without the identity nothing can be compared: then it counts
// as a new one.
func (s *Service) sameVersion(ctx context.Context, mailbox, login string, password secret.Secret) (n int, err error) {
	if !s.vault.CanOpen() {
		return 0, nil
	}
	var stored []vault.Version
	err = s.vault.View(ctx, func(tx *vault.Tx) error {
		stored = nil
		cred, _, err := tx.Credential(mailbox, login)
		if err != nil {
			return err
		}
		for _, n := range []int{cred.Current, cred.Proven} {
			v, ok, err := tx.Version(mailbox, login, n)
			if err != nil {
				return err
			}
			if ok && len(v.Sealed) > 0 {
				stored = append(stored, v)
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for _, v := range stored {
		opened, err := s.vault.Unseal(v.Label, v.Sealed)
		if err != nil {
			return 0, err
		}
		same := opened.Equal(password)
		opened.Wipe()
		if same {
			return v.N, nil
		}
	}
	return 0, nil
}

// addVersion makes the next version of a credential. A proven one is ended
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
	if err := p.sealVersion(&v, s, a.index, password); err != nil {
		return v, err
	}
	p.claim(&v, s.Stated, s.SentAt)
	p.markTried(&v, a)
	before := cred.Current
	cred.Last, cred.Current, cred.Refused = v.N, v.N, false
	cred.GoodLogins, cred.GoodLoginDay = 0, ""
	if v.State == VersionUnverified {
		if err := giveUpAgain(tx, *cred, before); err != nil {
			return v, err
		}
		if before != cred.Proven { // never proven: neither handed out nor tried any more
			if err := endVersion(tx, *cred, before, v.N, p.now); err != nil {
				return v, err
			}
		}
	} else {
		if err := endVersion(tx, *cred, before, v.N, p.now); err != nil {
			return v, err
		}
		if err := endVersion(tx, *cred, cred.Proven, v.N, p.now); err != nil {
			return v, err
		}
		cred.Proven = v.N
		cred.Signer = firstOf(s.Signer, cred.Signer)
	}
	return v, tx.PutVersion(v)
}

// sealVersion seals the password of a version. Where candidate i of s, the same
// password, was sealed for just this version, that is it already.
func (p *pass) sealVersion(v *vault.Version, s vault.Submission, i int, password secret.Secret) error {
	v.Label = vault.Label{Mailbox: v.Mailbox, Login: v.Login, Version: v.N, Source: v.Source}
	if i >= 0 && i < len(s.Candidates) && s.Candidates[i].Label == v.Label && len(s.Candidates[i].Sealed) > 0 {
		v.Sealed = s.Candidates[i].Sealed
		return nil
	}
	var err error
	if v.Sealed, err = p.vault.Seal(v.Label, password); err != nil {
		return fmt.Errorf("sealing version %d: %w", v.N, err)
	}
	return nil
}

// giveUpAgain: a refused password was entered again, and before it could be
// tried another one came: it is refused still.
func giveUpAgain(tx *vault.Tx, cred vault.Credential, before int) error {
	if before == 0 || before != cred.Proven {
		return nil
	}
	v, ok, err := tx.Version(cred.Mailbox, cred.Login, before)
	if err != nil || !ok || v.State != VersionUnverified {
		return err
	}
	v.State = VersionRefused
	return tx.PutVersion(v)
}

// confirmVersion: the client sent a password again that is version n already.
// It stays the same version, the one beside it is given up; a later date is a
// claim that it was postponed (DESIGN §8).
func (p *pass) confirmVersion(tx *vault.Tx, cred *vault.Credential, s vault.Submission, n int, a attempt) (vault.Version, string, error) {
	v, ok, err := tx.Version(s.Mailbox, s.Login, n)
	if err != nil || !ok {
		return v, "", firstError(err, vault.ErrNotFound)
	}
	if err := endVersion(tx, *cred, cred.Current, n, p.now); err != nil {
		return v, "", err
	}
	cred.Current, cred.Refused = n, false
	outcome := OutcomeAccepted
	if p.claim(&v, s.Stated, s.SentAt) {
		outcome = OutcomeExtended
	}
	switch {
	case a.unprobed || a.result.Outcome == probe.Accepted:
		p.markTried(&v, a)
		if err := endVersion(tx, *cred, cred.Proven, v.N, p.now); err != nil {
			return v, "", err
		}
		cred.Proven, cred.Signer = v.N, firstOf(s.Signer, cred.Signer)
	case v.State == VersionRefused:
		v.State = VersionUnverified // its owner says that it works again: it is tried once more
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
	if lasted >= maxCheckPause {
		return now.Add(maxCheckPause)
	}
	return now.Add(max(5*time.Minute, lasted/2))
}

const maxCheckPause = 24 * time.Hour

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
	if readable {
		err = p.sealVersion(&v, *s, 0, password)
	} else {
		v.Sealed, v.Label, err = s.Candidates[0].Sealed, s.Candidates[0].Label, nil
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
