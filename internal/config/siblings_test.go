package config_test

// What this package says twice because it imports no sibling is held against
// the siblings here, and only here.

import (
	"testing"

	"pec-ingest/internal/config"
	"pec-ingest/internal/provider"
	"pec-ingest/internal/schedule"
)

// The fields are those of provider.Override, so that the pipeline converts one
// to the other; this doesn't compile otherwise.
var _ = provider.Override(config.Provider{})

func TestCronRulesAreThoseOfSchedule(t *testing.T) {
	for _, spec := range []string{"", "0 9 * * MON-FRI", "0 6 * * *", "TZ=0", "CRON_TZ=UTC 0 9 * * *", "@daily", "0 2 * * *",
		"0 * * * *", "0 9 31 2 *", "0 9 29 2 *", "60 9 * * *", "0 9 * * *\x00", "0 9 * *", "0 9 1,15 * ?", "0 9 * * LUN", "é 9 * * *"} {
		_, want := schedule.ParseCron(spec, nil)
		if got := config.CheckCron(spec); (got == nil) != (want == nil) {
			t.Errorf("%q: got %v, schedule says %v", spec, got, want)
		}
	}
}
