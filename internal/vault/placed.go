package vault

import (
	"fmt"
	"strconv"
	"strings"
)

// placed is a record that says by itself where it belongs. It is compared with
// the key it was read from: whoever may write the file could else put a whole
// record, its sealed text and label included, in another one's place, and one
// client's password would be handed out, or sent to a server, as another's.
type placed interface{ at(key string) bool }

// inPlace tells whether rec, a pointer to a record, belongs to the key.
func inPlace(rec any, key string) bool {
	p, ok := rec.(placed)
	return !ok || p.at(key)
}

// misplaced is ErrSwapped for a whole record.
func misplaced(key string) error { return fmt.Errorf("%w: in %s", ErrSwapped, nameOf(key)) }

// isKey tells whether key is what join makes, without making it.
func isKey(key, table string, parts ...string) bool {
	rest, ok := strings.CutPrefix(key, table)
	for i, part := range parts {
		if !ok {
			return false
		}
		between := "\x00"
		if i == 0 {
			between = "/"
		}
		if rest, ok = strings.CutPrefix(rest, between); ok {
			rest, ok = strings.CutPrefix(rest, part)
		}
	}
	return ok && rest == ""
}

func (c *Client) at(key string) bool     { return isKey(key, "client", c.Mailbox) }
func (c *Credential) at(key string) bool { return isKey(key, "cred", c.Mailbox, c.Login) }
func (o *OneTime) at(key string) bool    { return isKey(key, "otp", o.Mailbox, o.Account) }
func (a *Account) at(key string) bool    { return isKey(key, "account", a.Name) }

// at also compares the label, and so what is in the sealed text: the version
// in it is another one only where nobody could open the candidate to seal it
// anew, which names the message that both came from.
func (v *Version) at(key string) bool {
	i := strings.LastIndexByte(key, 0)
	if i < 0 || !isKey(key[:i], "ver", v.Mailbox, v.Login) {
		return false
	}
	if n, err := strconv.Atoi(key[i+1:]); err != nil || n != v.N {
		return false
	}
	if len(v.Sealed) == 0 {
		return true
	}
	l := v.Label // without one the sealed text has none either
	return l == (Label{}) || l.Mailbox == v.Mailbox && (l.Login == v.Login || l.Login == "") && (l.Version == v.N || l.Source == v.Source)
}

// at also compares the labels of the candidates.
func (s *Submission) at(key string) bool {
	for i := range s.Candidates {
		if c := &s.Candidates[i]; len(c.Sealed) > 0 && c.Label != (Label{}) && c.Label.Mailbox != s.Mailbox {
			return false
		}
	}
	if isKey(key, "sub", s.ID) {
		return true
	}
	hashed, err := idKey("sub", s.ID)
	return err == nil && key == hashed
}
