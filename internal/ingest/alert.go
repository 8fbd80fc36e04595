package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"time"

	"pec-ingest/internal/config"
	"pec-ingest/internal/notify"
	"pec-ingest/internal/schedule"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// Event is what leaves by [alert]: on a command's standard input as JSON, or
// as a message by another account.
type Event struct {
	Event   string    `json:"event"` // a stable name, such as "inbox.refused"
	At      time.Time `json:"at"`
	Mailbox string    `json:"mailbox,omitempty"`
	Msg     string    `json:"msg"`
	Hint    string    `json:"hint,omitempty"`

	account string // the [[oauth]] account that has to sign in again, "" = none
	good    bool   // it is over
}

// alertTimeout bounds one alert, so that nobody waits for it long.
const alertTimeout = 30 * time.Second

// Alert tells people by the second way out, once a day for each kind of
// event. It reports its own failures to the log alone.
func (s *Service) Alert(ctx context.Context, e Event) {
	level := slog.LevelError
	if e.good {
		level = slog.LevelInfo
	}
	s.log.Log(ctx, level, e.Msg, "event", "alert", "about", e.Event, "hint", e.Hint)
	if s.cfg.Alert.SMTP == "" && len(s.cfg.Alert.Command) == 0 {
		return
	}
	first, lost := s.firstToday(ctx, e)
	if !first {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, alertTimeout)
	defer cancel()
	if len(s.cfg.Alert.Command) > 0 {
		if err := runCommand(ctx, s.cfg.Alert.Command, e); err != nil {
			s.log.Error("the alert command failed", "event", "alert.error", "err", err, "hint", "try it by hand: it reads one JSON object from standard input")
		}
	}
	if s.cfg.Alert.SMTP != "" {
		if err := s.alertByMail(ctx, e, lost); err != nil {
			s.log.Error("the alert can't be sent", "event", "alert.error", "err", err, "hint", "look at the [[smtp_account]] that alert.smtp names")
		}
	}
}

// runCommand runs a command of the configuration with v as JSON on its
// standard input. What it prints is not kept.
func runCommand(ctx context.Context, command []string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin = bytes.NewReader(append(b, '\n'))
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running %s: %w", command[0], err)
	}
	return nil
}

// alertByMail sends an alert to the studio. Of a lost vault nothing is asked:
// to wait for it would take the time that sending needs.
func (s *Service) alertByMail(ctx context.Context, e Event, lost bool) error {
	var account config.SMTP
	for _, a := range s.cfg.SMTPAccounts {
		if a.Name == s.cfg.Alert.SMTP {
			account = a
		}
	}
	if account.Host == "" {
		p, ok := s.providers.ByID(account.Provider)
		if !ok {
			return fmt.Errorf("no host for the account %q", s.cfg.Alert.SMTP)
		}
		account.Host, account.Port, account.TLS = p.SMTP.Host, p.SMTP.Port, p.SMTP.TLS
	}
	var password secret.Secret
	var err error
	if account.Auth == config.AuthOAuth2 {
		password, err = s.AccessToken(ctx, account.Account)
	} else {
		password, err = passwordFile(s.cfg, "smtp_account.password_file", account.PasswordFile)
	}
	if err != nil {
		return err
	}
	defer password.Wipe()
	if lost {
		err = s.mayTry(s.daemon.alerts.lastSeen(), AccountAlert, password, false)
	} else {
		err = s.mayLogIn(ctx, AccountAlert, password, false)
	}
	if err != nil {
		return err
	}
	roots, err := rootsWith(account.TLSCAFile)
	if err != nil {
		return err
	}
	r, err := s.templates.Render(notify.KindAlert, notify.Data{Lang: "it", Studio: s.studio(), Mailbox: e.Mailbox,
		Reason: e.Event, Account: e.account, Detail: e.Msg})
	if err != nil {
		return err
	}
	smtp := notify.SMTPConfig{Host: account.Host, Port: account.Port, TLS: account.TLS, Username: account.Username,
		Password: password, From: account.From, RootCAs: roots, Auth: account.Auth}
	for _, to := range s.cfg.Warnings.ToStudio {
		id, err := s.newMessageID()
		if err != nil {
			return err
		}
		_, err = s.sendMail(ctx, smtp, notify.Mail{To: to, MessageID: id, Subject: r.Subject, Text: r.Text, HTML: r.HTML, Date: e.At}, func() error { return nil })
		l := login{AccountAlert, password, smtpAnswer(err), err}
		note := s.noteAlertLogin
		if !lost {
			note = func(l login) error { return s.noteLogin(ctx, l, false) }
		}
		if noteErr := note(l); err == nil {
			err = noteErr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// heartbeat is the sign of life after a good pass: a file whose time another
// program watches, or a command. It stops when passes stop.
func (s *Service) heartbeat(ctx context.Context, now time.Time) {
	if path := s.cfg.Alert.HeartbeatFile; path != "" {
		err := os.Chtimes(path, now, now)
		if os.IsNotExist(err) {
			err = os.WriteFile(path, nil, 0o644)
		}
		if err != nil {
			s.log.Error("the heartbeat file can't be touched", "event", "heartbeat.error", "err", err, "hint", "alert.heartbeat_file must be in a folder that the service may write to")
		}
	}
	if command := s.cfg.Alert.HeartbeatCommand; len(command) > 0 {
		ctx, cancel := context.WithTimeout(ctx, alertTimeout)
		defer cancel()
		if err := runCommand(ctx, command, Event{Event: "pass.finished", At: now.UTC(), Msg: "a pass over the studio's inbox has ended well"}); err != nil {
			s.log.Error("the heartbeat command failed", "event", "heartbeat.error", "err", err, "hint", "alert.heartbeat_command")
		}
	}
}

// queueStudioInbox tells the studio's people about their own inbox; reason is
// "expiring", "expired" or "refused".
func (s *Service) queueStudioInbox(ctx context.Context, reason string, now time.Time) error {
	a, ok, err := s.account(ctx, AccountInbox)
	if err != nil || !ok {
		return err
	}
	d := notify.Data{Lang: "it", Studio: s.studio(), Mailbox: s.cfg.Inbox.Username, Reason: reason,
		Expires: a.Expires, DaysLeft: schedule.DaysLeft(a.Expires, s.today(now))}
	cause := shortCause("studio-inbox/" + reason + "/" + a.Since.Format(time.RFC3339) + "/" + a.Expires.Format(time.DateOnly) + "/" + fmt.Sprint(d.DaysLeft))
	return s.vault.Update(ctx, func(tx *vault.Tx) error {
		for _, to := range s.cfg.Warnings.ToStudio {
			if err := s.queue(tx, cause+"/"+to, notify.KindStudioInbox, vault.Client{}, to, d, priorityWarning); err != nil {
				return err
			}
		}
		return nil
	})
}

// warnOfInbox queues the warnings of the studio's own inbox that are due, by
// the rule of the clients' warnings: each at most once, ever.
func (s *Service) warnOfInbox(ctx context.Context, now time.Time) error {
	a, ok, err := s.account(ctx, AccountInbox)
	if err != nil || !ok || a.Expires.IsZero() || !a.RefusedAt.IsZero() {
		return err
	}
	warned, err := s.causes(ctx)
	if err != nil {
		return err
	}
	facts := schedule.Facts{Mailbox: s.cfg.Inbox.Username, Login: accountLogin, Version: 1, Issued: a.Since, Expires: a.Expires}
	for _, w := range schedule.Due(now, s.warnings.NextWorking(now, s.policy), []schedule.Facts{facts}, warned, s.policy) {
		reason := "expiring"
		if w.Threshold == schedule.ThresholdExpired {
			reason = "expired"
		}
		if err := s.queueStudioInbox(ctx, reason, now); err != nil {
			return err
		}
		err := s.vault.Update(ctx, func(tx *vault.Tx) error {
			return tx.MarkCause(warningCause(w.Key()), now.UTC().Format(time.RFC3339))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// accountLogin keeps the warnings of the studio's inbox apart from those of a
// client who has the same address.
const accountLogin = "(studio)"
