package schedule_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"pec-ingest/internal/schedule"
)

// world is a studio over years: its credentials, what was sent, and a clock
// that the test moves. It runs Due as the daemon does: when the schedule has
// come up since the last run, on working days.
type world struct {
	t      testing.TB
	policy schedule.Policy
	cron   schedule.Cron
	facts  []schedule.Facts
	warned map[string]schedule.Warning
	sent   []sentWarning
	last   time.Time // of the last run, as recorded
}

type sentWarning struct {
	schedule.Warning
	at time.Time
}

func newWorld(t testing.TB, spec string, p schedule.Policy, start time.Time) *world {
	t.Helper()
	c, err := schedule.ParseCron(spec, p.Location)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, policy: p, cron: c, warned: map[string]schedule.Warning{}, last: start}
}

// run is one warnings run, which also checks what holds for every run.
func (w *world) run(now time.Time) {
	w.t.Helper()
	known := func(key string) bool { _, ok := w.warned[key]; return ok }
	next := w.cron.NextWorking(now, w.policy)
	list := schedule.Due(now, next, w.facts, known, w.policy)
	perStream := map[string]bool{}
	for _, one := range list {
		key := one.Key()
		if before, twice := w.warned[key]; twice {
			w.t.Fatalf("%v: key %s twice, first as %+v", now, key, before)
		}
		stream := one.Mailbox + one.Login + strconv.Itoa(one.Version) + one.Expires.Format(time.DateOnly)
		if perStream[stream] {
			w.t.Fatalf("%v: two warnings of one expiry date in one run: %s", now, key)
		}
		perStream[stream] = true
		w.warned[key] = one
		w.sent = append(w.sent, sentWarning{one, now})
	}
	if again := schedule.Due(now, next, w.facts, known, w.policy); len(again) > 0 {
		w.t.Fatalf("%v: after the run %s is still due", now, again[0].Key())
	}
	w.last = now
}

// tick runs the job if its schedule has come up.
func (w *world) tick(now time.Time) bool {
	if !w.cron.MissedWorking(w.last, now, w.policy) {
		return false
	}
	w.run(now)
	return true
}

// rank orders thresholds: the higher, the nearer to the end.
func rank(threshold string) int {
	if n, err := strconv.Atoi(threshold); err == nil {
		return -n
	}
	return 1
}

// Over years without downtime, for schedules and closures of all kinds: every
// threshold has been warned of, by itself or a nearer one, before its day is
// over; nothing is sent on a day off, and nothing earlier than needed.
func TestNeverMissedNeverEarly(t *testing.T) {
	specs := []string{"0 9 * * MON-FRI", "0 9 * * *", "30 8 * * MON", "0 9 1,15 * *", "0 8,17 * * MON-SAT", "15 0 * * *", "59 23 * * TUE,THU"}
	closures := [][]schedule.Range{nil,
		{{From: day(t, "2026-08-08"), To: day(t, "2026-08-23")}, {From: day(t, "2026-12-24"), To: day(t, "2027-01-06")}},
		{{From: day(t, "2026-03-01"), To: day(t, "2026-05-31")}}}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, spec := range specs {
		for i, closed := range closures {
			t.Run(fmt.Sprintf("%s, closure %d", spec, i), func(t *testing.T) {
				p := schedule.Policy{Location: rome(t), Closed: closed, Patron: "06-24"}
				start := at(t, "2026-01-02 00:00")
				w := newWorld(t, spec, p, start)
				for n := range 60 {
					// Issued within the first ten months, with validities of all sizes.
					issued := day(t, "2026-01-02").AddDate(0, 0, rng.IntN(300))
					validity := []int{90, 180, 30, 60, 14, 200, 45}[n%7]
					w.facts = append(w.facts, schedule.Facts{Mailbox: fmt.Sprintf("m%02d@pec.it", n), Login: "x", Version: 1,
						Issued: issued, Expires: issued.AddDate(0, 0, validity)})
				}
				all := w.facts
				end := at(t, "2027-06-01 00:00")
				var runs []time.Time
				for now := start; now.Before(end); {
					now = w.cron.Next(now)
					// A credential is known from the day it was issued.
					w.facts = nil
					for _, f := range all {
						if !f.Issued.After(p.Today(now)) {
							w.facts = append(w.facts, f)
						}
					}
					if w.tick(now) {
						runs = append(runs, now)
						if !p.Working(p.Today(now)) {
							t.Fatalf("ran on a day off: %v", now)
						}
					}
				}
				if len(runs) < 10 {
					t.Fatalf("got %d runs, want the schedule to come up", len(runs))
				}
				for _, f := range all {
					checkHistory(t, w, f, runs)
				}
			})
		}
	}
}

// checkHistory compares what one credential got with what the words of the
// policy say, worked out the slow way.
func checkHistory(t *testing.T, w *world, f schedule.Facts, runs []time.Time) {
	t.Helper()
	today := w.policy.Today
	var got []sentWarning
	for _, s := range w.sent {
		if s.Mailbox == f.Mailbox {
			got = append(got, s)
		}
	}
	validity := int(f.Expires.Sub(f.Issued) / (24 * time.Hour))
	first := 10 * validity / 90
	if first*90 < 10*validity {
		first++ // the earlier day
	}
	thresholds := []int{first}
	for _, n := range []int{5, 2, 1, 0} {
		if n < first {
			thresholds = append(thresholds, n)
		}
	}
	for _, n := range thresholds {
		falls := f.Expires.AddDate(0, 0, -n)
		// The last run that could speak of it in time.
		possible := false
		for _, r := range runs {
			possible = possible || (!today(r).After(falls) && !today(r).Before(f.Issued))
		}
		if !possible {
			continue
		}
		told := false
		for _, s := range got {
			told = told || (!today(s.at).After(falls) && rank(s.Threshold) >= -n)
		}
		if !told {
			t.Errorf("%s, %d days, expires %s: nobody was told by %s (%d days before); sent: %v",
				f.Mailbox, validity, f.Expires.Format(time.DateOnly), falls.Format(time.DateOnly), n, history(got, today))
		}
	}
	for i, s := range got {
		if i > 0 && rank(s.Threshold) <= rank(got[i-1].Threshold) {
			t.Errorf("%s: a milder warning after a nearer one: %v", f.Mailbox, history(got, today))
		}
		if s.Threshold == schedule.ThresholdExpired {
			if !today(s.at).After(f.Expires) {
				t.Errorf("%s: called expired on %v", f.Mailbox, s.at)
			}
			continue
		}
		// No run of a later day would have been in time.
		for _, r := range runs {
			if today(r).After(today(s.at)) && !today(r).After(s.On) {
				t.Errorf("%s: warning %s for %s went out on %v although %v was in time", f.Mailbox, s.Threshold, s.On.Format(time.DateOnly), s.at, r)
			}
		}
	}
	if last := got[len(got)-1]; last.Threshold != schedule.ThresholdExpired {
		t.Errorf("%s: never called expired: %v", f.Mailbox, history(got, today))
	}
}

func history(list []sentWarning, today func(time.Time) time.Time) []string {
	var out []string
	for _, s := range list {
		out = append(out, s.Threshold+" on "+today(s.at).Format("Mon 01-02"))
	}
	return out
}

// Downtime of 1 to 200 days at every phase of a password's life: one warning
// on return, the nearest, and afterwards as if nothing had been.
func TestDowntime(t *testing.T) {
	p := schedule.Policy{Location: rome(t)}
	issued := day(t, "2026-01-02")
	f := schedule.Facts{Mailbox: "a@pec.it", Login: "x", Version: 1, Issued: issued, Expires: issued.AddDate(0, 0, 90)}
	for length := 1; length <= 200; length++ {
		for _, phase := range []int{0, 75, 79, 80, 84, 85, 87, 88, 89, 90, 91} {
			w := newWorld(t, "0 9 * * MON-FRI", p, at(t, "2026-01-02 00:00"))
			w.facts = []schedule.Facts{f}
			away := issued.AddDate(0, 0, phase)
			back := away.AddDate(0, 0, length)
			before := 0
			for d := issued; d.Before(issued.AddDate(0, 0, 310)); d = d.AddDate(0, 0, 1) {
				if !d.Before(away) && d.Before(back) {
					continue
				}
				if d.Equal(back) {
					before = len(w.sent)
				}
				w.tick(time.Date(d.Year(), d.Month(), d.Day(), 12, 0, 0, 0, time.UTC))
				if d.Equal(back) && len(w.sent) > before+1 {
					t.Fatalf("away on day %d for %d days: %d warnings on return", phase, length, len(w.sent)-before)
				}
			}
			for i := 1; i < len(w.sent); i++ {
				if rank(w.sent[i].Threshold) <= rank(w.sent[i-1].Threshold) {
					t.Fatalf("away on day %d for %d days: %v", phase, length, history(w.sent, p.Today))
				}
			}
			if len(w.sent) == 0 || w.sent[len(w.sent)-1].Threshold != schedule.ThresholdExpired {
				t.Fatalf("away on day %d for %d days: never called expired: %v", phase, length, history(w.sent, p.Today))
			}
		}
	}
}

// A clock that jumps, thresholds that change and passwords that are renewed,
// postponed, broken and mended, at random: run itself fails on a key sent
// twice or left out, and here nothing may be said of what is over.
func TestTurbulence(t *testing.T) {
	lists := [][]int{nil, {10, 5, 2, 1, 0}, {15, 7, 3}, {0}, {}, {30, 20, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0}}
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 7))
		w := newWorld(t, "0 9 * * MON-FRI", schedule.Policy{Location: rome(t)}, at(t, "2026-01-02 00:00"))
		now := at(t, "2026-01-02 12:00")
		for n := range 8 {
			issued := w.policy.Today(now)
			w.facts = append(w.facts, schedule.Facts{Mailbox: fmt.Sprintf("m%d@pec.it", n), Login: "x", Version: 1,
				Issued: issued, Expires: issued.AddDate(0, 0, 20+rng.IntN(180))})
		}
		for range 700 {
			switch rng.IntN(40) {
			case 0: // the clock is set back, or jumps ahead
				now = now.Add(time.Duration(rng.IntN(60)-40) * 24 * time.Hour)
			case 1:
				w.policy.DaysBefore = lists[rng.IntN(len(lists))]
			case 2, 3: // a new password
				i := rng.IntN(len(w.facts))
				f := &w.facts[i]
				f.Version, f.Issued = f.Version+1, w.policy.Today(now)
				f.Expires, f.Claimed, f.Broken = f.Issued.AddDate(0, 0, 20+rng.IntN(180)), time.Time{}, false
			case 4:
				f := &w.facts[rng.IntN(len(w.facts))]
				f.Claimed = f.Expires.AddDate(0, 0, 90)
			case 5:
				f := &w.facts[rng.IntN(len(w.facts))]
				f.Broken = !f.Broken
			case 6: // the claim is proven
				if f := &w.facts[rng.IntN(len(w.facts))]; !f.Claimed.IsZero() {
					f.Expires, f.Claimed = f.Claimed, time.Time{}
				}
			}
			// Changes may make something due out of turn; the next run settles it.
			w.tick(now)
			now = now.Add(24 * time.Hour)
		}
		if len(w.sent) < 20 {
			t.Fatalf("seed %d: got %d warnings, want a busy simulation", seed, len(w.sent))
		}
	}
}

// What was superseded is silent from that moment on, whatever was pending.
func TestRenewalEndsWarnings(t *testing.T) {
	p := schedule.Policy{Location: rome(t)}
	for renewed := 70; renewed <= 120; renewed++ {
		w := newWorld(t, "0 9 * * MON-FRI", p, at(t, "2026-01-02 00:00"))
		issued := day(t, "2026-01-02")
		w.facts = []schedule.Facts{{Mailbox: "a@pec.it", Login: "x", Version: 1, Issued: issued, Expires: issued.AddDate(0, 0, 90)}}
		for n := range 200 {
			d := issued.AddDate(0, 0, n)
			if n == renewed {
				w.facts = append(w.facts, schedule.Facts{Mailbox: "a@pec.it", Login: "x", Version: 2, Issued: d, Expires: d.AddDate(0, 0, 90)})
			}
			w.tick(time.Date(d.Year(), d.Month(), d.Day(), 12, 0, 0, 0, time.UTC))
		}
		for _, s := range w.sent {
			if s.Version == 1 && !p.Today(s.at).Before(issued.AddDate(0, 0, renewed)) {
				t.Errorf("renewed on day %d: version 1 was warned of on %v", renewed, s.at)
			}
		}
	}
}

// Two hundred clients of one Monday get one warning each, in one run, and a
// second run of the same day nothing.
func TestHeavyMonday(t *testing.T) {
	p := schedule.Policy{Location: rome(t)}
	w := newWorld(t, "0 9 * * MON-FRI", p, at(t, "2026-01-02 00:00"))
	for n := range 200 {
		w.facts = append(w.facts, schedule.Facts{Mailbox: fmt.Sprintf("m%03d@pec.it", 199-n), Login: "x", Version: 1,
			Issued: day(t, "2026-04-02"), Expires: day(t, "2026-07-01")}) // ten days before: Sunday 21 June
	}
	w.run(at(t, "2026-06-18 09:00")) // Thursday
	if len(w.sent) != 0 {
		t.Fatalf("Thursday: got %d, want none", len(w.sent))
	}
	w.run(at(t, "2026-06-19 09:00")) // Friday: the last run before Sunday
	w.run(at(t, "2026-06-19 09:01"))
	if len(w.sent) != 200 {
		t.Fatalf("Friday: got %d, want 200", len(w.sent))
	}
	if !sort.SliceIsSorted(w.sent, func(i, j int) bool { return w.sent[i].Mailbox < w.sent[j].Mailbox }) {
		t.Error("the order is not by mailbox")
	}
}

// The order of the facts, and facts of others, change nothing.
func TestDueIsIndependent(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var facts []schedule.Facts
	for n := range 50 {
		issued := day(t, "2026-01-02").AddDate(0, 0, rng.IntN(90))
		facts = append(facts, schedule.Facts{Mailbox: fmt.Sprintf("m%02d@pec.it", n/2), Login: fmt.Sprint(n % 3), Version: 1 + n%4,
			Issued: issued, Expires: issued.AddDate(0, 0, 90), Broken: n%11 == 0, Superseded: n%13 == 0})
	}
	now := at(t, "2026-05-01 09:00")
	want := schedule.Due(now, time.Time{}, facts, nil, schedule.Policy{})
	if len(want) == 0 {
		t.Fatal("nothing is due")
	}
	for range 20 {
		rng.Shuffle(len(facts), func(i, j int) { facts[i], facts[j] = facts[j], facts[i] })
		if got := schedule.Due(now, time.Time{}, facts, nil, schedule.Policy{}); !slices.Equal(got, want) {
			t.Fatalf("another order gives %v, want %v", brief(got), brief(want))
		}
	}
}

// The daemon's own loop, as it would run for two years: sleep until the next
// run, run, and nothing is sent twice over both changes of the clock.
func TestLoopOverYears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // begins at 2000-01-01 00:00 UTC
		p := schedule.Policy{Location: rome(t)}
		c := mustCron(t, "0 3 * * *") // the first hour that every day has once
		w := newWorld(t, "0 3 * * *", p, time.Now())
		issued := p.Today(time.Now())
		w.facts = []schedule.Facts{{Mailbox: "a@pec.it", Login: "x", Version: 1, Issued: issued, Expires: issued.AddDate(0, 0, 86)}}
		days := map[time.Time]int{}
		for time.Since(w.last) >= 0 && len(days) < 730 {
			next := c.Next(time.Now())
			time.Sleep(time.Until(next))
			if !time.Now().Equal(next) {
				t.Fatalf("woke at %v, want %v", time.Now(), next)
			}
			today := p.Today(time.Now())
			days[today]++
			if days[today] > 1 {
				t.Fatalf("ran twice on %v", today)
			}
			w.tick(time.Now())
			if f := &w.facts[0]; today.After(f.Expires) {
				f.Version, f.Issued, f.Expires = f.Version+1, today, today.AddDate(0, 0, 86)
			}
		}
		first, last := issued.AddDate(0, 0, 365), issued.AddDate(0, 0, 365)
		for d := range days {
			if d.Before(first) {
				first = d
			}
			if d.After(last) {
				last = d
			}
		}
		if got := int(last.Sub(first)/(24*time.Hour)) + 1; got != len(days) {
			t.Errorf("ran on %d of %d days", len(days), got)
		}
		// Eight periods and a half, six warnings each, but for days off.
		if len(w.sent) < 35 || len(w.sent) > 54 {
			t.Errorf("got %d warnings in two years", len(w.sent))
		}
	})
}
