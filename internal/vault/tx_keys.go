package vault

import "time"

// FeedKey lets a program read one thing without a person: the calendar, the
// metrics. Only the hash of its token is here.
type FeedKey struct {
	Kind string    `json:"kind"`
	Name string    `json:"name"` // who it was given to; one of each kind
	Hash string    `json:"hash"` // hex SHA-256 of the token
	By   string    `json:"by"`
	At   time.Time `json:"at"`
}

// FeedKeys returns the keys of a kind, by name; "" is every kind.
func (tx *Tx) FeedKeys(kind string) ([]FeedKey, error) {
	prefix := "feedkey/"
	if kind != "" {
		key, err := join("feedkey", kind)
		if err != nil {
			return nil, err
		}
		prefix = key + "\x00"
	}
	return all[FeedKey](tx, prefix)
}

// PutFeedKey stores k under its kind and name.
func (tx *Tx) PutFeedKey(k FeedKey) error {
	key, err := join("feedkey", k.Kind, k.Name)
	if err != nil {
		return err
	}
	k.At = second(k.At)
	return put(tx, key, k)
}

// DeleteFeedKey forgets a key; one that is not there is no error.
func (tx *Tx) DeleteFeedKey(kind, name string) error {
	key, err := join("feedkey", kind, name)
	if err != nil {
		return err
	}
	return tx.kv.Delete(key)
}
