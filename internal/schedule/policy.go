// Package schedule decides when something is due: when a password expires,
// who is to be warned on which day, and when a cron job runs next.
//
// Everything here is pure: the caller passes the time, what is known of each
// credential and what was already sent; nothing is stored, sent or read.
//
// A day is a time.Time at 00:00:00 UTC that stands for a calendar date in
// Policy.Location; the zero time means "none". Day makes one from an instant.
package schedule

import (
	"slices"
	"sync"
	"time"

	_ "time/tzdata" // Europe/Rome also where the system has no zone files
)

// referenceDays is the validity that renew_after and days_before are written
// for; other validities are scaled from it.
const referenceDays = 90

const dayLength = 24 * time.Hour // of days as this package keeps them: in UTC, without DST

// Policy is what the studio decided. The zero value is the documented default.
type Policy struct {
	ValidityDays    int            // 0 = 90: where neither client nor provider table says otherwise
	MaxValidityDays int            // 0 = 200: a stated date further away is not believed
	RenewAfterDays  int            // 0 = 80, of 90
	Location        *time.Location // nil = Europe/Rome
	DaysBefore      []int          // of 90; nil = 10, 5, 2, 1, 0; empty = no warnings before the date
	Closed          []Range        // the studio's holidays
	Patron          string         // "10-04" (month-day), "" = none
}

// Range is a span of days, both included.
type Range struct{ From, To time.Time }

func (p Policy) validity() int    { return orDefault(p.ValidityDays, referenceDays) }
func (p Policy) maxValidity() int { return orDefault(p.MaxValidityDays, 200) }
func (p Policy) renewAfter() int  { return orDefault(p.RenewAfterDays, 80) }

func orDefault(n, def int) int {
	if n <= 0 {
		return def
	}
	return n
}

func (p Policy) location() *time.Location {
	if p.Location != nil {
		return p.Location
	}
	return rome()
}

// rome is loaded once: it is asked for with every day.
var rome = sync.OnceValue(func() *time.Location {
	loc, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		return time.UTC // cannot happen: tzdata is linked in
	}
	return loc
})

// Today is the calendar day of an instant in the policy's time zone.
func (p Policy) Today(now time.Time) time.Time { return Day(now, p.location()) }

// Day is the calendar day of t in loc, as this package keeps days.
func Day(t time.Time, loc *time.Location) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	y, m, d := t.In(loc).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// asDay leaves days as they are and turns instants into days.
func (p Policy) asDay(t time.Time) time.Time {
	if t.IsZero() || t.UTC().Truncate(dayLength).Equal(t) {
		return t.UTC()
	}
	return Day(t, p.location())
}

// daysBetween counts the days from a to b; negative when b is before a.
func daysBetween(a, b time.Time) int { return int(b.Sub(a) / dayLength) }

// Where an expiry date comes from.
const (
	FromStated = "stated" // the client said so
	FromPolicy = "policy" // certified day + validity
)

// Notes that Expiry gives when it doesn't believe a stated date.
const (
	NoteStatedPast   = "stated-date-not-after-certified"
	NoteStatedTooFar = "stated-date-beyond-max-validity"
)

// Expiry decides the last day on which a password is taken to be valid.
//
// certified is the instant at which the provider certified the submission,
// stated the day the client names (zero: none), validityDays the provider's
// validity (0: the policy's). from is FromStated or FromPolicy; note is "" or
// says why a stated date was not believed.
//
// Source: DESIGN §8.
func Expiry(certified time.Time, stated time.Time, validityDays int, p Policy) (expires time.Time, from string, note string) {
	issued := Day(certified, p.location())
	if !stated.IsZero() {
		stated = p.asDay(stated)
		switch n := daysBetween(issued, stated); {
		case n <= 0:
			note = NoteStatedPast // mostly the day of generation, or last year's date
		case n > p.maxValidity():
			note = NoteStatedTooFar
		default:
			return stated, FromStated, ""
		}
	}
	n := orDefault(validityDays, p.validity())
	return issued.AddDate(0, 0, n), FromPolicy, note
}

// ClaimAllowed tells whether a claim "postponed until claimed" of a version
// may be kept: it has to lie after the date known so far and within the
// longest validity of the certified time of the claim. That it is the first
// claim of its version is for the caller to know.
func ClaimAllowed(certified, expires, claimed time.Time, p Policy) bool {
	claimed, expires = p.asDay(claimed), p.asDay(expires)
	n := daysBetween(Day(certified, p.location()), claimed)
	return !claimed.IsZero() && claimed.After(expires) && n > 0 && n <= p.maxValidity()
}

// RenewDay is the day from which a credential is "due". For 90 days it is
// RenewAfterDays after issued; other validities are in proportion, rounded to
// the earlier day.
func RenewDay(issued, expires time.Time, p Policy) time.Time {
	issued, expires = p.asDay(issued), p.asDay(expires)
	n := daysBetween(issued, expires)
	if n < 0 {
		return expires
	}
	return issued.AddDate(0, 0, n*p.renewAfter()/referenceDays)
}

// DaysLeft counts the days until the last valid day: 0 on that day, negative
// afterwards.
func DaysLeft(expires, today time.Time) int { return daysBetween(today, expires) }

// PeriodStart is the day from which the present period of a version counts,
// for Facts.Issued. It is the day of receipt, until a postponement is proven
// and moves the date: then it is one validity before the new date, so that a
// password kept for a second 90 days is warned of like one of 90, not of 180.
// validityDays is that of the version; 0 = the policy's.
func PeriodStart(received, expires time.Time, validityDays int, p Policy) time.Time {
	received, expires = p.asDay(received), p.asDay(expires)
	start := expires.AddDate(0, 0, -orDefault(validityDays, p.validity()))
	if start.Before(received) {
		return received
	}
	return start
}

// Facts is what must be known of one version of a credential.
type Facts struct {
	Mailbox, Login string
	Version        int
	Issued         time.Time // day of receipt, or PeriodStart once postponed; an instant is taken as its day
	Expires        time.Time // last valid day
	Claimed        time.Time // day until which the client says it was postponed; zero = no claim
	Broken         bool      // a proven password was refused
	Unverified     bool      // never proven
	Missing        bool      // a listed mailbox without a password
	Superseded     bool      // a newer version took its place
}

// The states of a credential, first that applies.
const (
	StateMissing    = "missing"
	StateBroken     = "broken"
	StateUnverified = "unverified"
	StateExpired    = "expired"
	StateDue        = "due"
	StateValid      = "valid"
)

// StateOf is the state shown for a credential on a day. The last day is still
// valid (or due). A claim changes nothing before it is proven.
func StateOf(f Facts, today time.Time, p Policy) string {
	switch {
	case f.Missing:
		return StateMissing
	case f.Broken:
		return StateBroken
	case f.Unverified:
		return StateUnverified
	case today.After(p.asDay(f.Expires)):
		return StateExpired
	case !today.Before(RenewDay(f.Issued, f.Expires, p)):
		return StateDue
	}
	return StateValid
}

// thresholds gives the days before expiry on which a password of that
// validity brings a warning, most days first. The first is in proportion to
// the validity, rounded to the earlier day as RenewDay is; the others are
// about people, who need the same days whatever the validity, and count only
// where they come after the first.
func (p Policy) thresholds(validity int) []int {
	list := p.DaysBefore
	if list == nil {
		list = []int{10, 5, 2, 1, 0}
	}
	if len(list) == 0 {
		return nil
	}
	sorted := slices.Clone(list)
	slices.Sort(sorted)
	slices.Reverse(sorted)

	first := (sorted[0]*max(validity, 0) + referenceDays - 1) / referenceDays
	out := []int{first}
	for _, n := range sorted[1:] {
		if n >= 0 && n < out[len(out)-1] {
			out = append(out, n)
		}
	}
	return out
}
