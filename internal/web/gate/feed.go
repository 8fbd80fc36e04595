package gate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// What keys open.
const (
	pathCalendar = "/calendario/" // TOKEN.ics: programs that subscribe send no headers
	pathMetrics  = "/metrics"     // Authorization: Bearer TOKEN
)

// CalendarPath is where a calendar subscribes.
func CalendarPath(token string) string { return pathCalendar + token + ".ics" }

// MetricsPath is what Prometheus scrapes.
const MetricsPath = pathMetrics

// feeds answers programs; what it gives tells whether the request was for it.
func (g *Gate) feeds() func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		var kind, token, ctype string
		var write func(context.Context, io.Writer) error
		if name, ok := strings.CutPrefix(r.URL.Path, pathCalendar); ok {
			kind, write, ctype = KeyCalendar, g.opts.Calendar, "text/calendar; charset=utf-8"
			token, _ = strings.CutSuffix(name, ".ics")
		} else if r.URL.Path == pathMetrics {
			kind, write, ctype = KeyMetrics, g.opts.Metrics, "text/plain; version=0.0.4; charset=utf-8"
			token, _ = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		} else {
			return false
		}
		if r.Method == http.MethodPost {
			w.Header().Set("Allow", "GET, HEAD")
			refuse(w, http.StatusMethodNotAllowed)
			return true
		}
		g.feed(w, r, kind, token, ctype, write)
		return true
	}
}

func (g *Gate) feed(w http.ResponseWriter, r *http.Request, kind, token, ctype string, write func(context.Context, io.Writer) error) {
	name := ""
	if token != "" && g.opts.Key != nil && write != nil {
		var err error
		if name, err = g.opts.Key(r.Context(), kind, token); err != nil {
			g.opts.Log.Error("a key can't be looked up", "event", "page.error", "err", err)
			refuse(w, http.StatusServiceUnavailable)
			return
		}
	}
	if name == "" {
		status := http.StatusTooManyRequests
		if g.failures.add(addressOf(r), time.Now()) {
			// The answer is the same for a key that never was.
			status = http.StatusNotFound
			if kind == KeyMetrics {
				w.Header().Set("WWW-Authenticate", `Bearer realm="metrics"`)
				status = http.StatusUnauthorized
			}
		}
		refuse(w, status)
		return
	}
	defer protect(r)()
	ctx, cancel := g.begun(w, r)
	defer cancel()
	var b bytes.Buffer
	if err := write(ctx, &b); err != nil {
		g.opts.Log.Error("a feed can't be written", "event", "page.error", "err", err)
		refuse(w, http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", ctype)
	// The subscriber keeps its copy and asks whether it is still the same.
	h.Set("Cache-Control", "private, no-cache")
	sum := sha256.Sum256(b.Bytes())
	h.Set("ETag", fmt.Sprintf(`"%x"`, sum[:16]))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b.Bytes()))
}
