package vault

import "time"

// Account is a login of the studio's own: to its inbox, or to the server it
// sends by. It is no client's mailbox and stands in no list of them.
type Account struct {
	Name     string `json:"name"` // "inbox", "smtp", …
	Username string `json:"username,omitempty"`

	// The secret in use is known by a salted scrypt hash, so that it can be
	// told from a new one without an identity, and after a restart.
	Salt []byte `json:"salt,omitempty"`
	Mark []byte `json:"mark,omitempty"`

	Since     time.Time `json:"since,omitzero"`      // the secret was first seen
	Expires   time.Time `json:"expires,omitzero"`    // day
	GoodAt    time.Time `json:"good_at,omitzero"`    // last accepted login
	RefusedAt time.Time `json:"refused_at,omitzero"` // the secret is refused, and not tried again
	TroubleAt time.Time `json:"trouble_at,omitzero"` // the server said no for another reason
	Detail    string    `json:"detail,omitempty"`    // what it said, made safe

	// A secret kept here instead of in a file; nil for none.
	Sealed []byte    `json:"sealed,omitempty"`
	Label  Label     `json:"label,omitzero"`
	SetAt  time.Time `json:"set_at,omitzero"`
}

func (a Account) normal() Account {
	a.Since, a.GoodAt, a.RefusedAt = second(a.Since), second(a.GoodAt), second(a.RefusedAt)
	a.TroubleAt, a.SetAt, a.Expires = second(a.TroubleAt), second(a.SetAt), day(a.Expires)
	return a
}

// Account returns the studio's account of that name.
func (tx *Tx) Account(name string) (Account, bool, error) {
	key, err := join("account", name)
	if err != nil {
		return Account{}, false, err
	}
	return get[Account](tx, key)
}

// PutAccount stores a under its name.
func (tx *Tx) PutAccount(a Account) error {
	key, err := join("account", a.Name)
	if err != nil {
		return err
	}
	return put(tx, key, a.normal())
}
