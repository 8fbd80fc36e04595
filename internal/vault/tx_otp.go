package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"pec-ingest/internal/secret"
)

// OneTime is the seed of an account's one-time codes (RFC 6238). It is sealed
// to recipients of its own, not to the vault's: Rekey leaves it alone, and the
// key that opens the passwords does not open it.
type OneTime struct {
	Mailbox   string    `json:"mailbox"` // whose it is: a client's mailbox, or one of the studio's
	Account   string    `json:"account"` // as the service calls it that asks for the code
	Issuer    string    `json:"issuer,omitempty"`
	Algorithm string    `json:"algorithm"` // SHA1 SHA256 SHA512
	Digits    int       `json:"digits"`
	Period    int       `json:"period"` // seconds
	Sealed    []byte    `json:"sealed"` // the seed's bytes
	AddedAt   time.Time `json:"added_at,omitzero"`
	AddedBy   string    `json:"added_by,omitempty"`
}

// Label is what the sealed seed must carry.
func (o OneTime) Label() Label { return Label{Mailbox: o.Mailbox, Login: o.Account, Source: "otp"} }

// OneTime returns the seed of one account.
func (tx *Tx) OneTime(mailbox, account string) (OneTime, bool, error) {
	key, err := join("otp", mailbox, account)
	if err != nil {
		return OneTime{}, false, err
	}
	return get[OneTime](tx, key)
}

// PutOneTime stores o under its mailbox and account.
func (tx *Tx) PutOneTime(o OneTime) error {
	key, err := join("otp", o.Mailbox, o.Account)
	if err != nil {
		return err
	}
	o.AddedAt = second(o.AddedAt)
	return put(tx, key, o)
}

// DeleteOneTime destroys the seed of one account.
func (tx *Tx) DeleteOneTime(mailbox, account string) error {
	key, err := join("otp", mailbox, account)
	if err != nil {
		return err
	}
	return tx.kv.Delete(key)
}

// OneTimes lists the seeds of a mailbox; "" is all of them.
func (tx *Tx) OneTimes(mailbox string) ([]OneTime, error) {
	prefix := "otp/"
	if mailbox != "" {
		key, err := join("otp", mailbox)
		if err != nil {
			return nil, err
		}
		prefix = key + "\x00"
	}
	return all[OneTime](tx, prefix)
}

// Ring seals and opens seeds of one-time codes, with keys apart from those of
// the vault. It holds its identity in memory: make one when it is needed.
type Ring struct{ keys *keys }

// NewRing reads age's file formats. A nil identity is none: then nothing can
// be opened. Errors: ErrNoRecipients, ErrRecipients, ErrIdentityMissing, and
// ErrWrongKey for an identity that does not open what is sealed.
func NewRing(recipients, identity []byte) (*Ring, error) {
	k, err := parseKeys(recipients, identity)
	if err == nil && len(k.recipients) == 0 {
		err = ErrNoRecipients
	}
	if err == nil {
		err = k.selfTest()
	}
	if err != nil {
		return nil, err
	}
	return &Ring{k}, nil
}

// Recipients is how many keys open what the ring seals.
func (r *Ring) Recipients() int { return len(r.keys.recipients) }

// Seal encrypts a seed.
func (r *Ring) Seal(l Label, seed secret.Secret) ([]byte, error) {
	return r.keys.seal(purposeOneTime, l, seed.Reveal())
}

// Unseal opens what Seal made for the same label; its errors are those of
// Vault.Unseal. The caller wipes the Secret when done.
func (r *Ring) Unseal(l Label, sealed []byte) (secret.Secret, error) {
	b, err := r.keys.unseal(purposeOneTime, l, sealed)
	if err != nil {
		return secret.Secret{}, err
	}
	defer clear(b)
	return secret.New(b), nil
}

// OpensRing tells whether the vault's own identity opens what r seals: then
// keeping the keys apart is for nothing.
func (v *Vault) OpensRing(r *Ring) (bool, error) {
	if len(v.keys.identities) == 0 {
		return false, nil
	}
	sealed, err := r.keys.seal(purposeProof, Label{}, nil)
	if err != nil {
		return false, err
	}
	_, err = v.keys.unseal(purposeProof, Label{}, sealed)
	if errors.Is(err, ErrWrongKey) {
		return false, nil
	}
	return err == nil, err
}

// RekeyOneTimes seals every seed anew to the ring's recipients, as Rekey does
// with passwords, and returns how many there are.
func (v *Vault) RekeyOneTimes(ctx context.Context, r *Ring) (int, error) {
	todo, err := v.keysBelow(ctx, "otp/")
	if err != nil {
		return 0, fmt.Errorf("rekeying: %w", err)
	}
	sealed := 0
	for _, key := range todo {
		err := v.Update(ctx, func(tx *Tx) error {
			b, err := tx.kv.Get(key)
			if err != nil || b == nil {
				return err
			}
			var o OneTime
			if err := json.Unmarshal(b, &o); err != nil {
				return damaged("record %s", nameOf(key))
			}
			if o.Sealed, err = r.keys.reseal(purposeOneTime, o.Label(), o.Sealed); err != nil {
				return fmt.Errorf("record %s: %w", nameOf(key), err)
			}
			return tx.PutOneTime(o)
		})
		if err != nil {
			return sealed, fmt.Errorf("rekeying: %w", err)
		}
		sealed++
	}
	return sealed, nil
}
