package bench

import (
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"pec-ingest/internal/config"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// filled makes a service whose vault has n mailboxes with a password each. The
// passwords are one sealed text: what is read here does not open it.
func filled(t *testing.T, exe string, n int) *ingest.Service {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	run(t, exe, "init", dir+"/c")
	text := fmt.Sprintf("[inbox]\nhost = \"imap.example\"\nusername = %q\n[vault]\nurl = \"bbolt://%s/c/vault/vault.db\"\nidentity_file = \"identity.txt\"\n", studio, dir)
	if err := os.WriteFile(dir+"/c/config.toml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(dir + "/c/config.toml")
	if err != nil {
		t.Fatal(err)
	}
	v, err := ingest.OpenVault(cfg, ingest.Writing, nil)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, v, n)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := ingest.Open(cfg, ingest.Writing, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func fill(t *testing.T, v *vault.Vault, n int) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	sealed, err := v.Seal(vault.Label{}, secret.FromString("parola"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < n; {
		begun := i
		err := v.Update(t.Context(), func(tx *vault.Tx) error {
			for i = begun; i < min(n, begun+30); i++ {
				m := clientAddress(i)
				received := now.AddDate(0, 0, -i%100)
				version := vault.Version{Mailbox: m, Login: m, N: 1, Sealed: sealed, ReceivedAt: received, StoredAt: received, ProvenAt: received,
					Expires: received.Truncate(24*time.Hour).AddDate(0, 0, 90), ExpiresFrom: "policy", ValidityDays: 90, State: ingest.VersionProven}
				if err := tx.PutClient(vault.Client{Mailbox: m, Name: fmt.Sprint("Ditta ", i), AddedAt: now}); err != nil {
					return err
				}
				if err := tx.PutCredential(vault.Credential{Mailbox: m, Login: m, Last: 1, Current: 1, Proven: 1}); err != nil {
					return err
				}
				if err := tx.PutVersion(version); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Status and due over many mailboxes cost what the mailboxes do.
func TestManyMailboxes(t *testing.T) {
	long(t)
	exe := program(t)
	few, many := filled(t, exe, 1_000), filled(t, exe, 100_000)
	now := time.Now()
	workday := now.AddDate(0, 0, 7)
	for workday.Weekday() != time.Wednesday {
		workday = workday.AddDate(0, 0, 1)
	}
	status := func(s *ingest.Service, want int) func() time.Duration {
		return func() time.Duration {
			start := time.Now()
			rows, err := s.Status(t.Context(), "", now)
			if err != nil || len(rows) != want {
				t.Fatalf("status: %d rows, %v; want %d", len(rows), err, want)
			}
			return time.Since(start)
		}
	}
	due := func(s *ingest.Service) func() time.Duration {
		return func() time.Duration {
			start := time.Now()
			rows, err := s.Due(t.Context(), now, workday)
			if err != nil || len(rows) == 0 {
				t.Fatalf("due: %d rows, %v", len(rows), err)
			}
			return time.Since(start)
		}
	}
	m := alternate(5, status(few, 1_000), status(many, 100_000))
	note(t, figure{"status over 100,000 mailboxes : over 1,000", ratio(m[1], m[0]), 130, fmt.Sprintf("%s : %s, medians of 5, alternating", ms(m[1]), ms(m[0]))})
	m = alternate(5, due(few), due(many))
	note(t, figure{"due over 100,000 mailboxes : over 1,000", ratio(m[1], m[0]), 130, fmt.Sprintf("%s : %s, medians of 5, alternating", ms(m[1]), ms(m[0]))})
}
