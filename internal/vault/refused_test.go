package vault_test

import (
	"testing"
	"time"

	"pec-ingest/internal/vault"
)

// Refused messages are found from any moment on, whatever days lie between,
// also those of a clock that was ahead.
func TestRefusedSince(t *testing.T) {
	v := mustOpen(t, options(t))
	start := time.Date(1998, 2, 27, 23, 59, 59, 0, time.UTC)
	var all []time.Time
	for _, days := range []int{0, 1, 2, 3, 30, 40, 307, 308, 309, 400, 3700} {
		all = append(all, start.AddDate(0, 0, days), start.AddDate(0, 0, days).Add(time.Second))
	}
	err := v.Update(t.Context(), func(tx *vault.Tx) error {
		for _, at := range all {
			if err := tx.AddRefused(vault.Refused{At: at, Reason: "bad-signature"}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		for _, from := range []time.Time{all[i], all[i].Add(time.Second)} {
			want := 0
			for _, at := range all {
				if !at.Before(from) {
					want++
				}
			}
			err := v.View(t.Context(), func(tx *vault.Tx) error {
				got, err := tx.RefusedSince(from)
				if len(got) != want {
					t.Errorf("since %v: got %d, want %d", from, len(got), want)
				}
				for j := 1; j < len(got); j++ {
					if got[j].At.Before(got[j-1].At) {
						t.Errorf("since %v: %v comes after %v", from, got[j].At, got[j-1].At)
					}
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}
