package ingest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"pec-ingest/internal/notify"
	"pec-ingest/internal/safetext"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// Deliver sends what the outbox holds and is due, replies before warnings, no
// more than smtp.max_per_minute a minute; it waits rather than dropping.
//
// Exactly once does not exist in SMTP. "in-doubt" is committed just before
// the final dot: a crash after it leaves a message that may or may not have
// gone out. Where receipts come back, the acceptance settles it, and without
// one after an hour it is sent again with the same Message-ID; elsewhere it is
// shown, and never sent again by itself.
//
// What is no longer true when its turn comes is withdrawn (outdated).
func (s *Service) Deliver(ctx context.Context) error {
	if !s.cfg.SMTP.Enabled {
		return nil
	}
	if hold, err := s.heldByRestore(ctx); err != nil || hold {
		return err
	}
	s.sending.Lock() // two at once would send twice
	defer s.sending.Unlock()
	if err := s.settleDoubts(ctx, time.Now()); err != nil {
		return err
	}
	var lately []time.Time // when messages were sent within the last minute
	for first := true; ; first = false {
		due, err := s.dueMail(ctx, time.Now())
		if err != nil || len(due) == 0 {
			return err
		}
		if first { // all that were ever sent are looked at, once and not with each one
			if lately, err = s.sentLately(ctx, time.Now()); err != nil {
				return err
			}
		}
		now := time.Now()
		lately = slices.DeleteFunc(lately, func(at time.Time) bool { return !paced(at, now) })
		if wait := s.pace(lately, now); wait > 0 {
			s.log.Info("waiting: the provider takes only so many messages a minute", "event", "outbox.paced", "waiting", len(due), "seconds", int(wait.Seconds())+1)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(wait):
			}
			continue
		}
		if stop, err := s.sendOne(ctx, due[0]); err != nil || stop {
			return err
		}
		at, err := s.sentAt(ctx, due[0].N)
		if err != nil {
			return err
		}
		lately = append(lately, at)
	}
}

// doubtAfter is how long an acceptance receipt is waited for.
const doubtAfter = time.Hour

// settleDoubts queues again what has been in doubt for an hour without an
// acceptance receipt, if the inbox has been read to its end since.
func (s *Service) settleDoubts(ctx context.Context, now time.Time) error {
	read := time.Unix(s.lastScan.Load(), 0)
	if !s.tracked() {
		return nil
	}
	return s.vault.Update(ctx, func(tx *vault.Tx) error {
		open, err := tx.OpenOutgoing()
		if err != nil {
			return err
		}
		left := 20 // of one transaction; the others wait for the next run
		for _, o := range open {
			if o.State == vault.OutInDoubt && o.SentAt.Sub(now) > setBack {
				o.SentAt = now // the hour begins anew
				if err := tx.PutOutgoing(o); err != nil {
					return err
				}
				continue
			}
			if o.State != vault.OutInDoubt || now.Sub(o.SentAt) < doubtAfter || read.Before(o.SentAt.Add(doubtAfter)) || o.Resent >= maxResends || left == 0 {
				continue
			}
			left--
			o.Resent++ // a server that swallows every answer gets it so often and no more
			o.State, o.NextAt, o.SentAt, o.Doubtful = vault.OutQueued, time.Time{}, time.Time{}, false
			s.log.Warn("no acceptance receipt within the hour: sent again with the same Message-ID", "event", "outbox.resent", "n", o.N)
			if err := tx.PutOutgoing(o); err != nil {
				return err
			}
		}
		return nil
	})
}

// dueMail lists what can be sent now, most urgent first.
func (s *Service) dueMail(ctx context.Context, now time.Time) (due []vault.Outgoing, err error) {
	err = s.vault.View(ctx, func(tx *vault.Tx) error {
		due = nil
		open, err := tx.OpenOutgoing()
		for _, o := range open {
			if o.State == vault.OutQueued && !pausing(o.NextAt, now, maxBackoff) && !o.Doubtful {
				due = append(due, o)
			}
		}
		return err
	})
	slices.SortStableFunc(due, func(a, b vault.Outgoing) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.N, b.N))
	})
	return due, err
}

// sentLately lists when messages were sent within the last minute.
func (s *Service) sentLately(ctx context.Context, now time.Time) (lately []time.Time, err error) {
	err = s.vault.View(ctx, func(tx *vault.Tx) error {
		lately = nil
		return tx.AllOutgoing(func(o vault.Outgoing) error {
			if paced(o.SentAt, now) {
				lately = append(lately, o.SentAt)
			}
			return nil
		})
	})
	return lately, err
}

// sentAt is when a message was sent; zero if it was not.
func (s *Service) sentAt(ctx context.Context, n int) (at time.Time, err error) {
	err = s.vault.View(ctx, func(tx *vault.Tx) error {
		o, _, err := tx.Outgoing(n)
		at = o.SentAt
		return err
	})
	return at, err
}

// paced tells whether a message sent at a time counts for the minute around now.
func paced(at, now time.Time) bool {
	ago := now.Sub(at)
	return !at.IsZero() && ago < time.Minute && ago > -time.Minute
}

// pace is how long to wait before the next message may leave.
func (s *Service) pace(lately []time.Time, now time.Time) time.Duration {
	limit := s.cfg.SMTP.MaxPerMinute
	if limit <= 0 || len(lately) < limit {
		return 0
	}
	slices.SortFunc(lately, time.Time.Compare)
	oldest := lately[len(lately)-limit]
	return max(oldest.Add(time.Minute).Sub(now), 0) + 100*time.Millisecond
}

// sendOne sends one message and records how it ended. stop is true where
// going on makes no sense now: the server does not answer or refuses the
// password.
func (s *Service) sendOne(ctx context.Context, o vault.Outgoing) (stop bool, err error) {
	if gone, err := s.withdraw(ctx, o.N); err != nil || gone {
		return false, err
	}
	var mail notify.Mail
	err = s.caught("composing a message", func() (err error) {
		mail, err = s.compose(o)
		return err
	})
	if err != nil {
		return false, s.markOut(ctx, o.N, func(m *vault.Outgoing) {
			m.State, m.LastError = vault.OutFailed, safetext.Line(err.Error())
		})
	}
	smtp, err := s.smtpConfig()
	if err != nil {
		return true, err
	}
	defer smtp.Password.Wipe()
	if err := s.mayLogIn(ctx, AccountSMTP, smtp.Password, false); err != nil {
		return true, err
	}
	killPoint("before-send")
	_, err = s.sendMail(ctx, smtp, mail, func() error {
		defer killPoint("before-dot")
		return s.markOut(ctx, o.N, func(m *vault.Outgoing) { m.State, m.SentAt = vault.OutInDoubt, time.Now() })
	})
	killPoint("after-send")
	var markErr error
	if err == nil {
		// First of all: what is not marked when the process dies is in doubt,
		// and to note the login takes a slow hash of the password. It is kept
		// also when the program is ending.
		markErr = s.markOut(context.WithoutCancel(ctx), o.N, func(m *vault.Outgoing) {
			m.State, m.SentAt, m.LastError = vault.OutSent, time.Now(), ""
		})
		s.log.Info("message sent", "event", "outbox.sent", "n", o.N, "kind", o.Kind, "to", o.To)
	}
	if noteErr := s.noteLogin(ctx, login{AccountSMTP, smtp.Password, smtpAnswer(err), err}, false); noteErr != nil && ctx.Err() == nil {
		s.log.Error("the login can't be recorded", "event", "smtp.error", "err", noteErr)
	}
	if err == nil {
		return false, markErr
	}
	var se *notify.SendError
	if !errors.As(err, &se) {
		return true, fmt.Errorf("sending message %d: %w", o.N, err)
	}
	tired := se.Temporary && !se.ForAll && time.Since(o.QueuedAt) > giveUpAfter
	failed := tired || !se.Temporary && !se.Refused && !se.ForAll
	s.log.Warn("a message could not be sent", "event", "outbox.failed", "n", o.N, "kind", o.Kind, "stage", se.Stage,
		"code", se.Code, "detail", se.Detail, "hint", se.Hint, "again", !failed)
	err = s.markOut(ctx, o.N, func(m *vault.Outgoing) {
		if m.State == vault.OutInDoubt && se.InDoubt() {
			m.LastError = safetext.Line(se.Error())
			return // the dot was sent and no answer came
		}
		m.Tries++
		m.SentAt, m.LastError = time.Time{}, safetext.Line(se.Error())
		m.State, m.NextAt = vault.OutQueued, time.Now().Add(backoff(m.Tries))
		if failed {
			m.State = vault.OutFailed
		}
	})
	return se.Refused || se.ForAll, err
}

// withdraw gives a queued message up if it must not go out any more; gone
// tells that it is not to be sent.
func (s *Service) withdraw(ctx context.Context, n int) (gone bool, err error) {
	var why string
	err = s.vault.Update(ctx, func(tx *vault.Tx) error {
		gone, why = false, ""
		o, ok, err := tx.Outgoing(n)
		if err != nil || !ok {
			return firstError(err, vault.ErrNotFound)
		}
		if gone = o.State != vault.OutQueued; gone {
			return nil // a receipt came meanwhile, or a person decided
		}
		if why, err = outdated(tx, o); err != nil || why == "" {
			return err
		}
		gone = true
		o.State, o.Withdrawn, o.LastError = vault.OutFailed, true, "not sent: "+why
		return tx.PutOutgoing(o)
	})
	if why != "" {
		s.log.Info("a message is not sent any more", "event", "outbox.withdrawn", "n", n, "reason", why)
	}
	return gone, err
}

// backoff spaces the tries of one message: a minute, then twice as long each
// time, at most six hours.
func backoff(tries int) time.Duration {
	return min(time.Minute<<min(tries-1, 10), maxBackoff)
}

const maxBackoff = 6 * time.Hour

func (s *Service) markOut(ctx context.Context, n int, change func(*vault.Outgoing)) error {
	return s.vault.Update(ctx, func(tx *vault.Tx) error {
		o, ok, err := tx.Outgoing(n)
		if err != nil || !ok {
			return firstError(err, vault.ErrNotFound)
		}
		change(&o)
		return tx.PutOutgoing(o)
	})
}

// compose renders a queued message.
func (s *Service) compose(o vault.Outgoing) (notify.Mail, error) {
	var d notify.Data
	if err := json.Unmarshal(o.Data, &d); err != nil {
		return notify.Mail{}, fmt.Errorf("reading the data of message %d: %w", o.N, err)
	}
	r, err := s.templates.Render(notify.Kind(o.Kind), d)
	if err != nil {
		return notify.Mail{}, fmt.Errorf("rendering message %d: %w", o.N, err)
	}
	m := notify.Mail{To: o.To, MessageID: o.MessageID, Subject: r.Subject, Text: r.Text, HTML: r.HTML, Date: o.QueuedAt}
	if o.Priority == priorityWarning {
		m.Headers = map[string]string{"X-TipoRicevuta": "breve"}
	}
	return m, nil
}

func (s *Service) smtpConfig() (notify.SMTPConfig, error) {
	password, err := s.SMTPPassword()
	switch {
	case err != nil && HintOf(err) != "":
		return notify.SMTPConfig{}, err
	case err != nil:
		return notify.SMTPConfig{}, &Error{Msg: "reading the password for sending", Err: err,
			Hint: "put it into the file that smtp.password_file names, mode 0600"}
	}
	return s.smtpServer(password)
}

// smtpServer is the server of [smtp], to be signed in to with a password or
// an access token.
func (s *Service) smtpServer(password secret.Secret) (notify.SMTPConfig, error) {
	c := s.cfg.SMTP
	roots, err := rootsWith(c.TLSCAFile)
	if err != nil {
		return notify.SMTPConfig{}, &Error{Class: BadConfig, Msg: s.cfg.Where("smtp.tls_ca_file"), Err: err}
	}
	return notify.SMTPConfig{Host: c.Host, Port: c.Port, TLS: c.TLS, Username: c.Username, Password: password,
		From: c.From, RootCAs: roots, Auth: c.Auth}, nil
}

func hashText(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}
