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
	if err := s.canUnseal(v); err != nil {
		return Password{}, err
	}
	// Beside the commit, which waits for the disk meanwhile.
	opened := s.unsealBeside(v)
	err = s.vault.RecordRead(ctx, reader, mailbox, v.Login, v.N)
	password := <-opened
	if err != nil {
		password.secret.Wipe()
		return Password{}, &Error{Msg: "recording who reads the password", Err: err, Hint: "nothing is handed out without a record; is the disk full?"}
	}
	if password.err != nil {
		return Password{}, s.notRead(ctx, reader, v, password.err)
	}
	return Password{Mailbox: mailbox, Login: v.Login, Version: v.N, State: state, ExpiresAt: v.Expires, Secret: password.secret}, nil
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

// canUnseal says why a stored version can't be opened, as far as that shows
// without trying.
func (s *Service) canUnseal(v vault.Version) error {
	switch {
	case len(v.Sealed) == 0:
		return notFound("the secret of version %d of %s was destroyed", v.N, v.Mailbox)
	case !s.vault.CanOpen():
		return &Error{Class: NoVault, Msg: "this service runs without the age identity and can't read passwords back", Err: vault.ErrNoIdentity,
			Hint: "set vault.identity_file"}
	}
	return nil
}

// unseal opens a stored version; the caller wipes what it gets.
func (s *Service) unseal(v vault.Version) (secret.Secret, error) {
	if err := s.canUnseal(v); err != nil {
		return secret.Secret{}, err
	}
	password, err := s.vault.Unseal(v.Label, v.Sealed)
	if err != nil {
		return password, &Error{Class: NoVault, Msg: "opening the sealed password", Err: err,
			Hint: "the record does not fit the key or was altered: `ingest audit --verify`, then restore a backup"}
	}
	return password, nil
}

// unsealed is what became of unseal.
type unsealed struct {
	secret secret.Secret
	err    error
}

// unsealBeside is unseal in a goroutine; what it gives must be taken.
func (s *Service) unsealBeside(v vault.Version) <-chan unsealed {
	done := make(chan unsealed, 1)
	go func() {
		var o unsealed
		defer func() {
			if recover() != nil { // as the server does for its endpoints
				o = unsealed{err: errors.New("opening the sealed password stopped")}
			}
			done <- o
		}()
		o.secret, o.err = s.unseal(v)
	}()
	return done
}

// notRead tells the audit log that the read it has just been told of gave no
// password: the record is damaged, or another's. It returns why.
func (s *Service) notRead(ctx context.Context, reader string, v vault.Version, why error) error {
	err := s.vault.Update(ctx, func(tx *vault.Tx) error {
		return tx.Audit(vault.AuditEntry{Actor: reader, Event: "credential.unreadable", Mailbox: v.Mailbox, Login: v.Login, Version: v.N})
	})
	if err != nil {
		return errors.Join(why, err)
	}
	return why
}
