package vault_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"pec-ingest/internal/vault"
)

// A process killed while it commits loses nothing that was committed, and
// what it leaves is whole; killed while it makes the vault, the next start
// makes it.
func TestKilled(t *testing.T) {
	const env = "VAULT_TEST_KILLED"
	if dir := os.Getenv(env); dir != "" {
		commitForEver(t, dir)
		return
	}
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	k := newKeys(t)
	for name, b := range map[string][]byte{"identity": k.identity, "recipients": k.recipient} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := options(t)
	o.Path, o.Identity, o.Recipients = filepath.Join(dir, "vault.db"), k.identity, k.recipient
	committed := 0
	for round := range 12 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), env+"="+dir, "TMPDIR="+t.TempDir()) // it can't tidy up
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Killed after so many commits were reported; in round 0 at once.
		lines := bufio.NewScanner(out)
		for i := 0; i < round*7 && lines.Scan(); i++ {
			if _, err := fmt.Sscanf(lines.Text(), "committed %d", &committed); err != nil {
				t.Fatalf("child said %q", lines.Text())
			}
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()

		v, err := vault.Open(o)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		s, err := v.Check(context.Background())
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		// Commits that were not reported any more may be there too.
		if s.AuditEntries < committed {
			t.Errorf("round %d: %d entries, want %d at least", round, s.AuditEntries, committed)
		}
		view(t, v, func(tx *vault.Tx) error {
			a, _, err := tx.Attempts("a@x")
			if a.Refusals != s.AuditEntries {
				t.Errorf("round %d: half a transaction: %d and %d", round, a.Refusals, s.AuditEntries)
			}
			return err
		})
		v.Close()
	}
	if committed < 50 {
		t.Errorf("only %d commits reported: nothing was tested", committed)
	}
}

func commitForEver(t *testing.T, dir string) {
	o := options(t)
	o.Path = filepath.Join(dir, "vault.db")
	var err1, err2 error
	o.Identity, err1 = os.ReadFile(filepath.Join(dir, "identity"))
	o.Recipients, err2 = os.ReadFile(filepath.Join(dir, "recipients"))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	v := mustOpen(t, o)
	for {
		n := 0
		update(t, v, func(tx *vault.Tx) error {
			a, _, err := tx.Attempts("a@x")
			n = a.Refusals + 1
			return errors.Join(err, tx.PutAttempts(vault.Attempts{Mailbox: "a@x", Refusals: n}),
				tx.Audit(entry(n)), putBig(tx, n%30))
		})
		fmt.Println("committed", n)
	}
}
