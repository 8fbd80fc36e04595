package main

import (
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"

	"pec-ingest/internal/web"
)

// A service that hangs up before it answers is asked for the password again;
// what changes something is not repeated.
func TestUnanswered(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 {
			panic(http.ErrAbortHandler) // ends the connection
		}
		_, _ = w.Write([]byte(`{}`))
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() { _ = server.Close(); <-done })
	for _, c := range []struct {
		name string
		ok   bool
		want int32
	}{{"client.remove", false, 1}, {"get", true, 3}} {
		asked.Store(0)
		client, err := web.Dial(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = ask[map[string]any](t.Context(), &remote{client: client}, c.name, nil)
		client.Close()
		if (err == nil) != c.ok || asked.Load() != c.want {
			t.Errorf("%s: got %v after %d questions, want %d", c.name, err, asked.Load(), c.want)
		}
	}
}
