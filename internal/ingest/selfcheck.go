package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"filippo.io/age"

	"pec-ingest/internal/config"
	"pec-ingest/internal/notify"
	"pec-ingest/internal/vault"
)

// Levels of a check line.
const (
	LevelOK      = "ok"
	LevelWarning = "warning"
	LevelError   = "error"
)

// CheckLine is one line of `ingest check`.
type CheckLine struct {
	Name  string `json:"name"`
	Level string `json:"level"`
	Msg   string `json:"msg"`
	Hint  string `json:"hint,omitempty"`
}

// SelfCheck looks whether a configuration would work: keys, trust, the commands
// of [alert], vault, inbox, SMTP, clock. It changes nothing, and tries each password at most
// once.
func SelfCheck(ctx context.Context, cfg *config.Config, s *Service, openErr error, now time.Time) []CheckLine {
	lines := []CheckLine{{"config", LevelOK, cfg.Path + " is valid", ""}}
	lines = append(lines, checkKeys(cfg)...)
	lines = append(lines, checkTrust(cfg, now)...)
	lines = append(lines, checkSince(cfg, now)...)
	lines = append(lines, checkCommands(cfg)...)
	if openErr != nil {
		return append(lines, CheckLine{"vault", LevelError, openErr.Error(), HintOf(openErr)})
	}
	if err := s.vault.InPlace(); err != nil {
		lines = append(lines, CheckLine{"vault", LevelError, cfg.Vault.URL + ": " + err.Error(), HintOf(err)})
	} else {
		lines = append(lines, CheckLine{"vault", LevelOK, "opens: " + cfg.Vault.URL, ""})
	}
	lines = append(lines, s.checkOTP()...)
	clock, err := s.checkClock(ctx, now)
	if err != nil {
		clock = CheckLine{"vault", LevelError, "reading it: " + err.Error(), HintOf(err)}
	}
	lines = append(lines, clock, s.checkInbox(ctx))
	return append(lines, s.checkSMTP(ctx))
}

func checkKeys(cfg *config.Config) []CheckLine {
	text, err := os.ReadFile(cfg.Vault.RecipientsFile)
	if err != nil {
		return []CheckLine{{"keys", LevelError, "recipients: " + err.Error(), "`ingest init` writes them"}}
	}
	list, err := age.ParseRecipients(bytes.NewReader(text))
	switch {
	case err != nil:
		return []CheckLine{{"keys", LevelError, "recipients: " + err.Error(), "one age public key a line"}}
	case len(list) < 2:
		return []CheckLine{{"keys", LevelError, "passwords are sealed to a single key: when it is lost, all are", "add the public half of a recovery key kept offline to vault.recipients_file, then `ingest rekey`"}}
	}
	lines := []CheckLine{{"keys", LevelOK, fmt.Sprintf("passwords are sealed to %d keys", len(list)), ""}}
	return append(lines, checkIdentity(cfg))
}

// checkIdentity says where the identity was found and how it is kept; whether
// it opens the vault is another line.
func checkIdentity(cfg *config.Config) CheckLine {
	k := vaultKeyFiles(cfg)
	if k.identity == "" {
		return CheckLine{"identity", LevelWarning, "none: passwords are accepted but can't be handed out or tried again", "set vault.identity_file"}
	}
	b, err := readIdentityFile(cfg, k)
	if err != nil {
		return CheckLine{"identity", LevelError, err.Error(), HintOf(err)}
	}
	locked := vault.IdentityLocked(b)
	clear(b)
	found := k.identity
	if config.InCredentials(k.identity) {
		found = "a credential of systemd, " + found
	}
	switch {
	case !locked:
		return CheckLine{"identity", LevelOK, found, ""}
	case k.passphrase == "":
		return CheckLine{"identity", LevelWarning, found + ", protected by a passphrase that is asked for on the terminal: a service can't start so",
			"vault.identity_passphrase_file, as a credential of systemd (docs/systemd.md)"}
	}
	if err := config.CheckPrivate(k.passphrase); err != nil {
		err := fileError(cfg, "vault.identity_passphrase_file", k.passphrase, err)
		return CheckLine{"identity", LevelWarning, found + ", protected by a passphrase that is asked for: " + err.Error(), err.Hint}
	}
	line := CheckLine{"identity", LevelOK, found + ", protected by the passphrase in " + k.passphrase, ""}
	if filepath.Dir(k.passphrase) == filepath.Dir(k.identity) && !config.InCredentials(k.passphrase) {
		line.Level, line.Hint = LevelWarning, "a passphrase in the same folder protects nothing: keep it as a credential of systemd, encrypted (docs/systemd.md)"
	}
	return line
}

// checkOTP looks at the keys of the one-time codes, where these are on.
func (s *Service) checkOTP() []CheckLine {
	if !s.cfg.OTP.Enabled {
		return nil
	}
	ring, err := s.ring(s.cfg.OTP.IdentityFile != "")
	if err != nil {
		return []CheckLine{{"otp", LevelError, err.Error(), HintOf(err)}}
	}
	same, err := s.vault.OpensRing(ring)
	line := CheckLine{"otp", LevelOK, fmt.Sprintf("one-time codes are on, sealed to %d keys of their own", ring.Recipients()), ""}
	switch {
	case err != nil:
		line.Level, line.Msg = LevelError, err.Error()
	case same:
		line.Level, line.Msg, line.Hint = LevelError, "the key of the passwords opens the one-time codes too", "take the public half of vault.identity_file out of otp.recipients_file, then `ingest rekey`"
	case ring.Recipients() < 2:
		line.Level, line.Msg, line.Hint = LevelWarning, "one-time codes are sealed to a single key: when it is lost, each second factor must be set up anew", "add the public half of a key kept offline to otp.recipients_file, then `ingest rekey`"
	case s.cfg.OTP.IdentityFile == "":
		line.Level, line.Msg, line.Hint = LevelWarning, "one-time codes are kept, but there is no key to give one out", "set otp.identity_file"
	}
	return []CheckLine{line}
}

func checkTrust(cfg *config.Config, now time.Time) []CheckLine {
	trust, err := OpenTrust(cfg)
	if err != nil {
		return []CheckLine{{"trust", LevelError, err.Error(), HintOf(err)}}
	}
	var lines []CheckLine
	for _, a := range trust.Anchors() {
		l := CheckLine{"trust", LevelOK, fmt.Sprintf("anchor %s spki-sha256:%s", a.Name, a.SPKI), ""}
		if !a.NotAfter.IsZero() {
			l.Msg += " (certificate until " + a.NotAfter.Format(time.DateOnly) + ")"
			if a.NotAfter.Before(now) {
				l.Level, l.Hint = LevelWarning, "the key still counts; is there a newer certificate?"
			}
		}
		lines = append(lines, l)
	}
	if len(lines) == 0 {
		lines = append(lines, CheckLine{"trust", LevelError, "there is no trust anchor: no message can be certified", "set trust.builtin = true"})
	}
	for _, c := range trust.CRLs() {
		l := CheckLine{"crl", LevelOK, fmt.Sprintf("%s, of %s", c.Issuer, c.ThisUpdate.Format(time.DateOnly)), ""}
		if !c.NextUpdate.IsZero() && c.NextUpdate.Before(now) {
			l.Level, l.Msg, l.Hint = LevelWarning, l.Msg+": a newer one has been due since "+c.NextUpdate.Format(time.DateOnly), "fetch it again; revoked signers in it are refused all the same"
		}
		lines = append(lines, l)
	}
	return lines
}

// checkSince warns of a first day that is still to come.
func checkSince(cfg *config.Config, now time.Time) []CheckLine {
	since := cfg.Inbox.Since.Format(time.DateOnly)
	if since <= now.In(cfg.Policy.Location).Format(time.DateOnly) {
		return nil
	}
	return []CheckLine{{"since", LevelWarning, cfg.Where("inbox.since") + ": " + since + " is in the future: the first pass will take nothing",
		"the day from which on messages count; \"\" = as far back as a password can be valid"}}
}

// checkCommands looks whether the programs of [alert] are there and may be
// run, and runs none.
func checkCommands(cfg *config.Config) []CheckLine {
	var lines []CheckLine
	for _, c := range []struct {
		key     string
		command []string
	}{{"alert.command", cfg.Alert.Command}, {"alert.heartbeat_command", cfg.Alert.HeartbeatCommand}} {
		if len(c.command) == 0 {
			continue
		}
		line := CheckLine{"alert", LevelOK, c.key + ": " + c.command[0], ""}
		if _, err := exec.LookPath(c.command[0]); err != nil {
			line = CheckLine{"alert", LevelError, cfg.Where(c.key) + ": " + err.Error(),
				"the whole path of a program that the service's account may run (`chmod 755`), its arguments as further strings"}
		}
		lines = append(lines, line)
	}
	return lines
}

// checkClock compares the clock with the newest time that the vault knows.
func (s *Service) checkClock(ctx context.Context, now time.Time) (CheckLine, error) {
	var last time.Time
	err := s.vault.View(ctx, func(tx *vault.Tx) error {
		last = time.Time{}
		for _, job := range []string{JobProbe, JobWarnings} {
			at, _, err := tx.Job(job)
			if err != nil {
				return err
			}
			last = latest(last, at)
		}
		account, _, err := tx.Account(AccountInbox)
		if err != nil {
			return err
		}
		last = latest(last, account.GoodAt)
		return tx.Clients(func(c vault.Client) error {
			last = latest(last, c.AddedAt)
			return nil
		})
	})
	if err != nil {
		return CheckLine{}, err
	}
	if now.Before(last.Add(-time.Minute)) {
		return CheckLine{"clock", LevelError, "the clock shows " + now.Format(time.RFC3339) + ", but the vault was written at " + last.Format(time.RFC3339), "set the clock: expiry dates depend on it"}, nil
	}
	return CheckLine{"clock", LevelOK, now.Format(time.RFC3339), ""}, nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (s *Service) checkInbox(ctx context.Context) CheckLine {
	sess, err := s.openInbox(ctx, PassOptions{DryRun: true, Asked: true})
	if err == nil {
		defer sess.Close()
		_, err = sess.Examine(ctx)
	}
	if err != nil {
		return CheckLine{"inbox", LevelError, err.Error(), HintOf(err)}
	}
	return CheckLine{"inbox", LevelOK, "signed in to " + s.cfg.Inbox.Username + " on " + s.cfg.Inbox.Host, ""}
}

// checkSMTP logs in as one who sends would, by the same rules, and sends
// nothing: a server that answers and refuses the password is no help.
func (s *Service) checkSMTP(ctx context.Context) CheckLine {
	if !s.cfg.SMTP.Enabled {
		return CheckLine{"smtp", LevelWarning, "there is no [smtp]: nothing is sent", "clients get neither answers nor warnings"}
	}
	c, err := s.smtpConfig()
	if err != nil {
		return CheckLine{"smtp", LevelError, err.Error(), HintOf(err)}
	}
	defer c.Password.Wipe()
	if err := s.mayLogIn(ctx, AccountSMTP, c.Password, true); err != nil {
		return CheckLine{"smtp", LevelError, err.Error(), HintOf(err)}
	}
	trying, cancel := context.WithTimeout(ctx, smtpCheckWait)
	defer cancel()
	err = notify.LogIn(trying, c)
	if noteErr := s.noteLogin(ctx, login{AccountSMTP, c.Password, smtpAnswer(err), err}, true); noteErr != nil {
		return CheckLine{"smtp", LevelError, noteErr.Error(), HintOf(noteErr)}
	}
	if err != nil {
		hint := "is smtp.host right, and the port open?"
		if se, ok := errors.AsType[*notify.SendError](err); ok && se.Hint != "" {
			hint = se.Hint
		} else if ok && se.Code != 0 {
			hint = "the server answers and does not let the studio in: try again later, or ask the provider"
		}
		return CheckLine{"smtp", LevelError, err.Error(), hint}
	}
	return CheckLine{"smtp", LevelOK, "signed in to " + s.cfg.SMTP.Username + " on " + s.cfg.SMTP.Host, ""}
}

// smtpCheckWait is more than a server takes that works.
const smtpCheckWait = 20 * time.Second
