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
//
// It is found and recorded in one transaction, so that what is handed out was
// the newest there was.
func (s *Service) Get(ctx context.Context, reader, mailbox, login string, now time.Time) (Password, error) {
	mailbox = strings.ToLower(mailbox)
	found, err := s.findRecorded(ctx, reader, mailbox, login, now)
	if err != nil {
		return Password{}, err
	}
	v, password := found.version, <-found.opening.done
	if password.err != nil {
		return Password{}, s.notRead(ctx, reader, v, password.err)
	}
	return Password{Mailbox: mailbox, Login: v.Login, Version: v.N, State: found.state, ExpiresAt: v.Expires, Secret: password.secret}, nil
}

// findRecorded finds the current password, records that reader is given it,
// and has it opened meanwhile.
func (s *Service) findRecorded(ctx context.Context, reader, mailbox, login string, now time.Time) (found, error) {
	r := reading{find: func(tx *vault.Tx) (vault.Version, string, error) { return s.current(tx, mailbox, login, now) }, open: s.open}
	err := s.vault.ReadSecret(ctx, func(tx *vault.Tx) error { return r.run(tx, reader, mailbox) })
	f, why := r.leave()
	if err == nil {
		return f, nil
	}
	f.opening.drop()
	if why != nil && errors.Is(err, why) {
		return found{}, why
	}
	e := &Error{Msg: "recording who reads the password", Err: err,
		Hint: firstOf(systemHint(err), "nothing is handed out without a record; is the disk full?")}
	if errors.Is(err, vault.ErrUnavailable) || errors.Is(err, vault.ErrOutcomeUnknown) {
		e.Hint = "nothing is handed out without a record, and a majority of the cluster's members must take it: `etcdctl endpoint health`"
	}
	return found{}, e
}

// current is the version of a password that programs are given now.
func (s *Service) current(tx *vault.Tx, mailbox, login string, now time.Time) (v vault.Version, state string, err error) {
	var all []known
	if err := eachAt(tx, mailbox, func(k known) { all = append(all, k) }); err != nil {
		return v, "", err
	}
	k, err := theOne(all, mailbox, login)
	if err != nil {
		return v, "", err
	}
	state = schedule.StateOf(s.facts(k), s.today(now), s.policy)
	switch state {
	case schedule.StateMissing:
		return v, "", notFound("no password of %s is stored yet", mailbox).hint("the client sends it by PEC, or enter it with `ingest set %s`", mailbox)
	case schedule.StateBroken:
		return v, "", (&Error{Class: NeedsPerson, Msg: "the password of " + mailbox + " is refused by its provider"}).
			hint("the client has been asked for a new one; `ingest history %s` shows what happened", mailbox)
	}
	v = handedOut(k)
	return v, state, s.canUnseal(v)
}

// pick finds the one credential meant by mailbox and login.
func (s *Service) pick(ctx context.Context, mailbox, login string) (known, error) {
	if mailbox == "" { // to inventory that is all of them
		return known{}, usage("say which mailbox").hint("`ingest status` lists them")
	}
	all, err := s.inventory(ctx, mailbox)
	if err != nil {
		return known{}, err
	}
	return theOne(all, mailbox, login)
}

// theOne is pick among all that is known of a mailbox.
func theOne(all []known, mailbox, login string) (known, error) {
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
