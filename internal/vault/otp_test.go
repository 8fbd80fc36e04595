package vault_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

func ring(t *testing.T, recipients, identity []byte) *vault.Ring {
	t.Helper()
	r, err := vault.NewRing(recipients, identity)
	if err != nil {
		t.Fatalf("NewRing: %v", err)
	}
	return r
}

func sealedSeed(t *testing.T, r *vault.Ring, mailbox, account, seed string) vault.OneTime {
	t.Helper()
	o := vault.OneTime{Mailbox: mailbox, Account: account, Issuer: "Microsoft", Algorithm: "SHA1", Digits: 6, Period: 30,
		AddedAt: now, AddedBy: "uid:0(root)"}
	var err error
	if o.Sealed, err = r.Seal(o.Label(), secret.FromString(seed)); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestOneTimeRecords(t *testing.T) {
	keys := newKeys(t)
	r := ring(t, keys.recipient, keys.identity)
	a := sealedSeed(t, r, rossi, "fatture@rossi.example", "uno")
	b := sealedSeed(t, r, rossi, "paghe@rossi.example", "due")
	other := sealedSeed(t, r, "r"+rossi, "x", "tre") // no prefix of another
	onStores(t, func(t *testing.T, v *vault.Vault) {
		update(t, v, func(tx *vault.Tx) error {
			return errors.Join(tx.PutOneTime(b), tx.PutOneTime(a), tx.PutOneTime(other))
		})
		view(t, v, func(tx *vault.Tx) error {
			same(t, a)(tx.OneTime(rossi, a.Account))
			sameList(t, []vault.OneTime{a, b})(tx.OneTimes(rossi))
			sameList(t, []vault.OneTime{a, b, other})(tx.OneTimes(""))
			return nil
		})
		update(t, v, func(tx *vault.Tx) error { return tx.DeleteOneTime(rossi, a.Account) })
		view(t, v, func(tx *vault.Tx) error {
			sameList(t, []vault.OneTime{b})(tx.OneTimes(rossi))
			return nil
		})
		err := v.Update(context.Background(), func(tx *vault.Tx) error { return tx.PutOneTime(vault.OneTime{Mailbox: rossi}) })
		if !errors.Is(err, vault.ErrInvalid) {
			t.Errorf("a seed without account: %v, want ErrInvalid", err)
		}
	})
}

// A seed opens with its own key alone, as itself alone, and as nothing else.
func TestRingIsApart(t *testing.T) {
	o := options(t)
	v := mustOpen(t, o)
	keys := newKeys(t)
	r := ring(t, keys.recipient, keys.identity)
	one := sealedSeed(t, r, rossi, "fatture", "seme")

	got, err := r.Unseal(one.Label(), one.Sealed)
	if err != nil || got.RevealString() != "seme" {
		t.Fatalf("Unseal: %v", err)
	}
	if _, err := v.Unseal(one.Label(), one.Sealed); !errors.Is(err, vault.ErrWrongKey) {
		t.Errorf("the vault's key: %v, want ErrWrongKey", err)
	}
	if _, err := ring(t, keys.recipient, nil).Unseal(one.Label(), one.Sealed); !errors.Is(err, vault.ErrNoIdentity) {
		t.Errorf("no key: %v, want ErrNoIdentity", err)
	}
	l := one.Label()
	l.Login = "paghe"
	if _, err := r.Unseal(l, one.Sealed); !errors.Is(err, vault.ErrSwapped) {
		t.Errorf("another account's: %v, want ErrSwapped", err)
	}
	// Even where somebody gave both the same key, a password is no seed.
	shared := ring(t, o.Recipients, o.Identity)
	password, err := v.Seal(one.Label(), secret.FromString("password"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shared.Unseal(one.Label(), password); !errors.Is(err, vault.ErrSwapped) {
		t.Errorf("a password as seed: %v, want ErrSwapped", err)
	}
	for r, want := range map[*vault.Ring]bool{r: false, shared: true} {
		if got, err := v.OpensRing(r); got != want || err != nil {
			t.Errorf("OpensRing: got %t, %v, want %t", got, err, want)
		}
	}
}

func TestRingRefusesBadKeys(t *testing.T) {
	one, other := newKeys(t), newKeys(t)
	for name, c := range map[string]struct {
		recipients, identity []byte
		want                 error
	}{
		"no recipients":       {nil, one.identity, vault.ErrNoRecipients},
		"no public keys":      {[]byte("age1x\n"), nil, vault.ErrRecipients},
		"another's identity":  {one.recipient, other.identity, vault.ErrWrongKey},
		"no identity in it":   {one.recipient, []byte("x\n"), vault.ErrIdentityMissing},
		"an empty identity":   {one.recipient, []byte{}, vault.ErrIdentityMissing},
		"recipient as secret": {one.recipient, one.recipient, vault.ErrIdentityMissing},
	} {
		if _, err := vault.NewRing(c.recipients, c.identity); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

// The vault's rekeying leaves the seeds alone; their own makes a new key open
// them and, once the old recipient is gone, the old one not.
func TestRekeyOneTimes(t *testing.T) {
	ctx := context.Background()
	v := mustOpen(t, options(t))
	fill(t, v, 2)
	keys := newKeys(t)
	before := ring(t, keys.recipient, keys.identity)
	one := sealedSeed(t, before, rossi, "fatture", "seme")
	update(t, v, func(tx *vault.Tx) error { return tx.PutOneTime(one) })
	if _, err := v.Rekey(ctx); err != nil {
		t.Fatal(err)
	}
	view(t, v, func(tx *vault.Tx) error {
		same(t, one)(tx.OneTime(rossi, "fatture"))
		return nil
	})

	fresh := newKeys(t)
	both := ring(t, fresh.recipient, append(bytes.Clone(keys.identity), fresh.identity...))
	if n, err := v.RekeyOneTimes(ctx, both); n != 1 || err != nil {
		t.Fatalf("RekeyOneTimes: %d, %v", n, err)
	}
	view(t, v, func(tx *vault.Tx) error {
		got, _, err := tx.OneTime(rossi, "fatture")
		if err != nil {
			return err
		}
		seed, err := ring(t, fresh.recipient, fresh.identity).Unseal(got.Label(), got.Sealed)
		if err != nil || seed.RevealString() != "seme" {
			t.Errorf("the new key: %v", err)
		}
		if _, err := before.Unseal(got.Label(), got.Sealed); !errors.Is(err, vault.ErrWrongKey) {
			t.Errorf("the old key: %v, want ErrWrongKey", err)
		}
		got.Sealed = one.Sealed
		if diff := cmp.Diff(one, got); diff != "" {
			t.Errorf("the record changed: %s", diff)
		}
		return nil
	})
	// A key that opens nothing changes nothing.
	stranger := newKeys(t)
	if n, err := v.RekeyOneTimes(ctx, ring(t, stranger.recipient, stranger.identity)); n != 0 || !errors.Is(err, vault.ErrWrongKey) {
		t.Errorf("a stranger's key: %d, %v, want ErrWrongKey", n, err)
	}
	if _, err := v.Check(ctx); err != nil {
		t.Errorf("Check: %v", err)
	}
}
