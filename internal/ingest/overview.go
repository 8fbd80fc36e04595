package ingest

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"pec-ingest/internal/schedule"
	"pec-ingest/internal/vault"
)

// What the page asks for beside what the commands do. Nothing here opens a
// secret.

// Policy is the expiry policy in use.
func (s *Service) Policy() schedule.Policy { return s.policy }

// Overview is a row of status with the days between which its password
// lives; zero where there is none.
type Overview struct {
	StatusRow
	Issued, RenewOn time.Time // days
}

// Overview lists the credentials of one mailbox, or of all with "": those
// without the next warning, which takes longer than all the rest.
func (s *Service) Overview(ctx context.Context, mailbox string, now time.Time) ([]Overview, error) {
	mailbox = strings.ToLower(mailbox)
	all, err := s.inventory(ctx, mailbox)
	if err != nil {
		return nil, err
	}
	if mailbox != "" && len(all) == 0 {
		return nil, noSuchMailbox(mailbox)
	}
	var warned func(string) bool
	var runs []time.Time
	if mailbox != "" {
		if warned, err = s.causes(ctx); err != nil {
			return nil, err
		}
		runs = s.warningRuns(now)
	}
	rows := make([]Overview, 0, len(all))
	for _, k := range all {
		o := Overview{StatusRow: s.statusRow(k, now, runs, warned)}
		if f := s.facts(k); !f.Missing {
			o.Issued = schedule.Day(f.Issued, s.policy.Location)
			o.RenewOn = schedule.RenewDay(f.Issued, f.Expires, s.policy)
		}
		rows = append(rows, o)
	}
	return rows, nil
}

// ListedClient is what is on record of one client.
func (s *Service) ListedClient(ctx context.Context, mailbox string) (ClientRow, error) {
	c, err := s.listedClient(ctx, strings.ToLower(mailbox))
	return clientRow(c), err
}

// Waiting counts what is not done of one mailbox, "" = of all, also where no
// daemon runs.
func (s *Service) Waiting(ctx context.Context, mailbox string) (Waiting, error) {
	return s.waiting(ctx, strings.ToLower(mailbox))
}

// Sending is a message of the outbox without its data.
type Sending struct {
	vault.Outgoing
	Late bool // on its way for longer than a provider may take
}

// Sendings lists messages, newest first, of one mailbox or of all with "".
func (s *Service) Sendings(ctx context.Context, mailbox string, now time.Time) ([]Sending, error) {
	var rows []Sending
	err := s.vault.View(ctx, func(tx *vault.Tx) error {
		rows = rows[:0]
		return tx.AllOutgoing(func(o vault.Outgoing) error {
			if mailbox == "" || o.Mailbox == mailbox {
				rows = append(rows, s.sendingOf(o, now))
			}
			return nil
		})
	})
	slices.Reverse(rows)
	return rows, err
}

func (s *Service) sendingOf(o vault.Outgoing, now time.Time) Sending {
	o.Data = nil
	late := s.tracked() && !o.SentAt.IsZero() && now.Sub(o.SentAt) > lateAfter &&
		(o.State == vault.OutSent || o.State == vault.OutAccepted && !o.External)
	return Sending{o, late}
}

// Sending is one message, and whether its delivery receipt is kept.
func (s *Service) Sending(ctx context.Context, n int, now time.Time) (m Sending, proof bool, err error) {
	err = s.vault.View(ctx, func(tx *vault.Tx) error {
		o, ok, err := tx.Outgoing(n)
		if err != nil {
			return err
		}
		if !ok {
			return notFound("no message %d in the outbox", n)
		}
		m = s.sendingOf(o, now)
		_, proof, err = tx.Proof(n)
		return err
	})
	return m, proof, err
}

// AuditFilter selects entries of the log; zero fields select all.
type AuditFilter struct {
	Mailbox string
	Actor   string // a part of it
	Event   string // how it begins
	From    time.Time
	To      time.Time // excluded
	Before  int       // older than this entry; 0 = from the newest on
	Limit   int
}

// auditLooked bounds how many entries one AuditSlice looks at: a filter that
// hits nothing must not read a log of years while others wait.
const auditLooked = 20_000

// auditSlack is how far back a clock may have been set between two entries.
const auditSlack = 48 * time.Hour

func (f AuditFilter) hits(e vault.AuditEntry) bool {
	return (f.Mailbox == "" || e.Mailbox == f.Mailbox) && strings.HasPrefix(e.Event, f.Event) &&
		strings.Contains(strings.ToLower(e.Actor), strings.ToLower(f.Actor)) &&
		!e.At.Before(f.From) && (f.To.IsZero() || e.At.Before(f.To))
}

// AuditSlice gives the newest entries that a filter hits, newest first, and
// from where to go on; next 0 means that there is nothing older.
func (s *Service) AuditSlice(ctx context.Context, f AuditFilter) (rows []AuditRow, next int, err error) {
	f.Mailbox = strings.ToLower(f.Mailbox)
	err = s.vault.View(ctx, func(tx *vault.Tx) error {
		rows, next = rows[:0], 0
		head, _, err := tx.AuditHead()
		if err != nil {
			return err
		}
		from := head
		if f.Before > 0 {
			from = min(head, f.Before-1)
		}
		for seq := from; seq > 0; seq-- {
			if len(rows) == f.Limit || from-seq >= auditLooked {
				next = seq + 1
				return nil
			}
			e, ok, err := tx.AuditEntry(seq)
			if err != nil {
				return err
			}
			if !ok {
				continue // VerifyAudit says what that means
			}
			if e.At.Before(f.From.Add(-auditSlack)) {
				return nil
			}
			if f.hits(e) {
				rows = append(rows, auditRow(e))
			}
		}
		return nil
	})
	return rows, next, err
}

// Standing is how the parts of the service stand; zero times mean never.
type Standing struct {
	Daemon                               *DaemonState // nil: none runs
	Waiting                              Waiting
	InboxUser, InboxHost                 string
	InboxExpires                         time.Time // day
	SMTPHost                             string    // "" = nothing is sent
	SMTPGood, SMTPRefused                time.Time
	ProbeOn, Identity, ScheduledBackups  bool
	LastChecks, LastWarnings, LastBackup time.Time
	NextChecks, NextWarnings             time.Time
	Trouble                              int // credentials whose server gives no answer
	AuditSeq                             int
	AuditHead                            string
	VaultBytes                           int64
	Recipients                           int // keys that passwords are sealed to; 0 = the list can't be read
	Anchors                              []AnchorRow
}

// AnchorRow is a trust anchor, or a list of revoked certificates.
type AnchorRow struct {
	Name, SPKI string
	Until      time.Time // of the certificate, or of the list; zero = not said
	CRL        bool
}

// Standing reads how the service stands; it logs in nowhere.
func (s *Service) Standing(ctx context.Context, now time.Time) (st Standing, err error) {
	if st.Daemon, err = s.Daemon(ctx); err != nil {
		return st, err
	}
	if st.Waiting, err = s.waiting(ctx, ""); err != nil {
		return st, err
	}
	st.InboxUser, st.InboxHost = s.cfg.Inbox.Username, s.cfg.Inbox.Host
	if s.cfg.SMTP.Enabled {
		st.SMTPHost = s.cfg.SMTP.Host
	}
	st.ProbeOn, st.Identity, st.ScheduledBackups = s.cfg.Probe.Enabled, s.vault.CanOpen(), s.cfg.Vault.BackupDir != ""
	st.NextChecks, st.NextWarnings = s.probes.Next(now), s.warnings.NextWorking(now, s.policy)
	if text, err := os.ReadFile(s.cfg.Vault.RecipientsFile); err == nil {
		if list, err := age.ParseRecipients(bytes.NewReader(text)); err == nil {
			st.Recipients = len(list)
		}
	}
	if info, err := os.Stat(s.cfg.Vault.Path); err == nil {
		st.VaultBytes = info.Size()
	}
	for _, a := range s.trust.Anchors() {
		st.Anchors = append(st.Anchors, AnchorRow{Name: a.Name, SPKI: a.SPKI, Until: a.NotAfter})
	}
	for _, c := range s.trust.CRLs() {
		st.Anchors = append(st.Anchors, AnchorRow{Name: c.Issuer, Until: c.NextUpdate, CRL: true})
	}
	return st, s.vault.View(ctx, func(tx *vault.Tx) error { return s.readStanding(tx, &st) })
}

func (s *Service) readStanding(tx *vault.Tx, st *Standing) error {
	for _, job := range []struct {
		name string
		at   *time.Time
	}{{JobProbe, &st.LastChecks}, {JobWarnings, &st.LastWarnings}, {JobBackup, &st.LastBackup}} {
		var err error
		if *job.at, _, err = tx.Job(job.name); err != nil {
			return err
		}
	}
	inbox, _, err := tx.Account(AccountInbox)
	if err != nil {
		return err
	}
	smtp, _, err := tx.Account(AccountSMTP)
	if err != nil {
		return err
	}
	st.InboxExpires, st.SMTPGood, st.SMTPRefused = inbox.Expires, smtp.GoodAt, smtp.RefusedAt
	st.Trouble = 0
	if err := tx.Clients(func(c vault.Client) error {
		if !c.RemovedAt.IsZero() {
			return nil
		}
		creds, err := tx.CredentialsOf(c.Mailbox)
		for _, cred := range creds {
			if cred.Current > 0 && !cred.LastCheck.TroubleSince.IsZero() {
				st.Trouble++
			}
		}
		return err
	}); err != nil {
		return err
	}
	st.AuditSeq, st.AuditHead, err = tx.AuditHead()
	return err
}
