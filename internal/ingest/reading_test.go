package ingest_test

import (
	"errors"
	"path/filepath"
	"testing"

	"filippo.io/age"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// A transaction that is run again, for somebody else has committed, hands out
// what its last run found and nothing else; one that is run after its caller
// has gone records nothing.
func TestReadingRunAgain(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(vault.Options{Path: filepath.Join(t.TempDir(), "state", "vault.db"), Create: true,
		Recipients: []byte(id.Recipient().String() + "\n"), Identity: []byte(id.String() + "\n")})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	const mailbox = "rossi@pec.example"
	version := func(n int, sealed string) vault.Version {
		return vault.Version{Mailbox: mailbox, Login: mailbox, N: n, Label: vault.Label{Mailbox: mailbox, Login: mailbox, Version: n}, Sealed: []byte(sealed)}
	}
	refused := errors.New("refused")
	type run struct {
		found vault.Version
		err   error
	}
	tests := []struct {
		name   string
		runs   []run
		opened int
		want   int // version
		secret string
		why    error
	}{
		{"once", []run{{version(1, "a"), nil}}, 1, 1, "a", nil},
		{"the same again", []run{{version(1, "a"), nil}, {version(1, "a"), nil}}, 1, 1, "a", nil},
		{"a newer one meanwhile", []run{{version(1, "a"), nil}, {version(2, "b"), nil}}, 2, 2, "b", nil},
		{"sealed anew", []run{{version(1, "a"), nil}, {version(1, "b"), nil}}, 2, 1, "b", nil},
		{"refused meanwhile", []run{{version(1, "a"), nil}, {vault.Version{}, refused}}, 1, 1, "a", refused},
		{"there only now", []run{{vault.Version{}, refused}, {version(1, "a"), nil}}, 1, 1, "a", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			at, opened := 0, 0
			r := ingest.NewReading(func() (vault.Version, error) { return tt.runs[at].found, tt.runs[at].err },
				func(v vault.Version) secret.Secret { opened++; return secret.New(v.Sealed) })
			err := v.Update(t.Context(), func(tx *vault.Tx) error {
				for at = range tt.runs {
					if err := r.Run(tx, "reader", mailbox); !errors.Is(err, tt.runs[at].err) {
						t.Errorf("run %d: got %v, want %v", at, err, tt.runs[at].err)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			n, password, why := r.Leave()
			if n != tt.want || password.RevealString() != tt.secret || !errors.Is(why, tt.why) || opened != tt.opened {
				t.Errorf("got version %d, %q, %v, opened %d times; want %d, %q, %v, %d", n, password.RevealString(), why, opened,
					tt.want, tt.secret, tt.why, tt.opened)
			}
			at = 0
			err = v.Update(t.Context(), func(tx *vault.Tx) error { return r.Run(tx, "late", mailbox) })
			if err == nil {
				t.Error("run after its caller has gone: got no error")
			}
		})
	}
	err = v.View(t.Context(), func(tx *vault.Tx) error {
		return tx.AuditLog(func(e vault.AuditEntry) error {
			if e.Actor == "late" {
				t.Errorf("recorded for a caller who has gone: %v", e)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}
