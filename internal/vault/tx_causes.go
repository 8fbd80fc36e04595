package vault

import "strings"

// Causes calls fn with each marked cause that begins with prefix.
func (tx *Tx) Causes(prefix string, fn func(cause string) error) error {
	return tx.kv.Scan("cause/"+prefix, func(key string, _ []byte) error {
		return fn(strings.TrimPrefix(key, "cause/"))
	})
}
