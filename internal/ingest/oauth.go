package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"

	"pec-ingest/internal/config"
	"pec-ingest/internal/inbox"
	"pec-ingest/internal/notify"
	"pec-ingest/internal/safetext"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

const (
	// oauthTimeout bounds one question to a token server.
	oauthTimeout = 30 * time.Second
	// refreshAhead is how long before its end an access token is renewed.
	refreshAhead = 10 * time.Minute
	// keepAlive is how old the newest answer of a token server may grow: a
	// refresh token that nobody uses ends, and a lost one is to be known
	// before it is needed.
	keepAlive = 24 * time.Hour
	// maxToken is more than any token server gives, in bytes.
	maxToken = 64 << 10
)

// token is what is sealed for an [[oauth]] account.
type token struct {
	Access  string    `json:"access"`
	Refresh string    `json:"refresh"`
	Expiry  time.Time `json:"expiry,omitzero"` // of Access; zero: not said
	At      time.Time `json:"at"`              // when the server gave it
}

func oauthAccount(id string) string { return "oauth-" + id }

// oauthConfig gives the servers and scopes of an [[oauth]] account.
//
// Source: learn.microsoft.com, "OAuth 2.0 device authorization grant" and
// "Authenticate an IMAP, POP or SMTP connection using OAuth".
func oauthConfig(cfg *config.Config, id string) (*oauth2.Config, error) {
	for _, o := range cfg.OAuth {
		if o.ID != id {
			continue
		}
		c := &oauth2.Config{ClientID: o.ClientID, Scopes: o.Scopes,
			Endpoint: oauth2.Endpoint{DeviceAuthURL: o.DeviceURL, TokenURL: o.TokenURL, AuthStyle: oauth2.AuthStyleInParams}}
		if id == "microsoft" {
			tenant := o.Tenant
			if tenant == "" {
				tenant = "common"
			}
			base := "https://login.microsoftonline.com/" + url.PathEscape(tenant) + "/oauth2/v2.0/"
			c.Endpoint.DeviceAuthURL = firstOf(o.DeviceURL, base+"devicecode")
			c.Endpoint.TokenURL = firstOf(o.TokenURL, base+"token")
			if len(c.Scopes) == 0 {
				c.Scopes = []string{"https://outlook.office.com/IMAP.AccessAsUser.All", "https://outlook.office.com/SMTP.Send", "offline_access"}
			}
		}
		if c.Endpoint.DeviceAuthURL == "" || c.Endpoint.TokenURL == "" {
			return nil, &Error{Class: BadConfig, Msg: fmt.Sprintf("%s: [[oauth]] id = %q: its servers are not known", cfg.Path, id),
				Hint: "give device_url and token_url, from the provider's documentation"}
		}
		return c, nil
	}
	return nil, notFound("there is no [[oauth]] account %q", id).hint("add it to %s: id, client_id, and for Microsoft the tenant", cfg.Path)
}

// oauthContext carries the client that token servers are asked with: it
// follows no redirect, so that a token goes to the server configured alone.
func oauthContext(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Timeout: oauthTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }})
}

// DevicePrompt is what a person needs to sign in on any other device.
type DevicePrompt struct {
	URL     string    `json:"url"`
	Code    string    `json:"code"`
	Expires time.Time `json:"expires"` // zero: not said
}

// DeviceLogin makes the device authorization of RFC 8628: prompt is told where
// a person must enter which code, and DeviceLogin waits until that is done.
// The result is for KeepToken. It touches no vault.
func DeviceLogin(ctx context.Context, cfg *config.Config, id string, prompt func(DevicePrompt) error) (secret.Secret, error) {
	c, err := oauthConfig(cfg, id)
	if err != nil {
		return secret.Secret{}, err
	}
	ctx = oauthContext(ctx)
	device, err := c.DeviceAuth(ctx)
	if err != nil {
		return secret.Secret{}, oauthError("asking for a code", err)
	}
	err = prompt(DevicePrompt{URL: safetext.LineN(device.VerificationURI, 200), Code: safetext.LineN(device.UserCode, 40), Expires: device.Expiry})
	if err != nil {
		return secret.Secret{}, err
	}
	t, err := c.DeviceAccessToken(ctx, device)
	if err != nil {
		return secret.Secret{}, oauthError("waiting for the sign-in", err)
	}
	b, err := sealable(t)
	if err != nil {
		return secret.Secret{}, err
	}
	defer clear(b)
	return secret.New(b), nil
}

func sealable(t *oauth2.Token) ([]byte, error) {
	if t.AccessToken == "" || t.RefreshToken == "" {
		return nil, &Error{Msg: "the token server gave no refresh token; nothing was stored", Hint: `its scope is mostly called "offline_access": add it to the scopes of this [[oauth]]`}
	}
	return json.Marshal(token{Access: t.AccessToken, Refresh: t.RefreshToken, Expiry: t.Expiry.UTC().Truncate(time.Second), At: time.Now().UTC().Truncate(time.Second)})
}

// oauthError says what happened without a server's free text, which may hold
// anything.
func oauthError(what string, err error) error {
	var re *oauth2.RetrieveError
	var network *url.Error
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &re):
		switch re.ErrorCode {
		case "access_denied", "authorization_declined":
			return &Error{Msg: what + ": the sign-in was declined; nothing was changed", Hint: "run it again and confirm"}
		case "expired_token", "code_expired":
			return &Error{Msg: what + ": the code has run out; nothing was changed", Hint: "run it again"}
		case "":
			return &Error{Msg: fmt.Sprintf("%s: the token server answers with %s", what, safetext.LineN(statusOf(re), 60))}
		}
		return &Error{Msg: what + ": the token server refuses: " + safetext.LineN(re.ErrorCode, 60),
			Hint: "is client_id right, and is the application allowed device sign-in (a \"public client\")?"}
	case errors.As(err, &network):
		return &Error{Msg: what + ": the token server can't be reached", Hint: "is there a way out to it from this machine?"}
	}
	return &Error{Msg: what + ": the token server's answer can't be read"}
}

func statusOf(re *oauth2.RetrieveError) string {
	if re.Response == nil {
		return "nothing"
	}
	return re.Response.Status
}

// KeepToken tries a token that DeviceLogin gave where it is to be used, and
// seals it in the vault. A token that does not let in leaves the one before
// it in place.
func (s *Service) KeepToken(ctx context.Context, actor, id string, given secret.Secret) error {
	ctx, end, here, err := s.duty(ctx)
	if err != nil {
		return err
	}
	if !here {
		_, err := ask[struct{}](ctx, s, asked{Name: askToken, Actor: actor, Mailbox: id}, given)
		return err
	}
	defer end()
	if _, err := oauthConfig(s.cfg, id); err != nil {
		return err
	}
	if !s.vault.CanOpen() {
		return &Error{Class: NoVault, Msg: "without the age identity the service could not read this token back", Hint: "set vault.identity_file"}
	}
	var t token
	if given.Len() > maxToken || json.Unmarshal(given.Reveal(), &t) != nil || t.Access == "" || t.Refresh == "" {
		return usage("that is no token of `ingest login`")
	}
	s.daemon.marks.signIn.Lock()
	defer s.daemon.marks.signIn.Unlock()
	if err := s.tryToken(ctx, id, secret.FromString(t.Access)); err != nil {
		return err
	}
	if err := s.storeToken(ctx, id, t, vault.AuditEntry{Actor: actor, Event: "oauth.login", Detail: "account=" + id}); err != nil {
		return err
	}
	s.log.Info("signed in", "event", "oauth.login", "account", id)
	signal(s.daemon.wake)
	s.OutboxChanged()
	return nil
}

// tryToken logs in with a new token, where it is used: somebody may have
// signed in as somebody else.
func (s *Service) tryToken(ctx context.Context, id string, access secret.Secret) error {
	wrong := func(what, username string) error {
		return (&Error{Msg: what + " refuses this sign-in; it was not stored"}).
			hint("was it made as %s? run `ingest login %s` again, in a private window of the browser", username, id)
	}
	if s.cfg.Inbox.Auth == config.AuthOAuth2 && s.cfg.Inbox.Account == id {
		if _, err := s.tryInbox(ctx, access); errors.Is(err, inbox.ErrRefused) || ClassOf(err) == Failed && err != nil && ctx.Err() == nil {
			return wrong("the studio's inbox", s.cfg.Inbox.Username)
		} else if err != nil {
			return err
		}
	}
	if s.cfg.SMTP.Enabled && s.cfg.SMTP.Auth == config.AuthOAuth2 && s.cfg.SMTP.Account == id {
		c, err := s.smtpServer(access)
		if err != nil {
			return err
		}
		var se *notify.SendError
		switch err := notify.LogIn(ctx, c); {
		case errors.As(err, &se) && se.Refused:
			return wrong("the server that sends for the studio", s.cfg.SMTP.Username)
		case err != nil:
			s.log.Warn("the new sign-in could not be tried for sending", "event", "smtp.error", "err", err, "hint", "it is stored, and tried with the next message")
		}
	}
	return nil
}

// storeToken seals a token in place of the one before it.
func (s *Service) storeToken(ctx context.Context, id string, t token, entry vault.AuditEntry) error {
	plain, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("writing a token: %w", err)
	}
	sec := secret.New(plain)
	clear(plain)
	defer sec.Wipe()
	label := vault.Label{Mailbox: "studio", Login: id, Version: 1, Source: "login"}
	sealed, err := s.vault.Seal(label, sec)
	if err != nil {
		return fmt.Errorf("sealing a token: %w", err)
	}
	return s.vault.Update(ctx, func(tx *vault.Tx) error {
		a := vault.Account{Name: oauthAccount(id), Username: id, Since: t.At, GoodAt: t.At, SetAt: t.At, Sealed: sealed, Label: label}
		if err := tx.PutAccount(a); err != nil || entry.Event == "" {
			return err
		}
		return tx.Audit(entry)
	})
}

// AccessToken gives a token that is valid now for an [[oauth]] account,
// renewed ahead of its end. A failure to renew never removes what is stored:
// as long as the access token lives it is given out all the same.
func (s *Service) AccessToken(ctx context.Context, id string) (secret.Secret, error) {
	s.daemon.marks.signIn.Lock()
	access, lost, err := s.accessToken(ctx, id)
	s.daemon.marks.signIn.Unlock()
	if lost != nil { // told without the lock: an alert may need a token, too
		s.Alert(ctx, *lost)
	}
	return access, err
}

// accessToken is AccessToken with the lock held; lost is what people are to
// be told, nil for nothing.
func (s *Service) accessToken(ctx context.Context, id string) (access secret.Secret, lost *Event, err error) {
	next := fmt.Sprintf("run `ingest login %s` and sign in with the second factor; it is used at once", id)
	a, ok, err := s.account(ctx, oauthAccount(id))
	if err != nil {
		return access, nil, err
	}
	if !ok || len(a.Sealed) == 0 {
		return access, nil, &Error{Msg: fmt.Sprintf("nobody has signed in to the account %q yet", id), Hint: next}
	}
	plain, err := s.vault.Unseal(a.Label, a.Sealed)
	if err != nil {
		return access, nil, fmt.Errorf("opening the sign-in of %q: %w", id, err)
	}
	defer plain.Wipe()
	var t token
	if err := json.Unmarshal(plain.Reveal(), &t); err != nil {
		return access, nil, &Error{Msg: fmt.Sprintf("the sign-in of %q can't be read", id), Hint: next}
	}
	now := time.Now()
	if t.At.Add(keepAlive).After(now) && t.Expiry.After(now.Add(refreshAhead)) {
		return secret.FromString(t.Access), lost, nil
	}
	usable := t.Expiry.After(now)
	if !a.RefusedAt.IsZero() && now.Sub(a.RefusedAt) < denyPause && !now.Before(a.RefusedAt) {
		if usable {
			return secret.FromString(t.Access), lost, nil
		}
		return access, nil, &Error{Msg: fmt.Sprintf("the sign-in of %q has ended at %s", id, a.RefusedAt.Format(time.RFC3339)), Err: ErrClosedSecret, Hint: next}
	}
	fresh, err := s.renew(ctx, id, t)
	switch {
	case err == nil:
		return secret.FromString(fresh.Access), nil, nil
	case errors.Is(err, ErrClosedSecret):
		lost = s.tokenLost(ctx, id, a, next)
	default:
		s.log.Warn("a sign-in could not be renewed", "event", "oauth.unreachable", "account", id, "err", err, "hint", "it is tried again; what is stored stays")
	}
	if usable {
		return secret.FromString(t.Access), lost, nil
	}
	if e := new(Error); errors.As(err, &e) && e.Hint == "" {
		e.Hint = next
	}
	return access, lost, err
}

// renew gets a new access token and stores it, with the refresh token that
// came with it, before it is used: where the server rotates refresh tokens
// the old one is worth nothing any more. The error is ErrClosedSecret only
// where the server says that the sign-in itself has ended.
func (s *Service) renew(ctx context.Context, id string, t token) (token, error) {
	c, err := oauthConfig(s.cfg, id)
	if err != nil {
		return t, err
	}
	got, err := c.TokenSource(oauthContext(ctx), &oauth2.Token{RefreshToken: t.Refresh}).Token()
	if err != nil {
		var re *oauth2.RetrieveError
		// RFC 6749 §5.2; interaction_required and consent_required are Microsoft's.
		if errors.As(err, &re) {
			switch re.ErrorCode {
			case "invalid_grant", "interaction_required", "consent_required", "login_required":
				return t, &Error{Msg: fmt.Sprintf("the sign-in of %q has ended or was withdrawn", id), Err: ErrClosedSecret}
			}
		}
		return t, oauthError("renewing the sign-in of "+id, err)
	}
	fresh := token{Access: got.AccessToken, Refresh: firstOf(got.RefreshToken, t.Refresh),
		Expiry: got.Expiry.UTC().Truncate(time.Second), At: time.Now().UTC().Truncate(time.Second)}
	if fresh.Access == "" {
		return t, &Error{Msg: "renewing the sign-in of " + id + ": the token server gave none"}
	}
	if got.Expiry.IsZero() { // not said: RFC 6749 §5.1 leaves it to the documentation
		fresh.Expiry = fresh.At.Add(time.Hour)
	}
	// Stored even if the program is ending: the old one may be gone.
	if err := s.storeToken(context.WithoutCancel(ctx), id, fresh, vault.AuditEntry{}); err != nil {
		return fresh, fmt.Errorf("storing a renewed sign-in: %w", err)
	}
	s.log.Info("sign-in renewed", "event", "oauth.renewed", "account", id)
	return fresh, nil
}

// tokenLost notes that a sign-in has ended, and says what people are to be
// told.
func (s *Service) tokenLost(ctx context.Context, id string, was vault.Account, next string) *Event {
	now := time.Now().UTC().Truncate(time.Second)
	err := s.vault.Update(ctx, func(tx *vault.Tx) error {
		a, ok, err := tx.Account(oauthAccount(id))
		if err != nil || !ok || !a.SetAt.Equal(was.SetAt) {
			return err
		}
		first := a.RefusedAt.IsZero()
		a.RefusedAt = now // the token itself stays: servers have been wrong
		if err := tx.PutAccount(a); err != nil || !first {
			return err
		}
		return tx.Audit(vault.AuditEntry{Actor: ActorService, Event: "oauth.lost", Detail: "account=" + id})
	})
	if err != nil {
		s.log.Error("a lost sign-in can't be recorded", "event", "oauth.lost", "err", err)
	}
	return &Event{Event: "oauth.lost", At: now, Mailbox: s.usedBy(id), Msg: fmt.Sprintf("the sign-in of %q has ended or was withdrawn (%s)", id, s.usedBy(id)), Hint: next, account: id}
}

// usedBy is the mailbox that an account is for.
func (s *Service) usedBy(id string) string {
	if s.cfg.SMTP.Enabled && s.cfg.SMTP.Account == id && s.cfg.Inbox.Account != id {
		return s.cfg.SMTP.Username
	}
	return s.cfg.Inbox.Username
}

// keepTokens renews, once a day, the sign-ins that are in use.
func (s *Service) keepTokens(ctx context.Context) error {
	used := map[string]bool{}
	if s.cfg.Inbox.Auth == config.AuthOAuth2 {
		used[s.cfg.Inbox.Account] = true
	}
	if s.cfg.SMTP.Enabled && s.cfg.SMTP.Auth == config.AuthOAuth2 {
		used[s.cfg.SMTP.Account] = true
	}
	for _, a := range s.cfg.SMTPAccounts {
		if a.Auth == config.AuthOAuth2 && a.Name == s.cfg.Alert.SMTP {
			used[a.Account] = true
		}
	}
	var errs []error
	for id := range used {
		t, err := s.AccessToken(ctx, id)
		t.Wipe()
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
