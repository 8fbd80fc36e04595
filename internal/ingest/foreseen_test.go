package ingest_test

import (
	"context"
	"testing"
	"testing/synctest"

	"pec-ingest/internal/secret"
)

// A vault that can't be read while a letter is judged, as when a cluster has
// no majority for a moment, does not make a letter with a password one
// without.
func TestSealWithoutForesight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "")
		defer b.close()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		sub, err := b.service.SealCandidate(gone, "a@pec.example", secret.FromString("Xk9mQ2pL"))
		if err != nil || len(sub.Candidates) != 1 {
			t.Fatalf("got %d candidates, %v, want one", len(sub.Candidates), err)
		}
		c := sub.Candidates[0]
		got, err := b.service.Vault().Unseal(c.Label, c.Sealed)
		if err != nil || got.RevealString() != "Xk9mQ2pL" {
			t.Errorf("what was sealed: got %v, want the password", err)
		}
	})
}
