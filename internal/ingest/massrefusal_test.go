package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/probe"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// judged puts a submission with one password into the vault, as a scan leaves it.
func (b *bubble) judged(mailbox string) {
	b.t.Helper()
	id := mailbox + ".1"
	label := vault.Label{Mailbox: mailbox, Login: mailbox, Source: id}
	sealed, err := b.service.Vault().Seal(label, secret.FromString("Xk9mQ2pL"))
	if err != nil {
		b.t.Fatal(err)
	}
	now := time.Now()
	b.update(func(tx *vault.Tx) error {
		return errors.Join(
			tx.PutClient(vault.Client{Mailbox: mailbox, Provider: "gestore", AddedAt: now}),
			tx.PutSubmission(vault.Submission{ID: id, Mailbox: mailbox, Login: mailbox, Signer: "s@gestore.example", SentAt: now, ReceivedAt: now, JudgedAt: now,
				Find: "found", Stage: vault.StageJudged,
				Candidates: []vault.Candidate{{Where: "text/plain:1", Length: 8, Score: 90, Sealed: sealed, Label: label}}}))
	})
}

// A pass that is ended after some refusals leaves them to the next, which must
// not take the provider for out of order because it meets refusals alone: what
// was accepted since the first of them counts, and nothing before.
func TestMassRefusalInterrupted(t *testing.T) {
	const reject, review = "rejected", "review"
	for _, tt := range []struct {
		name   string
		right  string // whose password is right
		stored bool   // somebody else's was accepted the day before
		want   string
	}{
		{"one accepted before the first refusal of the ended pass", "a", false, reject},
		{"one accepted by the next pass", "e", false, reject},
		{"nobody accepted", "", false, review},
		{"somebody accepted the day before", "", true, review},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, "[[provider]]\nid = \"gestore\"\nsigner = \"s@gestore.example\"\nimap = \"gestore.example:993\"\nvalidity = \"90d\"\n")
				defer b.close()
				var end context.CancelFunc
				b.service.Login = func(_ context.Context, _ probe.Target, login string, _ secret.Secret) probe.Result {
					if login == "c@pec.example" && end != nil {
						end()
					}
					if login == tt.right+"@pec.example" || login == "z@pec.example" {
						return probe.Result{Outcome: probe.Accepted, Sent: true}
					}
					return probe.Result{Outcome: probe.Refused, Sent: true, Denied: true}
				}
				run := func(ctx context.Context) error {
					_, err := b.service.Once(ctx, ingest.RunOptions{})
					b.cut()
					return err
				}
				if tt.stored {
					b.judged("z@pec.example")
					if err := run(t.Context()); err != nil {
						t.Fatal(err)
					}
					time.Sleep(24 * time.Hour)
				}
				clients := []string{"a", "b", "c", "d", "e"}
				for _, c := range clients {
					b.judged(c + "@pec.example")
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				end = cancel
				if err := run(ctx); err == nil {
					t.Fatal("the pass was not ended")
				}
				end = nil
				time.Sleep(time.Hour)
				if err := run(t.Context()); err != nil {
					t.Fatal(err)
				}
				var got, want []string
				for _, c := range clients {
					var s vault.Submission
					b.update(func(tx *vault.Tx) (err error) {
						s, _, err = tx.Submission(c + "@pec.example.1")
						return err
					})
					got = append(got, fmt.Sprintf("%s %s", c, s.Outcome))
					outcome := tt.want
					if c == tt.right {
						outcome = "accepted"
					}
					want = append(want, fmt.Sprintf("%s %s", c, outcome))
				}
				if !slices.Equal(got, want) {
					t.Errorf("got %v, want %v", got, want)
				}
			})
		})
	}
}
