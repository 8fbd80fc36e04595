package config_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pec-ingest/internal/config"
)

func TestReadSecretFile(t *testing.T) {
	tests := []struct {
		name, content string
		mode          os.FileMode
		folder        os.FileMode
		want          string
		err           error
		hint          string
	}{
		{name: "plain", content: "pässword", mode: 0o600, folder: 0o700, want: "pässword"},
		{name: "one line end goes", content: "pw\n", mode: 0o600, folder: 0o700, want: "pw"},
		{name: "only one", content: "pw\n\n", mode: 0o600, folder: 0o700, want: "pw\n"},
		{name: "Windows", content: "pw\r\n", mode: 0o400, folder: 0o500, want: "pw"},
		{name: "blanks stay", content: " pw \t", mode: 0o600, folder: 0o700, want: " pw \t"},
		{name: "empty", content: "", mode: 0o600, folder: 0o700, err: config.ErrEmptySecret},
		{name: "a line end alone", content: "\n", mode: 0o600, folder: 0o700, err: config.ErrEmptySecret},
		{name: "group may read", content: "pw", mode: 0o640, folder: 0o700, err: config.ErrLoose, hint: "chmod 600 "},
		{name: "world may read", content: "pw", mode: 0o604, folder: 0o700, err: config.ErrLoose, hint: "chmod 600 "},
		{name: "folder open", content: "pw", mode: 0o600, folder: 0o755, err: config.ErrLoose, hint: "chmod 700 "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := secretFile(t, tt.content, tt.mode, tt.folder)
			s, err := config.ReadSecretFile(path)
			if !errors.Is(err, tt.err) {
				t.Fatalf("got %v, want %v", err, tt.err)
			}
			if err != nil {
				if !strings.Contains(err.Error(), tt.hint) || !strings.Contains(err.Error(), filepath.Dir(path)) {
					t.Errorf("got %q, want the file and %q", err, tt.hint)
				}
				if tt.content != "" && tt.content != "\n" && strings.Contains(err.Error(), tt.content+" ") {
					t.Errorf("the error shows the secret: %v", err)
				}
				return
			}
			if got := s.RevealString(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		if _, err := config.ReadSecretFile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v, want fs.ErrNotExist", err)
		}
	})
	t.Run("a folder", func(t *testing.T) {
		if _, err := config.ReadSecretFile(t.TempDir()); err == nil {
			t.Error("got no error for a folder")
		}
	})
	t.Run("too large", func(t *testing.T) {
		path := secretFile(t, strings.Repeat("x", 65<<10), 0o600, 0o700)
		if _, err := config.ReadSecretFile(path); err == nil || strings.Contains(err.Error(), "xxx") {
			t.Errorf("got %v, want an error without the content", err)
		}
	})
	t.Run("a credential may be read by the group", func(t *testing.T) {
		path := secretFile(t, "pw", 0o440, 0o755)
		t.Setenv("CREDENTIALS_DIRECTORY", filepath.Dir(path))
		s, err := config.ReadSecretFile(path)
		if err != nil || s.RevealString() != "pw" {
			t.Errorf("got %v, want the credential read", err)
		}
	})
	t.Run("a neighbour of the credentials is none", func(t *testing.T) {
		path := secretFile(t, "pw", 0o440, 0o755)
		t.Setenv("CREDENTIALS_DIRECTORY", filepath.Dir(path)+"x")
		if _, err := config.ReadSecretFile(path); !errors.Is(err, config.ErrLoose) {
			t.Errorf("got %v, want ErrLoose", err)
		}
	})
}

func secretFile(t *testing.T, content string, mode, folder os.FileMode) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "it's here")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "inbox-password")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, folder); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	return path
}
