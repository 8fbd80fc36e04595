package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/mail"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
	"pec-ingest/internal/safetext"
)

// ANSI colours; empty where the output is no terminal.
type colours struct{ bold, dim, green, yellow, red, off string }

func coloursFor(on bool) colours {
	if !on {
		return colours{}
	}
	return colours{"\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[0m"}
}

// tell delivers the messages, runs a pass and says what became of each.
func (d *Demo) tell(ctx context.Context, o Options, authority *pectest.Authority) error {
	c := coloursFor(o.Colour)
	list := parcels(authority, time.Now())
	for _, p := range list {
		if err := d.servers.deliver(p.raw, p.at); err != nil {
			return fmt.Errorf("delivering a message: %w", err)
		}
	}
	fmt.Fprintf(o.Out, "%sA studio's inbox with %d messages, on embedded servers.%s One pass of the real pipeline:\n\n", c.bold, len(list), c.off)

	judged := map[uint32]ingest.Observation{}
	settled := map[uint32]ingest.Observation{}
	var opts ingest.RunOptions
	opts.Observe = func(ob ingest.Observation) {
		if ob.Outcome != "" {
			settled[ob.UID] = ob
			return
		}
		judged[ob.UID] = ob
	}
	sum, err := d.Service.Once(ctx, opts)
	if err != nil {
		return err
	}
	for i, p := range list {
		uid := uint32(i + 1) // the embedded server numbers from 1
		tellOne(o.Out, c, i+1, p.title, judged[uid], settled[uid])
	}
	fmt.Fprintf(o.Out, "\n%sseen %d: accepted %d, superseded %d, review %d, rejected %d, ignored %d, receipts %d, errors %d%s\n\n",
		c.bold, sum.Seen, sum.Accepted, sum.Superseded, sum.Review, sum.Rejected, sum.Ignored, sum.Receipts, sum.Errors, c.off)

	rows, err := d.Service.Status(ctx, "", time.Now())
	if err != nil {
		return err
	}
	if err := o.Summary(o.Out, rows); err != nil {
		return err
	}
	return d.tellMail(ctx, o.Out, c)
}

func tellOne(w io.Writer, c colours, n int, title string, j, s ingest.Observation) {
	verdict, detail, colour := "ignored", j.Why, c.dim
	switch {
	case j.Kind.IsReceipt():
		verdict, detail = "receipt", "left where it is"
	case !j.Certified:
		verdict = "refused"
		if detail == "" {
			detail = j.Reason
		}
		colour = c.red
		if j.Reason == "not-pec" {
			verdict, colour = "ignored", c.dim
		}
	case s.Outcome != "":
		verdict, detail, colour = s.Outcome, explain(s), c.green
		if s.Outcome == ingest.OutcomeReview || s.Outcome == ingest.OutcomeRejected {
			colour = c.yellow
		}
	default:
		detail = "certified, but no password in it: left unread"
	}
	fmt.Fprintf(w, "%3d. %s\n     %s%-10s%s %s\n", n, title, colour, verdict, c.off, safetext.Line(detail))
}

func explain(o ingest.Observation) string {
	switch o.Outcome {
	case ingest.OutcomeAccepted:
		return "certified from " + o.Mailbox + "; the login works; sealed, and the message filed away"
	case ingest.OutcomeSuperseded:
		return "certified from " + o.Mailbox + "; a newer one counts: kept as history, never tried"
	case ingest.OutcomeRejected:
		return "certified from " + o.Mailbox + "; its provider refuses the login: not stored, the client is told"
	case ingest.OutcomeReview:
		return "certified from " + o.Mailbox + "; a person must look (" + o.Reason + ")"
	}
	return o.Mailbox
}

// tellMail lets the provider answer what was sent with its signed receipts,
// has them read by a second pass, and lists the outbox with its proofs.
func (d *Demo) tellMail(ctx context.Context, w io.Writer, c colours) error {
	if err := d.answer(); err != nil {
		return err
	}
	sum, err := d.Service.Once(ctx, ingest.RunOptions{})
	if err != nil {
		return err
	}
	rows, err := d.Service.Outbox(ctx, true)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%sSent by the service;%s a second pass read the %d receipts that came back:\n", c.bold, c.off, sum.Receipts)
	for _, r := range rows {
		_, subject, _, err := d.Service.OutboxMessage(ctx, r.N)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "  %s%-10s%s %-30s %s\n", c.green, r.State, c.off, r.To, safetext.LineN(subject, 60))
	}
	return nil
}

// receiptsFor are what a provider sends back: acceptance and delivery.
func receiptsFor(authority *pectest.Authority, m sunk, now time.Time) [][]byte {
	msg, err := mail.ReadMessage(bytes.NewReader(m.body))
	if err != nil {
		return nil
	}
	e := pectest.Envelope{Provider: authority.Provider(signer, "GESTORE DI PROVA S.p.A."), Kind: pec.KindAcceptance,
		Sender: studio, Recipients: []string{m.to}, Subject: "Ricevuta", SentAt: now, MsgID: msg.Header.Get("Message-ID"), Original: m.body}
	delivered := e
	delivered.Kind, delivered.Delivery, delivered.ReceiptType = pec.KindDelivery, m.to, "completa"
	return [][]byte{e.Bytes(), delivered.Bytes()}
}
