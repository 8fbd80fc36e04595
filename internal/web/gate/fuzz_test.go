package gate_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pec-ingest/internal/web/gate"
	"pec-ingest/internal/web/page"
)

// FuzzGate: whatever bytes a stranger sends, over TCP the page never answers;
// behind the proxy it does only for one valid name under the right host.
func FuzzGate(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: localhost\r\nX-Remote-User: anna\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: pec.studio.example\r\nX-Remote-User: anna\r\n\r\n",
		"GET //x/%2e%2e/ HTTP/1.1\r\nHost: [::1]:8470\r\nCookie: ingest-session=a; ingest-session=b\r\n\r\n",
		"POST /accesso?t=x&lang=en HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\nt=x",
		"POST /esci HTTP/1.1\r\nHost: pec.studio.example:443\r\nX_Remote_User: a\r\nx-remote-user: b\r\nSec-Fetch-Site: none\r\n\r\n",
		"GET http://pec.studio.example/metrics HTTP/1.0\r\nAuthorization: Bearer x\r\n\r\n",
		"GET /calendario/x.ics HTTP/1.1\r\nHost: LOCALHOST.\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	yes := func(context.Context) bool { return true }
	g := gate.New(gate.Options{Alive: yes, Ready: yes, Page: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := page.PersonFrom(r.Context())
		w.Header().Set("X-Inside", p.Name)
		w.WriteHeader(http.StatusTeapot)
	})})
	g.SetProxy(gate.Proxy{Host: "pec.studio.example", Header: "X-Remote-User"})
	open, proxied := g.Open(), g.Proxied()
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, h := range []http.Handler{open, proxied} {
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(raw))))
			if err != nil {
				return
			}
			r.RemoteAddr = "127.0.0.1:1"
			w := httptest.NewRecorder()
			path, host, names := r.URL.Path, strings.ToLower(r.Host), r.Header.Values("X-Remote-User")
			h.ServeHTTP(w, r)
			if w.Code != http.StatusTeapot {
				if len(w.Result().Cookies()) > 0 && w.Result().Cookies()[0].MaxAge >= 0 {
					t.Errorf("a stranger got a session: %q", raw)
				}
				continue
			}
			if len(names) != 1 || gate.CheckName(names[0]) != nil || w.Header().Get("X-Inside") != names[0] {
				t.Errorf("somebody without one valid name is inside as %q: %q", w.Header().Get("X-Inside"), raw)
			}
			if name, _, _ := strings.Cut(host, ":"); name != "pec.studio.example" {
				t.Errorf("inside under the host %q", host)
			}
			if strings.Contains(path, "//") || strings.Contains(path, "..") || !strings.HasPrefix(path, "/") {
				t.Errorf("inside by the path %q", path)
			}
		}
	})
}
