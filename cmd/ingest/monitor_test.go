package main

import (
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/vault"
)

func TestMonitor(t *testing.T) {
	rows := func(states ...string) (out []ingest.StatusRow) {
		for _, s := range states {
			out = append(out, ingest.StatusRow{State: s})
		}
		return out
	}
	past := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
	over := -1
	tests := []struct {
		name string
		rows []ingest.StatusRow
		d    *ingest.DaemonState
		code int
		line string
	}{
		{"nobody", nil, nil, 0, "OK: no clients"},
		{"valid", rows("valid", "valid"), nil, 0, "OK: 2 valid"},
		{"due", rows("valid", "due"), nil, 1, "WARNING: 1 due, 1 valid"},
		{"unverified", rows("unverified"), nil, 1, "WARNING: 1 unverified"},
		{"expired beats due", rows("due", "expired"), nil, 2, "CRITICAL: 1 expired, 1 due"},
		{"broken", rows("broken", "valid"), nil, 2, "CRITICAL: 1 broken, 1 valid"},
		{"missing", rows("missing"), nil, 2, "CRITICAL: 1 missing"},
		{"passes fail", rows("valid"), &ingest.DaemonState{FailingSince: &past}, 1, "WARNING: 1 valid, no pass since 2026-11-22T07:00:00Z"},
		{"passes fail does not hide worse", rows("broken"), &ingest.DaemonState{FailingSince: &past}, 2, "CRITICAL: 1 broken, no pass"},
		{"review", rows("valid"), &ingest.DaemonState{Waiting: ingest.Waiting{Review: 2}}, 1, "WARNING: 1 valid, 2 to review"},
		{"not sent", rows("valid"), &ingest.DaemonState{Waiting: ingest.Waiting{Failed: 1}}, 1, "WARNING: 1 valid, 1 perhaps not sent"},
		{"SMTP refuses", rows("valid"), &ingest.DaemonState{SendError: "x"}, 1, "WARNING: 1 valid, messages can't be sent"},
		{"no password", rows("valid"), &ingest.DaemonState{Phase: ingest.PhaseNoPassword, FailingSince: &past}, 2, "CRITICAL: 1 valid, there is no password for the studio's inbox"},
		{"inbox refused", rows("valid"), &ingest.DaemonState{Phase: ingest.PhaseRefused, FailingSince: &past}, 2, "CRITICAL: 1 valid, the studio's inbox refuses the password"},
		{"own password over", rows("valid"), &ingest.DaemonState{InboxDaysLeft: &over}, 2, "CRITICAL: 1 valid, the studio's own password has expired"},
		{"all well, with a service", rows("valid"), &ingest.DaemonState{Phase: ingest.PhaseWatching}, 0, "OK: 1 valid"},
	}
	for _, tt := range tests {
		if code, line := monitor(tt.rows, tt.d); code != tt.code || !strings.HasPrefix(line, tt.line) {
			t.Errorf("%s: got %d %q, want %d %q", tt.name, code, line, tt.code, tt.line)
		}
	}
}

// What can't be asked is unknown, and neither well nor critical.
func TestMonitorUnknown(t *testing.T) {
	r := runCommand(t.Context(), "", "--config", t.TempDir()+"/none.toml", "status", "--exit-code")
	if r.code != monitorUnknown || !strings.HasPrefix(r.stdout, "UNKNOWN: ") || strings.Count(r.stdout, "\n") != 1 {
		t.Errorf("got %v, want exit 3 and one line UNKNOWN", r)
	}
}

// Asked about one mailbox, what waits of another does not count.
func TestMonitorOneMailbox(t *testing.T) {
	s := newStudio(t, studioOptions{clients: []string{rossi, verdi}})
	s.deliver(s.submission(verdi, 2, passwords[verdi]))
	s.once(sum{Seen: 1, Accepted: 1})
	s.deliver(s.submission(rossi, 1, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	s.inVault(func(tx *vault.Tx) error {
		_, err := tx.AddReview(vault.Review{Mailbox: rossi, Reason: "ambiguous", OpenedAt: time.Now()})
		return err
	})
	r := s.start()
	for _, c := range []struct {
		mailbox string
		code    int
		want    string
	}{
		{"", monitorWarning, "WARNING: 2 valid, 1 to review\n"},
		{rossi, monitorWarning, "WARNING: 1 valid, 1 to review\n"},
		{strings.ToUpper(verdi), monitorOK, "OK: 1 valid\n"},
	} {
		args := []string{"status", "--exit-code"}
		if c.mailbox != "" {
			args = append(args, c.mailbox)
		}
		if got := s.run(args...); got.code != c.code || got.stdout != c.want {
			t.Errorf("%q: got %v, want exit %d and %q", c.mailbox, got, c.code, c.want)
		}
	}
	r.stop()
}
