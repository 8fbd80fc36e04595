package ingest

import (
	"context"
	"strings"
	"time"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/safetext"
	"pec-ingest/internal/vault"
)

// tracked tells whether receipts of what is sent come back to the inbox that
// is read: SMTP and inbox are one PEC mailbox.
func (s *Service) tracked() bool {
	return s.cfg.SMTP.Enabled && s.isOwn(s.cfg.SMTP.FromAddress)
}

// ours tells whether a message claims to be the receipt of one of our own.
// Only such receipts are downloaded.
func (p *pass) ours(tx *vault.Tx, c pec.Claimed) (is bool, err error) {
	if c.MsgID == "" || !p.tracked() {
		return false, nil
	}
	_, is, err = tx.OutgoingByID(c.MsgID)
	return is, err
}

// readReceipts downloads and verifies receipts of our own messages, and sets
// the states of the outbox by them.
func (p *pass) readReceipts(ctx context.Context, uids []uint32, headers map[uint32]inbox.Header) (missing []uint32, err error) {
	return p.getAll(ctx, uids, func(uids []uint32, answered func(uint32)) ([]uint32, error) {
		return p.sess.Fetch(ctx, uids, func(m inbox.Message) error {
			answered(m.UID)
			h := headers[m.UID]
			var j judged
			var receipt *pec.Message
			if !p.guarded(m.UID, func() { j, receipt = p.judgeReceipt(h, m) }) {
				j = p.stopped(h)
			}
			if receipt == nil {
				return p.commitJudged(ctx, []judged{j})
			}
			return p.countReceipt(ctx, j, receipt, m.Raw)
		})
	})
}

// judgeReceipt reads one receipt; nil if it is not what it claims: it changes
// nothing then and stays where it is.
func (p *pass) judgeReceipt(h inbox.Header, m inbox.Message) (judged, *pec.Message) {
	outer := p.Reader.Outer(h.Raw)
	j := judged{at: locationOf(p, m.UID, outer.ID), received: m.InternalDate, claimed: outer.Claimed, kind: outer.Kind, reason: pec.ReasonReceipt}
	if m.TooLarge {
		return j, nil
	}
	verdict := p.Reader.Judge(m.Raw, pec.Options{Trust: p.trust, ReceivedAt: m.InternalDate, MaxBytes: p.cfg.Inbox.MaxMessage})
	if verdict.Receipt == nil {
		j.kind, j.reason = verdict.Kind, verdict.Reason
		p.log.Warn("a receipt of ours does not verify", "event", "receipt.refused", "uid", m.UID, "reason", string(verdict.Reason))
	}
	return j, verdict.Receipt
}

// countReceipt moves the message that a verified receipt is about to its new
// state, keeps the proof and notes the receipt for filing, in one transaction.
func (p *pass) countReceipt(ctx context.Context, j judged, r *pec.Message, raw []byte) error {
	if p.opts.DryRun {
		p.report(ctx, j)
		return nil
	}
	killPoint("before-receipt")
	err := p.vault.Update(ctx, func(tx *vault.Tx) error {
		o, ok, err := tx.OutgoingByID(r.MsgID)
		if err != nil {
			return err
		}
		if !ok || !p.isOwn(r.Sender) {
			return nil
		}
		if err := tx.DeleteHole(j.at.Folder, j.at.UID); err != nil {
			return err
		}
		was := o.State
		if o = afterReceipt(o, r); o.State == vault.OutDelivered && was != vault.OutDelivered {
			if _, err := tx.PutProof(vault.Proof{N: o.N, Raw: raw}); err != nil {
				return err
			}
		}
		if err := tx.PutOutgoing(o); err != nil {
			return err
		}
		if o.State != was {
			p.log.Info("receipt counted", "event", "receipt.counted", "n", o.N, "kind", string(r.Kind), "state", o.State)
		}
		if j.at.MessageID == "" || p.cfg.Inbox.After != "move" {
			return nil
		}
		return tx.PutFiling(vault.Filing{Location: j.at})
	})
	if err != nil {
		return commitError(err)
	}
	killPoint("after-receipt")
	p.report(ctx, j)
	return nil
}

// clockSlack is by how much a provider's clock may be behind ours.
const clockSlack = 10 * time.Minute

// afterReceipt is the state that a receipt leads to. Receipts come in any
// order and more than once; what is delivered stays delivered, and a refusal
// of an earlier sending says nothing about the one that followed it.
func afterReceipt(o vault.Outgoing, r *pec.Message) vault.Outgoing {
	about := r.Delivery == "" || strings.EqualFold(r.Delivery, o.To)
	bad := r.Kind == pec.KindNonAcceptance || r.Kind == pec.KindDeliveryError || r.Kind == pec.KindVirus
	old := o.State == vault.OutQueued || !r.SentAt.IsZero() && r.SentAt.Before(o.SentAt.Add(-clockSlack))
	if r.Kind == pec.KindAcceptance && external(r, o.To) {
		o.External = true
	}
	switch {
	case o.State == vault.OutDelivered:
	case bad && old:
	case r.Kind == pec.KindAcceptance && o.State != vault.OutFailed:
		o.State, o.LastError = vault.OutAccepted, ""
		if o.SentAt.IsZero() {
			o.SentAt = r.SentAt
		}
	case r.Kind == pec.KindDelivery && about:
		o.State, o.LastError = vault.OutDelivered, ""
	case r.Kind == pec.KindNonAcceptance, r.Kind == pec.KindDeliveryError && about, r.Kind == pec.KindVirus:
		o.State = vault.OutFailed
		o.LastError = safetext.Line(strings.Join([]string{string(r.Kind), r.ErrorType, r.ExtendedError}, " "))
	case r.Kind == pec.KindDeliveryDelay:
		o.LastError = safetext.Line(string(r.Kind) + " " + r.ExtendedError)
	}
	return o
}

// external tells whether an acceptance says that a recipient has ordinary
// mail, for which no delivery receipt will come (RFC 6109 §3.3.1).
func external(r *pec.Message, to string) bool {
	for _, one := range r.Recipients {
		if strings.EqualFold(one.Address, to) {
			return one.Type == "esterno"
		}
	}
	return false
}

// OutboxReceipt gives the delivery receipt of a message, the legal proof.
func (s *Service) OutboxReceipt(ctx context.Context, n int) ([]byte, error) {
	var proof vault.Proof
	err := s.vault.View(ctx, func(tx *vault.Tx) error {
		var ok bool
		var err error
		if proof, ok, err = tx.Proof(n); err == nil && !ok {
			return notFound("no delivery receipt of message %d is kept", n).hint("`ingest outbox show %d` shows its state", n)
		}
		return err
	})
	return proof.Raw, err
}
