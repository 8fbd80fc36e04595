package vault

import "fmt"

// Credential returns the credential of a (mailbox, login). A login that is
// not known yet, "", has none.
func (tx *Tx) Credential(mailbox, login string) (Credential, bool, error) {
	if login == "" {
		return Credential{}, false, nil
	}
	key, err := join("cred", mailbox, login)
	if err != nil {
		return Credential{}, false, err
	}
	return get[Credential](tx, key)
}

// PutCredential stores c under its mailbox and login.
func (tx *Tx) PutCredential(c Credential) error {
	key, err := join("cred", c.Mailbox, c.Login)
	if err != nil {
		return err
	}
	return put(tx, key, c.normal())
}

// Credentials calls fn with each credential.
func (tx *Tx) Credentials(fn func(Credential) error) error {
	return each(tx, "cred/", fn)
}

// CredentialsOf returns the credentials of one mailbox, by login.
func (tx *Tx) CredentialsOf(mailbox string) ([]Credential, error) {
	prefix, err := join("cred", mailbox)
	if err != nil {
		return nil, err
	}
	return all[Credential](tx, prefix+"\x00")
}

// Version returns version n of a credential. Version 0, the current one where
// nothing is stored yet, is none.
func (tx *Tx) Version(mailbox, login string, n int) (Version, bool, error) {
	if n == 0 || login == "" {
		return Version{}, false, nil
	}
	key, err := versionKey(mailbox, login, n)
	if err != nil {
		return Version{}, false, err
	}
	return get[Version](tx, key)
}

// PutVersion stores v under its mailbox, login and number.
func (tx *Tx) PutVersion(v Version) error {
	key, err := versionKey(v.Mailbox, v.Login, v.N)
	if err != nil {
		return err
	}
	return put(tx, key, v.normal())
}

// Versions returns all versions of a credential, the oldest first.
func (tx *Tx) Versions(mailbox, login string) ([]Version, error) {
	prefix, err := join("ver", mailbox, login)
	if err != nil {
		return nil, err
	}
	return all[Version](tx, prefix+"\x00")
}

func versionKey(mailbox, login string, n int) (string, error) {
	if n < 1 {
		return "", fmt.Errorf("%w: version %d", ErrInvalid, n)
	}
	return join("ver", mailbox, login, fmt.Sprintf("%06d", n))
}
