package ingest

import (
	"context"
	"errors"
	"strings"
	"time"

	"pec-ingest/internal/schedule"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// Password is what `get` hands out.
type Password struct {
	Mailbox   string
	Login     string
	Version   int
	State     string
	ExpiresAt time.Time // day
	Secret    secret.Secret
}

// Get hands out the current password of a mailbox to reader, who is named in
// the audit log; when the entry can't be written, nothing is handed out.
//
// Expired still answers. Unverified answers with the last proven version, or
// with the unverified one where there is none. Broken answers with an error
// of class NeedsPerson: a program that keeps trying locks the mailbox.
func (s *Service) Get(ctx context.Context, reader, mailbox, login string, now time.Time) (Password, error) {
	mailbox = strings.ToLower(mailbox)
	k, err := s.pick(ctx, mailbox, login)
	if err != nil {
		return Password{}, err
	}
	f := s.facts(k)
	state := schedule.StateOf(f, s.today(now), s.policy)
	switch state {
	case schedule.StateMissing:
		return Password{}, notFound("no password of %s is stored yet", mailbox).hint("the client sends it by PEC, or enter it with `ingest set %s`", mailbox)
	case schedule.StateBroken:
		return Password{}, (&Error{Class: NeedsPerson, Msg: "the password of " + mailbox + " is refused by its provider"}).
			hint("the client has been asked for a new one; `ingest history %s` shows what happened", mailbox)
	}
	v := handedOut(k)
	password, err := s.unseal(v)
	if err != nil {
		return Password{}, err
	}
	err = s.vault.Update(ctx, func(tx *vault.Tx) error {
		return tx.AuditRead(reader, mailbox, v.Login, v.N)
	})
	if err != nil {
		password.Wipe()
		return Password{}, &Error{Msg: "recording who reads the password", Err: err, Hint: "nothing is handed out without a record; is the disk full?"}
	}
	return Password{Mailbox: mailbox, Login: v.Login, Version: v.N, State: state, ExpiresAt: v.Expires, Secret: password}, nil
}

// pick finds the one credential meant by mailbox and login.
func (s *Service) pick(ctx context.Context, mailbox, login string) (known, error) {
	all, err := s.inventory(ctx, mailbox)
	if err != nil {
		return known{}, err
	}
	if len(all) == 0 {
		return known{}, noSuchMailbox(mailbox)
	}
	var fit []known
	for _, k := range all {
		if login == "" || k.cred.Login == login {
			fit = append(fit, k)
		}
	}
	switch len(fit) {
	case 0:
		return known{}, notFound("the mailbox %s has no login %s", mailbox, login).hint("`ingest status %s` lists its logins", mailbox)
	case 1:
		return fit[0], nil
	}
	return known{}, (&Error{Class: NeedsPerson, Msg: "the mailbox " + mailbox + " has several logins"}).
		hint("say which with --login; `ingest status %s` lists them", mailbox)
}

func (s *Service) version(ctx context.Context, mailbox, login string, n int) (v vault.Version, err error) {
	err = s.vault.View(ctx, func(tx *vault.Tx) error {
		var ok bool
		if v, ok, err = tx.Version(mailbox, login, n); err == nil && !ok {
			return notFound("the mailbox %s has no version %d", mailbox, n).hint("`ingest history %s` lists them", mailbox)
		}
		return err
	})
	return v, err
}

// unseal opens a stored version; the caller wipes what it gets.
func (s *Service) unseal(v vault.Version) (secret.Secret, error) {
	if len(v.Sealed) == 0 {
		return secret.Secret{}, notFound("the secret of version %d of %s was destroyed", v.N, v.Mailbox)
	}
	password, err := s.vault.Unseal(v.Label, v.Sealed)
	switch {
	case errors.Is(err, vault.ErrNoIdentity):
		return password, &Error{Class: NoVault, Msg: "this service runs without the age identity and can't read passwords back", Err: err,
			Hint: "set vault.identity_file"}
	case err != nil:
		return password, &Error{Class: NoVault, Msg: "opening the sealed password", Err: err,
			Hint: "the record does not fit the key or was altered: `ingest audit --verify`, then restore a backup"}
	}
	return password, nil
}
