package inbox

import "errors"

// mechXOAUTH2 is the login by access token that Microsoft, Google and Dovecot
// take; go-sasl has only OAUTHBEARER.
//
// Source: developers.google.com/gmail/imap/xoauth2-protocol.
const mechXOAUTH2 = "XOAUTH2"

// xoauth2 implements sasl.Client.
type xoauth2 struct{ username, token string }

// Start implements sasl.Client.
func (x *xoauth2) Start() (mech string, ir []byte, err error) {
	return mechXOAUTH2, []byte("user=" + x.username + "\x01auth=Bearer " + x.token + "\x01\x01"), nil
}

// Next answers the JSON in which a server says why it refuses, so that its NO
// comes: with one byte, as OAUTHBEARER does (RFC 7628 §3.2.3), since the IMAP
// library writes an empty answer as "=", which Dovecot calls malformed.
func (x *xoauth2) Next([]byte) ([]byte, error) {
	if x.token == "" {
		return nil, errors.New("inbox: the server asks on and on")
	}
	x.token = "" // one such answer is all there is
	return []byte{1}, nil
}
