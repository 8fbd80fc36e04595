package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// Rekey seals everything anew to the recipients that the vault was opened
// with, after recipients were added or removed. It needs an identity that
// opens what is there and is among the new recipients.
//
// It goes record by record, in transactions of a few, while the service goes
// on working (which seals to the new recipients anyhow). Each new sealed text
// is opened and compared before it takes the place of the old. Only when all
// are done does the vault say that its recipients are the new ones; after an
// interruption Rekey is run again and does again what it did. It returns how
// many sealed texts there are.
//
// Removing a recipient keeps him from what is sealed from now on. What he
// could read he may have kept; and until their pages are used again, old
// sealed texts are in the file and in older backups.
func (v *Vault) Rekey(ctx context.Context) (int, error) {
	if len(v.keys.recipients) == 0 {
		return 0, ErrNoRecipients
	}
	if len(v.keys.identities) == 0 {
		return 0, ErrNoIdentity
	}
	sealed := 0
	for _, table := range []string{"ver/", "sub/", "review/", "blob/", "account/"} {
		todo, err := v.keysBelow(ctx, table)
		if err != nil {
			return sealed, fmt.Errorf("rekeying: %w", err)
		}
		for len(todo) > 0 {
			done, texts, err := v.rekeySome(ctx, todo)
			if err != nil {
				return sealed, fmt.Errorf("rekeying: %w", err)
			}
			sealed += texts
			todo = todo[done:]
		}
	}
	if err := v.rekeyProof(ctx); err != nil {
		return sealed, fmt.Errorf("rekeying: %w", err)
	}
	return sealed, nil
}

// NeedsRekey tells whether the vault says that it is sealed to others than
// the recipients it was opened with.
func (v *Vault) NeedsRekey(ctx context.Context) (bool, error) {
	needed := false
	err := v.View(ctx, func(tx *Tx) error {
		rec, err := tx.kv.format()
		needed = !slices.Equal(rec.Recipients, v.keys.names)
		return err
	})
	return needed, err
}

// ProveIdentity proves that another identity (the recovery key) opens this
// vault: what was sealed, and what is sealed from now on. Errors: ErrWrongKey,
// ErrIdentityMissing, ErrDamaged.
func (v *Vault) ProveIdentity(ctx context.Context, identity []byte) error {
	if identity == nil {
		identity = []byte{}
	}
	other, err := parseKeys(nil, identity)
	if err != nil {
		return err
	}
	return v.View(ctx, func(tx *Tx) error {
		rec, err := tx.kv.format()
		if err != nil {
			return err
		}
		_, err = other.unseal(purposeProof, rec.label(), rec.Proof)
		if err != nil || len(v.keys.recipients) == 0 {
			return err
		}
		fresh, err := v.keys.seal(purposeProof, Label{}, nil)
		if err != nil {
			return err
		}
		_, err = other.unseal(purposeProof, Label{}, fresh)
		return err
	})
}

func (v *Vault) keysBelow(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	err := v.store.View(ctx, func(kv KV) error {
		keys = nil
		return kv.Scan(prefix, func(key string, _ []byte) error {
			keys = append(keys, key)
			return nil
		})
	})
	return keys, err
}

// rekeyAtOnce bounds the records of one transaction; their size does too.
const rekeyAtOnce = 32

// rekeySome seals the first of these records anew, as many as one transaction
// holds, at least one.
func (v *Vault) rekeySome(ctx context.Context, todo []string) (done, texts int, err error) {
	err = v.Update(ctx, func(tx *Tx) error {
		done, texts = 0, 0
		for _, key := range todo[:min(len(todo), rekeyAtOnce)] {
			b, err := tx.kv.Get(key)
			if err != nil {
				return err
			}
			// A text sealed to more recipients is longer, but not twice.
			if _, room := tx.Room(); done > 0 && 2*len(b) > room {
				return nil
			}
			done++
			if b == nil {
				continue
			}
			n, err := v.rekeyRecord(tx, key, b)
			if err != nil {
				return fmt.Errorf("record %s: %w", nameOf(key), err)
			}
			texts += n
		}
		return nil
	})
	return done, texts, err
}

// rekeyRecord seals what is sealed in one record anew.
func (v *Vault) rekeyRecord(tx *Tx, key string, b []byte) (texts int, err error) {
	anew := func(purpose string, l Label, sealed *[]byte) {
		if err != nil || len(*sealed) == 0 {
			return
		}
		*sealed, err = v.keys.reseal(purpose, l, *sealed)
		texts++
	}
	var rec any
	switch tableOf(key) {
	case "ver":
		var r Version
		if err := json.Unmarshal(b, &r); err != nil {
			return 0, damaged("no JSON")
		}
		anew(purposeSecret, r.Label, &r.Sealed)
		rec = r
	case "sub":
		var r Submission
		if err := json.Unmarshal(b, &r); err != nil {
			return 0, damaged("no JSON")
		}
		for i := range r.Candidates {
			anew(purposeSecret, r.Candidates[i].Label, &r.Candidates[i].Sealed)
		}
		anew(purposeBlob, r.LetterLabel, &r.Letter)
		rec = r
	case "review":
		var r Review
		if err := json.Unmarshal(b, &r); err != nil {
			return 0, damaged("no JSON")
		}
		anew(purposeBlob, r.LetterLabel, &r.Letter)
		rec = r
	case "blob":
		var r Blob
		if err := json.Unmarshal(b, &r); err != nil {
			return 0, damaged("no JSON")
		}
		anew(purposeBlob, r.Label, &r.Sealed)
		rec = r
	case "account":
		var r Account
		if err := json.Unmarshal(b, &r); err != nil {
			return 0, damaged("no JSON")
		}
		anew(purposeSecret, r.Label, &r.Sealed)
		rec = r
	}
	if err != nil || texts == 0 {
		return texts, err
	}
	return texts, put(tx, key, rec)
}

// rekeyProof makes the new recipients those of the vault.
func (v *Vault) rekeyProof(ctx context.Context) error {
	return v.Update(ctx, func(tx *Tx) error {
		rec, err := tx.kv.format()
		if err != nil {
			return err
		}
		if rec.Proof, err = v.keys.reseal(purposeProof, rec.label(), rec.Proof); err != nil {
			return err
		}
		rec.Recipients = v.keys.names
		return tx.kv.putFormat(rec)
	})
}
