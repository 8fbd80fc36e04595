package ingest_test

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"pec-ingest/internal/config"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// All versions are read for what is to be destroyed at the start, hourly, and
// with another setting at once.
func TestDestroyHourly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "") // 200 days
		defer b.close()
		const m = "rossi@pec.example"
		replaced := func(days int) { // version 1 was replaced that long ago
			t.Helper()
			ended := time.Now().AddDate(0, 0, -days).UTC()
			sealed, err := b.service.Vault().Seal(vault.Label{}, secret.FromString("parola"))
			if err != nil {
				t.Fatal(err)
			}
			err = b.service.Vault().Update(t.Context(), func(tx *vault.Tx) error {
				if err := tx.PutCredential(vault.Credential{Mailbox: m, Login: m, Last: 2, Current: 2, Proven: 2}); err != nil {
					return err
				}
				return tx.PutVersion(vault.Version{Mailbox: m, Login: m, N: 1, Sealed: sealed, StoredAt: ended, EndedAt: ended, State: ingest.VersionSuperseded})
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		care := func(s *ingest.Service, want bool, when string) {
			t.Helper()
			if err := s.Care(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
			var v vault.Version
			if err := s.Vault().View(t.Context(), func(tx *vault.Tx) (err error) {
				v, _, err = tx.Version(m, m, 1)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			if got := len(v.Sealed) == 0; got != want {
				t.Errorf("%s: destroyed %t, want %t", when, got, want)
			}
		}
		replaced(201)
		care(b.service, true, "at the start")
		replaced(201)
		time.Sleep(59 * time.Minute)
		care(b.service, false, "59 minutes later")
		time.Sleep(time.Minute)
		care(b.service, true, "an hour later")

		replaced(199)
		care(b.service, false, "too young")
		cfg, err := config.Load(filepath.Join(b.dir, "config.toml"))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Vault.DestroyAfter = 198 * 24 * time.Hour
		next, err := b.service.Renew(cfg)
		if err != nil {
			t.Fatal(err)
		}
		care(next, true, "with another setting")
	})
}
