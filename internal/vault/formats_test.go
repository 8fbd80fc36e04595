package vault_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

var updateFormat = flag.Bool("update", false, "write the example vault of the present format anew (only before its release)")

const formatsDir = "../../testdata/vault"

// expected is what a vault in testdata holds, beside it as JSON.
type expected struct {
	Format    int               `json:"format"`
	Passwords map[string]string `json:"passwords"` // current one by mailbox
	Letter    string            `json:"letter"`    // of review item 1
	Open      int               `json:"open"`      // submissions on the work list
	Queued    int               `json:"queued"`    // messages to send
	Audit     int               `json:"audit"`     // entries
}

// Every format ever released stays readable and can be gone on with.
func TestFormats(t *testing.T) {
	if *updateFormat {
		writeExample(t)
	}
	dirs, err := filepath.Glob(filepath.Join(formatsDir, "format*"))
	if err != nil || len(dirs) != vault.Format {
		t.Fatalf("%d example vaults (%v), want one for each format up to %d", len(dirs), err, vault.Format)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) { readExample(t, dir) })
	}
}

func readExample(t *testing.T, dir string) {
	file := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var want expected
	if err := json.Unmarshal(file("expected.json"), &want); err != nil {
		t.Fatal(err)
	}
	o := vault.Options{
		Path:       filepath.Join(t.TempDir(), "state", "vault.db"),
		Recipients: file("recipients.txt"),
		Identity:   file("identity.txt"),
	}
	if err := os.Mkdir(filepath.Dir(o.Path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.Path, file("vault.db"), 0o600); err != nil {
		t.Fatal(err)
	}
	v := mustOpen(t, o)
	got := expected{Format: v.Info().Format, Passwords: map[string]string{}}
	view(t, v, func(tx *vault.Tx) error {
		open, err := tx.OpenSubmissions()
		got.Open = len(open)
		out, err2 := tx.OpenOutgoing()
		got.Queued = len(out)
		var err3 error
		got.Audit, _, err3 = tx.AuditHead()
		r, _, err4 := tx.Review(1)
		letter, err5 := v.UnsealBlob(r.LetterLabel, r.Letter)
		got.Letter = string(letter)
		return errors.Join(err, err2, err3, err4, err5)
	})
	for m := range want.Passwords {
		p, err := read(v, m)
		if err != nil {
			t.Errorf("%s: %v", m, err)
		}
		got.Passwords[m] = p
	}
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("got  %s\nwant %s", g, w)
	}
	if err := v.VerifyAudit(context.Background()); err != nil {
		t.Error(err)
	}
	fill(t, v, 2)
	if got, err := read(v, mailboxOf(1)); got != passwordOf(1) || err != nil {
		t.Errorf("written since: %q, %v", got, err)
	}
}

// writeExample makes testdata/vault/formatN with a record of each kind.
func writeExample(t *testing.T) {
	k := newKeys(t)
	o := options(t)
	o.Recipients, o.Identity = k.recipient, k.identity
	v := mustOpen(t, o)
	want := expected{Format: vault.Format, Passwords: map[string]string{}, Letter: "Buongiorno, ecco.", Open: 1, Queued: 1}
	for i, m := range []string{"rossi@pec.example", "studio.bianchi@pec.example"} {
		for n, pw := range []string{"vecchia-1", fmt.Sprintf("Nuova%d€-2", i)} {
			l := vault.Label{Mailbox: m, Login: m, Version: n + 1, Source: "opec@pec.example"}
			sealed, err := v.Seal(l, secret.FromString(pw))
			if err != nil {
				t.Fatal(err)
			}
			want.Passwords[m] = pw
			want.Audit++
			update(t, v, func(tx *vault.Tx) error {
				return errors.Join(
					tx.PutClient(vault.Client{Mailbox: m, Name: "Rossi & Bianchi", Lang: "it", AddedAt: now}),
					tx.PutCredential(vault.Credential{Mailbox: m, Login: m, Last: n + 1, Current: n + 1, Proven: n + 1}),
					tx.PutVersion(vault.Version{Mailbox: m, Login: m, N: n + 1, Label: l, Sealed: sealed,
						ReceivedAt: now, Expires: someDay, ExpiresFrom: "policy", State: "proven"}),
					tx.Audit(vault.AuditEntry{Actor: "service", Event: "credential.accepted", Mailbox: m, Version: n + 1}))
			})
		}
	}
	l := vault.Label{Mailbox: rossi, Source: "opec2@pec.example"}
	letter, err := v.SealBlob(l, []byte(want.Letter))
	if err != nil {
		t.Fatal(err)
	}
	want.Audit++
	update(t, v, func(tx *vault.Tx) error {
		_, err1 := tx.AddReview(vault.Review{SubmissionID: l.Source, Mailbox: rossi, Reason: "ambiguous", OpenedAt: now, Letter: letter, LetterLabel: l})
		_, _, err2 := tx.Queue(vault.Outgoing{Cause: "reply/opec@pec.example", Kind: "accepted", To: rossi, Data: []byte(`{"lang":"it"}`)})
		return errors.Join(err1, err2,
			tx.PutSubmission(vault.Submission{ID: l.Source, Mailbox: rossi, Stage: vault.StageJudged, Find: "ambiguous", ReviewN: 1}),
			tx.PutSeen(vault.Seen{ID: l.Source, At: now, Verdict: "submission", Folder: "INBOX"}),
			tx.PutCursor(vault.Cursor{Folder: "INBOX", UIDValidity: 1, NextUID: 9, At: now}),
			tx.PutHole(vault.Hole{Folder: "INBOX", UID: 4}),
			tx.AddRefused(vault.Refused{At: now, Reason: "anomaly"}),
			tx.PutAttempts(vault.Attempts{Mailbox: rossi, Day: "2026-11-22", Refusals: 1}),
			tx.PutJob("warnings", now),
			tx.AuditRead("uid 0", rossi, rossi, 2))
	})
	var file bytes.Buffer
	if _, err := v.Backup(context.Background(), &file); err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(want, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(formatsDir, fmt.Sprintf("format%d", vault.Format))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"vault.db": file.Bytes(), "expected.json": append(text, '\n'),
		"recipients.txt": append([]byte("# a test key\n"), k.recipient...),
		"identity.txt":   append([]byte("# a test key: protects nothing\n"), k.identity...),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
