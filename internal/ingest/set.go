package ingest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"pec-ingest/internal/notify"
	"pec-ingest/internal/probe"
	"pec-ingest/internal/safetext"
	"pec-ingest/internal/schedule"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// SetRequest is a password that a person enters: read out on the phone,
// written in a letter.
type SetRequest struct {
	Actor   string // who enters it
	Mailbox string
	Login   string        // "" = the client's
	Expires time.Time     // day; zero = Issued + validity
	Issued  time.Time     // since when it is known to exist; zero = now
	Source  string        // how it came, free text
	Signer  string        // verified signer of the letter it came in; "" = no letter
	Confirm bool          // tell the client that it arrived and works
	Secret  secret.Secret `json:"-"`
}

// SetResult tells what became of it.
type SetResult struct {
	Mailbox   string `json:"mailbox"`
	Login     string `json:"login"`
	Version   int    `json:"version"`
	State     string `json:"state"`
	ExpiresAt string `json:"expires_at"`
	Probe     string `json:"probe"`

	Confirmed bool `json:"-"` // a message to the client is queued
}

// Set tries a password on the client's mailbox and stores it as the current
// one. A refused password is not stored. Trouble on the way to the provider
// is no refusal: then it is stored as unverified and tried again.
func (s *Service) Set(ctx context.Context, r SetRequest, now time.Time) (SetResult, error) {
	ctx, end, here, err := s.duty(ctx)
	if err != nil {
		return SetResult{}, err
	}
	if !here {
		return ask[SetResult](ctx, s, asked{Name: askSet, Actor: r.Actor, Set: &r}, r.Secret)
	}
	defer end()
	mailbox := strings.ToLower(r.Mailbox)
	client, err := s.listedClient(ctx, mailbox)
	if err != nil {
		return SetResult{}, err
	}
	if r.Secret.IsZero() {
		return SetResult{}, usage("no password on standard input").hint("ingest set %s < file, or type it and end with Ctrl-D", mailbox)
	}
	login := r.Login
	if login == "" {
		ok := false
		if login, ok = s.loginOf(client, r.Signer); !ok {
			return SetResult{}, (&Error{Class: NeedsPerson, Code: CodeNoLogin, Msg: "the provider of " + mailbox + " uses a user ID, and none is on record"}).
				hint("say it with --login")
		}
	}
	now = now.UTC().Truncate(time.Second)
	if err := s.checkExpiry(r, client, now); err != nil {
		return SetResult{}, err
	}
	signer, err := s.signerOf(ctx, r, login)
	if err != nil {
		return SetResult{}, err
	}
	result, addr, err := s.tryByHand(ctx, client, signer, login, r.Secret, now)
	if err != nil {
		return SetResult{}, err
	}
	return s.storeByHand(context.WithoutCancel(ctx), r, client, login, result, addr, now)
}

// signerOf is the verified signer of the letter that a password came in, else
// of the one that a password of this login came in before.
func (s *Service) signerOf(ctx context.Context, r SetRequest, login string) (signer string, err error) {
	if r.Signer != "" {
		return r.Signer, nil
	}
	err = s.vault.View(ctx, func(tx *vault.Tx) error {
		cred, _, err := tx.Credential(strings.ToLower(r.Mailbox), login)
		signer = cred.Signer
		return err
	})
	return signer, err
}

// checkExpiry refuses a date that can't be, before a login is spent on it.
func (s *Service) checkExpiry(r SetRequest, c vault.Client, now time.Time) error {
	if r.Expires.IsZero() {
		return nil
	}
	if r.Expires.Before(s.today(now)) {
		return usage("the expiry date %s is past", r.Expires.Format(time.DateOnly)).code(CodeDatePast)
	}
	expires, _, note := schedule.Expiry(r.issued(now), r.Expires, s.validityOf(c, r.Signer), s.policy)
	switch {
	case note == schedule.NoteStatedPast:
		return usage("the expiry date %s is not after the day the password was given", r.Expires.Format(time.DateOnly)).code(CodeDatePast)
	case !expires.Equal(r.Expires):
		return usage("the expiry date %s is further away than policy.max_validity allows", r.Expires.Format(time.DateOnly)).code(CodeDateFar)
	}
	return nil
}

// issued is the time from which a validity counts.
func (r SetRequest) issued(now time.Time) time.Time {
	if r.Issued.IsZero() || r.Issued.After(now) {
		return now
	}
	return r.Issued.UTC()
}

func (s *Service) listedClient(ctx context.Context, mailbox string) (c vault.Client, err error) {
	err = s.vault.View(ctx, func(tx *vault.Tx) error {
		var ok bool
		if c, ok, err = tx.Client(mailbox); err == nil && (!ok || !c.RemovedAt.IsZero()) {
			return noSuchMailbox(mailbox)
		}
		return err
	})
	return c, err
}

// tryByHand makes the one login that a person's word is worth. signer is the
// verified signer of the letter that the password came in, if any.
func (s *Service) tryByHand(ctx context.Context, c vault.Client, signer, login string, password secret.Secret, now time.Time) (probe.Result, string, error) {
	if !s.cfg.Probe.Enabled {
		return probe.Result{}, "", nil
	}
	mailbox := c.Mailbox
	target, _, ok, err := s.targetOf(c, signer)
	if err != nil {
		return probe.Result{}, "", err
	}
	if !ok {
		return probe.Result{}, "", (&Error{Class: NeedsPerson, Code: CodeNoHost, Msg: "nothing says on which server the mailbox " + mailbox + " is"}).
			hint("`ingest client add %s --provider ID` (see `ingest provider list`)", mailbox)
	}
	var refusals int
	err = s.vault.View(ctx, func(tx *vault.Tx) error {
		at, _, err := tx.Attempts(mailbox)
		refusals = countsOf(at, mailbox, s.today(now)).Refusals
		return err
	})
	if err != nil {
		return probe.Result{}, "", err
	}
	if refusals >= MaxRefusals {
		return probe.Result{}, "", (&Error{Class: NeedsPerson, Code: CodeTooMany, Msg: fmt.Sprintf("the mailbox %s refused %d logins today", mailbox, refusals)}).
			hint("one more might lock it: try again tomorrow")
	}
	err = s.vault.Update(ctx, func(tx *vault.Tx) error {
		return tx.Audit(vault.AuditEntry{Actor: ActorService, Event: "probe.intent", Mailbox: mailbox, Login: login})
	})
	if err != nil {
		return probe.Result{}, "", err
	}
	result := s.logIn(ctx, target, login, password)
	if interrupted(ctx, result) {
		return probe.Result{}, "", ctx.Err()
	}
	ctx = context.WithoutCancel(ctx) // what the server said is kept
	s.log.Info("login tried", "event", "probe.done", "mailbox", mailbox, "host", target.Addr, "result", string(result.Outcome))
	if result.Outcome != probe.Refused {
		return result, target.Addr, nil
	}
	err = s.vault.Update(ctx, func(tx *vault.Tx) error {
		if err := countRefusal(tx, mailbox, s.today(now)); err != nil {
			return err
		}
		return tx.Audit(vault.AuditEntry{Actor: ActorService, Event: "probe.refused", Mailbox: mailbox, Login: login})
	})
	if err != nil {
		return result, "", err
	}
	return result, "", &Error{Code: CodeRefused, Msg: "the provider refuses this password of " + mailbox + "; it was not stored",
		Hint: "was the webmail password given instead of the one for mail programs? is IMAP enabled? copied completely?"}
}

func (s *Service) storeByHand(ctx context.Context, r SetRequest, c vault.Client, login string, result probe.Result, addr string, now time.Time) (SetResult, error) {
	issued := r.issued(now)
	days := s.validityOf(c, r.Signer)
	expires, from, _ := schedule.Expiry(issued, r.Expires, days, s.policy)
	same, err := s.sameVersion(ctx, c.Mailbox, login, r.Secret)
	if err != nil {
		return SetResult{}, err
	}
	a := attempt{result: result, addr: addr, unprobed: !s.cfg.Probe.Enabled}
	p := &pass{Service: s, now: now}
	var v vault.Version
	confirmed := false
	err = s.vault.Update(ctx, func(tx *vault.Tx) error {
		cred, _, err := tx.Credential(c.Mailbox, login)
		if err != nil {
			return err
		}
		cred.Mailbox, cred.Login = c.Mailbox, login
		source := "set"
		if r.Source != "" {
			source += ": " + safetext.Line(r.Source)
		}
		signer := firstOf(r.Signer, cred.Signer)
		s0 := vault.Submission{ID: source, Mailbox: c.Mailbox, Login: login, SentAt: issued, Stated: r.Expires, Signer: signer}
		if same > 0 {
			v, _, err = p.confirmVersion(tx, &cred, s0, same, a)
			if err == nil && !r.Expires.IsZero() {
				// A person of the studio names the date: that is no claim.
				v.Expires, v.ExpiresFrom, v.Claimed = expires, from, time.Time{}
				err = tx.PutVersion(v)
			}
		} else {
			v, err = p.addVersion(tx, &cred, s0, nil, a, c, r.Secret)
		}
		if err != nil {
			return err
		}
		cred.Signer = signer
		// What a person types counts from now; a letter approved counts from
		// when it was sent, and a later one still replaces it.
		if r.Issued.IsZero() {
			cred.OrderAt, cred.OrderID = now, source
		} else if issued.After(cred.OrderAt) {
			cred.OrderAt, cred.OrderID = issued, source
		}
		cred.LastCheck = p.checkOf(cred.LastCheck, a)
		if err := tx.PutCredential(cred); err != nil {
			return err
		}
		if r.Signer != "" && v.State != VersionUnverified {
			if err := learnSigner(tx, s0); err != nil {
				return err
			}
		}
		if confirmed = r.Confirm && v.State != VersionUnverified; confirmed {
			cause := fmt.Sprintf("%sset/%s %d %q %s", causeReply, v.Mailbox, v.N, v.Login, now.Format(time.RFC3339))
			if err := s.queue(tx, cause, notify.KindAccepted, c, c.Mailbox, s.dataFor(c, signer, v), priorityReply); err != nil {
				return err
			}
		}
		return tx.Audit(vault.AuditEntry{Actor: r.Actor, Event: "credential.set", Mailbox: c.Mailbox, Login: login, Version: v.N,
			Detail: source + " expires=" + v.Expires.Format(time.DateOnly)})
	})
	if err != nil {
		return SetResult{}, err
	}
	s.touch(ctx)
	s.log.Info("password entered by hand", "event", "credential.set", "mailbox", c.Mailbox, "version", v.N, "state", v.State)
	return SetResult{Mailbox: c.Mailbox, Login: login, Version: v.N, State: v.State, ExpiresAt: v.Expires.Format(time.DateOnly),
		Probe: string(result.Outcome), Confirmed: confirmed}, nil
}
