package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"pec-ingest/internal/config"
)

// Plain names of secrets: the credentials directory, then beside the
// configuration, then its private folder.
func TestSecretPaths(t *testing.T) {
	const text = "[inbox]\nhost = \"imap.example\"\nusername = \"studio@pec.example\"\npassword_file = \"pw\"\n"
	touch := func(t *testing.T, path string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name    string
		there   []string // below the test's folder
		private bool     // the private folder is there
		want    string
	}{
		{name: "nothing there", want: "etc/pw"},
		{name: "private folder, no file yet", private: true, want: "etc/private/pw"},
		{name: "in the private folder", there: []string{"etc/private/pw"}, want: "etc/private/pw"},
		{name: "beside the configuration", there: []string{"etc/pw", "etc/private/pw"}, want: "etc/pw"},
		{name: "credential first", there: []string{"creds/pw", "etc/pw", "etc/private/pw"}, want: "creds/pw"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			for _, p := range tt.there {
				touch(t, filepath.Join(root, p))
			}
			if tt.private {
				if err := os.MkdirAll(filepath.Join(root, "etc", config.PrivateFolder), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			c, err := config.Parse([]byte(text), "config.toml", filepath.Join(root, "etc"), filepath.Join(root, "creds"))
			if err != nil {
				t.Fatal(err)
			}
			if want := filepath.Join(root, tt.want); c.Inbox.PasswordFile != want {
				t.Errorf("got %s, want %s", c.Inbox.PasswordFile, want)
			}
			// What is no secret is not looked for there.
			if want := filepath.Join(root, "etc", "recipients.txt"); c.Vault.RecipientsFile != want {
				t.Errorf("got recipients %s, want %s", c.Vault.RecipientsFile, want)
			}
		})
	}
}
