package schedule_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/schedule"
)

// brief shows warnings as "threshold>CS expiry".
func brief(list []schedule.Warning) string {
	var out []string
	for _, w := range list {
		to := ""
		if w.ToClient {
			to += "C"
		}
		if w.ToStudio {
			to += "S"
		}
		out = append(out, fmt.Sprintf("%s>%s %s", w.Threshold, to, w.Expires.Format("01-02")))
	}
	return strings.Join(out, ", ")
}

func TestDue(t *testing.T) {
	// 90 days that end on Wednesday 2026-07-15.
	base := schedule.Facts{Mailbox: "a@pec.it", Login: "a@pec.it", Version: 1,
		Issued: day(t, "2026-04-16"), Expires: day(t, "2026-07-15")}
	with := func(change func(*schedule.Facts)) schedule.Facts { f := base; change(&f); return f }
	long := with(func(f *schedule.Facts) { f.Issued = day(t, "2026-01-16") }) // 180 days
	short := with(func(f *schedule.Facts) { f.Issued = day(t, "2026-06-15") })
	broken := with(func(f *schedule.Facts) { f.Broken = true })
	claim := with(func(f *schedule.Facts) { f.Claimed = day(t, "2026-10-13") })

	tests := []struct {
		name  string
		facts schedule.Facts
		now   string // Rome
		next  string // Rome; "" = none known
		sent  string // thresholds of 07-15 (or as given "10-13/10") already warned
		want  string
	}{
		{"nothing yet", base, "2026-07-02 09:00", "2026-07-03 09:00", "", ""},
		{"first falls on Sunday, out on Friday", base, "2026-07-03 09:00", "2026-07-06 09:00", "", "10>CS 07-15"},
		{"not twice", base, "2026-07-06 09:00", "2026-07-07 09:00", "10", ""},
		{"five on Friday", base, "2026-07-10 09:00", "2026-07-13 09:00", "10", "5>CS 07-15"},
		{"two on Monday", base, "2026-07-13 09:00", "2026-07-14 09:00", "10 5", "2>CS 07-15"},
		{"one", base, "2026-07-14 09:00", "2026-07-15 09:00", "10 5 2", "1>CS 07-15"},
		{"last day", base, "2026-07-15 09:00", "2026-07-16 09:00", "10 5 2 1", "0>CS 07-15"},
		{"last minute of the last day", base, "2026-07-15 23:59", "", "10 5 2 1", "0>CS 07-15"},
		{"over", base, "2026-07-16 00:00", "", "10 5 2 1 0", "expired>CS 07-15"},
		{"over, said", base, "2026-07-17 09:00", "", "expired", ""},
		{"over is not said ahead", base, "2026-07-15 09:00", "2026-07-20 09:00", "0", ""},
		{"no next run known", base, "2026-07-04 09:00", "", "", ""},
		{"next run in the past", base, "2026-07-05 09:00", "2026-07-01 09:00", "", "10>CS 07-15"},

		{"offline: only the nearest", base, "2026-07-14 11:00", "2026-07-15 09:00", "", "1>CS 07-15"},
		{"offline past the end", base, "2026-09-14 11:00", "2026-09-15 09:00", "10", "expired>CS 07-15"},
		{"clock set back", base, "2026-07-06 09:00", "2026-07-07 09:00", "5", ""},
		{"clock set back after the end", base, "2026-07-15 09:00", "2026-07-16 09:00", "expired", ""},
		{"thresholds were others", base, "2026-07-06 09:00", "2026-07-07 09:00", "7", ""},
		{"thresholds were others, earlier", base, "2026-07-06 09:00", "2026-07-07 09:00", "15", "10>CS 07-15"},

		{"studio closed: all until it opens", base, "2026-07-03 09:00", "2026-07-14 09:00", "", "2>CS 07-15"},
		{"next on a holiday is no run", with(func(f *schedule.Facts) {
			f.Issued, f.Expires = day(t, "2026-02-12"), day(t, "2026-05-13") // first warning on Sunday 3 May
		}), "2026-04-30 09:00", "2026-05-01 09:00", "", "10>CS 05-13"},

		{"180 days: first at 20", long, "2026-06-25 09:00", "2026-06-26 09:00", "", "20>CS 07-15"},
		{"180 days: then 5", long, "2026-07-10 09:00", "2026-07-13 09:00", "20", "5>CS 07-15"},
		{"30 days: first at 4", short, "2026-07-10 09:00", "2026-07-13 09:00", "", "4>CS 07-15"},
		{"30 days: no 5", short, "2026-07-09 09:00", "2026-07-10 09:00", "", ""},

		{"broken", broken, "2026-05-01 09:00", "", "", "broken>CS 07-15"},
		{"broken, said", broken, "2026-07-10 09:00", "", "broken", ""},
		{"broken, said, and now over", broken, "2026-07-20 09:00", "", "broken", ""},
		{"broken after the date is expired", broken, "2026-07-20 09:00", "", "", "expired>CS 07-15"},
		{"mended: warnings go on", base, "2026-07-14 09:00", "", "broken", "1>CS 07-15"},
		{"mended: and over", base, "2026-07-20 09:00", "", "broken", "expired>CS 07-15"},

		{"claim: the client is left alone", claim, "2026-07-14 09:00", "", "", "1>S 07-15"},
		{"claim: expired for the studio only", claim, "2026-07-16 09:00", "", "", "expired>S 07-15"},
		{"claim: near its own date", claim, "2026-10-05 09:00", "2026-10-06 09:00", "expired", "10>CS 10-13"},
		{"claim: over", claim, "2026-10-14 09:00", "", "expired", "expired>CS 10-13"},
		{"claim: broken all the same", with(func(f *schedule.Facts) { f.Claimed, f.Broken = day(t, "2026-10-13"), true }),
			"2026-07-20 09:00", "", "expired", "broken>CS 10-13"},
		{"claim of an earlier day is none", with(func(f *schedule.Facts) { f.Claimed = day(t, "2026-07-01") }),
			"2026-07-14 09:00", "", "", "1>CS 07-15"},

		{"unverified is warned too", with(func(f *schedule.Facts) { f.Unverified = true }), "2026-07-14 09:00", "", "", "1>CS 07-15"},
		{"missing", schedule.Facts{Mailbox: "b@pec.it", Missing: true}, "2026-07-14 09:00", "", "", ""},
		{"superseded", with(func(f *schedule.Facts) { f.Superseded = true }), "2026-07-14 09:00", "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			next := time.Time{}
			if tt.next != "" {
				next = at(t, tt.next)
			}
			sent := map[string]bool{}
			for _, th := range strings.Fields(tt.sent) {
				w := schedule.Warning{Mailbox: tt.facts.Mailbox, Login: tt.facts.Login, Version: tt.facts.Version,
					Expires: tt.facts.Expires, Threshold: th}
				sent[w.Key()] = true
			}
			warned := func(k string) bool { return sent[k] }
			list := schedule.Due(at(t, tt.now), next, []schedule.Facts{tt.facts}, warned, schedule.Policy{})
			if got := brief(list); got != tt.want {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			// What was recorded never comes again.
			for _, w := range list {
				sent[w.Key()] = true
			}
			if again := schedule.Due(at(t, tt.now), next, []schedule.Facts{tt.facts}, warned, schedule.Policy{}); len(again) > 0 {
				t.Errorf("again: got %q, want none", brief(again))
			}
		})
	}
}

func TestDueThresholdLists(t *testing.T) {
	f := schedule.Facts{Mailbox: "a@pec.it", Version: 1, Issued: day(t, "2026-04-16"), Expires: day(t, "2026-07-15")}
	tests := []struct {
		name   string
		before []int
		now    string
		want   string
	}{
		{"any order", []int{0, 3, 30}, "2026-06-15 09:00", "30>CS 07-15"},
		{"any order, second", []int{0, 3, 30}, "2026-07-12 09:00", "3>CS 07-15"},
		{"twice the same", []int{3, 3}, "2026-07-12 09:00", "3>CS 07-15"},
		{"none before", []int{}, "2026-07-15 09:00", ""},
		{"none before, still expired", []int{}, "2026-07-16 09:00", "expired>CS 07-15"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := brief(schedule.Due(at(t, tt.now), time.Time{}, []schedule.Facts{f}, nil, schedule.Policy{DaysBefore: tt.before}))
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestDueNewestVersionOnly(t *testing.T) {
	old := schedule.Facts{Mailbox: "a@pec.it", Login: "a@pec.it", Version: 1, Issued: day(t, "2026-04-16"), Expires: day(t, "2026-07-15")}
	fresh := old
	fresh.Version, fresh.Issued, fresh.Expires = 2, day(t, "2026-07-10"), day(t, "2026-10-08")
	other := old
	other.Login = "M123"
	now := at(t, "2026-07-14 09:00")

	for name, facts := range map[string][]schedule.Facts{
		"old first": {old, fresh, other}, "new first": {other, fresh, old},
	} {
		list := schedule.Due(now, time.Time{}, facts, nil, schedule.Policy{})
		if len(list) != 1 || list[0].Login != "M123" {
			t.Errorf("%s: got %q, want the other login only", name, brief(list))
		}
	}
	// `use 1` goes back: the newer one is superseded, the older one counts.
	fresh.Superseded = true
	if got, want := brief(schedule.Due(now, time.Time{}, []schedule.Facts{fresh, old}, nil, schedule.Policy{})), "1>CS 07-15"; got != want {
		t.Errorf("after use: got %q, want %q", got, want)
	}
}

func TestKeysDiffer(t *testing.T) {
	base := schedule.Warning{Mailbox: "a@pec.it", Login: "M1", Version: 1, Expires: day(t, "2026-07-15"), Threshold: "1"}
	list := []schedule.Warning{base, base, base, base, base, base}
	list[1].Login = "M1/1"
	list[2].Version = 11
	list[3].Expires = day(t, "2026-07-16")
	list[4].Threshold = "10"
	list[5].Login = "M1%2F1"
	seen := map[string]bool{}
	for _, w := range list {
		if seen[w.Key()] {
			t.Errorf("key %s twice", w.Key())
		}
		seen[w.Key()] = true
	}
	if got, want := base.Key(), "a@pec.it/M1/1/2026-07-15/1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNextWarningRun(t *testing.T) {
	f := schedule.Facts{Mailbox: "a@pec.it", Login: "a@pec.it", Version: 1, Issued: day(t, "2026-04-16"), Expires: day(t, "2026-07-15")}
	key := func(th string) string {
		return schedule.Warning{Mailbox: f.Mailbox, Login: f.Login, Version: 1, Expires: f.Expires, Threshold: th}.Key()
	}
	const weekdays = "0 9 * * MON-FRI"
	tests := []struct {
		name, cron, now string
		sent            []string
		closed          string // one closed day
		want            string
	}{
		{"on a Sunday, so the Friday before", weekdays, "2026-05-01 10:00", nil, "", "2026-07-03 09:00"},
		{"the same where Sundays have a run", "0 9 * * *", "2026-05-01 10:00", nil, "", "2026-07-05 09:00"},
		{"the first of the day's runs", "0 8,15 * * MON-FRI", "2026-05-01 10:00", nil, "", "2026-07-03 08:00"},
		{"closed on the Friday before", weekdays, "2026-05-01 10:00", nil, "2026-07-03", "2026-07-02 09:00"},
		{"closed on the day itself", weekdays, "2026-07-06 10:00", []string{"10"}, "2026-07-10", "2026-07-09 09:00"},
		{"one run a month", "0 9 1 * *", "2026-05-02 10:00", nil, "", "2026-07-01 09:00"},
		{"after the first", weekdays, "2026-07-03 10:00", []string{"10"}, "", "2026-07-10 09:00"},
		{"pending now", weekdays, "2026-07-06 10:00", nil, "", "2026-07-07 09:00"},
		{"pending since the morning, the run still to come", weekdays, "2026-07-06 08:00", nil, "", "2026-07-06 09:00"},
		{"after the fact: not before it", weekdays, "2026-07-15 10:00", []string{"0"}, "", "2026-07-16 09:00"},
		{"after the fact, closed then", weekdays, "2026-07-15 10:00", []string{"0"}, "2026-07-16", "2026-07-17 09:00"},
		{"all said", weekdays, "2026-07-17 10:00", []string{"expired"}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p schedule.Policy
			if tt.closed != "" {
				p.Closed = []schedule.Range{{From: day(t, tt.closed), To: day(t, tt.closed)}}
			}
			warned := func(k string) bool {
				for _, s := range tt.sent {
					if key(s) == k {
						return true
					}
				}
				return false
			}
			now, got := at(t, tt.now), ""
			runs := mustCron(t, tt.cron).WorkingRuns(now, now.AddDate(1, 0, 0), p)
			if run := schedule.NextWarningRun(now, runs, f, warned, p); !run.IsZero() {
				got = run.In(rome(t)).Format("2006-01-02 15:04")
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if run := schedule.NextWarningRun(now, nil, f, warned, p); !run.IsZero() {
				t.Errorf("without runs: got %v, want none", run)
			}
		})
	}
}

func TestForecast(t *testing.T) {
	f := schedule.Facts{Mailbox: "a@pec.it", Version: 1, Issued: day(t, "2026-04-16"), Expires: day(t, "2026-07-15")}
	c := mustCron(t, "0 9 * * MON-FRI")
	now := at(t, "2026-06-30 12:00")
	want := map[string]string{"2026-07-03": "10>CS 07-15", "2026-07-10": "5>CS 07-15", "2026-07-13": "2>CS 07-15",
		"2026-07-14": "1>CS 07-15", "2026-07-15": "0>CS 07-15", "2026-07-16": "expired>CS 07-15"}
	for d := day(t, "2026-06-30"); d.Before(day(t, "2026-08-01")); d = d.AddDate(0, 0, 1) {
		got := brief(schedule.Forecast(now, d, c, []schedule.Facts{f}, nil, schedule.Policy{}))
		if got != want[d.Format(time.DateOnly)] {
			t.Errorf("%s: got %q, want %q", d.Format("Mon 2006-01-02"), got, want[d.Format(time.DateOnly)])
		}
	}
	late := at(t, "2026-07-12 12:00") // a Sunday: as if started by hand
	if got := brief(schedule.Forecast(late, day(t, "2026-07-12"), c, []schedule.Facts{f}, nil, schedule.Policy{})); got != "5>CS 07-15" {
		t.Errorf("today: got %q, want 5", got)
	}
}

func TestDigestHelpers(t *testing.T) {
	f := schedule.Facts{Mailbox: "a@pec.it", Login: "a@pec.it", Version: 1, Issued: day(t, "2026-04-16"), Expires: day(t, "2026-07-12")} // Sunday
	calls := map[string]bool{"2026-07-09 09:00": false, "2026-07-10 09:00": true, "2026-07-12 09:00": true, "2026-07-13 09:00": false}
	for now, want := range calls {
		if got := schedule.CallToday(at(t, now), time.Time{}, f, schedule.Policy{}); got != want {
			t.Errorf("call on %s: got %v, want %v", now, got, want)
		}
	}
	if !schedule.CallToday(at(t, "2026-07-09 09:00"), at(t, "2026-07-13 09:00"), f, schedule.Policy{}) {
		t.Error("got no call although there is no run in between")
	}
	keys := map[string]string{"2026-07-12": "", "2026-07-13": "week-0", "2026-07-19": "week-0", "2026-07-20": "week-1"}
	for today, want := range keys {
		got := schedule.DigestKey(f, day(t, today), schedule.Policy{})
		if (want == "") != (got == "") || !strings.HasSuffix(got, want) {
			t.Errorf("digest key on %s: got %q, want …%s", today, got, want)
		}
	}
}

// A large studio: 5,000 credentials, of which a tenth was warned of.
func BenchmarkDue(b *testing.B) {
	var facts []schedule.Facts
	warned := map[string]bool{}
	now := time.Date(2026, 7, 14, 7, 0, 0, 0, time.UTC)
	for n := range 5000 {
		issued := day(b, "2026-07-14").AddDate(0, 0, -n%90)
		f := schedule.Facts{Mailbox: fmt.Sprintf("m%04d@pec.it", n), Login: fmt.Sprintf("m%04d@pec.it", n), Version: 1, Issued: issued, Expires: issued.AddDate(0, 0, 90)}
		facts = append(facts, f)
		if n%10 == 0 {
			warned[schedule.Warning{Mailbox: f.Mailbox, Login: f.Login, Version: 1, Expires: f.Expires, Threshold: "10"}.Key()] = true
		}
	}
	known := func(k string) bool { return warned[k] }
	for b.Loop() {
		schedule.Due(now, now.AddDate(0, 0, 1), facts, known, schedule.Policy{Location: time.UTC})
	}
}
