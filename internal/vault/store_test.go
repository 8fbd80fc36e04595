package vault_test

import (
	"os"
	"path/filepath"
	"testing"

	"pec-ingest/internal/vault"
	"pec-ingest/internal/vault/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (vault.Store, func() vault.Store) {
		path := filepath.Join(t.TempDir(), "vault.db")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := vault.OpenBolt(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s, nil
	})
}
