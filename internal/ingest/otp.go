package ingest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"pec-ingest/internal/safetext"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/totp"
	"pec-ingest/internal/vault"
)

// One-time codes of shared accounts, off by default: they lay the second
// factor beside the first (docs/otp.md). The seeds are sealed to keys of their
// own, which are read when they are needed and not kept in memory.

// OTPRequest is a seed to be kept.
type OTPRequest struct {
	Actor   string
	Mailbox string        // whose account it is: a client's, or one of the studio's addresses
	Account string        // "" = the name in the seed's URI, else the mailbox
	Replace bool          // an account of that name gets a new seed
	Seed    secret.Secret // an otpauth:// URI, or the seed in base32
}

// OTPRow is one account in `otp list --json`; of the seed nothing but its form.
type OTPRow struct {
	Mailbox   string    `json:"mailbox"`
	Account   string    `json:"account"`
	Issuer    *string   `json:"issuer"`
	Algorithm string    `json:"algorithm"`
	Digits    int       `json:"digits"`
	Period    int       `json:"period"` // seconds
	AddedAt   time.Time `json:"added_at"`
	AddedBy   string    `json:"added_by"`
}

// OTPCode is a code, good until its period ends.
type OTPCode struct {
	Mailbox, Account string
	Code             secret.Secret // the caller wipes it
	Left             time.Duration
	Period           int // seconds
}

func otpRow(o vault.OneTime) OTPRow {
	return OTPRow{o.Mailbox, o.Account, orNull(o.Issuer), o.Algorithm, o.Digits, o.Period, o.AddedAt, o.AddedBy}
}

// otpOn refuses what is switched off.
func (s *Service) otpOn() error {
	if s.cfg.OTP.Enabled {
		return nil
	}
	return (&Error{Class: NotPermitted, Msg: "one-time codes are switched off"}).
		hint("otp.enabled = true in %s switches them on; read docs/otp.md first: they lay the second factor beside the first", s.cfg.Path)
}

// ring reads the keys of the one-time codes; identity tells whether the
// private one is needed. The caller drops it soon.
func (s *Service) ring(identity bool) (*vault.Ring, error) {
	const hint = "`ingest init --otp-keys` makes keys of their own"
	recipients, err := os.ReadFile(s.cfg.OTP.RecipientsFile)
	if err != nil {
		return nil, &Error{Class: NoVault, Msg: "reading otp.recipients_file", Err: err, Hint: hint}
	}
	var key []byte
	if identity {
		if key, err = readIdentity(s.cfg, otpKeyFiles(s.cfg), s.ask); err != nil {
			return nil, err
		}
		defer clear(key)
		if key == nil {
			return nil, &Error{Class: NoVault, Msg: "this service keeps one-time codes but has no key to open them", Err: vault.ErrNoIdentity,
				Hint: "set otp.identity_file"}
		}
	}
	ring, err := vault.NewRing(recipients, key)
	if err != nil {
		e := &Error{Class: NoVault, Msg: "the keys of the one-time codes", Err: err, Hint: hint}
		if errors.Is(err, vault.ErrWrongKey) {
			e.Err, e.Hint = nil, "otp.identity_file must hold the private half of a key in otp.recipients_file"
			e.Msg = "the identity of the one-time codes does not open what is sealed to otp.recipients_file"
		}
		return nil, e
	}
	return ring, nil
}

// AddOTP keeps the seed of an account's codes.
func (s *Service) AddOTP(ctx context.Context, r OTPRequest, now time.Time) (OTPRow, error) {
	if err := s.otpOn(); err != nil {
		return OTPRow{}, err
	}
	p, err := totp.Parse(r.Seed.Reveal())
	if err != nil {
		return OTPRow{}, otpUsage(err)
	}
	defer p.Seed.Wipe()
	mailbox := strings.ToLower(strings.TrimSpace(r.Mailbox))
	account, err := totp.Name(firstOf(strings.TrimSpace(r.Account), p.Account, mailbox))
	if err != nil {
		return OTPRow{}, otpUsage(err)
	}
	ring, err := s.ring(false)
	if err != nil {
		return OTPRow{}, err
	}
	if same, err := s.vault.OpensRing(ring); err != nil || same {
		return OTPRow{}, firstError(err, (&Error{Class: BadConfig, Msg: "the key of the passwords opens the one-time codes too"}).
			hint("take the public half of vault.identity_file out of otp.recipients_file; `ingest init --otp-keys` makes keys of their own"))
	}
	o := vault.OneTime{Mailbox: mailbox, Account: account, Issuer: p.Issuer, Algorithm: p.Algorithm, Digits: p.Digits, Period: p.Period,
		AddedAt: now.UTC().Truncate(time.Second), AddedBy: r.Actor}
	if o.Sealed, err = ring.Seal(o.Label(), p.Seed); err != nil {
		return OTPRow{}, &Error{Class: NoVault, Msg: "sealing the seed", Err: err}
	}
	err = s.vault.Update(ctx, func(tx *vault.Tx) error {
		if err := s.otpOwner(tx, mailbox); err != nil {
			return err
		}
		_, there, err := tx.OneTime(mailbox, account)
		if err != nil {
			return err
		}
		if there && !r.Replace {
			return (&Error{Class: NeedsPerson, Msg: fmt.Sprintf("%s has one-time codes of the account %s already", mailbox, account)}).
				hint("give the new account another name with --account, or put this seed in place of the old one with --replace")
		}
		if err := tx.PutOneTime(o); err != nil {
			return err
		}
		event := "otp.added"
		if there {
			event = "otp.replaced"
		}
		return tx.Audit(vault.AuditEntry{Actor: r.Actor, Event: event, Mailbox: mailbox, Login: account})
	})
	return otpRow(o), err
}

// otpOwner refuses a mailbox that is neither a client's nor the studio's.
func (s *Service) otpOwner(tx *vault.Tx, mailbox string) error {
	if s.isOwn(mailbox) {
		return nil
	}
	if mailbox == "" {
		return noSuchMailbox(mailbox)
	}
	c, ok, err := tx.Client(mailbox)
	if err == nil && (!ok || !c.RemovedAt.IsZero()) {
		return noSuchMailbox(safetext.Address(mailbox))
	}
	return err
}

// OTP gives an account's code of this moment. Each one is an entry in the
// audit log, committed before the code is handed out.
func (s *Service) OTP(ctx context.Context, reader, mailbox, account string) (OTPCode, error) {
	if err := s.otpOn(); err != nil {
		return OTPCode{}, err
	}
	o, err := s.pickOTP(ctx, strings.ToLower(mailbox), account)
	if err != nil {
		return OTPCode{}, err
	}
	ring, err := s.ring(true)
	if err != nil {
		return OTPCode{}, err
	}
	seed, err := ring.Unseal(o.Label(), o.Sealed)
	if err != nil {
		return OTPCode{}, &Error{Class: NoVault, Msg: "opening the sealed seed", Err: err,
			Hint: "it is sealed to other keys, or was altered: `ingest audit --verify`, then restore a backup or add the account anew"}
	}
	defer seed.Wipe()
	err = s.vault.Update(ctx, func(tx *vault.Tx) error {
		return tx.Audit(vault.AuditEntry{Actor: reader, Event: "otp.read", Mailbox: o.Mailbox, Login: o.Account})
	})
	if err != nil {
		return OTPCode{}, &Error{Msg: "recording who asks for the code", Err: err,
			Hint: firstOf(systemHint(err), "nothing is handed out without a record; is the disk full?")}
	}
	p := totp.Params{Algorithm: o.Algorithm, Digits: o.Digits, Period: o.Period, Seed: seed}
	// The clock is read last: opening a protected identity takes a second.
	code, left, err := p.Code(time.Now())
	if err != nil {
		return OTPCode{}, &Error{Msg: "computing the code of " + o.Account, Err: err, Hint: "add the account anew with --replace"}
	}
	return OTPCode{Mailbox: o.Mailbox, Account: o.Account, Code: code, Left: left, Period: o.Period}, nil
}

// pickOTP finds the one account that is meant.
func (s *Service) pickOTP(ctx context.Context, mailbox, account string) (o vault.OneTime, err error) {
	var all []vault.OneTime
	err = s.vault.View(ctx, func(tx *vault.Tx) (err error) {
		if err = s.otpOwner(tx, mailbox); err != nil {
			return err
		}
		all, err = tx.OneTimes(mailbox)
		return err
	})
	if err != nil {
		return o, err
	}
	for _, one := range all {
		if one.Account == account {
			return one, nil
		}
	}
	switch {
	case len(all) == 0:
		return o, notFound("%s has no one-time codes", mailbox).hint("`ingest otp add %s` keeps the seed of an account", mailbox)
	case account != "":
		return o, notFound("%s has no account of that name", mailbox).hint("`ingest otp list %s` lists them", mailbox)
	case len(all) > 1:
		return o, (&Error{Class: NeedsPerson, Msg: mailbox + " has several accounts with one-time codes"}).
			hint("say which with --account; `ingest otp list %s` lists them", mailbox)
	}
	return all[0], nil
}

// OTPs lists the accounts of a mailbox, "" is all; it works when the codes are
// switched off, so that what is kept can be seen and removed.
func (s *Service) OTPs(ctx context.Context, mailbox string) ([]OTPRow, error) {
	mailbox = strings.ToLower(mailbox)
	rows := []OTPRow{}
	err := s.vault.View(ctx, func(tx *vault.Tx) error {
		rows = rows[:0]
		if mailbox != "" {
			if err := s.otpOwner(tx, mailbox); err != nil {
				return err
			}
		}
		all, err := tx.OneTimes(mailbox)
		for _, o := range all {
			rows = append(rows, otpRow(o))
		}
		return err
	})
	return rows, err
}

// RemoveOTP destroys the seed of one account; account must be named where
// there are several.
func (s *Service) RemoveOTP(ctx context.Context, actor, mailbox, account string) error {
	o, err := s.pickOTP(ctx, strings.ToLower(mailbox), account)
	if err != nil {
		return err
	}
	return s.vault.Update(ctx, func(tx *vault.Tx) error { return removeOTP(tx, actor, o) })
}

func removeOTP(tx *vault.Tx, actor string, o vault.OneTime) error {
	if err := tx.DeleteOneTime(o.Mailbox, o.Account); err != nil {
		return err
	}
	return tx.Audit(vault.AuditEntry{Actor: actor, Event: "otp.removed", Mailbox: o.Mailbox, Login: o.Account})
}

// destroyOTPs destroys the seeds of a client who left.
func (s *Service) destroyOTPs(ctx context.Context, mailbox string) error {
	var all []vault.OneTime
	err := s.vault.View(ctx, func(tx *vault.Tx) (err error) {
		all, err = tx.OneTimes(mailbox)
		return err
	})
	for _, o := range all {
		if err := s.vault.Update(ctx, func(tx *vault.Tx) error { return removeOTP(tx, ActorService, o) }); err != nil {
			return err
		}
	}
	return err
}

// rekeyOTPs seals the seeds anew to otp.recipients_file. Where there is
// nothing to do, or no key that could, it does nothing: their keys are not
// those of the vault.
func (s *Service) rekeyOTPs(ctx context.Context) (int, error) {
	rows, err := s.OTPs(ctx, "")
	if err != nil || len(rows) == 0 || s.cfg.OTP.IdentityFile == "" {
		return 0, err
	}
	ring, err := s.ring(true)
	if err != nil {
		if !s.cfg.OTP.Enabled && errors.Is(err, fs.ErrNotExist) {
			return 0, nil // switched off, and its keys put away
		}
		return 0, err
	}
	n, err := s.vault.RekeyOneTimes(ctx, ring)
	if err != nil {
		return n, &Error{Class: NoVault, Msg: "sealing the one-time codes anew", Err: err,
			Hint: "while keys change, otp.identity_file holds the old key and the new one; what was done stays good: run `ingest rekey` again"}
	}
	return n, nil
}

func otpUsage(err error) error {
	var e *totp.Error
	if errors.As(err, &e) {
		return &Error{Class: Usage, Msg: e.Msg, Hint: e.Hint}
	}
	return err
}
