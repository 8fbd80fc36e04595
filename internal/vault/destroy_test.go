package vault_test

import (
	"context"
	"errors"
	"testing"

	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// All sealed texts of one mailbox go, on all its logins; those of others, and
// what is known about them, stay.
func TestDestroySecrets(t *testing.T) {
	onStores(t, func(t *testing.T, v *vault.Vault) {
		seal := func(m string) []byte {
			b, err := v.Seal(vault.Label{Mailbox: m}, secret.FromString("x"))
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		for _, m := range []string{rossi, rossi + ".it"} {
			update(t, v, func(tx *vault.Tx) error {
				_, err := tx.AddReview(vault.Review{Mailbox: m, Letter: seal(m), Reason: "ambiguous"})
				return errors.Join(err,
					tx.PutVersion(vault.Version{Mailbox: m, Login: "one", N: 1, Sealed: seal(m), State: "superseded"}),
					tx.PutVersion(vault.Version{Mailbox: m, Login: "one", N: 2, Sealed: seal(m), State: "proven"}),
					tx.PutVersion(vault.Version{Mailbox: m, Login: "two", N: 1, Sealed: seal(m), State: "proven"}),
					tx.PutSubmission(vault.Submission{ID: "opec/" + m, Mailbox: m, Stage: vault.StageSettled,
						Candidates: []vault.Candidate{{Where: "subject", Sealed: seal(m)}, {Where: "text/plain:1"}}}))
			})
		}
		left := func(m string) (n int) {
			view(t, v, func(tx *vault.Tx) error {
				var known int
				for _, login := range []string{"one", "two"} {
					vers, err := tx.Versions(m, login)
					if err != nil {
						return err
					}
					for _, ver := range vers {
						known++
						n += min(1, len(ver.Sealed))
						if ver.State == "" {
							t.Errorf("%s %s: the state is lost", m, login)
						}
					}
				}
				s, _, err := tx.Submission("opec/" + m)
				for _, c := range s.Candidates {
					known++
					n += min(1, len(c.Sealed))
				}
				err2 := tx.Reviews(func(r vault.Review) error {
					if r.Mailbox == m {
						known++
						n += min(1, len(r.Letter))
					}
					return nil
				})
				if known != 6 {
					t.Errorf("%s: %d records known, want 6", m, known)
				}
				return errors.Join(err, err2)
			})
			return n
		}
		n, err := v.DestroySecrets(context.Background(), rossi)
		if n != 5 || err != nil {
			t.Errorf("destroyed %d, %v, want 5", n, err)
		}
		if a, b := left(rossi), left(rossi+".it"); a != 0 || b != 5 {
			t.Errorf("left %d and %d, want 0 and 5", a, b)
		}
		if n, err := v.DestroySecrets(context.Background(), rossi); n != 0 || err != nil {
			t.Errorf("again: %d, %v, want 0", n, err)
		}
	})
}
