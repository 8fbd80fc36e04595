package schedule_test

import (
	"testing"
	"time"

	"pec-ingest/internal/schedule"
)

func day(t testing.TB, s string) time.Time {
	t.Helper()
	if s == "" {
		return time.Time{}
	}
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func rome(t testing.TB) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// at is a local time in Rome.
func at(t testing.TB, s string) time.Time {
	t.Helper()
	d, err := time.ParseInLocation("2006-01-02 15:04", s, rome(t))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestExpiry(t *testing.T) {
	tests := []struct {
		name      string
		certified string // UTC
		stated    string
		validity  int
		policy    schedule.Policy
		want      string
		from      string
		note      string
	}{
		{name: "policy", certified: "2023-11-15T09:10:11Z", want: "2024-02-13", from: "policy"},
		{name: "provider's validity", certified: "2023-11-15T09:10:11Z", validity: 180, want: "2024-05-13", from: "policy"},
		{name: "own policy", certified: "2023-11-15T09:10:11Z", policy: schedule.Policy{ValidityDays: 30}, want: "2023-12-15", from: "policy"},
		{name: "stated", certified: "2023-11-15T09:10:11Z", stated: "2024-02-01", want: "2024-02-01", from: "stated"},
		{name: "stated beats the provider", certified: "2023-11-15T09:10:11Z", stated: "2024-02-01", validity: 180, want: "2024-02-01", from: "stated"},
		{name: "stated tomorrow", certified: "2023-11-15T09:10:11Z", stated: "2023-11-16", want: "2023-11-16", from: "stated"},
		{name: "stated is the same day", certified: "2023-11-15T09:10:11Z", stated: "2023-11-15", want: "2024-02-13", from: "policy", note: schedule.NoteStatedPast},
		{name: "stated last year", certified: "2023-11-15T09:10:11Z", stated: "2023-02-13", want: "2024-02-13", from: "policy", note: schedule.NoteStatedPast},
		{name: "stated at the limit", certified: "2023-11-15T09:10:11Z", stated: "2024-06-02", want: "2024-06-02", from: "stated"},
		{name: "stated past the limit", certified: "2023-11-15T09:10:11Z", stated: "2024-06-03", want: "2024-02-13", from: "policy", note: schedule.NoteStatedTooFar},
		{name: "late evening in Rome is the next day", certified: "2023-11-14T23:30:00Z", want: "2024-02-13", from: "policy"},
		{name: "late evening in UTC", certified: "2023-11-14T23:30:00Z", policy: schedule.Policy{Location: time.UTC}, want: "2024-02-12", from: "policy"},
		{name: "over the end of DST", certified: "2026-10-24T22:30:00Z", want: "2027-01-23", from: "policy"},
		{name: "over the start of DST", certified: "2026-03-28T22:59:59Z", want: "2026-06-26", from: "policy"},
		{name: "29 February", certified: "2023-12-01T10:00:00Z", want: "2024-02-29", from: "policy"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			certified, err := time.Parse(time.RFC3339, tt.certified)
			if err != nil {
				t.Fatal(err)
			}
			got, from, note := schedule.Expiry(certified, day(t, tt.stated), tt.validity, tt.policy)
			if got.Format(time.DateOnly) != tt.want || from != tt.from || note != tt.note {
				t.Errorf("got %s %q %q, want %s %q %q", got.Format(time.DateOnly), from, note, tt.want, tt.from, tt.note)
			}
			if !got.UTC().Truncate(24 * time.Hour).Equal(got) {
				t.Errorf("got %v, want a day", got)
			}
		})
	}
}

func TestClaimAllowed(t *testing.T) {
	certified := time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)
	tests := []struct {
		expires, claimed string
		want             bool
	}{
		{"2026-05-10", "2026-08-08", true},
		{"2026-05-10", "2026-05-10", false}, // no later than known
		{"2026-05-10", "2026-05-09", false},
		{"2026-05-10", "", false},
		{"2026-04-20", "2026-04-30", false}, // over before it was claimed
		{"2026-05-10", "2026-11-17", true},  // 200 days
		{"2026-05-10", "2026-11-18", false},
	}
	for _, tt := range tests {
		got := schedule.ClaimAllowed(certified, day(t, tt.expires), day(t, tt.claimed), schedule.Policy{})
		if got != tt.want {
			t.Errorf("%s → %s: got %v, want %v", tt.expires, tt.claimed, got, tt.want)
		}
	}
}

func TestRenewDay(t *testing.T) {
	tests := []struct {
		issued, expires string
		renewAfter      int
		want            string
	}{
		{"2026-01-01", "2026-04-01", 0, "2026-03-22"},  // 90 days: after 80
		{"2026-01-01", "2026-04-01", 60, "2026-03-02"}, // 90 days: after 60
		{"2026-01-01", "2026-06-30", 0, "2026-06-10"},  // 180: after 160
		{"2026-01-01", "2026-03-02", 0, "2026-02-23"},  // 60: after 53.3, the earlier day
		{"2026-01-01", "2026-01-11", 0, "2026-01-09"},  // 10: after 8.9
		{"2026-01-01", "2026-01-02", 0, "2026-01-01"},
		{"2026-01-01", "2025-12-01", 0, "2025-12-01"}, // over before it came
	}
	for _, tt := range tests {
		p := schedule.Policy{RenewAfterDays: tt.renewAfter}
		got := schedule.RenewDay(day(t, tt.issued), day(t, tt.expires), p).Format(time.DateOnly)
		if got != tt.want {
			t.Errorf("%s…%s after %d: got %s, want %s", tt.issued, tt.expires, tt.renewAfter, got, tt.want)
		}
	}
}

func TestPeriodStart(t *testing.T) {
	tests := []struct {
		received, expires string
		validity          int
		want              string
	}{
		{"2026-01-01", "2026-04-01", 90, "2026-01-01"},
		{"2026-01-01", "2026-06-30", 90, "2026-04-01"}, // postponed once
		{"2026-01-01", "2026-06-30", 180, "2026-01-01"},
		{"2026-01-01", "2026-06-30", 0, "2026-04-01"},
		{"2026-01-01", "2026-02-01", 90, "2026-01-01"}, // stated, shorter
	}
	for _, tt := range tests {
		got := schedule.PeriodStart(day(t, tt.received), day(t, tt.expires), tt.validity, schedule.Policy{}).Format(time.DateOnly)
		if got != tt.want {
			t.Errorf("%s…%s of %d: got %s, want %s", tt.received, tt.expires, tt.validity, got, tt.want)
		}
	}
}

func TestStateOf(t *testing.T) {
	base := schedule.Facts{Mailbox: "a@pec.it", Version: 1, Issued: day(t, "2026-01-01"), Expires: day(t, "2026-04-01")}
	with := func(change func(*schedule.Facts)) schedule.Facts { f := base; change(&f); return f }
	tests := []struct {
		name  string
		facts schedule.Facts
		today string
		want  string
		left  int
	}{
		{"new", base, "2026-01-01", "valid", 90},
		{"day before due", base, "2026-03-21", "valid", 11},
		{"due", base, "2026-03-22", "due", 10},
		{"last day", base, "2026-04-01", "due", 0},
		{"over", base, "2026-04-02", "expired", -1},
		{"claimed changes nothing", with(func(f *schedule.Facts) { f.Claimed = day(t, "2026-07-01") }), "2026-04-02", "expired", -1},
		{"unverified before expired", with(func(f *schedule.Facts) { f.Unverified = true }), "2026-05-01", "unverified", -30},
		{"broken before unverified", with(func(f *schedule.Facts) { f.Unverified, f.Broken = true, true }), "2026-01-02", "broken", 89},
		{"missing before all", schedule.Facts{Missing: true, Broken: true}, "2026-01-02", "missing", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := schedule.StateOf(tt.facts, day(t, tt.today), schedule.Policy{}); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if tt.facts.Missing {
				return
			}
			if got := schedule.DaysLeft(tt.facts.Expires, day(t, tt.today)); got != tt.left {
				t.Errorf("days left: got %d, want %d", got, tt.left)
			}
		})
	}
}

func TestEaster(t *testing.T) {
	for _, want := range []string{"1961-04-02", "2000-04-23", "2008-03-23", "2011-04-24", "2024-03-31",
		"2025-04-20", "2026-04-05", "2027-03-28", "2028-04-16", "2038-04-25", "2049-04-18"} {
		d := day(t, want)
		if got := schedule.Easter(d.Year()).Format(time.DateOnly); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestWorking(t *testing.T) {
	p := schedule.Policy{Patron: "06-24", Closed: []schedule.Range{{From: day(t, "2026-08-08"), To: day(t, "2026-08-23")}}}
	tests := map[string]bool{
		"2026-01-01": false, "2026-01-02": true, "2026-01-06": false,
		"2026-04-05": false, "2026-04-06": false, "2026-04-07": true, "2026-04-03": true, // Easter; Good Friday is a working day
		"2026-04-25": false, "2026-05-01": false, "2026-06-02": false, "2026-06-24": false,
		"2026-08-07": true, "2026-08-08": false, "2026-08-23": false, "2026-08-24": true,
		"2025-10-04": true, "2026-10-04": false, // San Francesco since 2026
		"2026-11-01": false, "2026-11-02": true, "2026-12-08": false, "2026-12-25": false, "2026-12-26": false,
		"2026-11-22": true, // an ordinary Sunday is the cron spec's business
	}
	for d, want := range tests {
		if got := p.Working(day(t, d)); got != want {
			t.Errorf("%s: got %v, want %v", d, got, want)
		}
	}
}
