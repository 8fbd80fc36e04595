package ingest

import (
	"errors"
	"fmt"
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
	// NoVault: the vault is missing, locked, of a newer format, or its key is wrong.
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

// ClassOf is the class of the first Error in err's chain, else Failed.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return Failed
}

// HintOf is the hint of the first Error in err's chain that has one.
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
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
