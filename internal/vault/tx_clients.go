package vault

// Client returns the client with that mailbox, also a removed one.
func (tx *Tx) Client(mailbox string) (Client, bool, error) {
	key, err := join("client", mailbox)
	if err != nil {
		return Client{}, false, err
	}
	return get[Client](tx, key)
}

// PutClient stores c under its mailbox.
func (tx *Tx) PutClient(c Client) error {
	key, err := join("client", c.Mailbox)
	if err != nil {
		return err
	}
	return put(tx, key, c.normal())
}

// Clients calls fn with each client, removed ones too.
func (tx *Tx) Clients(fn func(Client) error) error {
	return each(tx, "client/", fn)
}

// Attempts returns the refusals counted for a mailbox; the day in it tells
// whether they still matter.
func (tx *Tx) Attempts(mailbox string) (Attempts, bool, error) {
	key, err := join("attempts", mailbox)
	if err != nil {
		return Attempts{}, false, err
	}
	return get[Attempts](tx, key)
}

// PutAttempts stores a under its mailbox.
func (tx *Tx) PutAttempts(a Attempts) error {
	key, err := join("attempts", a.Mailbox)
	if err != nil {
		return err
	}
	return put(tx, key, a)
}
