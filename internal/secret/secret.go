// Package secret holds the one type that may carry a password, a token or a
// key through the program.
//
// Whatever formats, logs or marshals a Secret gets "[redacted]"; only the
// Reveal methods give the bytes, so that a search for ".Reveal" lists every
// place where a secret leaves its wrapping. It is a base package: it imports
// nothing of this module and every other package may import it.
package secret

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// Redacted is what every formatting of a Secret yields.
const Redacted = "[redacted]"

// Secret is a password or token. The zero value is the empty secret. Copies
// share the same bytes, so Wipe on one wipes all of them.
type Secret struct {
	// A pointer, so that even reflection-based printers that ignore our
	// methods show an address and not the bytes.
	p *[]byte
}

// New wraps a copy of b; the caller keeps b and should clear it.
func New(b []byte) Secret {
	if len(b) == 0 {
		return Secret{}
	}
	c := append([]byte(nil), b...)
	return Secret{p: &c}
}

// FromString wraps s.
func FromString(s string) Secret { return New([]byte(s)) }

// Reveal returns the bytes, owned by the Secret: the caller must neither
// change nor keep them. After Wipe it returns nil.
func (s Secret) Reveal() []byte {
	if s.p == nil {
		return nil
	}
	return *s.p
}

// RevealString returns the secret as a string, which can't be wiped: only for
// library calls that take nothing else.
func (s Secret) RevealString() string { return string(s.Reveal()) }

// Len is the length in bytes.
func (s Secret) Len() int { return len(s.Reveal()) }

// IsZero tells whether there is no secret, or no longer one.
func (s Secret) IsZero() bool { return s.Len() == 0 }

// Equal compares in time that depends on the lengths only.
func (s Secret) Equal(o Secret) bool {
	return subtle.ConstantTimeCompare(s.Reveal(), o.Reveal()) == 1
}

// Wipe overwrites the bytes of this Secret and of all its copies. Go may have
// left other copies behind (string conversions, grown slices); wiping narrows
// the time in which a memory image shows the secret, no more.
func (s Secret) Wipe() {
	if s.p == nil {
		return
	}
	clear(*s.p)
	*s.p = nil
}

// String implements fmt.Stringer.
func (Secret) String() string { return Redacted }

// GoString implements fmt.GoStringer.
func (Secret) GoString() string { return Redacted }

// Format implements fmt.Formatter, so that no verb reaches the bytes.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Redacted)) }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalJSON implements json.Marshaler.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + Redacted + `"`), nil }

// MarshalText implements encoding.TextMarshaler.
func (Secret) MarshalText() ([]byte, error) { return []byte(Redacted), nil }
