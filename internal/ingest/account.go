package ingest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/scrypt"

	"pec-ingest/internal/config"
	"pec-ingest/internal/inbox"
	"pec-ingest/internal/notify"
	"pec-ingest/internal/safetext"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// The studio's own accounts, as the vault names them.
const (
	AccountInbox = "inbox"
	AccountSMTP  = "smtp"
	AccountAlert = "alert" // the [[smtp_account]] that alert.smtp names
)

// denyPause is how long an account is left alone after a no that was not
// about the password.
const denyPause = time.Hour

var (
	// ErrClosedSecret: the studio's own password was refused and has not
	// changed since; it was not tried.
	ErrClosedSecret = errors.New("ingest: this password was refused and is not tried again")
	// ErrDeniedLately: the server said no for another reason less than an
	// hour ago; it was not asked.
	ErrDeniedLately = errors.New("ingest: the server denied the login less than an hour ago")
)

// answer is what a server said to a login.
type answer int

const (
	answerNone    answer = iota // nothing was heard of it
	answerYes                   // the password is right
	answerRefused               // the password is wrong
	answerNo                    // no, but not because of the password
)

func inboxAnswer(err error) answer {
	switch {
	case err == nil:
		return answerYes
	case errors.Is(err, inbox.ErrRefused):
		return answerRefused
	case errors.Is(err, inbox.ErrDenied):
		return answerNo
	}
	return answerNone
}

func smtpAnswer(err error) answer {
	var se *notify.SendError
	switch {
	case err == nil:
		return answerYes
	case !errors.As(err, &se):
		return answerNone
	case se.Refused:
		return answerRefused
	case se.Stage == notify.StageAuth && se.Code != 0:
		return answerNo
	case se.Stage == notify.StageFrom, se.Stage == notify.StageTo, se.Stage == notify.StageData, se.Stage == notify.StageDot:
		return answerYes
	}
	return answerNone
}

// login is one login of the studio's own and how it went.
type login struct {
	account string
	secret  secret.Secret
	answer  answer
	err     error
}

// mayLogIn tells whether a login may be tried: not with a secret that was
// refused, until it changes; and once an hour at most after a no of another
// kind, unless a person asked. Both hold across restarts.
func (s *Service) mayLogIn(ctx context.Context, account string, password secret.Secret, asked bool) error {
	a, ok, err := s.account(ctx, account)
	if err != nil || !ok {
		return err
	}
	return s.mayTry(a, account, password, asked)
}

// mayTry is mayLogIn by the account's record, which may be an empty one.
func (s *Service) mayTry(a vault.Account, account string, password secret.Secret, asked bool) error {
	if a.RefusedAt.IsZero() && a.TroubleAt.IsZero() || a.Username != s.usernameOf(account) || !s.daemon.marks.is(a, password) {
		return nil
	}
	what, key := "the studio's inbox", "inbox"
	switch account {
	case AccountSMTP:
		what, key = "the server that sends for the studio", "smtp"
	case AccountAlert:
		what, key = "the server that sends alerts", "smtp_account"
	}
	id := s.oauthOf(account)
	switch {
	case !a.RefusedAt.IsZero() && id != "":
		return (&Error{Msg: what + " refuses the sign-in since " + a.RefusedAt.Format(time.RFC3339), Err: ErrClosedSecret}).
			hint("run `ingest login %s` and sign in with the second factor; a renewed sign-in is tried by itself", id)
	case !a.RefusedAt.IsZero():
		return (&Error{Msg: what + " refuses the password since " + a.RefusedAt.Format(time.RFC3339), Err: ErrClosedSecret}).
			hint("put the current password into the file of %s.password_file, or enter it with `ingest set --inbox`: it is seen within seconds", key)
	case !asked && time.Since(a.TroubleAt) < denyPause && time.Since(a.TroubleAt) >= 0:
		return (&Error{Msg: fmt.Sprintf("%s denied the login at %s (%s)", what, a.TroubleAt.Format(time.RFC3339), a.Detail), Err: ErrDeniedLately}).
			hint("it is tried again after %s", a.TroubleAt.Add(denyPause).Format(time.RFC3339))
	}
	return nil
}

func (s *Service) account(ctx context.Context, name string) (a vault.Account, ok bool, err error) {
	err = s.vault.View(ctx, func(tx *vault.Tx) error {
		a, ok, err = tx.Account(name)
		return err
	})
	return a, ok, err
}

func (s *Service) usernameOf(account string) string {
	switch account {
	case AccountSMTP:
		return s.cfg.SMTP.Username
	case AccountAlert:
		return "alert:" + s.cfg.Alert.SMTP
	}
	return s.cfg.Inbox.Username
}

// noteLogin records how a login of the studio's own went. A trial changes
// nothing, but a refusal is always recorded, so that it is the last one.
func (s *Service) noteLogin(ctx context.Context, l login, trial bool) error {
	if l.answer == answerNone || trial && l.answer != answerRefused {
		return nil
	}
	now := time.Now().UTC().Truncate(time.Second)
	a, ok, err := s.account(ctx, l.account)
	if err != nil {
		return err
	}
	same := ok && a.Username == s.usernameOf(l.account) && s.daemon.marks.is(a, l.secret)
	if same && l.answer == answerYes && a.RefusedAt.IsZero() && a.TroubleAt.IsZero() && now.Sub(a.GoodAt) < 12*time.Hour && !now.Before(a.GoodAt) {
		return nil // known
	}
	var salt, mark []byte
	if !same {
		if salt, mark, err = s.daemon.marks.make(l.secret); err != nil {
			return err
		}
	}
	var alert bool
	err = s.vault.Update(ctx, func(tx *vault.Tx) error {
		a, _, err := tx.Account(l.account)
		if err != nil {
			return err
		}
		if !same {
			a = anew(a, salt, mark)
		}
		alert = l.answer == answerRefused && a.RefusedAt.IsZero()
		if err := tx.PutAccount(s.noted(a, l, now)); err != nil || !alert {
			return err
		}
		return auditRefused(tx, l.account)
	})
	if err == nil && alert {
		s.accountRefused(ctx, l, now)
	}
	return err
}

func auditRefused(tx *vault.Tx, account string) error {
	return tx.Audit(vault.AuditEntry{Actor: ActorService, Event: account + ".refused", Detail: "the studio's own password is closed until it changes"})
}

// anew is the record of an account that has another secret now, of which
// nothing is known yet but its mark.
func anew(a vault.Account, salt, mark []byte) vault.Account {
	return vault.Account{Salt: salt, Mark: mark, Sealed: a.Sealed, Label: a.Label, SetAt: a.SetAt}
}

// noted is the record of an account after a login with its secret.
func (s *Service) noted(a vault.Account, l login, now time.Time) vault.Account {
	var expires time.Time // an access token's end is no date for people
	if s.oauthOf(l.account) == "" {
		expires = s.today(now).AddDate(0, 0, s.studioValidity())
	}
	if a.Since.IsZero() {
		a.Since, a.Expires = now, expires
	}
	a.Name, a.Username = l.account, s.usernameOf(l.account)
	switch l.answer {
	case answerYes:
		a.GoodAt, a.RefusedAt, a.TroubleAt, a.Detail = now, time.Time{}, time.Time{}, ""
		if !a.Expires.IsZero() && s.today(now).After(a.Expires.AddDate(0, 0, 2)) {
			// It works three days after its date: that was not its date.
			a.Expires = expires
		}
	case answerRefused:
		a.RefusedAt, a.Detail = now, safetext.LineN(errText(l.err), 200)
	case answerNo:
		a.TroubleAt, a.Detail = now, safetext.LineN(errText(l.err), 200)
	}
	return a
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// oauthOf is the [[oauth]] account that one of the studio's own signs in
// with; "" where it has a password.
func (s *Service) oauthOf(account string) string {
	switch {
	case account == AccountInbox && s.cfg.Inbox.Auth == config.AuthOAuth2:
		return s.cfg.Inbox.Account
	case account == AccountSMTP && s.cfg.SMTP.Auth == config.AuthOAuth2:
		return s.cfg.SMTP.Account
	case account == AccountAlert:
		for _, a := range s.cfg.SMTPAccounts {
			if a.Name == s.cfg.Alert.SMTP && a.Auth == config.AuthOAuth2 {
				return a.Account
			}
		}
	}
	return ""
}

// accountRefused tells the studio by every way that is left.
func (s *Service) accountRefused(ctx context.Context, l login, now time.Time) {
	account := l.account
	event := Event{Event: account + ".refused", At: now, Mailbox: s.usernameOf(account),
		Msg:  "the provider refuses the studio's own password (" + account + ")",
		Hint: "make a new one at the provider and enter it with `ingest set --inbox`, or put it into the password file"}
	var said *notify.SendError
	if errors.As(l.err, &said) && said.Hint != "" && account != AccountInbox {
		event.Hint = said.Hint // a new password does not help where none is taken
	}
	if id := s.oauthOf(account); id != "" {
		event.Msg = "the provider refuses the studio's own sign-in (" + account + ")"
		event.account = id
		event.Hint = fmt.Sprintf("run `ingest login %s` and sign in with the second factor", id)
	}
	if account == AccountInbox {
		// Sending may still work; where it does not, the alert is the way.
		if err := s.queueStudioInbox(ctx, "refused", now); err != nil {
			s.log.Error("a warning can't be queued", "event", "outbox.error", "err", err)
		}
	}
	s.Alert(ctx, event)
}

// studioValidity is how many days a password of the studio's inbox lives.
func (s *Service) studioValidity() int {
	for _, p := range s.providers.All() {
		if (p.ID == s.cfg.Inbox.Provider || p.IMAP.Host != "" && p.IMAP.Host == s.cfg.Inbox.Host) && p.ValidityDays > 0 {
			return p.ValidityDays
		}
	}
	return s.policy.ValidityDays
}

// inboxSecret is the password of the studio's inbox: the one entered with
// `set --inbox`, unless the file was written after it.
func (s *Service) inboxSecret() (secret.Secret, error) {
	if s.cfg.Inbox.Auth == config.AuthOAuth2 {
		return s.AccessToken(context.Background(), s.cfg.Inbox.Account)
	}
	a, ok, err := s.account(context.Background(), AccountInbox)
	if err != nil {
		return secret.Secret{}, err
	}
	if !ok || len(a.Sealed) == 0 || a.Label.Login != s.cfg.Inbox.Username || fileNewer(s.cfg.Inbox.PasswordFile, a.SetAt) {
		p, err := passwordFile(s.cfg, "inbox.password_file", s.cfg.Inbox.PasswordFile)
		if e := (*Error)(nil); errors.As(err, &e) {
			e.Hint += "; or enter it with `ingest set --inbox`"
		}
		return p, err
	}
	p, err := s.vault.Unseal(a.Label, a.Sealed)
	if err != nil {
		return p, fmt.Errorf("opening the password entered with `set --inbox`: %w", err)
	}
	return p, nil
}

// smtpSecret is the password for sending; where it is the inbox's, it changes
// with it.
func (s *Service) smtpSecret() (secret.Secret, error) {
	if s.cfg.SMTP.Auth == config.AuthOAuth2 {
		return s.AccessToken(context.Background(), s.cfg.SMTP.Account)
	}
	if s.cfg.SMTP.Username == s.cfg.Inbox.Username && s.cfg.SMTP.PasswordFile == s.cfg.Inbox.PasswordFile {
		return s.InboxPassword()
	}
	return passwordFile(s.cfg, "smtp.password_file", s.cfg.SMTP.PasswordFile)
}

// fileNewer tells whether a password file was written after a time. A file of
// the credentials directory is as old as the service's last start, which says
// nothing.
func fileNewer(path string, t time.Time) bool {
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && strings.HasPrefix(path, dir+"/") {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && info.ModTime().After(t)
}

// marks tells secrets apart by salted scrypt hashes, and remembers in memory
// what it computed, so that it costs 50 ms once and not with each login.
type marks struct {
	signIn sync.Mutex // held while a token is read, renewed or replaced

	mu    sync.Mutex
	key   [32]byte // of the memory's own keys, made at start
	known map[[32]byte][]byte
}

const (
	scryptN  = 1 << 14
	markSize = 32
)

func newMarks() *marks {
	m := &marks{known: map[[32]byte][]byte{}}
	_, _ = rand.Read(m.key[:])
	return m
}

// is tells whether password is the secret that a's mark was made of.
func (m *marks) is(a vault.Account, password secret.Secret) bool {
	if len(a.Salt) == 0 || len(a.Mark) != markSize {
		return false
	}
	mark, err := m.hash(a.Salt, password)
	return err == nil && subtle.ConstantTimeCompare(mark, a.Mark) == 1
}

func (m *marks) make(password secret.Secret) (salt, mark []byte, err error) {
	salt = make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return nil, nil, err
	}
	mark, err = m.hash(salt, password)
	return salt, mark, err
}

func (m *marks) hash(salt []byte, password secret.Secret) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := sha256.New()
	h.Write(m.key[:])
	h.Write(salt)
	h.Write(password.Reveal())
	key := [32]byte(h.Sum(nil))
	if mark, ok := m.known[key]; ok {
		return mark, nil
	}
	mark, err := scrypt.Key(password.Reveal(), salt, scryptN, 8, 1, markSize)
	if err != nil {
		return nil, fmt.Errorf("marking a password: %w", err)
	}
	if len(m.known) > 16 {
		clear(m.known)
	}
	m.known[key] = mark
	return mark, nil
}
