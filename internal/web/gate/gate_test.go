package gate_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pec-ingest/internal/web/gate"
	"pec-ingest/internal/web/page"
)

// house is a gate with a page behind it that says who is inside.
type house struct {
	*gate.Gate
	mu    sync.Mutex
	audit []string
	keys  map[string]string // kind + token: name
	text  string            // of the feeds
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{keys: map[string]string{}, text: "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"}
	yes := func(context.Context) bool { return true }
	feed := func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, h.text)
		return err
	}
	h.Gate = gate.New(gate.Options{
		Page: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p, ok := page.PersonFrom(r.Context())
			fmt.Fprintf(w, "inside %v %s %s decide=%v reveal=%v", ok, p.Name, p.Actor, p.CanDecide, p.CanReveal)
		}),
		Alive: yes, Ready: yes, Calendar: feed, Metrics: feed,
		Key: func(_ context.Context, kind, token string) (string, error) { return h.keys[kind+token], nil },
		Audit: func(actor, event, detail string) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.audit = append(h.audit, strings.TrimSpace(actor+" "+event+" "+detail))
		},
	})
	t.Cleanup(h.Close)
	return h
}

func (h *house) audited() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.audit, "\n")
}

var anna = gate.Grant{Name: "Anna Rossi", CanDecide: true, Issuer: "uid:0(root)"}

// ask sends one request over TCP's handler.
func (h *house) ask(method, target, body string, edit func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "127.0.0.1:8470"
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if edit != nil {
		edit(r)
	}
	w := httptest.NewRecorder()
	h.Open().ServeHTTP(w, r)
	return w
}

// enter uses a link and gives the session's cookie.
func (h *house) enter(t *testing.T, g gate.Grant) *http.Cookie {
	t.Helper()
	w := h.ask("POST", gate.PathIn, url.Values{"t": {h.Link(g, time.Now())}}.Encode(), nil)
	if w.Code != http.StatusSeeOther || len(w.Result().Cookies()) != 1 {
		t.Fatalf("signing in: got %d %s", w.Code, w.Body)
	}
	return w.Result().Cookies()[0]
}

func with(c *http.Cookie) func(*http.Request) { return func(r *http.Request) { r.AddCookie(c) } }

func TestEnter(t *testing.T) {
	h := newHouse(t)
	token := h.Link(anna, time.Now())
	if len(token) < 43 {
		t.Errorf("the token has %d characters, want those of 256 bits", len(token))
	}
	link := gate.PathIn + "?t=" + token
	// Looking, as programs that preview links do, uses nothing up.
	for _, method := range []string{"GET", "HEAD", "GET"} {
		w := h.ask(method, link, "", nil)
		if w.Code != 200 || len(w.Result().Cookies()) != 0 {
			t.Fatalf("%s: got %d with cookies %v", method, w.Code, w.Result().Cookies())
		}
		if body := w.Body.String(); method == "GET" && (!strings.Contains(body, `method="post"`) || strings.Contains(body, "<script")) {
			t.Errorf("the link's page has no plain form: %s", body)
		}
	}
	w := h.ask("POST", gate.PathIn, "t="+token, nil)
	if got := w.Header().Get("Location"); w.Code != http.StatusSeeOther || got != "/" {
		t.Fatalf("got %d to %q, want 303 to /", w.Code, got)
	}
	set := w.Header().Get("Set-Cookie")
	for _, want := range []string{"HttpOnly", "SameSite=Strict", "Path=/"} {
		if !strings.Contains(set, want) {
			t.Errorf("Set-Cookie has no %s: %s", want, set)
		}
	}
	if strings.Contains(set, "Domain") || strings.Contains(set, token) {
		t.Errorf("Set-Cookie: got %s, want it for this host, and another secret than the link's", set)
	}
	c := w.Result().Cookies()[0]
	if got, want := h.ask("GET", "/", "", with(c)).Body.String(), "inside true Anna Rossi page:Anna Rossi(uid:0) decide=true reveal=false"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// A link works once, whoever brings it.
	if w := h.ask("POST", gate.PathIn, "t="+token, nil); w.Code != 403 || len(w.Result().Cookies()) != 0 {
		t.Errorf("a used link: got %d", w.Code)
	}
	// Out, by POST only.
	if w := h.ask("GET", gate.PathOut, "", with(c)); w.Code != 405 {
		t.Errorf("GET %s: got %d, want 405", gate.PathOut, w.Code)
	}
	if w := h.ask("POST", gate.PathOut, "", with(c)); w.Code != 200 {
		t.Errorf("POST %s: got %d", gate.PathOut, w.Code)
	}
	if w := h.ask("GET", "/", "", with(c)); w.Code != 403 {
		t.Errorf("after leaving: got %d, want 403", w.Code)
	}
	want := "page:Anna Rossi(uid:0) page.entered looks, decides; link by uid:0(root)\npage page.refused once\npage:Anna Rossi(uid:0) page.left"
	if got := h.audited(); got != want {
		t.Errorf("audit: got\n%s\nwant\n%s", got, want)
	}
}

// Signing in again ends the session before it: none stays open unseen.
func TestEnterAgain(t *testing.T) {
	h := newHouse(t)
	first := h.enter(t, anna)
	w := h.ask("POST", gate.PathIn, "t="+h.Link(anna, time.Now()), with(first))
	second := w.Result().Cookies()[0]
	if second.Value == first.Value {
		t.Error("the session's secret is the same")
	}
	if got := len(h.Sessions(time.Now())); got != 1 {
		t.Errorf("got %d sessions, want 1", got)
	}
}

func TestTimesOut(t *testing.T) {
	t.Run("link", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t)
			early, late := h.Link(anna, time.Now()), h.Link(anna, time.Now())
			time.Sleep(gate.TicketLife - time.Second)
			if w := h.ask("POST", gate.PathIn, "t="+early, nil); w.Code != 303 {
				t.Errorf("just in time: got %d", w.Code)
			}
			time.Sleep(time.Second)
			if w := h.ask("POST", gate.PathIn, "t="+late, nil); w.Code != 403 {
				t.Errorf("too late: got %d, want 403", w.Code)
			}
		})
	})
	// A person who does something stays until the day is over.
	t.Run("used", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t)
			c, begun := h.enter(t, anna), time.Now()
			for time.Since(begun) < gate.SessionLife-time.Hour {
				time.Sleep(gate.SessionIdle - time.Minute)
				if w := h.ask("GET", "/", "", with(c)); w.Code != 200 {
					t.Fatalf("after %v: got %d", time.Since(begun), w.Code)
				}
			}
			time.Sleep(gate.SessionLife - time.Since(begun))
			if w := h.ask("GET", "/", "", with(c)); w.Code != 403 {
				t.Errorf("after %v: got %d, want 403", time.Since(begun), w.Code)
			}
		})
	})
	// The page's own refreshing keeps nobody inside, in browsers that tell how
	// a request came about and in those that don't.
	for _, header := range []string{"Sec-Fetch-Mode: cors", "X-Refresh: 1"} {
		t.Run("left alone, "+header, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				c, begun := h.enter(t, anna), time.Now()
				code := 200
				for code == 200 && time.Since(begun) < gate.SessionLife {
					time.Sleep(time.Minute)
					code = h.ask("GET", "/", "", func(r *http.Request) {
						r.AddCookie(c)
						name, value, _ := strings.Cut(header, ": ")
						r.Header.Set(name, value)
					}).Code
				}
				if got := time.Since(begun); got != gate.SessionIdle {
					t.Errorf("out after %v, want %v", got, gate.SessionIdle)
				}
			})
		})
	}
}

func TestRevoke(t *testing.T) {
	h := newHouse(t)
	a, b := h.enter(t, anna), h.enter(t, gate.Grant{Name: "Bruno", Issuer: "uid:0(root)"})
	list := h.Sessions(time.Now())
	if len(list) != 2 || list[1].Name != "Bruno" || list[1].Rights != "looks" || list[0].Rights != "looks, decides" {
		t.Fatalf("got sessions %+v", list)
	}
	if n := h.Revoke(list[0].N); n != 1 {
		t.Errorf("revoking one: got %d", n)
	}
	if h.ask("GET", "/", "", with(a)).Code != 403 || h.ask("GET", "/", "", with(b)).Code != 200 {
		t.Error("the wrong session ended")
	}
	waiting := h.Link(anna, time.Now())
	if n := h.Revoke(0); n != 2 {
		t.Errorf("revoking all: got %d, want one session and one link", n)
	}
	if h.ask("GET", "/", "", with(b)).Code != 403 || h.ask("POST", gate.PathIn, "t="+waiting, nil).Code != 403 {
		t.Error("something is left after revoking all")
	}
	if n := h.Revoke(list[1].N); n != 0 {
		t.Errorf("revoking what is gone: got %d", n)
	}
}

// Guessing is answered with patience, and keeps the right link's owner out of
// nothing.
func TestGuessing(t *testing.T) {
	synctest.Test(t, guessing) // all in one minute
}

func guessing(t *testing.T) {
	h := newHouse(t)
	token := h.Link(anna, time.Now())
	codes := map[int]int{}
	guess := func(i, address int) {
		w := h.ask("POST", gate.PathIn, fmt.Sprintf("t=%043d", i), func(r *http.Request) { r.RemoteAddr = fmt.Sprintf("127.0.0.%d:1000", address) })
		codes[w.Code]++
	}
	for i := range 40 {
		guess(i, 1)
	}
	if codes[403] != gate.FailuresOfOne || codes[429] != 40-gate.FailuresOfOne {
		t.Errorf("from one address: got %v", codes)
	}
	for i := range 200 {
		guess(i, 2+i%100)
	}
	if codes[403] > gate.FailuresOfAll {
		t.Errorf("in all: got %v, want at most %d answers of 403", codes, gate.FailuresOfAll)
	}
	if w := h.ask("POST", gate.PathIn, "t="+token, func(r *http.Request) { r.RemoteAddr = "127.0.0.1:1000" }); w.Code != 303 {
		t.Errorf("the right link after %v: got %d, want 303", codes, w.Code)
	}
	h.Close()
	if got := h.audited(); strings.Count(got, "page.refused") != 2 || !strings.Contains(got, "page.refused 239 times") {
		t.Errorf("audit: got\n%s\nwant one entry at once and one for the rest", got)
	}
}

func TestBrowserIsTold(t *testing.T) {
	h := newHouse(t)
	c := h.enter(t, anna)
	for _, target := range []string{"/", "/x", gate.PathIn + "?t=x", gate.PathOut, "/metrics", "/calendario/x.ics", "//", "/accesso/stile.css"} {
		for _, edit := range []func(*http.Request){nil, with(c)} {
			head := h.ask("GET", target, "", edit).Header()
			csp := head.Get("Content-Security-Policy")
			if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
				t.Errorf("%s: got CSP %q", target, csp)
			}
			for name, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "X-Frame-Options": "DENY",
				"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
			} {
				if got := head.Get(name); got != want {
					t.Errorf("%s: got %s %q, want %q", target, name, got, want)
				}
			}
			if head.Get("Permissions-Policy") == "" || head.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s: got headers %v", target, head)
			}
		}
	}
}

func TestFeeds(t *testing.T) {
	h := newHouse(t)
	calendar, _ := gate.NewToken()
	metrics, _ := gate.NewToken()
	h.keys[gate.KeyCalendar+calendar], h.keys[gate.KeyMetrics+metrics] = "Outlook", "prometheus"
	get := func(target, bearer, etag string) *httptest.ResponseRecorder {
		return h.ask("GET", target, "", func(r *http.Request) {
			if bearer != "" {
				r.Header.Set("Authorization", "Bearer "+bearer)
			}
			if etag != "" {
				r.Header.Set("If-None-Match", etag)
			}
		})
	}
	w := get(gate.CalendarPath(calendar), "", "")
	if w.Code != 200 || w.Body.String() != h.text || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/calendar") {
		t.Fatalf("calendar: got %d %q", w.Code, w.Body)
	}
	tag := w.Header().Get("ETag")
	if w := get(gate.CalendarPath(calendar), "", tag); w.Code != 304 || w.Body.Len() != 0 {
		t.Errorf("the same calendar again: got %d, want 304", w.Code)
	}
	h.text = strings.Replace(h.text, "END", "X:1\r\nEND", 1)
	if w := get(gate.CalendarPath(calendar), "", tag); w.Code != 200 || w.Header().Get("ETag") == tag {
		t.Errorf("another calendar: got %d with tag %s", w.Code, w.Header().Get("ETag"))
	}
	if w := get(gate.MetricsPath, metrics, ""); w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("metrics: got %d", w.Code)
	}
	// Each key opens what it is for. A session opens no feed, a key no page.
	c := h.enter(t, anna)
	for name, w := range map[string]*httptest.ResponseRecorder{
		"metrics without a key":       get(gate.MetricsPath, "", ""),
		"metrics with the calendar's": get(gate.MetricsPath, calendar, ""),
		"metrics with a session":      h.ask("GET", gate.MetricsPath, "", with(c)),
		"calendar without a key":      get("/calendario/", "", ""),
		"calendar with the metrics'":  get(gate.CalendarPath(metrics), "", ""),
		"calendar with a session":     h.ask("GET", "/calendario/x.ics", "", with(c)),
		"the page with a key":         get("/?t="+calendar, metrics, ""),
		"sending to a feed":           h.ask("POST", gate.CalendarPath(calendar), "x", nil),
	} {
		if w.Code < 400 || bytes.Contains(w.Body.Bytes(), []byte("VCALENDAR")) {
			t.Errorf("%s: got %d %s", name, w.Code, w.Body)
		}
	}
	delete(h.keys, gate.KeyCalendar+calendar)
	if w := get(gate.CalendarPath(calendar), "", ""); w.Code != 404 {
		t.Errorf("a revoked key: got %d, want 404", w.Code)
	}
}

func TestNames(t *testing.T) {
	for _, good := range []string{"Anna", "Anna Rossi", "anna.rossi@studio.it", "D'Angelo", "Zoë", "李", "a_b-c+d 2"} {
		if err := gate.CheckName(good); err != nil {
			t.Errorf("%q: got %v", good, err)
		}
	}
	for _, bad := range []string{"", " Anna", "Anna ", "a)(uid:0", "a:b", "a\nb", "a\x00", "\x1b[31mred", "a\u202eb", "a\u200bb", "<b>", "a\xff", "uid:0(root)", strings.Repeat("a", 65)} {
		if gate.CheckName(bad) == nil {
			t.Errorf("%q is taken as a name", bad)
		}
	}
}
