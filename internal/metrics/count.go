package metrics

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Counters count what happens, from the events of the log.
type Counters struct {
	lines    *prometheus.CounterVec
	verdicts *prometheus.CounterVec
	outcomes *prometheus.CounterVec
	probes   *prometheus.CounterVec
	sent     *prometheus.CounterVec
	passes   prometheus.Histogram

	mu      sync.Mutex
	started time.Time // of the pass that runs
}

// NewCounters starts at zero; so does each start of the service, which
// Prometheus expects of counters.
func NewCounters() *Counters {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pec_ingest_" + name, Help: help}, labels)
	}
	return &Counters{
		lines:    vec("log_lines_total", "Lines of the log, those held back as repeats included.", "level", "event"),
		verdicts: vec("messages_judged_total", "Messages judged, by kind and by the reason of a refusal (\"certified\": none, \"submission\": none, and it holds one).", "kind", "reason"),
		outcomes: vec("submissions_settled_total", "Submissions by outcome.", "outcome"),
		probes:   vec("probes_total", "Logins to clients' mailboxes, by result.", "result"),
		sent:     vec("messages_sent_total", "Messages handed to the SMTP server (sent), and tries that failed.", "result"),
		passes: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pec_ingest_pass_duration_seconds", Help: "How long passes over the inbox take.",
			Buckets: []float64{0.1, 0.5, 1, 5, 15, 60, 300, 1800}}),
	}
}

func (c *Counters) collectors() []prometheus.Collector {
	return []prometheus.Collector{c.lines, c.verdicts, c.outcomes, c.probes, c.sent, c.passes}
}

// Count is a handler that counts each record and passes it on to next, where
// that takes it: counting does not depend on the log's level.
func (c *Counters) Count(next slog.Handler) slog.Handler { return &counting{c: c, next: next} }

type counting struct {
	c     *Counters
	next  slog.Handler
	attrs []slog.Attr
}

// Enabled is always so: what the log leaves out is counted all the same.
func (h *counting) Enabled(context.Context, slog.Level) bool { return true }

func (h *counting) Handle(ctx context.Context, r slog.Record) error {
	values := map[string]string{}
	note := func(a slog.Attr) bool {
		switch a.Key {
		case "event", "kind", "reason", "result":
			values[a.Key] = a.Value.String()
		}
		return true
	}
	for _, a := range h.attrs {
		note(a)
	}
	r.Attrs(note)
	h.c.count(r, values)
	if !h.next.Enabled(ctx, r.Level) {
		return nil
	}
	return h.next.Handle(ctx, r)
}

func (h *counting) WithAttrs(attrs []slog.Attr) slog.Handler {
	all := append(append([]slog.Attr{}, h.attrs...), attrs...)
	return &counting{c: h.c, next: h.next.WithAttrs(attrs), attrs: all}
}

func (h *counting) WithGroup(name string) slog.Handler {
	return &counting{c: h.c, next: h.next.WithGroup(name), attrs: h.attrs}
}

func (c *Counters) count(r slog.Record, v map[string]string) {
	event := v["event"]
	if r.Level > slog.LevelDebug {
		c.lines.WithLabelValues(strings.ToLower(r.Level.String()), event).Inc()
	}
	switch event {
	case "message.judged":
		reason := v["reason"]
		if reason == "" {
			reason = "certified"
		}
		c.verdicts.WithLabelValues(v["kind"], reason).Inc()
	case "submission.judged":
		c.verdicts.WithLabelValues("posta-certificata", "submission").Inc()
	case "probe.done":
		c.probes.WithLabelValues(v["result"]).Inc()
	case "credential.accepted", "credential.superseded", "credential.extended", "credential.rejected", "credential.ignored":
		c.outcomes.WithLabelValues(strings.TrimPrefix(event, "credential.")).Inc()
	case "review.opened":
		c.outcomes.WithLabelValues("review").Inc()
	case "outbox.sent":
		c.sent.WithLabelValues("sent").Inc()
	case "outbox.failed":
		c.sent.WithLabelValues("failed").Inc()
	case "pass.started":
		c.mu.Lock()
		c.started = r.Time
		c.mu.Unlock()
	case "pass.finished":
		c.mu.Lock()
		if !c.started.IsZero() {
			c.passes.Observe(r.Time.Sub(c.started).Seconds())
			c.started = time.Time{}
		}
		c.mu.Unlock()
	}
}
