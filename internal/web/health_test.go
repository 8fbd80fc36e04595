package web_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"pec-ingest/internal/web"
)

func TestHealth(t *testing.T) {
	var alive, ready atomic.Bool
	alive.Store(true)
	s, err := web.ListenHealth("127.0.0.1:0", web.Health{
		Alive: func(context.Context) bool { return alive.Load() }, Ready: func(context.Context) bool { return ready.Load() }})
	if err != nil {
		t.Fatal(err)
	}
	get := func(method, path string) (int, string) {
		t.Helper()
		req, err := http.NewRequest(method, "http://"+s.Addr()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(b)
	}
	check := func(method, path string, code int, body string) {
		t.Helper()
		if c, b := get(method, path); c != code || body != "" && b != body {
			t.Errorf("%s %s: got %d %q, want %d %q", method, path, c, b, code, body)
		}
	}
	check("GET", "/healthz", 200, "ok\n")
	check("GET", "/readyz", 503, "no\n")
	ready.Store(true)
	check("GET", "/readyz", 200, "ok\n")
	alive.Store(false)
	check("GET", "/healthz", 503, "no\n")
	// Nothing else is there: no metrics, no calls of the socket.
	for _, path := range []string{"/", "/metrics", "/v1/status", "/v1/get"} {
		check("GET", path, 404, "")
		check("POST", path, 404, "")
	}
	check("POST", "/healthz", 405, "")

	// Silent callers take the slots, and don't keep the service from ending.
	for range 40 {
		c, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Errorf("Close: %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("Close hangs while callers are silent")
	}
}
