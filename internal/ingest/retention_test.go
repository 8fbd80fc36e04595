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

// A version that was replaced before it was proven, and left open by an earlier
// program, is ended and its secret destroyed in its time, if there is one; no
// other one is touched.
func TestLeftBehind(t *testing.T) {
	for _, destroyAfter := range []time.Duration{3 * time.Hour, 0} {
		t.Run(destroyAfter.String(), func(t *testing.T) { testLeftBehind(t, destroyAfter) })
	}
}

func testLeftBehind(t *testing.T, destroyAfter time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "")
		defer b.close()
		cfg, err := config.Load(filepath.Join(b.dir, "config.toml"))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Vault.DestroyAfter = destroyAfter
		service, err := b.service.Renew(cfg)
		if err != nil {
			t.Fatal(err)
		}
		const m = "rossi@pec.example"
		cred := vault.Credential{Mailbox: m, Login: m, Last: 6, Current: 5, Proven: 2}
		ended := time.Now().UTC()
		stored := []vault.Version{
			{N: 1, State: ingest.VersionUnverified}, // left behind
			{N: 2, State: ingest.VersionUnverified}, // proven once, entered again after a refusal
			{N: 3, State: ingest.VersionUnverified, EndedAt: ended, Ended: "replaced by version 4"},
			{N: 4, State: ingest.VersionRefused},
			{N: 5, State: ingest.VersionUnverified}, // the current one
			{N: 6, State: ingest.VersionUnverified},
		}
		b.update(func(tx *vault.Tx) error {
			for _, v := range stored {
				v.Mailbox, v.Login, v.Sealed = m, m, []byte("sealed")
				if err := tx.PutVersion(v); err != nil {
					return err
				}
			}
			return tx.PutCredential(cred)
		})
		care := func() (now []vault.Version, entries int) {
			t.Helper()
			if err := service.Care(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
			err := b.service.Vault().View(t.Context(), func(tx *vault.Tx) (err error) {
				if now, err = tx.Versions(m, m); err != nil {
					return err
				}
				entries = 0
				return tx.AuditLog(func(e vault.AuditEntry) error {
					if e.Event == "credential.ended" {
						entries++
						if e.Mailbox != m || e.Version != 1 {
							t.Errorf("audit: got version %d of %s, want 1 of %s", e.Version, e.Mailbox, m)
						}
					}
					return nil
				})
			})
			if err != nil {
				t.Fatal(err)
			}
			return now, entries
		}
		began := time.Now()
		for _, after := range []time.Duration{0, 2 * time.Hour, 4 * time.Hour} {
			destroyed := destroyAfter > 0 && after > destroyAfter
			time.Sleep(time.Until(began.Add(after)))
			now, entries := care()
			if entries != 1 {
				t.Errorf("after %v: got %d entries in the audit log, want 1", after, entries)
			}
			if v := now[0]; v.State != ingest.VersionSuperseded || v.Ended != "replaced by version 5" || (len(v.Sealed) == 0) != destroyed {
				t.Errorf("after %v: got version 1 %s, %q, %d bytes sealed", after, v.State, v.Ended, len(v.Sealed))
			}
			for i, v := range now[1:] {
				if was := stored[i+1]; v.State != was.State || !v.EndedAt.Equal(was.EndedAt) {
					t.Errorf("after %v: got version %d %s, ended at %v, want it as it was", after, v.N, v.State, v.EndedAt)
				}
			}
		}
	})
}
