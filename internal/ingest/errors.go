package ingest

import (
	"errors"
	"fmt"

	"pec-ingest/internal/vault"
)

// Class says what kind of failure an Error is; the commands turn it into an
// exit code (DESIGN: exit codes), the socket API into a status.
type Class int

const (
	// Failed is any failure without a better class.
	Failed Class = iota
	// Usage: the request itself makes no sense.
	Usage
	// NotFound: no such mailbox, version or item.
	NotFound
	// NeedsPerson: ambiguous, broken, or already decided by somebody.
	NeedsPerson
	// NoVault: the vault is missing, locked, of a newer format, damaged or out of
	// reach, or its key is wrong.
	NoVault
	// BadConfig: the configuration is invalid.
	BadConfig
	// NotPermitted: the caller may not do this.
	NotPermitted
)

// Error is a failure as a person sees it: what happened and what can be done.
// Msg and Hint hold no secret and no foreign text that has not passed
// safetext.
type Error struct {
	Class Class
	Code  Code // where people may be told in other words
	Msg   string
	Hint  string
	Err   error

	logged bool // the log has it already
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", e.Msg, e.Err)
	}
	return e.Msg
}

func (e *Error) Unwrap() error { return e.Err }

// ClassOf is the class of the first Error in err's chain. Where there is none,
// or it says no more than Failed, it is NoVault if LostVault, else Failed.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) && e.Class != Failed {
		return e.Class
	}
	if LostVault(err) {
		return NoVault
	}
	return Failed
}

// LostVault tells whether an error came from a vault that was open and can't be
// worked with any more: its file is damaged, or was moved away; its cluster does
// not answer, or holds none any more, or one of a later version's format.
func LostVault(err error) bool {
	return anyOf(err, vault.ErrDamaged, vault.ErrMoved, vault.ErrUnavailable, vault.ErrMissing, vault.ErrForeign, vault.ErrNewerFormat)
}

// HintOf is the hint of the first Error in err's chain that has one, else what
// to do where the system is in the way.
func HintOf(err error) string {
	for inner := err; inner != nil; {
		var e *Error
		if !errors.As(inner, &e) {
			break
		}
		if e.Hint != "" {
			return e.Hint
		}
		inner = e.Err
	}
	return systemHint(err)
}

// Code names a failure for those who say it in other words than Msg does.
type Code string

// The codes. Most failures have none.
const (
	CodeNotListed   Code = "not-listed"   // the mailbox is no client's
	CodeRefused     Code = "refused"      // the provider refuses the password
	CodeTooMany     Code = "too-many"     // too many refusals today
	CodeDatePast    Code = "date-past"    // the expiry date is over
	CodeDateFar     Code = "date-far"     // beyond policy.max_validity
	CodeNoLogin     Code = "no-login"     // a user ID is needed
	CodeNoHost      Code = "no-host"      // no server is known
	CodeDecided     Code = "decided"      // somebody was faster
	CodeNoCandidate Code = "no-candidate" // or it was destroyed
	CodeNoKey       Code = "no-key"       // what is sealed can't be opened
	CodeSent        Code = "sent"         // the message was sent already
)

// CodeOf is the code of the first Error in err's chain that has one.
func CodeOf(err error) Code {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Code != "" {
			return e.Code
		}
		err = e.Err
	}
	return ""
}

func (e *Error) code(c Code) *Error {
	e.Code = c
	return e
}

func notFound(format string, args ...any) *Error {
	return &Error{Class: NotFound, Msg: fmt.Sprintf(format, args...)}
}

func usage(format string, args ...any) *Error {
	return &Error{Class: Usage, Msg: fmt.Sprintf(format, args...)}
}

func (e *Error) hint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}
