package ingest

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// SetInboxRequest is a new password of the studio's own inbox.
type SetInboxRequest struct {
	Actor   string
	Expires time.Time     // day; zero = today + the provider's validity
	Secret  secret.Secret `json:"-"`
}

// SetInboxResult tells what became of it.
type SetInboxResult struct {
	Username  string `json:"username"`
	State     string `json:"state"` // "valid", or "unverified" where the server did not answer
	ExpiresAt string `json:"expires_at"`
}

// SetInbox tries a password on the studio's inbox and keeps it, sealed, in
// the vault; from then on it is used instead of the one in the file, by a
// running daemon at once. A refused one is not kept, and does not close the
// one in use.
func (s *Service) SetInbox(ctx context.Context, r SetInboxRequest, now time.Time) (SetInboxResult, error) {
	ctx, end, here, err := s.duty(ctx)
	if err != nil {
		return SetInboxResult{}, err
	}
	if !here {
		return ask[SetInboxResult](ctx, s, asked{Name: askSetInbox, Actor: r.Actor, SetInbox: &r}, r.Secret)
	}
	defer end()
	if id := s.oauthOf(AccountInbox); id != "" {
		return SetInboxResult{}, usage("the studio's inbox is signed in to, it has no password").hint("ingest login %s", id)
	}
	if r.Secret.IsZero() {
		return SetInboxResult{}, usage("no password on standard input").hint("ingest set --inbox < file, or type it and end with Ctrl-D")
	}
	if !s.vault.CanOpen() {
		return SetInboxResult{}, (&Error{Class: NoVault, Msg: "without the age identity the service could not read this password back"}).
			hint("write it into the file that inbox.password_file names")
	}
	now = now.UTC().Truncate(time.Second)
	today := s.today(now)
	expires := r.Expires
	switch {
	case expires.IsZero():
		expires = today.AddDate(0, 0, s.studioValidity())
	case expires.Before(today):
		return SetInboxResult{}, usage("the expiry date %s is past", expires.Format(time.DateOnly))
	}
	answered, err := s.tryInbox(ctx, r.Secret)
	if err != nil {
		return SetInboxResult{}, err
	}
	label := vault.Label{Mailbox: "studio", Login: s.cfg.Inbox.Username, Version: 1, Source: "set --inbox"}
	sealed, err := s.vault.Seal(label, r.Secret)
	if err != nil {
		return SetInboxResult{}, err
	}
	salt, mark, err := s.daemon.marks.make(r.Secret)
	if err != nil {
		return SetInboxResult{}, err
	}
	a := vault.Account{Name: AccountInbox, Username: s.cfg.Inbox.Username, Salt: salt, Mark: mark, Since: now, Expires: expires,
		Sealed: sealed, Label: label, SetAt: now}
	res := SetInboxResult{Username: a.Username, State: "unverified", ExpiresAt: expires.Format(time.DateOnly)}
	if answered {
		a.GoodAt, res.State = now, "valid"
	}
	err = s.vault.Update(ctx, func(tx *vault.Tx) error {
		if err := tx.PutAccount(a); err != nil {
			return err
		}
		return tx.Audit(vault.AuditEntry{Actor: r.Actor, Event: "inbox.set", Detail: "expires=" + res.ExpiresAt})
	})
	if err != nil {
		return SetInboxResult{}, err
	}
	s.log.Info("the password of the studio's inbox was entered", "event", "inbox.set", "state", res.State)
	signal(s.daemon.wake)
	s.OutboxChanged()
	return res, nil
}

// tryInbox makes the one login that a person's word is worth; answered is
// false where the server said nothing about the password.
func (s *Service) tryInbox(ctx context.Context, password secret.Secret) (answered bool, err error) {
	roots, err := rootsWith(s.cfg.Inbox.TLSCAFile)
	if err != nil {
		return false, &Error{Class: BadConfig, Msg: s.cfg.Where("inbox.tls_ca_file"), Err: err}
	}
	sess, err := s.DialInbox(ctx, inbox.Config{
		Addr: net.JoinHostPort(s.cfg.Inbox.Host, strconv.Itoa(s.cfg.Inbox.Port)), ServerName: s.cfg.Inbox.Host,
		TLS: tlsConfig(s.cfg.Inbox.Host, roots), Auth: s.cfg.Inbox.Auth, Username: s.cfg.Inbox.Username, Password: password, Logger: s.log,
	})
	switch {
	case err == nil:
		sess.Close()
		return true, nil
	case errors.Is(err, inbox.ErrRefused):
		return false, &Error{Msg: "the provider refuses this password; it was not stored", Err: err, Hint: "is it the one for mail programs, typed whole?"}
	case ctx.Err() != nil:
		return false, ctx.Err()
	}
	s.log.Warn("the new password could not be tried", "event", "inbox.unreachable", "err", err, "hint", "it is stored, and tried when the server answers")
	return false, nil
}

// SelfCheck is the package's SelfCheck of an open service.
func (s *Service) SelfCheck(ctx context.Context, now time.Time) []CheckLine {
	return SelfCheck(ctx, s.cfg, s, nil, now)
}
