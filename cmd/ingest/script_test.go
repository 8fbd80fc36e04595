package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(tidy{m}, map[string]func(){"ingest": main})
}

// tidy removes at the end what belongs to no single test.
type tidy struct{ *testing.M }

func (t tidy) Run() int {
	code := t.M.Run()
	if builtIn != "" {
		_ = os.RemoveAll(builtIn)
	}
	return code
}

// The stories of testdata/*.txtar: what a person types and sees. They check
// failure; the exact codes are checked on run.
func TestScript(t *testing.T) {
	t.Parallel()
	eml, err := filepath.Abs("../../testdata/eml")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("EML", eml)
			e.Setenv("TZ", "UTC")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"mode": mode},
	})
}

// mode compares a file's permissions: mode 0600 FILE.
func mode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode 0600 FILE")
	}
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got, want := info.Mode().Perm().String(), args[0]; got != want {
		ts.Fatalf("%s: got mode %s, want %s", args[1], got, want)
	}
}

// Exit codes of the command line itself.
func TestUsageCodes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		args string
		want int
	}{
		{"help", exitOK},
		{"--help", exitOK},
		{"once --help", exitOK},
		{"client add --help", exitOK},
		{"version", exitOK},
		{"provider list", exitOK},
		{"provider show nessuno", exitNotFound},
		{"nonsense", exitUsage},
		{"once extra", exitUsage},
		{"once --nonsense", exitUsage},
		{"get", exitUsage},
		{"get a@b.example c@d.example", exitUsage},
		{"use a@b.example first", exitUsage},
		{"review approve", exitUsage},
		{"review nonsense", exitUsage},
		{"--log-level loud once", exitUsage},
		{"--log-format xml once", exitUsage},
		{"read", exitUsage},
		{"read --trust nessuno.pem x.eml", exitUsage},
		{"read --trust spki-sha256:zz x.eml", exitUsage},
		{"read --at domani x.eml", exitUsage},
		{"read nessuno.eml", exitFailed},
		{"--config nessuno.toml status", exitConfig},
	}
	for _, tt := range tests {
		r := runCommand(t.Context(), "", strings.Fields(tt.args)...)
		if r.code != tt.want {
			t.Errorf("ingest %s: got %s\nwant exit %d", tt.args, r, tt.want)
		}
		if tt.want != exitOK && (r.stdout != "" || !strings.HasPrefix(r.stderr, "ingest: error: ")) {
			t.Errorf("ingest %s: got %s\nwant nothing on stdout, and an error on stderr", tt.args, r)
		}
		if tt.want == exitOK && r.stderr != "" {
			t.Errorf("ingest %s: got on stderr %q", tt.args, r.stderr)
		}
	}
}

// `read --json` says of each message in testdata/eml what its golden file
// says, with every key of the contract.
func TestReadCorpus(t *testing.T) {
	t.Parallel()
	const dir = "../../testdata/eml"
	paths, err := filepath.Glob(filepath.Join(dir, "*.eml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no messages in %s: %v", dir, err)
	}
	args := append([]string{"read", "--json", "--trust", filepath.Join(dir, "trust.pem"), "--recipient", "studio@pec.it",
		"--at", "2026-09-19T14:00:00Z"}, paths...)
	r := runCommand(t.Context(), "", args...)
	if r.code != exitOK {
		t.Fatalf("read: got exit %d\n%s", r.code, r.stderr)
	}
	lines := strings.Split(strings.TrimSuffix(r.stdout, "\n"), "\n")
	if len(lines) != len(paths) {
		t.Fatalf("got %d lines, want %d", len(lines), len(paths))
	}
	const keys = "certified file id kind msgid provider reason recipients sender sent_at signer subject submission weak"
	certified := 0
	for i, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".eml")
		if name == "signer-revoked" {
			continue // needs a revocation list, which only a configuration names
		}
		var got, want map[string]any
		decode(t, lines[i], &got)
		if k := keysOf(got); k != keys {
			t.Errorf("%s: got keys %q, want %q", name, k, keys)
		}
		b, err := os.ReadFile(filepath.Join(dir, name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatal(err)
		}
		if (got["submission"] != nil) != (got["certified"] == true) {
			t.Errorf("%s: certified %v with submission %v", name, got["certified"], got["submission"])
		}
		if sub, ok := got["submission"].(map[string]any); ok {
			certified++
			for _, key := range []string{"state", "mailbox", "expires", "expires_from", "candidates"} {
				if _, there := sub[key]; !there {
					t.Errorf("%s: submission has no %q", name, key)
				}
			}
			for _, c := range sub["candidates"].([]any) {
				c := c.(map[string]any)
				if _, shown := c["secret"]; shown || c["length"] == nil || c["where"] == nil {
					t.Errorf("%s: without --reveal a candidate is %v", name, c)
				}
			}
		}
		for _, key := range []string{"submission", "file"} {
			delete(got, key)
			delete(want, key)
		}
		if want["signer"] == nil { // what the unsigned headers claim may be shown: it is nobody's word
			for _, key := range []string{"id", "msgid", "subject"} {
				delete(got, key)
				delete(want, key)
			}
		}
		for _, v := range []map[string]any{got, want} { // as written, or lower-cased
			if sender, ok := v["sender"].(string); ok {
				v["sender"] = strings.ToLower(sender)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if certified == 0 {
		t.Error("none of the messages is certified")
	}
}
