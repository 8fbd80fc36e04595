package schedule

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// Thresholds that are facts and not days before expiry.
const (
	ThresholdExpired = "expired"
	ThresholdBroken  = "broken"
)

// Warning is one message that is to go out in this run.
type Warning struct {
	Mailbox, Login string
	Version        int
	Expires        time.Time // last valid day; the day claimed where the warning is about a claim
	Threshold      string    // "10", "5", … days before Expires, "expired" or "broken"
	On             time.Time // the day the threshold falls on; may be after the run, or before it after downtime
	ToClient       bool
	ToStudio       bool
}

// Key names the warning for the record of what was sent: mailbox, login,
// version, expiry date and threshold, separated by "/" and escaped so that no
// two warnings share a key.
func (w Warning) Key() string {
	return url.PathEscape(w.Mailbox) + "/" + url.PathEscape(w.Login) + "/" + strconv.Itoa(w.Version) +
		"/" + w.Expires.Format(time.DateOnly) + "/" + w.Threshold
}

// Due lists the warnings that go out in a run at now.
//
// THE INVARIANT. For each (mailbox, login, version, expiry date, threshold):
//
//   - at most one warning, ever: a key that warned knows is never listed, and
//     no key is listed twice. The caller records the key in the transaction
//     that queues the message, and asks for nothing but that record;
//   - none is missed: when a run is over, every threshold that has passed, or
//     that falls before the next run, was warned of, or a nearer one of the
//     same expiry date was. So after days offline only the nearest goes out,
//     and a clock set back or a changed list of thresholds never brings an
//     older warning after a newer one;
//   - none for what is over: a newer version, or Superseded, ends all warnings
//     of the older one, and a broken password no longer "expires on …".
//
// "expired" and "broken" are thresholds that happen: they are never sent ahead
// of the fact, and a password that broke is not reported again as expired.
//
// A claim ("postponed until") pauses the warnings to the client, not those to
// the studio. It pauses them until the claimed date itself comes near: that
// date has warnings of its own, since an unproven claim may be the last that
// is ever heard. A broken password is reported to both in spite of a claim.
//
// next is the next run that will really happen, as Cron.NextWorking gives it,
// so that holidays bring warnings forward; zero, or not after now, means
// tomorrow. Whether now is a working day is not asked: a person may start a
// run on any day. warned is called with Warning.Key; nil means nothing was sent.
//
// The order is by mailbox, login, expiry date.
func Due(now time.Time, next time.Time, facts []Facts, warned func(key string) bool, p Policy) []Warning {
	return due(now, next, newest(facts), warned, p)
}

// due is Due with the newest facts alone.
func due(now time.Time, next time.Time, facts []Facts, warned func(key string) bool, p Policy) []Warning {
	if warned == nil {
		warned = func(string) bool { return false }
	}
	today := p.Today(now)
	horizon := p.horizon(today, next)

	var list []Warning
	for _, f := range facts {
		for _, s := range p.streams(f) {
			if w, ok := s.pending(today, horizon, warned); ok {
				list = append(list, w)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b Warning) int {
		return cmp.Or(cmp.Compare(a.Mailbox, b.Mailbox), cmp.Compare(a.Login, b.Login), a.Expires.Compare(b.Expires))
	})
	return list
}

// horizon is the first day that the next run can still serve. A next run on a
// day off does not happen; what comes after it is unknown here, so weekends
// are skipped too: early is better than late.
func (p Policy) horizon(today, next time.Time) time.Time {
	tomorrow := today.AddDate(0, 0, 1)
	if next.IsZero() {
		return tomorrow
	}
	day := p.Today(next)
	for i := 0; i < maxLook && !p.Working(day); i++ {
		day = day.AddDate(0, 0, 1)
		for day.Weekday() == time.Saturday || day.Weekday() == time.Sunday {
			day = day.AddDate(0, 0, 1)
		}
	}
	if day.Before(tomorrow) {
		return tomorrow
	}
	return day
}

// newest keeps, for each (mailbox, login), the newest version that was not
// superseded and has a password. (`ingest use` supersedes a newer one.)
func newest(facts []Facts) []Facts {
	type id struct{ mailbox, login string }
	at := make(map[id]int, len(facts))
	out := make([]Facts, 0, len(facts))
	for _, f := range facts {
		if f.Superseded || f.Missing || f.Expires.IsZero() {
			continue
		}
		k := id{f.Mailbox, f.Login}
		if i, ok := at[k]; !ok {
			at[k] = len(out)
			out = append(out, f)
		} else if f.Version > out[i].Version {
			out[i] = f
		}
	}
	return out
}

// stream is one expiry date of one credential and whom it concerns.
type stream struct {
	facts              Facts
	expires            time.Time
	thresholds         []int // days before expires, most first
	toClient, toStudio bool
}

func (p Policy) streams(f Facts) []stream {
	f.Issued, f.Expires, f.Claimed = p.asDay(f.Issued), p.asDay(f.Expires), p.asDay(f.Claimed)
	known := stream{facts: f, expires: f.Expires, toClient: true, toStudio: true,
		thresholds: p.thresholds(daysBetween(f.Issued, f.Expires))}
	if !f.Claimed.After(f.Expires) {
		return []stream{known}
	}
	claimed := stream{facts: f, expires: f.Claimed, toClient: true, toStudio: true,
		thresholds: p.thresholds(daysBetween(f.Expires, f.Claimed))}
	if f.Broken {
		return []stream{claimed}
	}
	known.toClient = false
	return []stream{known, claimed}
}

func (s stream) warning(threshold string, on time.Time) Warning {
	return Warning{
		Mailbox: s.facts.Mailbox, Login: s.facts.Login, Version: s.facts.Version,
		Expires: s.expires, Threshold: threshold, On: on,
		ToClient: s.toClient, ToStudio: s.toStudio,
	}
}

func (s stream) before(days int) Warning {
	return s.warning(strconv.Itoa(days), s.expires.AddDate(0, 0, -days))
}

// pending is the one warning of this stream that a run on today must send, if
// any; days before horizon can't wait for the next run.
func (s stream) pending(today, horizon time.Time, warned func(string) bool) (Warning, bool) {
	expired := s.warning(ThresholdExpired, s.expires.AddDate(0, 0, 1))
	broken := s.warning(ThresholdBroken, today)

	// Expired was said once. Only a clock set back leads here before the
	// date, and then nothing milder may follow.
	if warned(expired.Key()) {
		return Warning{}, false
	}
	if s.facts.Broken && warned(broken.Key()) {
		return Warning{}, false
	}
	if today.After(s.expires) {
		return expired, true
	}
	if s.facts.Broken {
		return broken, true
	}

	nearest := -1
	for _, n := range s.thresholds {
		if s.expires.AddDate(0, 0, -n).Before(horizon) {
			nearest = n
		}
	}
	if nearest < 0 {
		return Warning{}, false
	}
	// Every number of days, not only today's thresholds: the list may have
	// been another one when the last warning went out.
	for n := 0; n <= nearest; n++ {
		if warned(s.before(n).Key()) {
			return Warning{}, false
		}
	}
	return s.before(nearest), true
}

// NextWarningRun is the run, out of runs (ascending, after now, as
// Cron.WorkingRuns gives them), in which the next warning for f goes out; zero
// if none does.
func NextWarningRun(now time.Time, runs []time.Time, f Facts, warned func(string) bool, p Policy) time.Time {
	day, fact := nextWarning(now, f, warned, p)
	if day.IsZero() || len(runs) == 0 {
		return time.Time{}
	}
	if fact {
		for _, r := range runs {
			if !p.Today(r).Before(day) {
				return r
			}
		}
		return time.Time{}
	}
	// The last run of the last day that is not after it; else the first run.
	at := runs[0]
	for _, r := range runs {
		today := p.Today(r)
		if today.After(day) {
			break
		}
		if today.After(p.Today(at)) {
			at = r
		}
	}
	return at
}

// nextWarning is the day of the next warning as thresholds fall, and whether
// it is one that happens ("expired", "broken") and is not brought forward.
func nextWarning(now time.Time, f Facts, warned func(string) bool, p Policy) (day time.Time, fact bool) {
	if warned == nil {
		warned = func(string) bool { return false }
	}
	today := p.Today(now)
	for _, f := range newest([]Facts{f}) {
		for _, s := range p.streams(f) {
			on, isFact := s.next(today, warned)
			if !on.IsZero() && (day.IsZero() || on.Before(day)) {
				day, fact = on, isFact
			}
		}
	}
	return day, fact
}

// next is the first day from today on with a pending warning.
func (s stream) next(today time.Time, warned func(string) bool) (day time.Time, fact bool) {
	days := []time.Time{today}
	for _, n := range s.thresholds {
		days = append(days, s.expires.AddDate(0, 0, -n))
	}
	days = append(days, s.expires.AddDate(0, 0, 1))
	for _, d := range days {
		if d.Before(today) {
			continue
		}
		if w, ok := s.pending(d, d.AddDate(0, 0, 1), warned); ok {
			return d, w.Threshold == ThresholdExpired || w.Threshold == ThresholdBroken
		}
	}
	return time.Time{}, false
}

// Forecast lists the warnings that the scheduled runs of a day will send, given
// that every run between now and then happens and nothing else changes: what
// they send earlier is not listed again. On a day without a working run the
// list is empty. For today, or a day before it, that is a run at now.
func Forecast(now, day time.Time, c Cron, facts []Facts, warned func(string) bool, p Policy) []Warning {
	day = p.asDay(day)
	if !day.After(p.Today(now)) {
		return Due(now, c.NextWorking(now, p), facts, warned, p)
	}
	sent := map[string]bool{}
	known := func(key string) bool { return sent[key] || (warned != nil && warned(key)) }
	facts = newest(facts)
	var list []Warning
	for run := c.NextWorking(now, p); !run.IsZero() && !p.Today(run).After(day); {
		next := c.NextWorking(run, p)
		for _, w := range due(run, next, facts, known, p) {
			sent[w.Key()] = true
			if p.Today(run).Equal(day) {
				list = append(list, w)
			}
		}
		run = next
	}
	return list
}

// CallToday tells whether the digest of a run lists the client among those to
// be phoned: two days before expiry, or earlier where no run comes in between.
func CallToday(now, next time.Time, f Facts, p Policy) bool {
	if f.Superseded || f.Missing || f.Broken || f.Expires.IsZero() {
		return false
	}
	today, expires := p.Today(now), p.asDay(f.Expires)
	if c := p.asDay(f.Claimed); c.After(expires) {
		expires = c
	}
	return !today.After(expires) && expires.AddDate(0, 0, -2).Before(p.horizon(today, next))
}

// DigestKey names the weekly mention of an expired credential in the digest:
// it changes every seven days after the last valid day. "" before.
func DigestKey(f Facts, today time.Time, p Policy) string {
	late := -DaysLeft(p.asDay(f.Expires), today)
	if late <= 0 {
		return ""
	}
	w := Warning{Mailbox: f.Mailbox, Login: f.Login, Version: f.Version, Expires: p.asDay(f.Expires),
		Threshold: "week-" + strconv.Itoa((late-1)/7)}
	return w.Key()
}
