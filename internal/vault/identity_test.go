package vault_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"

	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// locked protects an identity file as "age -p" does, with little work.
func locked(t *testing.T, identity []byte, passphrase string, armored bool) []byte {
	t.Helper()
	r, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	r.SetWorkFactor(10)
	var out bytes.Buffer
	var dst io.Writer = &out
	var arm io.WriteCloser
	if armored {
		arm = armor.NewWriter(&out)
		dst = arm
	}
	w, err := age.Encrypt(dst, r)
	if err != nil {
		t.Fatal(err)
	}
	_, err1 := w.Write(identity)
	err2 := w.Close()
	if armored {
		err2 = errors.Join(err2, arm.Close())
	}
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestUnlockIdentity(t *testing.T) {
	o := options(t)
	plain := o.Identity
	if vault.IdentityLocked(plain) {
		t.Error("a plain identity is said to be locked")
	}
	for _, armored := range []bool{false, true} {
		file := locked(t, plain, "parola d'ordine", armored)
		if !vault.IdentityLocked(file) {
			t.Errorf("armored %t: not seen as locked", armored)
		}
		got, err := vault.UnlockIdentity(file, secret.FromString("parola d'ordine"))
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("armored %t: %d bytes, %v, want the identity", armored, len(got), err)
		}
		for _, wrong := range []string{"", "parola"} {
			if _, err := vault.UnlockIdentity(file, secret.FromString(wrong)); !errors.Is(err, vault.ErrPassphrase) {
				t.Errorf("armored %t, passphrase %q: %v, want ErrPassphrase", armored, wrong, err)
			}
		}
		if _, err := vault.UnlockIdentity(file[:len(file)-20], secret.FromString("parola d'ordine")); !errors.Is(err, vault.ErrIdentityMissing) {
			t.Errorf("armored %t, cut: %v, want ErrIdentityMissing", armored, err)
		}
		// As it is, it is no identity.
		o.Identity = file
		if _, err := vault.Open(o); !errors.Is(err, vault.ErrIdentityMissing) {
			t.Errorf("armored %t, opened locked: %v, want ErrIdentityMissing", armored, err)
		}
		o.Identity = got
		mustOpen(t, o).Close()
	}
}
