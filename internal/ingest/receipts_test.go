package ingest_test

import (
	"testing"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/vault"
)

// Receipts come in any order, more than once, and about several recipients.
func TestAfterReceipt(t *testing.T) {
	const to = "rossi@pec.it"
	sentAt := time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	r := func(kind pec.Kind) *pec.Message { return &pec.Message{Kind: kind, Delivery: to} }
	hoursBefore := func(m *pec.Message) *pec.Message { m.SentAt = sentAt.Add(-3 * time.Hour); return m }
	for _, c := range []struct {
		name  string
		state string
		seq   []*pec.Message
		want  string
	}{
		{"accepted", vault.OutSent, []*pec.Message{r(pec.KindAcceptance)}, vault.OutAccepted},
		{"in doubt is settled", vault.OutInDoubt, []*pec.Message{r(pec.KindAcceptance)}, vault.OutAccepted},
		{"queued again, then its receipt comes", vault.OutQueued, []*pec.Message{r(pec.KindAcceptance)}, vault.OutAccepted},
		{"delivered", vault.OutSent, []*pec.Message{r(pec.KindAcceptance), r(pec.KindDelivery)}, vault.OutDelivered},
		{"delivery before acceptance", vault.OutSent, []*pec.Message{r(pec.KindDelivery), r(pec.KindAcceptance)}, vault.OutDelivered},
		{"delivered stays", vault.OutDelivered, []*pec.Message{r(pec.KindDeliveryError)}, vault.OutDelivered},
		{"not accepted", vault.OutSent, []*pec.Message{r(pec.KindNonAcceptance)}, vault.OutFailed},
		{"not delivered", vault.OutAccepted, []*pec.Message{r(pec.KindDeliveryError)}, vault.OutFailed},
		{"late delivery after a warning", vault.OutAccepted, []*pec.Message{r(pec.KindDeliveryDelay), r(pec.KindDelivery)}, vault.OutDelivered},
		{"a delay changes nothing", vault.OutAccepted, []*pec.Message{r(pec.KindDeliveryDelay)}, vault.OutAccepted},
		{"about somebody else", vault.OutAccepted, []*pec.Message{{Kind: pec.KindDelivery, Delivery: "altro@pec.it"}}, vault.OutAccepted},
		{"error about somebody else", vault.OutAccepted, []*pec.Message{{Kind: pec.KindDeliveryError, Delivery: "altro@pec.it"}}, vault.OutAccepted},
		{"refusal of an earlier sending", vault.OutSent, []*pec.Message{hoursBefore(r(pec.KindNonAcceptance))}, vault.OutSent},
		{"acceptance of an earlier sending", vault.OutSent, []*pec.Message{hoursBefore(r(pec.KindAcceptance))}, vault.OutAccepted},
		{"refused, and queued again", vault.OutQueued, []*pec.Message{r(pec.KindDeliveryError)}, vault.OutQueued},
		{"address in capitals", vault.OutAccepted, []*pec.Message{{Kind: pec.KindDelivery, Delivery: "ROSSI@pec.it"}}, vault.OutDelivered},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := vault.Outgoing{N: 1, To: to, State: c.state, SentAt: sentAt}
			for _, m := range c.seq {
				o = ingest.AfterReceipt(o, m)
			}
			if o.State != c.want {
				t.Errorf("got %s, want %s", o.State, c.want)
			}
		})
	}
}
