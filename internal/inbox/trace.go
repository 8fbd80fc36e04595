package inbox

import (
	"hash/maphash"

	"pec-ingest/internal/secret"
)

// trace knows a password again without keeping it: the session lasts for days,
// the password is wiped after the login. It has the length and a hash under a
// key that this trace alone has.
type trace struct {
	seed maphash.Seed
	n    int
	sum  uint64
}

func newTrace(password secret.Secret) trace {
	t := trace{seed: maphash.MakeSeed(), n: password.Len()}
	t.sum = maphash.Bytes(t.seed, password.Reveal())
	return t
}

// in tells whether the password stands in a text.
func (t trace) in(text string) bool {
	for i := 0; t.n > 0 && i+t.n <= len(text); i++ {
		if maphash.String(t.seed, text[i:i+t.n]) == t.sum {
			return true
		}
	}
	return false
}
