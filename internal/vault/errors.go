package vault

import (
	"errors"
	"fmt"
)

// Opening a vault.
var (
	// ErrMissing: there is no vault at that path, and Create was not asked.
	ErrMissing = errors.New("vault: no such file")
	// ErrLocked: another process has it open.
	ErrLocked = errors.New("vault: locked by another process")
	// ErrWrongKey: the identity opens nothing of this vault, or would not open
	// what is sealed to the recipients given.
	ErrWrongKey = errors.New("vault: the identity does not open this vault")
	// ErrIdentityMissing: an identity was named but there is none.
	ErrIdentityMissing = errors.New("vault: identity missing")
	// ErrRecipients: the recipients can't be read, or can't be used together.
	ErrRecipients = errors.New("vault: recipients not usable")
	// ErrNewerFormat: written by a later version of the program.
	ErrNewerFormat = errors.New("vault: written by a newer version")
	// ErrDamaged: the file or a record in it is not as it was written.
	ErrDamaged = errors.New("vault: damaged")
	// ErrForeign: not a file of this program.
	ErrForeign = errors.New("vault: not a vault")
	// ErrPermissions: others than the owner may read or change the file.
	ErrPermissions = errors.New("vault: permissions too loose")
	// ErrReadOnly: a change was asked of a vault opened for reading.
	ErrReadOnly = errors.New("vault: opened read-only")
	// ErrClosed: used after Close.
	ErrClosed = errors.New("vault: closed")
)

// Working with an open vault.
var (
	// ErrTooLarge: a transaction wrote more than MaxKeys keys or more
	// than MaxBytes. Nothing of it was kept; split it.
	ErrTooLarge = errors.New("vault: transaction too large")
	// ErrMoved: the file is no longer where it was opened; nothing was stored.
	ErrMoved = errors.New("vault: the open file was moved away, deleted or replaced")
	// ErrNotFound: no such record.
	ErrNotFound = errors.New("vault: not found")
	// ErrInvalid: a record that can't be kept (a field that names it is empty
	// or holds a NUL byte, a number below one).
	ErrInvalid = errors.New("vault: invalid record")
	// ErrNoIdentity: opened without identity, so nothing can be unsealed.
	ErrNoIdentity = errors.New("vault: no identity to unseal with")
	// ErrNoRecipients: opened without recipients, so nothing can be sealed.
	ErrNoRecipients = errors.New("vault: no recipients to seal to")
	// ErrSwapped: the sealed text is genuine but belongs to another record.
	ErrSwapped = errors.New("vault: sealed text belongs to another record")
	// ErrUnavailable: the cluster did not answer in time.
	ErrUnavailable = errors.New("vault: the cluster does not answer")
	// ErrOutcomeUnknown: it did not say whether a commit was made.
	ErrOutcomeUnknown = errors.New("vault: it is not known whether this was stored")
	// ErrNotLeading: another member does this work now; nothing was stored.
	ErrNotLeading = errors.New("vault: another member leads now")
	// ErrNoSpace: the cluster takes no more data.
	ErrNoSpace = errors.New("vault: the cluster is out of space")
	// ErrAudit: the audit chain is broken.
	ErrAudit = errors.New("vault: audit chain broken")
)

// OpenError says to a person why a vault, a backup or a file with a secret
// can't be opened and what to do. Its Err is or wraps one of the sentinels
// above, or is the system's.
type OpenError struct {
	Path string
	Hint string // one line that can be acted on; may be empty
	Err  error
}

func (e *OpenError) Error() string { return fmt.Sprintf("opening %q: %v", e.Path, e.Err) }
func (e *OpenError) Unwrap() error { return e.Err }

func openError(path, hint string, err error) *OpenError {
	return &OpenError{Path: path, Hint: hint, Err: err}
}

// damaged is ErrDamaged with what was found; detail must hold no foreign text.
func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
}
