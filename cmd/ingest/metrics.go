package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/metrics"
	"pec-ingest/internal/quietlog"
	"pec-ingest/internal/web"
	"pec-ingest/internal/web/gate"
)

// counted is what this process has done; there is one service in it.
var counted = metrics.NewCounters()

// serviceLog is the log of a long life: counted, and without endless repeats.
func serviceLog(log *slog.Logger) *slog.Logger {
	return slog.New(counted.Count(quietlog.Handler(log.Handler())))
}

func metricsText(ctx context.Context, s *ingest.Service) ([]byte, error) {
	var b bytes.Buffer
	err := s.Metrics(ctx, &b, counted, versionOf(), time.Now())
	return b.Bytes(), err
}

func metricsEndpoint(now current) endpoint {
	return op(now, "metrics", web.RightReader, "Metrics in Prometheus' text format; the clients' mailboxes are in them.",
		func(ctx context.Context, s *ingest.Service, _ string, _ nothing) (bytesOut, error) {
			text, err := metricsText(ctx, s)
			return bytesOut{text}, err
		})
}

func (r *remote) MetricsText(ctx context.Context) ([]byte, error) {
	out, err := ask[bytesOut](ctx, r, "metrics", nothing{})
	return out.Data, err
}

type metricsCmd struct {
	Key string `help:"Print a token for a Prometheus that scrapes /metrics." placeholder:"NAME"`
	feedFlags
}

// Run prints the metrics, for the textfile collector of Prometheus' node
// exporter.
func (c *metricsCmd) Run(ctx context.Context, env *environment) error {
	if c.Key != "" {
		return newKey(ctx, env, gate.KeyMetrics, c.Key, func(base, token string) string {
			fmt.Fprintf(env.stderr, "for %s%s, as `authorization: {credentials_file: …}` of the scrape:\n", base, gate.MetricsPath)
			return token
		})
	}
	if done, err := c.keys(ctx, env, gate.KeyMetrics); done {
		return err
	}
	return env.with(ingest.Reading, func(b backend) error {
		var text []byte
		var err error
		switch b := b.(type) {
		case *remote:
			text, err = b.MetricsText(ctx)
		case *ingest.Service:
			text, err = metricsText(ctx, b)
		}
		if err != nil {
			return err
		}
		_, err = env.stdout.Write(text)
		return err
	})
}

// Exit codes of `status --exit-code`, those of monitoring plugins.
const (
	monitorOK       = 0
	monitorWarning  = 1
	monitorCritical = 2
	monitorUnknown  = 3
)

// monitor sums the states up as a monitoring plugin does: one line and a code.
func monitor(rows []ingest.StatusRow, d *ingest.DaemonState) (code int, line string) {
	states := map[string]int{}
	for _, r := range rows {
		states[r.State]++
	}
	var parts string
	for _, s := range []struct {
		name string
		code int
	}{{"broken", monitorCritical}, {"expired", monitorCritical}, {"missing", monitorCritical}, {"due", monitorWarning}, {"unverified", monitorWarning}, {"valid", monitorOK}} {
		if states[s.name] > 0 {
			code = max(code, s.code)
			parts += fmt.Sprintf(", %d %s", states[s.name], s.name)
		}
	}
	if d != nil {
		switch {
		case d.Phase == ingest.PhaseRefused:
			code = monitorCritical
			parts += ", the studio's inbox refuses the password"
		case d.Phase == ingest.PhaseNoPassword:
			code = monitorCritical
			parts += ", there is no password for the studio's inbox"
		case d.InboxDaysLeft != nil && *d.InboxDaysLeft < 0:
			code = monitorCritical
			parts += ", the studio's own password has expired"
		case d.FailingSince != nil:
			code = max(code, monitorWarning)
			parts += ", no pass since " + d.FailingSince.Format(time.RFC3339)
		}
		if d.Waiting.Review > 0 {
			code = max(code, monitorWarning)
			parts += fmt.Sprintf(", %d to review", d.Waiting.Review)
		}
		if d.Waiting.Failed > 0 {
			code = max(code, monitorWarning)
			parts += fmt.Sprintf(", %d perhaps not sent", d.Waiting.Failed)
		}
		if d.SendError != "" {
			code = max(code, monitorWarning)
			parts += ", messages can't be sent"
		}
	}
	if parts == "" {
		parts = ", no clients"
	}
	return code, [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[code] + ": " + parts[2:]
}

// monitorStatus prints the line and ends with the code. What can't be known
// is a code of its own, so that it is not taken for an alarm about a client.
func monitorStatus(ctx context.Context, env *environment, mailbox string) error {
	var code int
	var line string
	err := env.with(ingest.Reading, func(b backend) error {
		rows, err := b.Status(ctx, mailbox, time.Now())
		if err != nil {
			return err
		}
		d, err := b.Daemon(ctx)
		if err != nil {
			return err
		}
		if d != nil && mailbox != "" { // what waits of others is not its matter
			if d.Waiting, err = b.Waiting(ctx, mailbox); err != nil {
				return err
			}
		}
		code, line = monitor(rows, d)
		return nil
	})
	if err != nil {
		report(env.stderr, err)
		code, line = monitorUnknown, "UNKNOWN: "+err.Error()
	}
	if _, err := fmt.Fprintln(env.stdout, line); err != nil {
		return err
	}
	if code != monitorOK {
		return &exitError{code}
	}
	return nil
}
