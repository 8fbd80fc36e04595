package main

import (
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/vault"
)

// purge_after deletes a processed message once its password was replaced by a
// proven one and enough time has gone by, and nothing else: not the newest,
// not one of another client, nothing that people put into the folder.
func TestPurge(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi, bianchi}, config: func(c string) string {
		return strings.Replace(c, "[inbox]\n", "[inbox]\npurge_after = \"30d\"\n", 1)
	}})
	days := func(n float64) float64 { return 24 * n }
	old := s.submission(rossi, days(60), passwords[rossi])
	other := s.submission(bianchi, days(60), passwords[bianchi])
	s.deliver(old, other)
	s.once(sum{Seen: 2, Accepted: 2})
	s.imap.Deliver(studioPEC, processed, []byte("From: a@x.example\r\nMessage-ID: <mine@x.example>\r\nSubject: tenuta\r\n\r\nciao\r\n"), time.Time{})
	again := func() {
		t.Helper()
		s.inVault(func(tx *vault.Tx) error { return tx.PutJob("purge", time.Now().Add(-25*time.Hour)) })
		s.once(sum{})
	}
	have := func(want ...string) {
		t.Helper()
		got := strings.Join(s.folder(processed), " ")
		if len(s.folder(processed)) != len(want) {
			t.Errorf("processed folder: got %s, want %d messages", got, len(want))
		}
		for _, id := range want {
			if !strings.Contains(got, id) {
				t.Errorf("processed folder: %s is gone", id)
			}
		}
	}
	again() // nothing was replaced yet
	have(idOf(old), idOf(other), "<mine@x.example>")

	recent := s.submission(rossi, days(1), "nuova77Kx")
	s.clients.SetPassword(rossi, "nuova77Kx")
	s.deliver(recent)
	s.once(sum{Seen: 1, Accepted: 1})
	again()
	have(idOf(recent), idOf(other), "<mine@x.example>")
	if audit := s.ok("audit", "--event", "message.purged"); strings.Count(audit, "message.purged") != 1 || !strings.Contains(audit, rossi) {
		t.Errorf("audit log:\n%s", audit)
	}
	again() // once
	s.wantGet(rossi, "nuova77Kx")
	if got, want := s.history(rossi), "1 superseded, 2 proven*"; got != want {
		t.Errorf("history: got %q, want %q", got, want)
	}
}
