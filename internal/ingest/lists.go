package ingest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"pec-ingest/internal/vault"
)

// ReviewRow is one item of `review list --json`.
type ReviewRow struct {
	N         int        `json:"n"`
	Mailbox   string     `json:"mailbox"`
	Login     *string    `json:"login"`
	Reason    string     `json:"reason"`
	Letters   int        `json:"letters"` // how many it stands for
	OpenedAt  time.Time  `json:"opened_at"`
	DecidedAt *time.Time `json:"decided_at"`
	DecidedBy *string    `json:"decided_by"`
	Decision  *string    `json:"decision"`
}

func reviewRow(r vault.Review) ReviewRow {
	return ReviewRow{N: r.N, Mailbox: r.Mailbox, Login: orNull(r.Login), Reason: r.Reason, Letters: max(r.Letters, 1), OpenedAt: r.OpenedAt,
		DecidedAt: timeOrNull(r.DecidedAt), DecidedBy: orNull(r.DecidedBy), Decision: orNull(r.Decision)}
}

// OutboxRow is one message of `outbox list --json`.
type OutboxRow struct {
	N         int        `json:"n"`
	Kind      string     `json:"kind"`
	To        string     `json:"to"`
	Mailbox   *string    `json:"mailbox"`
	State     string     `json:"state"`
	QueuedAt  time.Time  `json:"queued_at"`
	SentAt    *time.Time `json:"sent_at"`
	NextAt    *time.Time `json:"next_at"`
	Tries     int        `json:"tries"`
	LastError *string    `json:"last_error"`
	MessageID string     `json:"message_id"`
	Next      string     `json:"next"` // what happens next, in words
}

func (s *Service) outboxRow(o vault.Outgoing, closed bool) OutboxRow {
	return OutboxRow{N: o.N, Kind: o.Kind, To: o.To, Mailbox: orNull(o.Mailbox), State: o.State, QueuedAt: o.QueuedAt,
		SentAt: timeOrNull(o.SentAt), NextAt: timeOrNull(o.NextAt), Tries: o.Tries, LastError: orNull(o.LastError), MessageID: o.MessageID,
		Next: s.whatNext(o, closed, time.Now())}
}

// Outbox lists messages, oldest first; all of them, or the open ones.
func (s *Service) Outbox(ctx context.Context, all bool) ([]OutboxRow, error) {
	rows := []OutboxRow{}
	err := s.vault.View(ctx, func(tx *vault.Tx) error {
		rows = rows[:0]
		account, _, err := tx.Account(AccountSMTP)
		if err != nil {
			return err
		}
		return tx.AllOutgoing(func(o vault.Outgoing) error {
			if all || o.State == vault.OutQueued || o.State == vault.OutInDoubt || o.State == vault.OutFailed {
				rows = append(rows, s.outboxRow(o, !account.RefusedAt.IsZero()))
			}
			return nil
		})
	})
	return rows, err
}

// OutboxMessage renders one message as it is, or would be, sent.
func (s *Service) OutboxMessage(ctx context.Context, n int) (row OutboxRow, subject, text string, err error) {
	var o vault.Outgoing
	var account vault.Account
	err = s.vault.View(ctx, func(tx *vault.Tx) error {
		var ok bool
		if o, ok, err = tx.Outgoing(n); err == nil && !ok {
			return notFound("no message %d in the outbox", n).hint("`ingest outbox list --all` shows them")
		}
		if err == nil {
			account, _, err = tx.Account(AccountSMTP)
		}
		return err
	})
	if err != nil {
		return row, "", "", err
	}
	mail, err := s.compose(o)
	return s.outboxRow(o, !account.RefusedAt.IsZero()), mail.Subject, mail.Text, err
}

// OutboxRetry queues a message again that failed, is in doubt, or was sent
// and brought no receipt in a day. It keeps its Message-ID, so that a receipt
// of either sending counts. A decision of a person, and audited.
func (s *Service) OutboxRetry(ctx context.Context, actor string, n int) error {
	return s.decideOutgoing(ctx, actor, n, "outbox.retried", func(o *vault.Outgoing) {
		o.State, o.NextAt, o.SentAt, o.LastError = vault.OutQueued, time.Time{}, time.Time{}, ""
		o.Tries, o.Withdrawn, o.Doubtful = 0, false, false
	})
}

// OutboxDrop gives a message up. A decision of a person, and audited.
func (s *Service) OutboxDrop(ctx context.Context, actor string, n int) error {
	return s.decideOutgoing(ctx, actor, n, "outbox.dropped", func(o *vault.Outgoing) {
		o.State, o.Withdrawn, o.LastError = vault.OutFailed, true, "dropped by "+actor
	})
}

func (s *Service) decideOutgoing(ctx context.Context, actor string, n int, event string, change func(*vault.Outgoing)) error {
	return s.vault.Update(ctx, func(tx *vault.Tx) error {
		o, ok, err := tx.Outgoing(n)
		if err != nil {
			return err
		}
		if !ok {
			return notFound("no message %d in the outbox", n).hint("`ingest outbox list --all` shows them")
		}
		lost := o.State == vault.OutSent && s.tracked() && time.Since(o.SentAt) > lateAfter
		switch o.State {
		case vault.OutSent, vault.OutAccepted, vault.OutDelivered:
			if lost {
				break
			}
			return (&Error{Class: NeedsPerson, Code: CodeSent, Msg: "that message was sent already"}).hint("`ingest outbox show %d`", n)
		}
		change(&o)
		if err := tx.PutOutgoing(o); err != nil {
			return err
		}
		return tx.Audit(vault.AuditEntry{Actor: actor, Event: event, Mailbox: o.Mailbox, Detail: fmt.Sprintf("n=%d", n)})
	})
}

// AuditRow is one entry of `audit --json`.
type AuditRow struct {
	Seq     int       `json:"seq"`
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	Event   string    `json:"event"`
	Mailbox *string   `json:"mailbox"`
	Login   *string   `json:"login"`
	Version int       `json:"version,omitempty"`
	Detail  *string   `json:"detail"`
	Count   int       `json:"count,omitempty"`
	Hash    string    `json:"hash"`
}

func auditRow(a vault.AuditEntry) AuditRow {
	return AuditRow{Seq: a.Seq, At: a.At, Actor: a.Actor, Event: a.Event, Mailbox: orNull(a.Mailbox), Login: orNull(a.Login),
		Version: a.Version, Detail: orNull(a.Detail), Count: a.Count, Hash: a.Hash}
}

// Audit lists the audit log, oldest first, of one mailbox or of all with "".
func (s *Service) Audit(ctx context.Context, mailbox string) ([]AuditRow, error) {
	mailbox = strings.ToLower(mailbox)
	rows := []AuditRow{}
	err := s.vault.View(ctx, func(tx *vault.Tx) error {
		rows = rows[:0]
		return tx.AuditLog(func(a vault.AuditEntry) error {
			if mailbox == "" || a.Mailbox == mailbox {
				rows = append(rows, auditRow(a))
			}
			return nil
		})
	})
	return rows, err
}

// AuditVerify checks the chain and returns its head.
func (s *Service) AuditVerify(ctx context.Context) (seq int, hash string, err error) {
	if err := s.vault.VerifyAudit(ctx); err != nil {
		return 0, "", &Error{Msg: "the audit log does not hold", Err: err, Hint: "the file was altered from this entry on; compare with the head in the studio's last digest"}
	}
	err = s.vault.View(ctx, func(tx *vault.Tx) error {
		seq, hash, err = tx.AuditHead()
		return err
	})
	return seq, hash, err
}
