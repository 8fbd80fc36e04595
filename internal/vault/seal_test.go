package vault_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"filippo.io/age"

	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

var fullLabel = vault.Label{Mailbox: rossi, Login: "rossi-1", Version: 7, Source: "opec1@pec.example"}

func TestSealAndUnseal(t *testing.T) {
	v := mustOpen(t, options(t))
	for _, plain := range []string{"a", "€ \" \\ \n\r\x00", strings.Repeat("x", 300), "", `{"mailbox":""}` + "\n"} {
		sealed, err := v.Seal(fullLabel, secret.FromString(plain))
		if err != nil {
			t.Fatalf("Seal: %v", err)
		}
		if len(plain) > 1 && bytes.Contains(sealed, []byte(plain)) {
			t.Error("the sealed text holds the plain one")
		}
		got, err := v.Unseal(fullLabel, sealed)
		if err != nil || got.RevealString() != plain {
			t.Errorf("Unseal: %d bytes, %v, want the %d sealed", got.Len(), err, len(plain))
		}
		blob, err := v.SealBlob(fullLabel, []byte(plain))
		if err != nil {
			t.Fatalf("SealBlob: %v", err)
		}
		if b, err := v.UnsealBlob(fullLabel, blob); err != nil || string(b) != plain {
			t.Errorf("UnsealBlob: %d bytes, %v, want the %d sealed", len(b), err, len(plain))
		}
	}
}

// Sealing the same twice must not show that it is the same.
func TestSealedTextsDiffer(t *testing.T) {
	v := mustOpen(t, options(t))
	one, err1 := v.Seal(fullLabel, secret.FromString("x"))
	two, err2 := v.Seal(fullLabel, secret.FromString("x"))
	if err1 != nil || err2 != nil || bytes.Equal(one, two) {
		t.Errorf("two sealed texts are equal (%v, %v)", err1, err2)
	}
}

// Each field of the label counts, and what kind of text it is.
func TestLabelIsChecked(t *testing.T) {
	v := mustOpen(t, options(t))
	sealed, err := v.Seal(fullLabel, secret.FromString("x"))
	if err != nil {
		t.Fatal(err)
	}
	blob, err := v.SealBlob(fullLabel, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	others := map[string]vault.Label{
		"mailbox": {Mailbox: "x@pec.example", Login: fullLabel.Login, Version: 7, Source: fullLabel.Source},
		"login":   {Mailbox: rossi, Login: "rossi-2", Version: 7, Source: fullLabel.Source},
		"version": {Mailbox: rossi, Login: fullLabel.Login, Version: 6, Source: fullLabel.Source},
		"source":  {Mailbox: rossi, Login: fullLabel.Login, Version: 7, Source: "opec2@pec.example"},
		"none":    {},
	}
	for name, l := range others {
		if _, err := v.Unseal(l, sealed); !errors.Is(err, vault.ErrSwapped) {
			t.Errorf("another %s: %v, want ErrSwapped", name, err)
		}
		if _, err := v.UnsealBlob(l, blob); !errors.Is(err, vault.ErrSwapped) {
			t.Errorf("blob, another %s: %v, want ErrSwapped", name, err)
		}
	}
	if _, err := v.Unseal(fullLabel, blob); !errors.Is(err, vault.ErrSwapped) {
		t.Errorf("a blob as secret: %v, want ErrSwapped", err)
	}
	if _, err := v.UnsealBlob(fullLabel, sealed); !errors.Is(err, vault.ErrSwapped) {
		t.Errorf("a secret as blob: %v, want ErrSwapped", err)
	}
}

func TestSealedTextDamaged(t *testing.T) {
	v := mustOpen(t, options(t))
	sealed, err := v.Seal(fullLabel, secret.FromString("geheim"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Unseal(fullLabel, nil); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("nothing: %v, want ErrNotFound", err)
	}
	for n := range len(sealed) {
		if _, err := v.Unseal(fullLabel, sealed[:n]); err == nil {
			t.Errorf("cut at %d of %d: opened", n, len(sealed))
		}
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= byte(1 + rnd.IntN(255))
		if _, err := v.Unseal(fullLabel, bad); !errors.Is(err, vault.ErrDamaged) && !errors.Is(err, vault.ErrWrongKey) {
			t.Errorf("byte %d changed: %v, want ErrDamaged or ErrWrongKey", i, err)
		}
	}
	if _, err := v.Unseal(fullLabel, append(bytes.Clone(sealed), 'x')); !errors.Is(err, vault.ErrDamaged) {
		t.Errorf("a byte more: %v, want ErrDamaged", err)
	}
}

// Every recipient opens what is sealed: the service with its key, the studio
// with the recovery key. So with post-quantum keys.
func TestSeveralRecipients(t *testing.T) {
	classic := func() (string, string) {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		return id.String(), id.Recipient().String()
	}
	hybrid := func() (string, string) {
		id, err := age.GenerateHybridIdentity()
		if err != nil {
			t.Fatal(err)
		}
		return id.String(), id.Recipient().String()
	}
	for name, generate := range map[string]func() (string, string){"X25519": classic, "hybrid": hybrid} {
		t.Run(name, func(t *testing.T) {
			service, serviceR := generate()
			recovery, recoveryR := generate()
			o := options(t)
			o.Recipients = []byte("# service\n" + serviceR + "\n\n# recovery, offline\n" + recoveryR + "\n")
			o.Identity = []byte("# created: today\n" + service + "\n")
			v := mustOpen(t, o)
			fill(t, v, 2)
			v.Close()
			for _, identity := range []string{service, recovery} {
				o.Identity = []byte(identity)
				v := mustOpen(t, o)
				if got, err := read(v, mailboxOf(1)); got != passwordOf(1) || err != nil {
					t.Errorf("got %q, %v, want %q", got, err, passwordOf(1))
				}
				v.Close()
			}
		})
	}
}

// A plain secret must not be in the file, nor in a form that hides it thinly.
func TestNoSecretInTheFile(t *testing.T) {
	o := made(t)
	searchFile(t, o.Path, passwordOf(0))
}
