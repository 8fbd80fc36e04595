package vault_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// The studio's own account keeps what it was given, is no client, and is
// sealed anew with the rest.
func TestAccount(t *testing.T) {
	ctx := context.Background()
	service, recovery := newKeys(t), newKeys(t)
	o := options(t)
	o.Recipients, o.Identity = service.recipient, service.identity
	v := mustOpen(t, o)
	label := vault.Label{Mailbox: "studio", Login: "studio@pec.example", Version: 1, Source: "set --inbox"}
	sealed, err := v.Seal(label, secret.FromString("Xk9mQ2pL"))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 22, 8, 0, 0, 5, time.UTC)
	want := vault.Account{Name: "inbox", Username: "studio@pec.example", Salt: []byte{1}, Mark: []byte{2}, Since: at, Expires: at,
		Sealed: sealed, Label: label, SetAt: at}
	if err := v.Update(ctx, func(tx *vault.Tx) error { return tx.PutAccount(want) }); err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	o.Recipients = slices.Concat(service.recipient, recovery.recipient)
	v = mustOpen(t, o)
	n, err := v.Rekey(ctx)
	if err != nil || n != 1 {
		t.Fatalf("rekey: got %d texts, %v, want 1", n, err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	o.Recipients, o.Identity = recovery.recipient, recovery.identity
	v = mustOpen(t, o)
	err = v.View(ctx, func(tx *vault.Tx) error {
		got, ok, err := tx.Account("inbox")
		if err != nil || !ok {
			t.Fatalf("got %v, %v", ok, err)
		}
		if got.Username != want.Username || !got.Since.Equal(at.Truncate(time.Second)) || !got.Expires.Equal(at.Truncate(24*time.Hour)) {
			t.Errorf("got %+v", got)
		}
		p, err := v.Unseal(got.Label, got.Sealed)
		if err != nil || p.RevealString() != "Xk9mQ2pL" {
			t.Errorf("with the new key: got %v", err)
		}
		if _, ok, err := tx.Account("smtp"); ok || err != nil {
			t.Errorf("another account: got %v, %v, want none", ok, err)
		}
		return tx.Clients(func(c vault.Client) error {
			t.Errorf("it is among the clients: %s", c.Mailbox)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}
