package schedule_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/schedule"
)

func mustCron(t testing.TB, spec string) schedule.Cron {
	t.Helper()
	c, err := schedule.ParseCron(spec, rome(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestParseCronRefuses(t *testing.T) {
	tests := map[string]error{
		"":                             schedule.ErrCronSyntax,
		"0 9 * *":                      schedule.ErrCronSyntax,
		"0 9 * * * *":                  schedule.ErrCronSyntax,
		"TZ=0":                         schedule.ErrCronSyntax,
		"CRON_TZ=Europe/Rome":          schedule.ErrCronSyntax,
		"TZ=Europe/Rome 0 9 * * *":     schedule.ErrCronSyntax,
		"CRON_TZ=UTC 0 9 * *":          schedule.ErrCronSyntax,
		"@daily":                       schedule.ErrCronSyntax,
		"@every 1h":                    schedule.ErrCronSyntax,
		"60 9 * * *":                   schedule.ErrCronSyntax,
		"0 24 * * *":                   schedule.ErrCronSyntax,
		"0 9 0 * *":                    schedule.ErrCronSyntax,
		"0 9 * 13 *":                   schedule.ErrCronSyntax,
		"0 9 * * LUN":                  schedule.ErrCronSyntax,
		"*/0 9 * * *":                  schedule.ErrCronSyntax,
		"0 9-8 * * *":                  schedule.ErrCronSyntax,
		"0 9 * * *\x00":                schedule.ErrCronSyntax,
		strings.Repeat("0 ", 200):      schedule.ErrCronSyntax,
		"30 2 * * *":                   schedule.ErrCronNight,
		"0 2 1 1 *":                    schedule.ErrCronNight,
		"0 * * * *":                    schedule.ErrCronNight,
		"0 */2 * * *":                  schedule.ErrCronNight,
		"0 1-3 * * *":                  schedule.ErrCronNight,
		"0 9 31 2 *":                   schedule.ErrCronNever,
		"0 9 31 4,6,9,11 *":            schedule.ErrCronNever,
		"99999999999999999999 9 * * *": schedule.ErrCronSyntax,
	}
	for spec, want := range tests {
		if _, err := schedule.ParseCron(spec, nil); !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", spec, err, want)
		}
	}
}

func TestParseCronAccepts(t *testing.T) {
	for _, spec := range []string{"0 6 * * *", "0 9 * * MON-FRI", "0 3 * * *", "59 1 * * *", "*/5 8-18 * * mon-fri",
		"0 9 29 2 *", " 0\t9  * * * ", "0 9 1,15 * ?"} {
		c, err := schedule.ParseCron(spec, nil)
		if err != nil {
			t.Errorf("%q: %v", spec, err)
			continue
		}
		again, err := schedule.ParseCron(c.String(), nil)
		if err != nil || again.String() != c.String() {
			t.Errorf("%q: String gives %q, which reads back as %q, %v", spec, c, again, err)
		}
	}
}

func TestCronOverDST(t *testing.T) {
	// Clocks go forward on 2026-03-29 and back on 2026-10-25.
	c := mustCron(t, "0 9 * * *")
	for _, start := range []string{"2026-03-27 12:00", "2026-10-23 12:00"} {
		run := at(t, start)
		for i := 1; i <= 4; i++ {
			run = c.Next(run)
			local := run.In(rome(t))
			want := at(t, start).AddDate(0, 0, i)
			if local.Hour() != 9 || local.Day() != want.Day() || run.Location() != time.UTC {
				t.Errorf("from %s, run %d: got %v, want 09:00 on the %d", start, i, local, want.Day())
			}
		}
	}
	// 03:00 is the first hour that exists exactly once on both days.
	c = mustCron(t, "0 3 * * *")
	for _, d := range []string{"2026-03-28 12:00", "2026-10-24 12:00"} {
		first := c.Next(at(t, d))
		second := c.Next(first)
		if h := second.Sub(first); h != 24*time.Hour || first.In(rome(t)).Hour() != 3 {
			t.Errorf("after %s: got %v and %v", d, first.In(rome(t)), second.In(rome(t)))
		}
	}
}

func TestMissedSince(t *testing.T) {
	c := mustCron(t, "0 9 * * MON-FRI")
	closed := schedule.Policy{Closed: []schedule.Range{{From: day(t, "2026-07-13"), To: day(t, "2026-07-14")}}}
	tests := []struct {
		name, last, now string
		want, working   bool
	}{
		{"fresh", "", "2026-07-10 12:00", false, false},
		{"just ran", "2026-07-10 09:00", "2026-07-10 09:00", false, false},
		{"weekend", "2026-07-10 09:00", "2026-07-12 23:00", false, false},
		{"a minute late", "2026-07-10 08:59", "2026-07-10 09:01", true, true},
		{"on the dot", "2026-07-09 09:00", "2026-07-10 09:00", true, true},
		{"closed Monday", "2026-07-10 09:00", "2026-07-13 09:01", true, false},
		{"open again", "2026-07-10 09:00", "2026-07-15 09:00", true, true},
		{"a year off", "2025-07-10 09:00", "2026-07-12 12:00", true, true},
		{"clock a little back", "2026-07-10 09:00", "2026-07-10 08:58", false, false},
		{"recorded under a wrong clock", "2036-07-10 09:00", "2026-07-10 12:00", true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var last time.Time
			if tt.last != "" {
				last = at(t, tt.last)
			}
			if got := c.MissedSince(last, at(t, tt.now)); got != tt.want {
				t.Errorf("any day: got %v, want %v", got, tt.want)
			}
			if got := c.MissedWorking(last, at(t, tt.now), closed); got != tt.working {
				t.Errorf("working days: got %v, want %v", got, tt.working)
			}
		})
	}
	var none schedule.Cron
	if none.MissedSince(at(t, "2020-01-01 00:00"), at(t, "2026-01-01 00:00")) || !none.Next(at(t, "2026-01-01 00:00")).IsZero() {
		t.Error("the zero Cron ran")
	}
}

func TestNextWorking(t *testing.T) {
	c := mustCron(t, "0 9 * * MON-FRI")
	tests := []struct{ after, want string }{
		{"2026-07-10 08:00", "2026-07-10 09:00"},
		{"2026-07-10 09:00", "2026-07-13 09:00"},
		{"2026-04-03 10:00", "2026-04-07 09:00"}, // Easter Monday
		{"2026-12-24 10:00", "2026-12-28 09:00"},
		{"2026-08-07 10:00", "2026-08-24 09:00"}, // closed
	}
	p := schedule.Policy{Closed: []schedule.Range{{From: day(t, "2026-08-08"), To: day(t, "2026-08-23")}}}
	for _, tt := range tests {
		if got := c.NextWorking(at(t, tt.after), p); !got.Equal(at(t, tt.want)) {
			t.Errorf("after %s: got %v, want %s", tt.after, got.In(rome(t)), tt.want)
		}
	}
	always := schedule.Policy{Closed: []schedule.Range{{From: day(t, "2000-01-01"), To: day(t, "2100-01-01")}}}
	if got := c.NextWorking(at(t, "2026-07-10 08:00"), always); !got.IsZero() {
		t.Errorf("always closed: got %v, want none", got)
	}
}

func FuzzParseCron(f *testing.F) {
	for _, s := range []string{"0 9 * * MON-FRI", "TZ=0", "CRON_TZ=x", "*/5 8-18 * * ?", "0 9 31 2 *", "@every 1h"} {
		f.Add(s)
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, spec string) {
		c, err := schedule.ParseCron(spec, nil)
		if err != nil {
			if !c.IsZero() {
				t.Errorf("%q: a Cron beside the error %v", spec, err)
			}
			return
		}
		next := c.Next(start)
		if !next.After(start) {
			t.Errorf("%q: next run %v is not after %v", spec, next, start)
		}
		if h := next.In(rome(t)).Hour(); h == 2 {
			t.Errorf("%q: runs at %v", spec, next)
		}
		if again, err := schedule.ParseCron(c.String(), nil); err != nil || again.String() != c.String() {
			t.Errorf("%q: %q doesn't read back: %v", spec, c, err)
		}
	})
}
