package gate

import (
	"context"
	"io"
	"net/http"
)

// words answers monitoring, to anybody who can connect and whatever the Host
// header says, with one word and nothing else: no name, count or version.
// There is no ServeMux before the gate: it would answer paths in disguise
// with a redirect.
func (g *Gate) words(next http.Handler) http.Handler {
	alive, ready := word(g.opts.Alive), word(g.opts.Ready)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/healthz": // does the service move?
			alive(w, r)
		case "/readyz": // does it read the inbox?
			ready(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func word(ask func(context.Context) bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), wordTimeout)
		defer cancel()
		h := w.Header()
		h.Set("Content-Type", "text/plain; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Connection", "close")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		if !ask(ctx) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "no\n")
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	}
}
