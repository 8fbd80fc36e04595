package vault_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pec-ingest/internal/vault"
)

// Whoever may write the file can make its checks right, but must not get one
// client's password handed out as another's by putting records in each other's
// place, with or without a change of the names in them.
func TestRecordInAnothersPlace(t *testing.T) {
	a, b := mailboxOf(0), mailboxOf(1)
	two := func(table, m string) string { return table + "/" + m + "\x00" + m }
	sub := func(tx *vault.Tx) error { _, _, err := tx.Submission("opec-" + a); return err }
	tests := []struct {
		name     string
		from, to string
		rename   string // what stands in it with the name of b, %s, and then has that of a
		read     func(tx *vault.Tx) error
	}{
		{"client", "client/" + b, "client/" + a, "", func(tx *vault.Tx) error { _, _, err := tx.Client(a); return err }},
		{"clients listed", "client/" + b, "client/" + a, "", func(tx *vault.Tx) error { return tx.Clients(func(vault.Client) error { return nil }) }},
		{"credential", two("cred", b), two("cred", a), "", func(tx *vault.Tx) error { _, _, err := tx.Credential(a, a); return err }},
		{"credentials of a mailbox", two("cred", b), two("cred", a), "", func(tx *vault.Tx) error { _, err := tx.CredentialsOf(a); return err }},
		{"version", two("ver", b) + "\x00000001", two("ver", a) + "\x00000001", "", func(tx *vault.Tx) error { _, _, err := tx.Version(a, a, 1); return err }},
		{"version of another number", two("ver", a) + "\x00000001", two("ver", a) + "\x00000002", "", func(tx *vault.Tx) error { _, err := tx.Versions(a, a); return err }},
		{"version, renamed", two("ver", b) + "\x00000001", two("ver", a) + "\x00000001", `"mailbox":"%s","login":"%s","n"`,
			func(tx *vault.Tx) error { _, _, err := tx.Version(a, a, 1); return err }},
		{"submission", "sub/opec-" + b, "sub/opec-" + a, "", sub},
		{"submission, renamed", "sub/opec-" + b, "sub/opec-" + a, `"id":"opec-%s","mailbox":"%s"`, sub},
		{"one-time codes", "otp/" + b + "\x00codici", "otp/" + a + "\x00codici", "", func(tx *vault.Tx) error { _, err := tx.OneTimes(a); return err }},
		{"the studio's account", "account/smtp", "account/inbox", "", func(tx *vault.Tx) error { _, _, err := tx.Account("inbox"); return err }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := options(t)
			v := mustOpen(t, o)
			fill(t, v, 2)
			update(t, v, func(tx *vault.Tx) error {
				var errs []error
				for _, m := range []string{a, b} {
					l := vault.Label{Mailbox: m, Login: m, Source: "opec-" + m}
					errs = append(errs, tx.PutOneTime(vault.OneTime{Mailbox: m, Account: "codici", Sealed: []byte("x")}),
						tx.PutSubmission(vault.Submission{ID: "opec-" + m, Mailbox: m, Stage: vault.StageJudged,
							Candidates: []vault.Candidate{{Sealed: []byte("x"), Label: l}}}))
				}
				return errors.Join(append(errs, tx.PutAccount(vault.Account{Name: "inbox"}), tx.PutAccount(vault.Account{Name: "smtp"}))...)
			})
			view(t, v, test.read) // before, all is well
			v.Close()
			raw(t, &o, func(kv vault.KV) error {
				stored, err := kv.Get(test.from)
				if err != nil || len(stored) < 8 {
					return fmt.Errorf("no record %q: %v", test.from, err)
				}
				text := string(stored[8:])
				if n := strings.Count(test.rename, "%s"); n > 0 {
					names := func(m string) (of []any) {
						for range n {
							of = append(of, m)
						}
						return of
					}
					renamed := strings.Replace(text, fmt.Sprintf(test.rename, names(b)...), fmt.Sprintf(test.rename, names(a)...), 1)
					if renamed == text {
						return fmt.Errorf("nothing to rename in %s", text)
					}
					text = renamed
				}
				return kv.Put(test.to, vault.Frame(test.to, []byte(text)))
			})
			o.SkipCheck = true
			v = mustOpen(t, o)
			if err := v.View(context.Background(), test.read); !errors.Is(err, vault.ErrSwapped) {
				t.Errorf("error %v, want ErrSwapped", err)
			}
		})
	}
}
