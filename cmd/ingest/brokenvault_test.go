package main

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/vault"
	"pec-ingest/internal/web/page"
)

// A vault that breaks in the hands of a running service ends each command as
// one that can't be opened does: exit code 5, a hint, and nothing on stdout.
func TestVaultBreaksUnderService(t *testing.T) {
	t.Parallel()
	const meta = 2 * 4096 // bbolt's own pages
	reads := [][]string{{"get", rossi}, {"get", rossi, "--json"}, {"status"}, {"status", "--json", rossi}, {"history", rossi},
		{"due"}, {"client", "list"}, {"client", "export", rossi}, {"review"}, {"outbox"}, {"audit"}, {"calendar"},
		{"profile", rossi, "--for", "json"}}
	tests := []struct {
		name     string
		do       func(t *testing.T, path string)
		commands [][]string
		want     string // in the hint
	}{
		{"overwritten", func(t *testing.T, path string) {
			overwrite(t, path, func(b []byte) []byte {
				copy(b[meta:], bytes.Repeat([]byte{0xa5}, len(b)-meta))
				return b
			})
		}, reads, "docs/recovery.md"},
		{"cut off", func(t *testing.T, path string) {
			if err := os.Truncate(path, meta); err != nil {
				t.Fatal(err)
			}
		}, reads, "docs/recovery.md"},
		// What is open can be read; nothing is handed out without a record.
		{"moved away", func(t *testing.T, path string) {
			if err := os.Rename(path, path+".away"); err != nil {
				t.Fatal(err)
			}
		}, [][]string{{"get", rossi}, {"client", "add", bianchi}}, "put the file where it was"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := bareStudio(t, "")
			s.ok("client", "add", rossi)
			if r := s.runWith("Xk7pQ2mv\n", "set", rossi); r.code != exitOK {
				t.Fatal(r)
			}
			s.start()
			s.wantGet(rossi, "Xk7pQ2mv")
			tt.do(t, s.vaultPath())
			for _, command := range tt.commands {
				r := s.run(command...)
				if r.code != exitVault || r.stdout != "" || !strings.Contains(r.stderr, "ingest: hint: ") || !strings.Contains(r.stderr, tt.want) {
					t.Errorf("ingest %s: got %s\nwant exit %d and a hint with %q", strings.Join(command, " "), r, exitVault, tt.want)
				}
			}
			if r := s.program(os.Geteuid(), "get", rossi); r.code != exitVault || r.stdout != "" {
				t.Errorf("get, as programs run it: got %s\nwant exit %d", r, exitVault)
			}
		})
	}
}

// The page does not say of a broken vault that a key is missing.
func TestPageErrorOfBrokenVault(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want page.Kind
	}{{vault.ErrDamaged, page.KindFailed}, {vault.ErrNoIdentity, page.KindNoKey}} {
		err := pageError(&ingest.Error{Class: ingest.NoVault, Msg: "opening a letter", Err: tt.err})
		var p *page.Problem
		if !errors.As(err, &p) || p.Kind != tt.want {
			t.Errorf("%v: got %v, want kind %q", tt.err, err, tt.want)
		}
	}
}

// overwrite changes a file's bytes in place.
func overwrite(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(change(b), 0); err != nil {
		t.Fatal(err)
	}
}
