package metrics_test

import (
	"bytes"
	"log/slog"
	"os/exec"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/metrics"
	"pec-ingest/internal/servertest"
)

var at = time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)

func text(t *testing.T, c *metrics.Counters, s metrics.Snapshot) string {
	t.Helper()
	var b bytes.Buffer
	if err := c.Write(&b, s); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestSnapshot(t *testing.T) {
	got := text(t, metrics.NewCounters(), metrics.Snapshot{Version: "1.2.3", Connected: true, Review: 2, LastPass: at, Reconnects: 4,
		Credentials: []metrics.Credential{
			{Mailbox: "rossi@pec.it", Login: "rossi@pec.it", Provider: "aruba-pec", State: "due", Expires: at, LastCheck: at.Add(-time.Hour)},
			{Mailbox: "quote\"\n@pec.it", State: "missing"},
		}})
	for _, want := range []string{
		`pec_ingest_credential_expiry_timestamp_seconds{login="rossi@pec.it",mailbox="rossi@pec.it",provider="aruba-pec"} 1.7953308e+09`,
		`pec_ingest_credential_state{login="rossi@pec.it",mailbox="rossi@pec.it",provider="aruba-pec",state="due"} 1`,
		`pec_ingest_credential_state{login="",mailbox="quote\"\n@pec.it",provider="",state="missing"} 1`,
		`pec_ingest_review_waiting 2`, `pec_ingest_inbox_connected 1`, `pec_ingest_reconnects_total 4`,
		`pec_ingest_last_pass_timestamp_seconds 1.7953308e+09`, `pec_ingest_build_info{version="1.2.3"} 1`,
	} {
		if !strings.Contains(got, "\n"+want+"\n") {
			t.Errorf("no line %s in\n%s", want, got)
		}
	}
	for _, not := range []string{"failing_since_timestamp_seconds ", "inbox_password_expiry_timestamp_seconds "} {
		if strings.Contains(got, "\npec_ingest_"+not) {
			t.Errorf("%s stands for a time that is not known", not)
		}
	}
}

func TestCounts(t *testing.T) {
	c := metrics.NewCounters()
	var out bytes.Buffer
	log := slog.New(c.Count(slog.NewTextHandler(&out, nil)))
	log.Info("p", "event", "pass.started")
	for range 3 {
		log.With("event", "message.judged", "kind", "anomalia", "reason", "anomaly").Debug("refused")
	}
	log.Info("s", "event", "submission.judged")
	log.Info("l", "event", "probe.done", "result", "refused")
	log.Warn("o", "event", "credential.rejected", "mailbox", "rossi@pec.it")
	log.Info("r", "event", "review.opened")
	log.Info("o", "event", "outbox.sent")
	log.Info("p", "event", "pass.finished")
	got := text(t, c, metrics.Snapshot{})
	for _, want := range []string{
		`pec_ingest_messages_judged_total{kind="anomalia",reason="anomaly"} 3`,
		`pec_ingest_messages_judged_total{kind="posta-certificata",reason="submission"} 1`,
		`pec_ingest_probes_total{result="refused"} 1`,
		`pec_ingest_submissions_settled_total{outcome="rejected"} 1`,
		`pec_ingest_submissions_settled_total{outcome="review"} 1`,
		`pec_ingest_messages_sent_total{result="sent"} 1`,
		`pec_ingest_pass_duration_seconds_count 1`,
		`pec_ingest_log_lines_total{event="credential.rejected",level="warn"} 1`,
	} {
		if !strings.Contains(got, "\n"+want+"\n") {
			t.Errorf("no line %s in\n%s", want, got)
		}
	}
	if strings.Contains(out.String(), "refused\" ") || strings.Contains(out.String(), "msg=refused") {
		t.Error("counting has put debug lines into the log")
	}
	if strings.Contains(got, "rossi@pec.it") {
		t.Error("a counter names a mailbox")
	}
}

// promtool reads what is written and finds nothing to say about the names.
func TestPromtoolAgrees(t *testing.T) {
	promtool := servertest.Require(t, "promtool")
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(text(t, metrics.NewCounters(), metrics.Snapshot{Version: "1", LastPass: at, Failing: at, Started: at, InboxExpires: at,
		Credentials: []metrics.Credential{{Mailbox: "a@pec.it", State: "valid", Expires: at, LastCheck: at}}}))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}
