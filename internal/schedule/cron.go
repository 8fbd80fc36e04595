package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Why a cron spec is refused.
var (
	ErrCronSyntax = errors.New("schedule: not a cron spec")
	ErrCronNight  = errors.New("schedule: runs between 02:00 and 03:00")
	ErrCronNever  = errors.New("schedule: never runs")
)

// Cron is a checked cron spec in a time zone. The zero value never runs.
type Cron struct {
	spec  string
	sched *cron.SpecSchedule
}

const maxSpec = 200 // bytes; a real spec has some twenty

// ParseCron checks a spec of five fields (minute, hour, day of month, month,
// day of week; names allowed) for a time zone; nil means Europe/Rome.
//
// Refused are, besides bad syntax (ErrCronSyntax), zones inside the spec and
// "@" words, jobs in the hour that daylight saving time skips in March and
// repeats in October (ErrCronNight), and specs that never run, such as
// 31 February (ErrCronNever).
func ParseCron(spec string, loc *time.Location) (Cron, error) {
	// Characters and fields first: the library panics on "TZ=" without fields.
	if len(spec) > maxSpec {
		return Cron{}, fmt.Errorf("%w: longer than %d characters", ErrCronSyntax, maxSpec)
	}
	for _, r := range spec {
		if !cronRune(r) {
			return Cron{}, fmt.Errorf("%w: %q has no place in it", ErrCronSyntax, r)
		}
	}
	fields := strings.Fields(spec)
	if len(fields) != 5 {
		return Cron{}, fmt.Errorf("%w: %d fields, want 5 (minute hour day month weekday)", ErrCronSyntax, len(fields))
	}
	parser := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	parsed, err := parser.Parse(strings.Join(fields, " "))
	if err != nil {
		return Cron{}, fmt.Errorf("%w: %w", ErrCronSyntax, err)
	}
	sched, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return Cron{}, ErrCronSyntax
	}
	sched.Location = Policy{Location: loc}.location()
	if sched.Hour&(1<<2) != 0 {
		return Cron{}, ErrCronNight
	}
	c := Cron{spec: strings.Join(fields, " "), sched: sched}
	// The library looks five years ahead; this start has a 29 February in them.
	if c.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Cron{}, ErrCronNever
	}
	return c, nil
}

func cronRune(r rune) bool {
	switch {
	case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z':
		return true
	}
	return strings.ContainsRune(" \t,-*/?", r)
}

// String is the spec, blanks tidied.
func (c Cron) String() string { return c.spec }

// IsZero tells whether c was never set.
func (c Cron) IsZero() bool { return c.sched == nil }

// Next is the first run strictly after t, in UTC; zero if there is none.
func (c Cron) Next(t time.Time) time.Time {
	if c.sched == nil {
		return time.Time{}
	}
	next := c.sched.Next(t)
	if next.IsZero() {
		return time.Time{}
	}
	return next.UTC()
}

// clockBack is how far in the future a recorded run may lie before it is
// taken as written under a wrong clock.
const clockBack = 24 * time.Hour

// MissedSince tells whether a run has come up in (last, now]: after downtime
// the job then runs once, however many runs were missed. A zero last means
// that the job has never run, and is not missed yet. A last far in the future
// was written under a wrong clock, and would otherwise silence the job until
// then: that counts as missed.
func (c Cron) MissedSince(last, now time.Time) bool {
	if last.IsZero() || c.sched == nil {
		return false
	}
	if last.Sub(now) > clockBack {
		return true
	}
	next := c.Next(last)
	return !next.IsZero() && !next.After(now)
}

// maxLook bounds the search for a working run.
const maxLook = 5 * 366

// NextWorking is the first run after t on a day on which the studio works;
// zero if there is none in five years.
func (c Cron) NextWorking(t time.Time, p Policy) time.Time {
	end := t.Add(maxLook * dayLength)
	for next := c.Next(t); !next.IsZero() && next.Before(end); {
		if p.Working(p.Today(next)) {
			return next
		}
		// On to the last second of that day: a closed range must not be
		// walked minute by minute.
		y, m, d := next.In(p.location()).Date()
		next = c.Next(time.Date(y, m, d, 23, 59, 59, 0, p.location()))
	}
	return time.Time{}
}

// MissedWorking is MissedSince for runs that happen on working days only.
func (c Cron) MissedWorking(last, now time.Time, p Policy) bool {
	if last.IsZero() || c.sched == nil {
		return false
	}
	if last.Sub(now) > clockBack {
		return true
	}
	next := c.NextWorking(last, p)
	return !next.IsZero() && !next.After(now)
}

// WorkingRuns lists the runs on working days in (from, to], ascending.
func (c Cron) WorkingRuns(from, to time.Time, p Policy) []time.Time {
	var runs []time.Time
	for t := c.NextWorking(from, p); !t.IsZero() && !t.After(to); t = c.NextWorking(t, p) {
		runs = append(runs, t)
	}
	return runs
}
