package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"pec-ingest/internal/servertest"
)

// freePort is an address that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(servertest.FreePort(t)))
}

// overUnix connects to a unix socket, whatever the address.
func overUnix(path string) *http.Transport {
	var d net.Dialer
	return &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", path) }}
}

// visitor is a browser without scripts.
type visitor struct {
	t      *testing.T
	client *http.Client
}

func newVisitor(t *testing.T) *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t, &http.Client{Jar: jar, Timeout: patience}}
}

func (v *visitor) do(req *http.Request) (int, string) {
	v.t.Helper()
	res, err := v.client.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func (v *visitor) get(address string, headers ...string) (int, string) {
	v.t.Helper()
	req, err := http.NewRequest("GET", address, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return v.do(req)
}

func (v *visitor) post(address string, form url.Values) (int, string) {
	v.t.Helper()
	req, err := http.NewRequest("POST", address, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return v.do(req)
}

// enter follows a link that `ingest page` printed.
func (v *visitor) enter(link string) {
	v.t.Helper()
	u, err := url.Parse(strings.TrimSpace(link))
	if err != nil {
		v.t.Fatal(err)
	}
	if code, body := v.get(u.String()); code != 200 || !strings.Contains(body, "<form") {
		v.t.Fatalf("the link: got %d %s", code, body)
	}
	token := u.Query().Get("t")
	u.RawQuery = ""
	if code, body := v.post(u.String(), url.Values{"t": {token}}); code == 403 || code == 429 {
		v.t.Fatalf("entering: got %d %s", code, body)
	}
}

// auditOf are the audit entries of the page's door: actor, event, detail.
func (s *studio) auditOf(event string) []string {
	s.t.Helper()
	var list []string
	for _, r := range s.rows("audit", "--event", event, "--json") {
		detail, _ := r["detail"].(string)
		list = append(list, strings.TrimSpace(r["actor"].(string)+" "+r["event"].(string)+" "+detail))
	}
	return list
}

// Links, sessions and keys of a running service, by its commands.
func TestDoor(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	listen, proxySocket := freePort(t), filepath.Join(s.dir, "page.sock")
	s.edit("listen = \"\"\n", "listen = \""+listen+"\"\npage_socket = \""+proxySocket+"\"\npage_url = \"https://pec.studio.example\"\nproxy_uid = \""+strconv.Itoa(os.Getuid())+"\"\ndeciders = [\"carla\"]\n")
	if got := s.exits(exitFailed, "page"); !strings.Contains(got.stderr, "systemctl start") {
		t.Errorf("page without a service: got %s", got)
	}
	r := s.start()
	base := "http://" + listen

	link := s.ok("page", "--name", "Anna Rossi")
	if !regexp.MustCompile(`^http://127\.0\.0\.1:\d+/accesso\?t=[A-Za-z0-9_-]{43}\n$`).MatchString(link) {
		t.Fatalf("got link %q", link)
	}
	anna := newVisitor(t)
	if code, _ := anna.get(base + "/"); code != 403 {
		t.Errorf("without a link: got %d, want 403", code)
	}
	anna.enter(link)
	if code, _ := anna.get(base + "/"); code == 403 {
		t.Errorf("inside: got %d", code)
	}
	late := newVisitor(t)
	if code, _ := late.post(base+"/accesso", url.Values{"t": {strings.TrimSpace(link[strings.Index(link, "=")+1:])}}); code != 403 {
		t.Errorf("the link again: got %d, want 403", code)
	}
	for _, args := range [][]string{{"page", "--name", "uid:0(root)"}, {"page", "--name", "a\x1b[31m"}, {"page", "revoke", "x"}, {"page", "--lang", "fr"}} {
		s.exits(exitUsage, args...)
	}
	s.exits(exitFailed, "page", "--view", "--reveal")

	list := s.ok("page", "list")
	if !strings.Contains(list, "Anna Rossi") || !strings.Contains(list, "looks, decides") {
		t.Errorf("who is inside: got\n%s", list)
	}
	s.exits(exitNotFound, "page", "revoke", "99")
	if got := s.ok("page", "revoke", "all"); got != "ended: 1\n" {
		t.Errorf("revoke all: got %q", got)
	}
	if code, _ := anna.get(base + "/"); code != 403 {
		t.Errorf("after revoking: got %d, want 403", code)
	}

	// The calendar, with an address of its own; the proxy's address is the one
	// that people get.
	address := strings.TrimSpace(s.ok("calendar", "--link", "Outlook Anna"))
	path, ok := strings.CutPrefix(address, "https://pec.studio.example/calendario/")
	if !ok || !strings.HasSuffix(path, ".ics") {
		t.Fatalf("got calendar address %q", address)
	}
	if code, body := late.get(base + "/calendario/" + path); code != 200 || !strings.HasPrefix(body, "BEGIN:VCALENDAR") {
		t.Errorf("calendar: got %d %s", code, body)
	}
	s.exits(exitUsage, "calendar", "--link", "Outlook Anna") // twice
	if got := s.ok("calendar", "--list"); !strings.Contains(got, "Outlook Anna") || strings.Contains(got, path[:20]) {
		t.Errorf("calendar --list: got\n%s", got)
	}
	s.ok("calendar", "--revoke", "Outlook Anna")
	s.exits(exitNotFound, "calendar", "--revoke", "Outlook Anna")
	if code, _ := late.get(base + "/calendario/" + path); code != 404 {
		t.Errorf("a revoked calendar: got %d, want 404", code)
	}
	key := strings.TrimSpace(s.ok("metrics", "--key", "prometheus"))
	if code, body := late.get(base+"/metrics", "Authorization", "Bearer "+key); code != 200 || !strings.Contains(body, "pec_ingest_") {
		t.Errorf("metrics: got %d %.200s", code, body)
	}
	if code, _ := late.get(base + "/metrics"); code != 401 {
		t.Errorf("metrics without a key: got %d, want 401", code)
	}

	// Behind the proxy.
	behind := newVisitor(t)
	behind.client.Transport = overUnix(proxySocket)
	if code, _ := behind.get("http://pec.studio.example/"); code != 403 {
		t.Errorf("the proxy names nobody: got %d, want 403", code)
	}
	if code, _ := behind.get("http://pec.studio.example/", "X-Remote-User", "carla"); code == 403 {
		t.Errorf("the proxy names carla: got %d", code)
	}

	// More people decide after a reload, without a restart.
	if code, _ := behind.get("http://pec.studio.example/da-decidere", "X-Remote-User", "dario"); code != 403 {
		t.Errorf("dario, who only looks: got %d, want 403", code)
	}
	s.edit(`deciders = ["carla"]`, `deciders = ["carla", "dario"]`)
	if err := r.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.within(patience, "dario decides", func() bool {
		code, _ := behind.get("http://pec.studio.example/da-decidere", "X-Remote-User", "dario")
		return code == 200
	})

	// Silent callers on the port take nothing from the commands' socket, nor
	// from monitoring.
	for range 1500 {
		conn, err := net.Dial("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	s.ok("status")
	if code, _ := late.get(base + "/healthz"); code != 200 {
		t.Errorf("/healthz among silent callers: got %d", code)
	}
	if rows := s.rows("audit", "--actor", "Anna Rossi", "--json"); len(rows) == 0 {
		t.Error("audit --actor finds nothing of a person of the page")
	}

	want := []string{"page:Anna Rossi(uid:" + strconv.Itoa(os.Getuid()) + ") page.entered looks, decides; link by " + actor(), "page page.refused once", actor() + " page.revoked every session and link, 1 in all"}
	got := s.auditOf("page")
	if strings.Join(got[:min(3, len(got))], "\n") != strings.Join(want, "\n") {
		t.Errorf("audit: got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	r.stop()
	for _, secret := range []string{link[strings.Index(link, "=")+1 : len(link)-1], path, key} {
		if strings.Contains(r.log.String(), secret) {
			t.Error("a token is in the log")
		}
		if b, err := os.ReadFile(s.vaultPath()); err != nil || strings.Contains(string(b), secret) {
			t.Errorf("a token is in the vault's file (%v)", err)
		}
	}
}
