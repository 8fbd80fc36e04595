package pec

import (
	"errors"
	"fmt"
)

// Reason says why a message is not certified; "" means that it is. The values
// are a contract with everything that reads `ingest read --json`.
type Reason string

// The reasons, in the order in which they are looked for: a message gets the
// first one that applies.
const (
	ReasonTooLarge             Reason = "too-large"
	ReasonMalformed            Reason = "malformed"
	ReasonNotPEC               Reason = "not-pec"
	ReasonUnsigned             Reason = "unsigned"
	ReasonBadSignature         Reason = "bad-signature"
	ReasonUnsupportedSignature Reason = "unsupported-signature"
	ReasonUntrustedSigner      Reason = "untrusted-signer"
	ReasonSignerNotValid       Reason = "signer-not-valid"
	ReasonSignerMismatch       Reason = "signer-mismatch"
	ReasonAnomaly              Reason = "anomaly"
	ReasonReceipt              Reason = "receipt"
	ReasonDaticertMissing      Reason = "daticert-missing"
	ReasonDaticertMismatch     Reason = "daticert-mismatch"
)

// One sentinel for each reason; Judgement.Err wraps the one that applies.
var (
	ErrTooLarge             = errors.New("pec: message is larger than the limit")
	ErrMalformed            = errors.New("pec: message is malformed")
	ErrNotPEC               = errors.New("pec: not a certified message")
	ErrUnsigned             = errors.New("pec: message carries no provider signature")
	ErrBadSignature         = errors.New("pec: signature does not match")
	ErrUnsupportedSignature = errors.New("pec: signature algorithm is not supported")
	ErrUntrustedSigner      = errors.New("pec: signer is not trusted for PEC")
	ErrSignerNotValid       = errors.New("pec: signer's certificate is not valid")
	ErrSignerMismatch       = errors.New("pec: signer is not the one in From")
	ErrAnomaly              = errors.New("pec: anomaly envelope around ordinary mail")
	ErrReceipt              = errors.New("pec: provider receipt, not a message")
	ErrDaticertMissing      = errors.New("pec: certification data is missing")
	ErrDaticertMismatch     = errors.New("pec: certification data does not match")
)

type reasonInfo struct {
	reason   Reason
	err      error
	sentence string
}

// reasons is in the order of refusals.
var reasons = []reasonInfo{
	{ReasonTooLarge, ErrTooLarge, "The message is larger than the limit and was not examined."},
	{ReasonMalformed, ErrMalformed, "The message breaks the rules of its format in a way that could hide something."},
	{ReasonNotPEC, ErrNotPEC, "This is ordinary mail or another kind of message, not a PEC envelope."},
	{ReasonUnsigned, ErrUnsigned, "The message claims to be PEC but no provider has signed it."},
	{ReasonBadSignature, ErrBadSignature, "The provider's signature does not match: the message was changed or the signature is forged."},
	{ReasonUnsupportedSignature, ErrUnsupportedSignature, "The signature uses a method that is not accepted here."},
	{ReasonUntrustedSigner, ErrUntrustedSigner, "The signature was made by somebody who is not known as a PEC provider."},
	{ReasonSignerNotValid, ErrSignerNotValid, "The provider's certificate had expired, was revoked or may not sign mail."},
	{ReasonSignerMismatch, ErrSignerMismatch, "The message was signed by another provider than the one it names as its sender."},
	{ReasonAnomaly, ErrAnomaly, "This is an anomaly envelope: ordinary mail that a PEC provider passed on without certifying it."},
	{ReasonReceipt, ErrReceipt, "This is a provider's receipt, not a message from a person."},
	{ReasonDaticertMissing, ErrDaticertMissing, "The certification data or the original message is missing under the signature."},
	{ReasonDaticertMismatch, ErrDaticertMismatch, "The certification data does not agree with the message around it."},
}

// Reasons lists all reasons in the order of refusals.
func Reasons() []Reason {
	list := make([]Reason, 0, len(reasons))
	for _, r := range reasons {
		list = append(list, r.reason)
	}
	return list
}

// Sentence says in English, for people, what the reason means.
func (r Reason) Sentence() string {
	if r == "" {
		return "The message is certified."
	}
	for _, i := range reasons {
		if i.reason == r {
			return i.sentence
		}
	}
	return "The message was refused."
}

// Err is the sentinel of the reason, nil for "".
func (r Reason) Err() error {
	for _, i := range reasons {
		if i.reason == r {
			return i.err
		}
	}
	return nil
}

// refusal is a reason on its way to the Judgement. Its detail names parts,
// offsets and rules, never bytes of the message.
type refusal struct {
	reason Reason
	detail string
}

func refuse(r Reason, format string, args ...any) *refusal {
	return &refusal{reason: r, detail: fmt.Sprintf(format, args...)}
}

func (r *refusal) err() error {
	if r.detail == "" {
		return r.reason.Err()
	}
	return fmt.Errorf("%w: %s", r.reason.Err(), r.detail)
}
