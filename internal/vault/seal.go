package vault

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"

	"pec-ingest/internal/secret"
)

// Label says which record a sealed text belongs to. It is inside the sealed
// text too, and opening compares the two, so that records can't be swapped;
// whole records can't either, since reading one compares its label and names
// with its key (placed).
type Label struct {
	Mailbox string `json:"mailbox"`
	Login   string `json:"login"`
	Version int    `json:"version"`
	Source  string `json:"source"` // PEC identifier, or where else it came from
}

// What a sealed text is: its first line. A letter kept for review can't be
// passed off as a password. The number is the version of the sealed form:
//
//	pec-ingest secret 1\n
//	{"mailbox":…,"login":…,"version":…,"source":…}\n
//	the secret's bytes, to the end
const (
	purposeSecret = "pec-ingest secret 1\n"
	purposeBlob   = "pec-ingest blob 1\n"
	purposeProof  = "pec-ingest proof 1\n"
	// The seed of one-time codes, sealed to keys of its own.
	purposeOneTime = "pec-ingest otp 1\n"
)

// keys seals to all recipients and, with an identity, opens again. It is
// never changed once made, so goroutines may share it.
type keys struct {
	recipients []age.Recipient
	names      []string // the recipients as written, sorted
	identities []age.Identity
}

// parseKeys reads age's own file formats, one key a line, "#" comments.
// recipients may be empty (nothing can be sealed); a nil identity is none.
func parseKeys(recipients, identity []byte) (*keys, error) {
	k := &keys{}
	var err error
	if len(bytes.TrimSpace(recipients)) > 0 {
		k.recipients, err = age.ParseRecipients(bytes.NewReader(recipients))
		if err != nil {
			return nil, fmt.Errorf("%w: reading recipients: %w", ErrRecipients, err)
		}
		for line := range strings.Lines(string(recipients)) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				k.names = append(k.names, line)
			}
		}
		slices.Sort(k.names)
	}
	if identity != nil {
		k.identities, err = age.ParseIdentities(bytes.NewReader(identity))
		if err != nil {
			// age's error may quote the line, which holds the key.
			return nil, fmt.Errorf("%w: the file holds no age identity", ErrIdentityMissing)
		}
	}
	return k, nil
}

// selfTest proves that the recipients can be used together (age refuses to mix
// post-quantum and other ones) and that the identity opens what they seal.
func (k *keys) selfTest() error {
	if len(k.recipients) == 0 {
		return nil
	}
	sealed, err := k.seal(purposeProof, Label{}, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRecipients, err)
	}
	if len(k.identities) == 0 {
		return nil
	}
	_, err = k.unseal(purposeProof, Label{}, sealed)
	return err
}

func (k *keys) seal(purpose string, l Label, plain []byte) ([]byte, error) {
	if len(k.recipients) == 0 {
		return nil, ErrNoRecipients
	}
	label, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	text := make([]byte, 0, len(purpose)+len(label)+1+len(plain))
	text = append(text, purpose...)
	text = append(text, label...)
	text = append(text, '\n')
	text = append(text, plain...)
	defer clear(text)

	var out bytes.Buffer
	w, err := age.Encrypt(&out, k.recipients...)
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	if _, err := w.Write(text); err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	return out.Bytes(), nil
}

// unseal returns the plain bytes, owned by the caller, who clears them.
func (k *keys) unseal(purpose string, l Label, sealed []byte) ([]byte, error) {
	if len(k.identities) == 0 {
		return nil, ErrNoIdentity
	}
	if len(sealed) == 0 {
		return nil, fmt.Errorf("%w: the secret was destroyed", ErrNotFound)
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), k.identities...)
	if err != nil {
		var noMatch *age.NoIdentityMatchError
		if errors.As(err, &noMatch) {
			return nil, ErrWrongKey
		}
		return nil, damaged("sealed text can't be opened")
	}
	// The plain text is shorter than the sealed one: one buffer, never grown,
	// so that clearing it leaves no copy.
	text := make([]byte, len(sealed))
	n, err := io.ReadFull(r, text)
	if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		clear(text)
		return nil, damaged("sealed text can't be opened")
	}
	defer clear(text)

	rest, ok := bytes.CutPrefix(text[:n], []byte(purpose))
	if !ok {
		return nil, ErrSwapped
	}
	head, plain, ok := bytes.Cut(rest, []byte("\n"))
	if !ok {
		return nil, damaged("sealed text has no label")
	}
	var inside Label
	if err := json.Unmarshal(head, &inside); err != nil {
		return nil, damaged("label can't be read")
	}
	if inside != l {
		return nil, ErrSwapped
	}
	return append(make([]byte, 0, len(plain)), plain...), nil
}

// reseal opens a sealed text, seals it to the present recipients and opens
// that again: the new text is proved before it replaces the old.
func (k *keys) reseal(purpose string, l Label, sealed []byte) ([]byte, error) {
	plain, err := k.unseal(purpose, l, sealed)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	fresh, err := k.seal(purpose, l, plain)
	if err != nil {
		return nil, err
	}
	again, err := k.unseal(purpose, l, fresh)
	if err != nil {
		return nil, err
	}
	defer clear(again)
	if !bytes.Equal(plain, again) {
		return nil, damaged("sealed anew, it opens as something else")
	}
	return fresh, nil
}

// Seal encrypts s to all recipients. Anybody who knows the recipients can
// seal: the label guards against records that are mixed up, not against one
// who may write the file.
func (v *Vault) Seal(l Label, s secret.Secret) ([]byte, error) {
	return v.keys.seal(purposeSecret, l, s.Reveal())
}

// Unseal opens what Seal made for the same label. The caller wipes the Secret
// when done. Errors: ErrNoIdentity, ErrWrongKey, ErrSwapped, ErrDamaged, and
// ErrNotFound for a sealed text that is no longer there.
func (v *Vault) Unseal(l Label, sealed []byte) (secret.Secret, error) {
	b, err := v.keys.unseal(purposeSecret, l, sealed)
	if err != nil {
		return secret.Secret{}, err
	}
	defer clear(b)
	return secret.New(b), nil
}

// SealBlob is Seal for a letter or picture kept for review.
func (v *Vault) SealBlob(l Label, b []byte) ([]byte, error) {
	return v.keys.seal(purposeBlob, l, b)
}

// UnsealBlob opens what SealBlob made for the same label.
func (v *Vault) UnsealBlob(l Label, sealed []byte) ([]byte, error) {
	return v.keys.unseal(purposeBlob, l, sealed)
}
