package ingest_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/probe"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// A leader that has just begun does not repeat the login that the one before
// died over: it would take one more kill, and a person had to decide. It takes
// what else there is first, and repeats it when it has stayed. A service alone
// does it at once.
func TestInterruptedLoginWaitsForCalm(t *testing.T) {
	for _, alone := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := newBubble(t, "[[provider]]\nid = \"gestore\"\nsigner = \"s@gestore.example\"\nimap = \"gestore.example:993\"\nvalidity = \"90d\"\n")
			defer b.close()
			const first, second = "a@pec.example", "b@pec.example"
			b.interrupted(first)
			b.judged(second)
			var mu sync.Mutex
			var list []string
			b.service.Login = func(_ context.Context, _ probe.Target, user string, _ secret.Secret) probe.Result {
				mu.Lock()
				defer mu.Unlock()
				list = append(list, user)
				return probe.Result{Outcome: probe.Accepted, Sent: true}
			}
			tried := func() []string {
				mu.Lock()
				defer mu.Unlock()
				return slices.Clone(list)
			}
			if !alone {
				b.service.BeginTerm()
			}
			b.run(func() {
				want := []string{second}
				if alone {
					want = []string{first, second}
				}
				if got := tried(); !slices.Equal(got, want) {
					t.Errorf("alone %t: tried at once: got %q, want %q", alone, got, want)
				}
				time.Sleep(ingest.CalmAfter + time.Second)
				synctest.Wait()
				if !alone {
					want = []string{second, first}
				}
				if got := tried(); !slices.Equal(got, want) {
					t.Errorf("alone %t: tried in all: got %q, want %q", alone, got, want)
				}
				if got := b.state(); got.Waiting.Open != 0 || got.Waiting.Review != 0 {
					t.Errorf("alone %t: what waits: got %+v, want nothing", alone, got.Waiting)
				}
			})
		})
	}
}

// interrupted puts a submission into the vault over whose login its leader died.
func (b *bubble) interrupted(mailbox string) {
	b.t.Helper()
	b.judged(mailbox)
	b.update(func(tx *vault.Tx) error {
		sub, _, err := tx.Submission(mailbox + ".1")
		sub.Intent = &vault.Intent{At: time.Now(), Candidate: 0, Tries: 1}
		return errors.Join(err, tx.PutSubmission(sub))
	})
}
