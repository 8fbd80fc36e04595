package vault

import "slices"

// SameRecipients tells whether a recipients file names the keys that the vault
// was opened with: what Rekey seals to.
func (v *Vault) SameRecipients(file []byte) (bool, error) {
	k, err := parseKeys(file, nil)
	if err != nil {
		return false, err
	}
	return slices.Equal(k.names, v.keys.names), nil
}
