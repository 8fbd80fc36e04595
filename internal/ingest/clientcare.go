package ingest

import (
	"context"
	"fmt"
	"net"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"time"

	"pec-ingest/internal/safetext"
	"pec-ingest/internal/vault"
)

// mailboxForm is what a mailbox looks like after lower-casing (DESIGN §1).
var mailboxForm = regexp.MustCompile(`^[a-z0-9._+-]{1,64}@([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]{2,}$`)

// ClientFields are what can be said of a client; a nil field is left as it is.
type ClientFields struct {
	Name, Provider, Login, Email, Phone, Lang, IMAPAddr *string
	UsedIn, Senders                                     []string // nil: as it is
}

// AddClient adds a client or changes what is on record; a client who had left
// is taken back. changed is false when everything stood there already.
func (s *Service) AddClient(ctx context.Context, actor, mailbox string, f ClientFields, now time.Time) (added, changed bool, err error) {
	mailbox = strings.ToLower(strings.TrimSpace(mailbox))
	if err := s.checkClient(mailbox, &f); err != nil {
		return false, false, err
	}
	err = s.vault.Update(ctx, func(tx *vault.Tx) error {
		added, changed, err = putClient(tx, actor, mailbox, f, now)
		return err
	})
	return added, changed, err
}

// checkClient refuses what can't be a client's record and tidies the rest.
func (s *Service) checkClient(mailbox string, f *ClientFields) error {
	if !mailboxForm.MatchString(mailbox) {
		return usage("%q is no mailbox address", safetext.Address(mailbox))
	}
	if s.isOwn(mailbox) {
		return usage("%s is the studio's own inbox", mailbox).hint("its password is kept with `ingest set --inbox`")
	}
	if f.Provider != nil && *f.Provider != "" {
		id, ok := s.providerID(*f.Provider)
		if !ok {
			return usage("%q is no known provider", safetext.Line(*f.Provider)).hint("`ingest provider list` shows them; left out, it is learned from the first verified message")
		}
		f.Provider = &id
	}
	if f.Email != nil && *f.Email != "" {
		a, err := mail.ParseAddress(*f.Email)
		if err != nil {
			return usage("%q is no e-mail address", safetext.Line(*f.Email))
		}
		f.Email = &a.Address
	}
	if f.Lang != nil && *f.Lang != "" {
		lang := strings.ToLower(strings.TrimSpace(*f.Lang))
		if lang != "it" && lang != "en" {
			return usage("%q is no language of this program", safetext.Line(*f.Lang)).hint("it or en")
		}
		f.Lang = &lang
	}
	if f.IMAPAddr != nil && *f.IMAPAddr != "" {
		if _, _, err := net.SplitHostPort(*f.IMAPAddr); err != nil {
			return usage("%q is no server address", safetext.Line(*f.IMAPAddr)).hint("write it as host:port")
		}
	}
	for i, sender := range f.Senders {
		f.Senders[i] = strings.ToLower(strings.TrimSpace(sender))
		if !mailboxForm.MatchString(f.Senders[i]) {
			return usage("%q is no mailbox address", safetext.Address(sender))
		}
	}
	return nil
}

// providerID finds a provider by its id or, as people write it, by its name.
func (s *Service) providerID(said string) (string, bool) {
	said = strings.ToLower(strings.TrimSpace(said))
	if p, ok := s.providers.ByID(said); ok {
		return p.ID, true
	}
	var fit []string
	for _, p := range s.providers.All() {
		if strings.ToLower(p.Name) == said {
			return p.ID, true
		}
		if strings.HasPrefix(p.ID, said+"-") || strings.HasPrefix(strings.ToLower(p.Name), said+" ") {
			fit = append(fit, p.ID)
		}
	}
	if len(fit) == 1 {
		return fit[0], true
	}
	return "", false
}

func putClient(tx *vault.Tx, actor, mailbox string, f ClientFields, now time.Time) (added, changed bool, err error) {
	c, there, err := tx.Client(mailbox)
	if err != nil {
		return false, false, err
	}
	before := c
	before.UsedIn, before.Senders = slices.Clone(c.UsedIn), slices.Clone(c.Senders)
	added = !there || !c.RemovedAt.IsZero()
	if added {
		c.Mailbox, c.AddedAt, c.RemovedAt = mailbox, now.UTC().Truncate(time.Second), time.Time{}
	}
	for _, set := range []struct {
		to   *string
		from *string
	}{{&c.Name, f.Name}, {&c.Provider, f.Provider}, {&c.Login, f.Login}, {&c.Email, f.Email}, {&c.Phone, f.Phone},
		{&c.Lang, f.Lang}, {&c.IMAPAddr, f.IMAPAddr}} {
		if set.from != nil {
			*set.to = strings.TrimSpace(*set.from)
		}
	}
	c.Name, c.Phone = safetext.Line(c.Name), safetext.Line(c.Phone)
	if f.UsedIn != nil {
		c.UsedIn = f.UsedIn
	}
	if f.Senders != nil {
		c.Senders = f.Senders
	}
	if !added && sameClient(before, c) {
		return false, false, nil
	}
	if err := tx.PutClient(c); err != nil {
		return added, true, err
	}
	event := "client.changed"
	if added {
		event = "client.added"
	}
	return added, true, tx.Audit(vault.AuditEntry{Actor: actor, Event: event, Mailbox: mailbox})
}

func sameClient(a, b vault.Client) bool {
	return a.Name == b.Name && a.Provider == b.Provider && a.Login == b.Login && a.Email == b.Email && a.Phone == b.Phone &&
		a.Lang == b.Lang && a.IMAPAddr == b.IMAPAddr && slices.Equal(a.UsedIn, b.UsedIn) && slices.Equal(a.Senders, b.Senders)
}

// ClientRow is one client in `client list --json`.
type ClientRow struct {
	Mailbox  string    `json:"mailbox"`
	Name     *string   `json:"name"`
	Provider *string   `json:"provider"`
	Login    *string   `json:"login"`
	Email    *string   `json:"email"`
	Phone    *string   `json:"phone"`
	Lang     *string   `json:"lang"`
	UsedIn   []string  `json:"used_in"`
	Senders  []string  `json:"senders"`
	IMAP     *string   `json:"imap"`
	AddedAt  time.Time `json:"added_at"`
}

// Clients lists the studio's clients; removed ones are left out.
func (s *Service) Clients(ctx context.Context) ([]ClientRow, error) {
	rows := []ClientRow{}
	err := s.vault.View(ctx, func(tx *vault.Tx) error {
		rows = rows[:0]
		return tx.Clients(func(c vault.Client) error {
			if c.RemovedAt.IsZero() {
				rows = append(rows, clientRow(c))
			}
			return nil
		})
	})
	return rows, err
}

func clientRow(c vault.Client) ClientRow {
	return ClientRow{Mailbox: c.Mailbox, Name: orNull(c.Name), Provider: orNull(c.Provider), Login: orNull(c.Login),
		Email: orNull(c.Email), Phone: orNull(c.Phone), Lang: orNull(c.Lang), UsedIn: notNil(c.UsedIn), Senders: notNil(c.Senders),
		IMAP: orNull(c.IMAPAddr), AddedAt: c.AddedAt}
}

func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// RemoveClient ends the work for a client at once: no probe, no hand-out any
// more. All secrets are destroyed, waiting submissions and reviews with them;
// a tombstone keeps who it was and since when.
func (s *Service) RemoveClient(ctx context.Context, actor, mailbox string, now time.Time) error {
	mailbox = strings.ToLower(mailbox)
	err := s.vault.Update(ctx, func(tx *vault.Tx) error {
		c, ok, err := tx.Client(mailbox)
		if err != nil {
			return err
		}
		if !ok || !c.RemovedAt.IsZero() {
			return noSuchMailbox(mailbox)
		}
		c.RemovedAt = now.UTC().Truncate(time.Second)
		if err := tx.PutClient(c); err != nil {
			return err
		}
		return tx.Audit(vault.AuditEntry{Actor: actor, Event: "client.removed", Mailbox: mailbox})
	})
	if err != nil {
		return err
	}
	// From here on nothing is handed out or tried; what follows may be done
	// in several transactions and, after a crash, by calling this again.
	return s.destroySecrets(ctx, mailbox, now)
}

func (s *Service) destroySecrets(ctx context.Context, mailbox string, now time.Time) error {
	var versions []vault.Version
	var subs []vault.Submission
	var reviews []vault.Review
	err := s.vault.View(ctx, func(tx *vault.Tx) error {
		versions, subs, reviews = nil, nil, nil
		creds, err := tx.CredentialsOf(mailbox)
		if err != nil {
			return err
		}
		for _, cred := range creds {
			list, err := tx.Versions(mailbox, cred.Login)
			if err != nil {
				return err
			}
			versions = append(versions, list...)
		}
		if err := tx.Submissions(func(sub vault.Submission) error {
			if sub.Mailbox == mailbox && hasSecrets(sub) {
				subs = append(subs, sub)
			}
			return nil
		}); err != nil {
			return err
		}
		return tx.Reviews(func(r vault.Review) error {
			if r.Mailbox == mailbox && r.DecidedAt.IsZero() {
				reviews = append(reviews, r)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	if err := s.destroyOTPs(ctx, mailbox); err != nil {
		return err
	}
	at := now.UTC().Truncate(time.Second)
	for part := range slices.Chunk(versions, 40) {
		if err := s.vault.Update(ctx, func(tx *vault.Tx) error {
			for _, v := range part {
				if v.Sealed == nil {
					continue
				}
				v.Sealed = nil
				if v.EndedAt.IsZero() {
					v.State, v.EndedAt, v.Ended = VersionSuperseded, at, "the client left"
				}
				if err := tx.PutVersion(v); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(subs, 20) {
		if err := s.vault.Update(ctx, func(tx *vault.Tx) error {
			for _, sub := range part {
				for i := range sub.Candidates {
					sub.Candidates[i].Sealed = nil
				}
				sub.Letter, sub.LetterLabel, sub.Intent = nil, vault.Label{}, nil
				sub.Stage, sub.Filed = vault.StageSettled, FiledStays
				if sub.Outcome == "" {
					sub.Outcome = OutcomeIgnored
				}
				if err := tx.PutSubmission(sub); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(reviews, 5) {
		if err := s.vault.Update(ctx, func(tx *vault.Tx) error {
			for _, r := range part {
				if err := tx.DeleteBlobs(r.SubmissionID); err != nil {
					return err
				}
				r.DecidedAt, r.DecidedBy, r.Decision = at, ActorService, "the client left"
				r.Letter, r.LetterLabel = nil, vault.Label{}
				if err := tx.PutReview(r); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return s.resetCredentials(ctx, mailbox)
}

func hasSecrets(sub vault.Submission) bool {
	if len(sub.Letter) > 0 || sub.Stage != vault.StageSettled {
		return true
	}
	for _, c := range sub.Candidates {
		if len(c.Sealed) > 0 {
			return true
		}
	}
	return false
}

// resetCredentials makes what is left point at no version any more.
func (s *Service) resetCredentials(ctx context.Context, mailbox string) error {
	return s.vault.Update(ctx, func(tx *vault.Tx) error {
		creds, err := tx.CredentialsOf(mailbox)
		if err != nil {
			return err
		}
		for _, cred := range creds {
			cred.Current, cred.Proven, cred.Refused, cred.Intent = 0, 0, false, nil
			if err := tx.PutCredential(cred); err != nil {
				return err
			}
		}
		return nil
	})
}

// ClientExport is everything kept on one client, secrets left out.
type ClientExport struct {
	Client      ClientRow          `json:"client"`
	RemovedAt   *time.Time         `json:"removed_at"`
	Versions    []HistoryRow       `json:"versions"`
	Submissions []ExportSubmission `json:"submissions"`
	Reviews     []ReviewRow        `json:"reviews"`
	OTP         []OTPRow           `json:"otp"` // accounts with one-time codes
	Messages    []OutboxRow        `json:"messages"`
	Audit       []AuditRow         `json:"audit"`
}

// ExportSubmission is one submission in an export.
type ExportSubmission struct {
	ID      string    `json:"id"`
	SentAt  time.Time `json:"sent_at"`
	Found   string    `json:"found"`
	Outcome string    `json:"outcome"`
	Version int       `json:"version"`
	Subject string    `json:"subject"`
}

// ExportClient gathers everything kept on one client.
func (s *Service) ExportClient(ctx context.Context, mailbox string) (ClientExport, error) {
	mailbox = strings.ToLower(mailbox)
	e := ClientExport{OTP: []OTPRow{}, Submissions: []ExportSubmission{}, Reviews: []ReviewRow{}, Messages: []OutboxRow{}, Audit: []AuditRow{}}
	var err error
	if e.Versions, err = s.History(ctx, mailbox); err != nil {
		return e, err
	}
	err = s.vault.View(ctx, func(tx *vault.Tx) error {
		c, _, err := tx.Client(mailbox)
		if err != nil {
			return err
		}
		e.Client, e.RemovedAt = clientRow(c), timeOrNull(c.RemovedAt)
		if err := tx.Submissions(func(sub vault.Submission) error {
			if sub.Mailbox == mailbox {
				e.Submissions = append(e.Submissions, ExportSubmission{sub.ID, sub.SentAt, sub.Find, sub.Outcome, sub.Version, sub.Masked})
			}
			return nil
		}); err != nil {
			return err
		}
		if err := tx.Reviews(func(r vault.Review) error {
			if r.Mailbox == mailbox {
				e.Reviews = append(e.Reviews, reviewRow(r))
			}
			return nil
		}); err != nil {
			return err
		}
		seeds, err := tx.OneTimes(mailbox)
		if err != nil {
			return err
		}
		for _, o := range seeds {
			e.OTP = append(e.OTP, otpRow(o))
		}
		if err := tx.AllOutgoing(func(o vault.Outgoing) error {
			if o.Mailbox == mailbox {
				e.Messages = append(e.Messages, s.outboxRow(o, false))
			}
			return nil
		}); err != nil {
			return err
		}
		return tx.AuditLog(func(a vault.AuditEntry) error {
			if a.Mailbox == mailbox {
				e.Audit = append(e.Audit, auditRow(a))
			}
			return nil
		})
	})
	if err != nil {
		return e, fmt.Errorf("gathering what is kept on %s: %w", mailbox, err)
	}
	return e, nil
}
