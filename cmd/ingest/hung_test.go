package main

import (
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/web"
)

// told is a terminal on which a test sees what is written.
type told chan string

func (c told) Write(p []byte) (int, error) {
	select {
	case c <- string(p):
	default: // nobody reads any more
	}
	return len(p), nil
}

// watchedRemote is a remote that looks for signs of life every few moments.
func watchedRemote(t *testing.T, path string, said told, giveUp time.Duration) *remote {
	t.Helper()
	c, err := web.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &remote{client: c, watching: watching{socket: path, tell: said, after: time.Millisecond, look: 20 * time.Millisecond, giveUp: giveUp}}
}

// A service that gives no sign of life is told of, and then given up.
func TestServiceHangs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path) // the kernel takes connections, nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	said := make(told, 100)
	_, err = watchedRemote(t, path, said, 50*time.Millisecond).Clients(t.Context())
	if err == nil || exitCode(err) != exitFailed || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("got %v, want that the service does not answer", err)
	}
	if len(said) != 1 {
		t.Fatalf("told %d times, want once", len(said))
	}
	if text := <-said; !strings.Contains(text, "does not answer") || !strings.Contains(text, "\ningest: hint: `systemctl status pec-ingest`") {
		t.Errorf("told %q", text)
	}
}

// A service that is at work on a long question is waited for, however long.
func TestServiceWorks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	looks := make(chan struct{}, 1000)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/daemon") {
			select {
			case looks <- struct{}{}:
			default:
			}
			_, _ = w.Write([]byte(`{"phase":"passing"}`))
			return
		}
		<-release
		_, _ = w.Write([]byte(`[]`))
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() { _ = server.Close(); <-done })
	said := make(told, 100)
	r := watchedRemote(t, path, said, time.Hour)
	r.watching.look = patience
	answered := make(chan error, 1)
	go func() {
		_, err := r.Clients(t.Context())
		answered <- err
	}()
	for range 3 {
		<-looks
	}
	close(release)
	if err := <-answered; err != nil {
		t.Errorf("got %v, want the answer", err)
	}
	if len(said) != 1 {
		t.Fatalf("told %d times, want once", len(said))
	}
	if text := <-said; !strings.Contains(text, "is at work on it") {
		t.Errorf("told %q", text)
	}
}
