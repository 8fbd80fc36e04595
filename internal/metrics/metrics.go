// Package metrics turns what the service knows and what it does into
// Prometheus' text format.
//
// What it knows (credentials, queues, the daemon's state) is given as a
// Snapshot when somebody asks. What it does is counted from the log: Count
// wraps the log's handler and reads the events of docs/events.md, so that
// nothing has to be counted twice in the code.
//
// The mailboxes of the clients are labels: whoever may read the metrics reads
// the client list. No secret, subject or server's answer is in them.
package metrics

import (
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// ContentType is that of what Write writes.
const ContentType = string("text/plain; version=0.0.4; charset=utf-8")

// Credential is one password as the metrics show it.
type Credential struct {
	Mailbox, Login, Provider, State string
	// Expires is the end of its last day; zero when there is none.
	Expires   time.Time
	LastCheck time.Time // zero = never
}

// Snapshot is what the service knows now; zero times stand for never.
type Snapshot struct {
	Version     string
	Credentials []Credential
	// The studio's own password; zero = not known.
	InboxExpires time.Time
	Review       int // items that wait for a person
	OutboxQueued int
	OutboxFailed int // could not be sent, or in doubt
	Open         int // submissions without an outcome, or still to be filed
	Started      time.Time
	Connected    bool // a session with the inbox is open
	LastPass     time.Time
	Failing      time.Time // since when passes fail
	Reconnects   int
	Passes       int
	// Of several services on one vault; a service alone has none of these.
	Clustered bool
	Leading   bool
	Members   int // services that lead or stand by, as far as this one knows
}

var (
	credentialLabels = []string{"mailbox", "login", "provider"}

	expiryDesc = prometheus.NewDesc("pec_ingest_credential_expiry_timestamp_seconds",
		"End of the last day on which the password is valid.", credentialLabels, nil)
	stateDesc = prometheus.NewDesc("pec_ingest_credential_state",
		"1 for the state that the password is in: missing, broken, unverified, expired, due, valid.",
		append(append([]string{}, credentialLabels...), "state"), nil)
	checkDesc = prometheus.NewDesc("pec_ingest_credential_last_check_timestamp_seconds",
		"When the password was last tried.", credentialLabels, nil)
	versionDesc = prometheus.NewDesc("pec_ingest_build_info", "1; the version is the label.", []string{"version"}, nil)
)

// gauges are the single values of a Snapshot. A time that is zero is left out.
var gauges = []struct {
	desc    *prometheus.Desc
	counter bool
	value   func(Snapshot) (float64, bool)
}{
	{desc("inbox_password_expiry_timestamp_seconds", "End of the last valid day of the studio's own password."), false, stamp(func(s Snapshot) time.Time { return s.InboxExpires })},
	{desc("review_waiting", "Items that wait for a person."), false, count(func(s Snapshot) int { return s.Review })},
	{desc("outbox_queued", "Messages to be sent."), false, count(func(s Snapshot) int { return s.OutboxQueued })},
	{desc("outbox_failed", "Messages that could not be sent, or are in doubt."), false, count(func(s Snapshot) int { return s.OutboxFailed })},
	{desc("submissions_open", "Submissions without an outcome, or still to be filed."), false, count(func(s Snapshot) int { return s.Open })},
	{desc("start_timestamp_seconds", "When the service started."), false, stamp(func(s Snapshot) time.Time { return s.Started })},
	{desc("inbox_connected", "1 while a session with the studio's inbox is open."), false, truth(func(s Snapshot) bool { return s.Connected })},
	{desc("last_pass_timestamp_seconds", "When a pass over the inbox last ended well."), false, stamp(func(s Snapshot) time.Time { return s.LastPass })},
	{desc("failing_since_timestamp_seconds", "Since when no pass ends well; absent while they do."), false, stamp(func(s Snapshot) time.Time { return s.Failing })},
	{desc("reconnects_total", "Sessions with the inbox opened after the first."), true, count(func(s Snapshot) int { return s.Reconnects })},
	{desc("passes_total", "Passes over the inbox that ended well."), true, count(func(s Snapshot) int { return s.Passes })},
	{desc("leading", "1 while this service leads; absent for a service alone."), false, inCluster(truth(func(s Snapshot) bool { return s.Leading }))},
	{desc("members", "Services that lead or stand by; 0 while the cluster does not answer."), false, inCluster(count(func(s Snapshot) int { return s.Members }))},
}

func desc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("pec_ingest_"+name, help, nil, nil)
}

func count(of func(Snapshot) int) func(Snapshot) (float64, bool) {
	return func(s Snapshot) (float64, bool) { return float64(of(s)), true }
}

func truth(of func(Snapshot) bool) func(Snapshot) (float64, bool) {
	return func(s Snapshot) (float64, bool) {
		if of(s) {
			return 1, true
		}
		return 0, true
	}
}

func inCluster(of func(Snapshot) (float64, bool)) func(Snapshot) (float64, bool) {
	return func(s Snapshot) (float64, bool) {
		v, _ := of(s)
		return v, s.Clustered
	}
}

func stamp(of func(Snapshot) time.Time) func(Snapshot) (float64, bool) {
	return func(s Snapshot) (float64, bool) { return seconds(of(s)), !of(s).IsZero() }
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// Write writes a snapshot and the counters in the text format.
func (c *Counters) Write(w io.Writer, s Snapshot) error {
	registry := prometheus.NewPedanticRegistry()
	for _, collector := range append(c.collectors(), collector{s}) {
		if err := registry.Register(collector); err != nil {
			return err
		}
	}
	families, err := registry.Gather()
	if err != nil {
		return err
	}
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(w, f); err != nil {
			return err
		}
	}
	return nil
}

// collector gives a Snapshot to a registry.
type collector struct{ s Snapshot }

func (c collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- expiryDesc
	ch <- stateDesc
	ch <- checkDesc
	ch <- versionDesc
	for _, g := range gauges {
		ch <- g.desc
	}
}

func (c collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(versionDesc, 1, c.s.Version)
	for _, g := range gauges {
		kind := prometheus.GaugeValue
		if g.counter {
			kind = prometheus.CounterValue
		}
		if v, known := g.value(c.s); known {
			ch <- prometheus.MustNewConstMetric(g.desc, kind, v)
		}
	}
	for _, k := range c.s.Credentials {
		if !k.Expires.IsZero() {
			gauge(expiryDesc, seconds(k.Expires), k.Mailbox, k.Login, k.Provider)
		}
		if !k.LastCheck.IsZero() {
			gauge(checkDesc, seconds(k.LastCheck), k.Mailbox, k.Login, k.Provider)
		}
		gauge(stateDesc, 1, k.Mailbox, k.Login, k.Provider, k.State)
	}
}
