package vault

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"filippo.io/age/armor"

	"pec-ingest/internal/secret"
)

// ErrPassphrase: the passphrase does not open the identity file.
var ErrPassphrase = errors.New("vault: wrong passphrase for the identity")

// binaryIntro starts each binary age file.
const binaryIntro = "age-encryption.org/v1\n"

// maxIdentity bounds what an encrypted identity file may hold.
const maxIdentity = 1 << 20

// IdentityLocked tells whether an identity file is protected by a passphrase
// (made by "age -p", armored or not), so that UnlockIdentity must come first.
func IdentityLocked(file []byte) bool {
	file = bytes.TrimSpace(file)
	return bytes.HasPrefix(file, []byte(binaryIntro)) || bytes.HasPrefix(file, []byte(armor.Header))
}

// UnlockIdentity opens an identity file that is protected by a passphrase and
// returns what Options.Identity takes; the caller clears it. It takes about a
// second, by intention. Errors: ErrPassphrase, ErrIdentityMissing (no such
// file, or none inside).
func UnlockIdentity(file []byte, passphrase secret.Secret) ([]byte, error) {
	if !IdentityLocked(file) {
		return nil, fmt.Errorf("%w: the file is not protected by a passphrase", ErrIdentityMissing)
	}
	id, err := age.NewScryptIdentity(passphrase.RevealString())
	if err != nil {
		return nil, ErrPassphrase // empty
	}
	var r io.Reader = bytes.NewReader(file)
	if trimmed := bytes.TrimSpace(file); bytes.HasPrefix(trimmed, []byte(armor.Header)) {
		r = armor.NewReader(bytes.NewReader(trimmed))
	}
	plain, err := age.Decrypt(r, id)
	if err != nil {
		var noMatch *age.NoIdentityMatchError
		if errors.As(err, &noMatch) {
			return nil, ErrPassphrase
		}
		return nil, fmt.Errorf("%w: the file is damaged", ErrIdentityMissing)
	}
	b, err := io.ReadAll(io.LimitReader(plain, maxIdentity))
	if err != nil {
		clear(b)
		return nil, fmt.Errorf("%w: the file is damaged", ErrIdentityMissing)
	}
	return b, nil
}
