package deploy_test

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/metrics"
	"pec-ingest/internal/servertest"
)

const rules = "prometheus/pec-ingest.rules.yml"

func TestAlertRules(t *testing.T) {
	promtool := servertest.Require(t, "promtool")
	for _, args := range [][]string{{"check", "rules", rules}, {"test", "rules", "prometheus/pec-ingest.test.yml"}} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// The rules ask for nothing that the service does not write.
func TestRulesUseKnownMetrics(t *testing.T) {
	text, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	var written bytes.Buffer
	err = metrics.NewCounters().Write(&written, metrics.Snapshot{Started: now, LastPass: now, Failing: now, InboxExpires: now,
		Credentials: []metrics.Credential{{Mailbox: "a@pec.it", State: "valid", Expires: now, LastCheck: now}}})
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`\bpec_ingest_\w+`).FindAllString(string(text), -1)
	if len(names) < 8 {
		t.Fatalf("found %d metrics in the rules, want more", len(names))
	}
	for _, name := range names {
		if !strings.Contains(written.String(), "# TYPE "+name+" ") {
			t.Errorf("the rules ask for %s, which nobody writes", name)
		}
	}
}
