package main

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/secret"
)

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var rest bytes.Buffer
	log := slog.New(newJournalHandler(path, &rest, slog.LevelInfo)).With("folder", "INBOX")
	log.Debug("not this one")
	log.Warn("no pass", "event", "pass.failed", "err", errors.New("two\nlines"), "hint", "wait", "password", secret.FromString("Xk9mQ2pL"))
	buf := make([]byte, 8192)
	if err := l.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	n, err := l.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	got := string(buf[:n])
	for _, want := range []string{
		"PRIORITY=4\n", "INGEST_EVENT=pass.failed\n", "INGEST_HINT=wait\n", "INGEST_FOLDER=INBOX\n", "SYSLOG_IDENTIFIER=pec-ingest\n",
		"INGEST_ERR\n\x09\x00\x00\x00\x00\x00\x00\x00two\nlines\n", "no pass: two\nlines (wait)", "INGEST_PASSWORD=[redacted]\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the entry lacks %q:\n%q", want, got)
		}
	}
	// The journal is gone: lines on stderr, one a record.
	l.Close()
	log.Error("broken", "event", "x", "err", errors.New("a\nb"), "n", 3)
	if got, want := rest.String(), "<3>broken: a b folder=\"INBOX\" n=\"3\"\n"; got != want {
		t.Errorf("without the journal: got %q, want %q", got, want)
	}
}
