package gate_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pec-ingest/internal/web/gate"
)

// listen serves the gate on loopback.
func (h *house) listen(t *testing.T) *gate.Server {
	t.Helper()
	s, err := h.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return s
}

// patience is for a machine that is very busy with other things.
const patience = 2 * time.Minute

// raw sends bytes as they are and gives what comes back: the status line,
// "" where the connection just ends.
func raw(t *testing.T, network, addr, request string) (status, answer string) {
	t.Helper()
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if !strings.Contains(request, "Connection: close") {
		request = strings.Replace(request, "\r\n", "\r\nConnection: close\r\n", 1)
	}
	// A server may answer, and hang up, before it has read all.
	_, _ = io.WriteString(conn, request)
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	if err != nil {
		return "", ""
	}
	rest, _ := io.ReadAll(io.LimitReader(r, 64<<10))
	_, status, _ = strings.Cut(strings.TrimSpace(line), " ")
	return status, line + string(rest)
}

// Who is not inside sees nothing of the page, whatever he makes of the request.
func TestRefused(t *testing.T) {
	h := newHouse(t)
	s := h.listen(t)
	c := h.enter(t, anna)
	in := "Cookie: " + c.Name + "=" + c.Value + "\r\n"
	used := h.Link(anna, time.Now())
	h.ask("POST", gate.PathIn, "t="+used, nil)
	form := func(body string) string {
		return fmt.Sprintf("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	for _, tc := range []struct{ name, request, status string }{
		{"nothing", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "403"},
		{"a made-up session", "GET / HTTP/1.1\r\nHost: localhost\r\nCookie: ingest-session=x\r\n\r\n", "403"},
		{"an empty session", "GET / HTTP/1.1\r\nHost: localhost\r\nCookie: ingest-session=\r\n\r\n", "403"},
		{"two sessions", "GET / HTTP/1.1\r\nHost: localhost\r\n" + in + "Cookie: ingest-session=x\r\n\r\n", "403"},
		{"two sessions in one header", "GET / HTTP/1.1\r\nHost: localhost\r\nCookie: ingest-session=x; " + in[len("Cookie: "):] + "\r\n", "403"},
		{"a used link", "POST /accesso HTTP/1.1\r\nHost: localhost\r\n" + form("t="+used), "403"},
		{"a link in the address only", "POST /accesso?t=" + h.Link(anna, time.Now()) + " HTTP/1.1\r\nHost: localhost\r\n" + form("x=1"), "403"},
		{"an old link", "POST /accesso HTTP/1.1\r\nHost: localhost\r\n" + form("t="+h.Link(anna, time.Now().Add(-gate.TicketLife))), "403"},
		{"the proxy's header over TCP", "GET / HTTP/1.1\r\nHost: localhost\r\nX-Remote-User: anna\r\n\r\n", "403"},

		// Another site's page in the browser of somebody who is inside.
		{"a cross-site form", "POST /x HTTP/1.1\r\nHost: localhost\r\n" + in + "Sec-Fetch-Site: cross-site\r\n" + form("a=1"), "403"},
		{"a form from another port", "POST /x HTTP/1.1\r\nHost: localhost:8470\r\n" + in + "Sec-Fetch-Site: same-site\r\nOrigin: http://localhost:9999\r\n" + form("a=1"), "403"},
		{"a form of an old browser", "POST /x HTTP/1.1\r\nHost: localhost:8470\r\n" + in + "Origin: http://evil.example\r\n" + form("a=1"), "403"},
		{"a form of a sandboxed frame", "POST /x HTTP/1.1\r\nHost: localhost:8470\r\n" + in + "Origin: null\r\n" + form("a=1"), "403"},
		{"another site signs somebody in", "POST /accesso HTTP/1.1\r\nHost: localhost:8470\r\nSec-Fetch-Site: cross-site\r\n" + form("t="+h.Link(anna, time.Now())), "403"},
		{"another site signs somebody out", "POST /esci HTTP/1.1\r\nHost: localhost:8470\r\n" + in + "Sec-Fetch-Site: cross-site\r\n" + form("a=1"), "403"},
		{"its own form", "POST /x HTTP/1.1\r\nHost: localhost:8470\r\n" + in + "Sec-Fetch-Site: same-origin\r\nOrigin: null\r\n" + form("a=1"), "200"},

		// Names that were made to resolve to this machine.
		{"rebinding", "GET / HTTP/1.1\r\nHost: evil.example:8470\r\n" + in + "\r\n", "421"},
		{"rebinding, a name like ours", "GET / HTTP/1.1\r\nHost: localhost.evil.example\r\n" + in + "\r\n", "421"},
		{"rebinding, 127.0.0.1.nip.io", "GET / HTTP/1.1\r\nHost: 127.0.0.1.nip.io\r\n" + in + "\r\n", "421"},
		{"no host", "GET / HTTP/1.0\r\n" + in + "\r\n", "421"},
		{"two hosts", "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n" + in + "\r\n", "400"},
		{"by IPv6", "GET / HTTP/1.1\r\nHost: [::1]:8470\r\n" + in + "\r\n", "200"},
		{"through a tunnel", "GET / HTTP/1.1\r\nHost: localhost:9000\r\n" + in + "\r\n", "200"},

		{"another site's address in the request line", "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n" + in + "\r\n", "400"},
		{"ours in the request line", "GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n" + in + "\r\n", "400"},
		{"CONNECT", "CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n" + in + "\r\n", "400"},
		{"TRACE", "TRACE / HTTP/1.1\r\nHost: localhost\r\n" + in + "\r\n", "405"},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n" + in + "\r\n", "400"},
		{"PUT", "PUT / HTTP/1.1\r\nHost: localhost\r\n" + in + "Content-Length: 0\r\n\r\n", "405"},

		{"two slashes", "GET //evil.example/ HTTP/1.1\r\nHost: localhost\r\n" + in + "\r\n", "400"},
		{"slashes inside", "GET /assets//x HTTP/1.1\r\nHost: localhost\r\n" + in + "\r\n", "400"},
		{"dots", "GET /assets/../x HTTP/1.1\r\nHost: localhost\r\n" + in + "\r\n", "400"},
		{"escaped dots", "GET /assets/%2e%2e/x HTTP/1.1\r\nHost: localhost\r\n" + in + "\r\n", "400"},
		{"an escaped slash", "GET /assets%2f..%2fx HTTP/1.1\r\nHost: localhost\r\n" + in + "\r\n", "400"},
		{"escaped twice", "GET /%252e%252e/x HTTP/1.1\r\nHost: localhost\r\n" + in + "\r\n", "400"},
		{"a backslash", "GET /assets\\..\\x HTTP/1.1\r\nHost: localhost\r\n" + in + "\r\n", "400"},
		{"NUL", "GET /x%00 HTTP/1.1\r\nHost: localhost\r\n" + in + "\r\n", "400"},
		{"line ends", "GET /x%0d%0aSet-Cookie:a=b HTTP/1.1\r\nHost: localhost\r\n" + in + "\r\n", "400"},
		{"parameters", "GET /healthz;/../x HTTP/1.1\r\nHost: localhost\r\n" + in + "\r\n", "400"},
		{"around the health word", "GET /healthz/../ HTTP/1.1\r\nHost: localhost\r\n\r\n", "400"},

		{"two lengths", "POST /x HTTP/1.1\r\nHost: localhost\r\n" + in + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", "400"},
		{"length and chunks", "POST /x HTTP/1.1\r\nHost: localhost\r\n" + in + "Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "501"},
		{"length and chunks, as chunks", "POST /x HTTP/1.1\r\nHost: localhost\r\n" + in + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "411"},
		{"chunks", "POST /x HTTP/1.1\r\nHost: localhost\r\n" + in + "Transfer-Encoding: chunked\r\n\r\n3\r\na=1\r\n0\r\n\r\n", "411"},
		{"a header with a space before the colon", "GET / HTTP/1.1\r\nHost: localhost\r\nCookie : a=b\r\n\r\n", "400"},
		{"a huge header", "GET / HTTP/1.1\r\nHost: localhost\r\nX-A: " + strings.Repeat("a", 64<<10) + "\r\n\r\n", "431"},
		{"a huge form", "POST /accesso HTTP/1.1\r\nHost: localhost\r\n" + form("t="+strings.Repeat("a", 64<<10)), "403"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, answer := raw(t, "tcp", s.Addr().String(), tc.request)
			if !strings.HasPrefix(status, tc.status) {
				t.Errorf("got %q, want %s", status, tc.status)
			}
			if tc.status != "200" && strings.Contains(answer, "inside") {
				t.Errorf("the page answered: %s", answer)
			}
			for _, leaked := range []string{"evil.example", "Set-Cookie:a"} {
				if strings.Contains(answer, leaked) {
					t.Errorf("the answer repeats %q: %s", leaked, answer)
				}
			}
		})
	}
}

// What a link says is shown as text, whatever it is.
func TestLinkIsText(t *testing.T) {
	h := newHouse(t)
	for _, evil := range []string{`"><script>alert(1)</script>`, `' onfocus='x`, "\u202egnp", "\x1b[31m"} {
		w := h.ask("GET", gate.PathIn+"?"+url.Values{"t": {evil}, "lang": {evil}}.Encode(), "", nil)
		if body := w.Body.String(); w.Code != 200 || strings.Contains(body, "<script") || strings.Contains(body, "onfocus='") {
			t.Errorf("%q: got %d %s", evil, w.Code, body)
		}
	}
	w := h.ask("GET", "/x?a=%22%3E%3Cscript%3E", "", nil)
	if body := w.Body.String(); strings.Contains(body, "<script") || !strings.Contains(body, "/x?a=") {
		t.Errorf("the link to try again: got %s", body)
	}
}

// Ten thousand connections that say nothing, half a request, or a body that
// never comes keep neither monitoring nor the people inside out.
func TestSlowCallers(t *testing.T) {
	h := newHouse(t)
	s := h.listen(t)
	addr := s.Addr().String()
	c := h.enter(t, anna)
	const callers = 10_000
	words := []string{"", "G", "GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ", "POST /accesso HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nt="}
	ask := func(path string) {
		t.Helper()
		req, _ := http.NewRequest("GET", "http://"+addr+path, nil)
		req.AddCookie(c)
		client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Do(req)
		if err != nil {
			t.Fatalf("%s among slow callers: %v", path, err)
		}
		defer res.Body.Close()
		if res.StatusCode != 200 {
			t.Errorf("%s among slow callers: got %d", path, res.StatusCode)
		}
	}
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	var mu sync.Mutex
	for batch := range 10 {
		var wg sync.WaitGroup
		for i := range callers / 10 {
			wg.Go(func() {
				conn, err := net.Dial("tcp", addr)
				if err != nil {
					t.Errorf("connecting: %v", err)
					return
				}
				_, _ = io.WriteString(conn, words[i%len(words)])
				mu.Lock()
				defer mu.Unlock()
				conns = append(conns, conn)
			})
		}
		wg.Wait()
		if batch%3 == 0 {
			ask("/healthz")
			ask("/")
		}
	}
	if len(conns) != callers {
		t.Fatalf("%d of %d connected", len(conns), callers)
	}
	ask("/readyz")
	ask("/")
	// Those that gave way were closed, not kept: the oldest reads its end.
	_ = conns[0].SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, conns[0]); os.IsTimeout(err) {
		t.Error("the first of 10,000 callers is still connected")
	}
}

// Somebody who is inside and waits for an answer does not give way.
func TestInsideStays(t *testing.T) {
	h := newHouse(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	h.Gate = gate.New(gate.Options{Page: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-leave
		_, _ = io.WriteString(w, "decided")
	})})
	s := h.listen(t)
	c := h.enter(t, anna)
	got := make(chan string, 1)
	go func() {
		req, _ := http.NewRequest("POST", "http://"+s.Addr().String()+"/x", strings.NewReader("a=1"))
		req.AddCookie(c)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			got <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		got <- string(b)
	}()
	<-entered
	for range gate.MaxConns * 2 {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	close(leave)
	if got := <-got; got != "decided" {
		t.Errorf("got %q, want the answer", got)
	}
}

// What somebody inside has begun is told to end when the service does, and
// waited for: afterwards the vault is closed.
func TestCloseWaits(t *testing.T) {
	h := newHouse(t)
	entered, told := make(chan struct{}), false
	h.Gate = gate.New(gate.Options{Page: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		told = true
	})})
	s := h.listen(t)
	c := h.enter(t, anna)
	go func() {
		req, _ := http.NewRequest("POST", "http://"+s.Addr().String()+"/x", strings.NewReader("a=1"))
		req.AddCookie(c)
		if res, err := http.DefaultClient.Do(req); err == nil {
			res.Body.Close()
		}
	}()
	<-entered
	h.Close()
	if !told {
		t.Error("Close did not wait for what was begun")
	}
}

// Beyond loopback, monitoring is all there is.
func TestNotOnLoopback(t *testing.T) {
	h := newHouse(t)
	s, err := h.Listen("0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, port, _ := net.SplitHostPort(s.Addr().String())
	c := h.enter(t, anna)
	for path, want := range map[string]string{"/healthz": "200", "/": "404", gate.PathIn: "404", gate.MetricsPath: "404"} {
		status, _ := raw(t, "tcp", "127.0.0.1:"+port, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\nCookie: "+c.Name+"="+c.Value+"\r\n\r\n")
		if !strings.HasPrefix(status, want) {
			t.Errorf("%s: got %q, want %s", path, status, want)
		}
	}
}

func TestProxy(t *testing.T) {
	h := newHouse(t)
	path := filepath.Join(t.TempDir(), "page.sock")
	uid := uint32(os.Getuid())
	proxy := gate.Proxy{UID: uid, Host: "pec.studio.example", Header: "X-Remote-User", Deciders: []string{"anna", "carla"}, Revealers: []string{"anna", "dario"}}
	h.SetProxy(proxy)
	s, err := h.ListenProxy(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const host = "Host: pec.studio.example\r\n"
	actor := func(name string) string { return fmt.Sprintf("page:%s(uid:%d)", name, uid) }
	for _, tc := range []struct{ name, headers, want string }{
		{"somebody", host + "X-Remote-User: bruno\r\n", "inside true bruno " + actor("bruno") + " decide=false reveal=false"},
		{"who decides", host + "x-remote-user: carla\r\n", "inside true carla " + actor("carla") + " decide=true reveal=false"},
		{"who reveals", host + "X-Remote-User: anna\r\n", "inside true anna " + actor("anna") + " decide=true reveal=true"},
		{"who reveals but decides nothing", host + "X-Remote-User: dario\r\n", "inside true dario " + actor("dario") + " decide=false reveal=false"},
		{"nobody", host, "403"},
		{"an empty name", host + "X-Remote-User:\r\n", "403"},
		{"two names", host + "X-Remote-User: bruno\r\nX-Remote-User: anna\r\n", "403"},
		{"a name twice", host + "X-Remote-User: anna\r\nX-Remote-User: anna\r\n", "403"},
		{"a list of names", host + "X-Remote-User: bruno, anna\r\n", "403"},
		{"a header like it", host + "X-Remote-User: bruno\r\nX_Remote_User: anna\r\n", "403"},
		{"only a header like it", host + "X_Remote-User: anna\r\n", "403"},
		{"a name with an end of line", host + "X-Remote-User: bruno\x00anna\r\n", "400"},
		{"a name that is an actor", host + "X-Remote-User: uid:0(root)\r\n", "403"},
		{"a name with an escape", host + "X-Remote-User: \x1b[31manna\r\n", "400"},
		{"a name with bidi", host + "X-Remote-User: a\u202enna\r\n", "403"},
		{"everybody", host + "X-Remote-User: *\r\n", "403"},
		{"another host", "Host: evil.example\r\nX-Remote-User: anna\r\n", "421"},
		{"loopback's name", "Host: localhost\r\nX-Remote-User: anna\r\n", "421"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, answer := raw(t, "unix", path, "GET / HTTP/1.1\r\n"+tc.headers+"\r\n")
			if strings.HasPrefix(tc.want, "inside") != strings.Contains(answer, "inside") || !strings.Contains(status+"\n"+answer, tc.want) {
				t.Errorf("got %s\n%s\nwant %s", status, answer, tc.want)
			}
		})
	}
	// Links and sessions are not for here: the proxy signs people in.
	c := h.enter(t, anna)
	if status, _ := raw(t, "unix", path, "GET / HTTP/1.1\r\n"+host+"Cookie: "+c.Name+"="+c.Value+"\r\n\r\n"); !strings.HasPrefix(status, "403") {
		t.Errorf("a session over the proxy: got %s", status)
	}
	// Who is not the proxy is not even read.
	proxy.UID++
	h.SetProxy(proxy)
	if status, answer := raw(t, "unix", path, "GET / HTTP/1.1\r\n"+host+"X-Remote-User: anna\r\n\r\n"); status != "" {
		t.Errorf("another uid: got %q %s, want a closed connection", status, answer)
	}
}
