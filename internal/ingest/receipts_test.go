package ingest_test

import (
	"testing"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/vault"
)

// Receipts come in any order, more than once, and about several recipients.
func TestAfterReceipt(t *testing.T) {
	const to = "rossi@pec.it"
	r := func(kind pec.Kind) *pec.Message { return &pec.Message{Kind: kind, Delivery: to} }
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
		{"address in capitals", vault.OutAccepted, []*pec.Message{{Kind: pec.KindDelivery, Delivery: "ROSSI@pec.it"}}, vault.OutDelivered},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := vault.Outgoing{N: 1, To: to, State: c.state}
			for _, m := range c.seq {
				o = ingest.AfterReceipt(o, m)
			}
			if o.State != c.want {
				t.Errorf("got %s, want %s", o.State, c.want)
			}
		})
	}
}
