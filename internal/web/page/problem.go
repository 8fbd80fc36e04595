package page

import (
	"errors"
	"time"
)

// Kind says what a person can do about a Problem; the page has words for each.
type Kind string

// The kinds of problems.
const (
	KindNotFound    Kind = "not-found"
	KindInvalid     Kind = "invalid"      // what was entered can't be
	KindRefused     Kind = "refused"      // the provider refuses the password
	KindTooMany     Kind = "too-many"     // refused too often today
	KindDatePast    Kind = "date-past"    //
	KindDateFar     Kind = "date-far"     // beyond policy.max_validity
	KindNoLogin     Kind = "no-login"     // the provider uses a user ID, none is known
	KindNoHost      Kind = "no-host"      // nothing says on which server the mailbox is
	KindNotListed   Kind = "not-listed"   // no client of the studio
	KindDecided     Kind = "decided"      // somebody was faster
	KindNoCandidate Kind = "no-candidate" //
	KindNoKey       Kind = "no-key"       // a sealed letter can't be opened
	KindSent        Kind = "sent"         // it was sent already
	KindFailed      Kind = "failed"       // anything else
)

// Problem is an error for people. Detail is what the service says, in
// English, without secrets.
type Problem struct {
	Kind   Kind
	Detail string
	Hint   string

	By string    // KindDecided: who
	At time.Time // and when
}

func (p *Problem) Error() string { return "page: " + string(p.Kind) + ": " + p.Detail }

func problemOf(err error) (*Problem, bool) {
	var p *Problem
	ok := errors.As(err, &p)
	return p, ok
}

func isKind(err error, k Kind) bool {
	p, ok := problemOf(err)
	return ok && p.Kind == k
}
