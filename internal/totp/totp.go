// Package totp reads the seeds of time-based one-time codes (RFC 6238), as
// the pages that set up a second factor show them, and computes the codes.
//
// It is strict where authenticator apps are lenient: a parameter that can't
// be read is refused and not replaced by a default, since a wrong code that
// looks right locks an account. Codes based on a counter (RFC 4226) are
// refused: whoever asks for one uses it up for everybody else.
//
// The computing is github.com/pquerna/otp's. It is pure: no disk, no clock.
package totp

import (
	"encoding/base32"
	"fmt"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"pec-ingest/internal/secret"
)

// What a seed may say; the defaults of the otpauth form.
const (
	SHA1   = "SHA1"
	SHA256 = "SHA256"
	SHA512 = "SHA512"

	DefaultDigits, MinDigits, MaxDigits = 6, 6, 8
	DefaultPeriod, MinPeriod, MaxPeriod = 30, 15, 120 // seconds

	// MinSeed is less than RFC 4226 §4 R6 asks for (16 bytes), because
	// Microsoft and Google hand out seeds of 10.
	MinSeed, MaxSeed = 10, 128 // bytes
)

// Params are one account's codes. Whoever has them wipes the Seed.
type Params struct {
	Account   string // "" where the text does not say
	Issuer    string // likewise
	Algorithm string // SHA1, SHA256 or SHA512
	Digits    int
	Period    int // seconds
	Seed      secret.Secret
}

// Error says to a person what is wrong with a seed's text. It never holds any
// of it.
type Error struct {
	Msg, Hint string
}

func (e *Error) Error() string { return e.Msg }

func bad(hint, format string, args ...any) *Error {
	return &Error{Msg: fmt.Sprintf(format, args...), Hint: hint}
}

var algorithms = map[string]otp.Algorithm{SHA1: otp.AlgorithmSHA1, SHA256: otp.AlgorithmSHA256, SHA512: otp.AlgorithmSHA512}

// Code is the code at t and how long it is good from then on. The caller
// wipes it. Errors are *Error: p is not one that Parse could have returned.
//
// Source: RFC 6238 §4.2.
func (p Params) Code(t time.Time) (code secret.Secret, left time.Duration, err error) {
	algorithm, ok := algorithms[p.Algorithm]
	if !ok || p.Digits < MinDigits || p.Digits > MaxDigits || p.Period < MinPeriod || p.Period > MaxPeriod ||
		p.Seed.Len() < MinSeed || p.Seed.Len() > MaxSeed || t.Unix() < 0 {
		return secret.Secret{}, 0, bad("", "the record of these one-time codes can't be right")
	}
	// The library wants the seed as text, which can't be wiped.
	text, err := totp.GenerateCodeCustom(base32.StdEncoding.EncodeToString(p.Seed.Reveal()), t,
		totp.ValidateOpts{Period: uint(p.Period), Digits: otp.Digits(p.Digits), Algorithm: algorithm})
	if err != nil {
		return secret.Secret{}, 0, bad("", "the code can't be computed") // the library's words might hold the seed
	}
	period := time.Duration(p.Period) * time.Second
	since := time.Duration(t.Unix()%int64(p.Period))*time.Second + time.Duration(t.Nanosecond())
	return secret.FromString(text), period - since, nil
}
