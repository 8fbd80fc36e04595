package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pec-ingest/internal/servertest"
)

// nginxOf runs nginx with the configuration of docs/page.md as it stands there,
// but for files and port, and returns a browser that reaches it as
// pec.studio.example.
func nginxOf(t *testing.T, socket string) *visitor {
	t.Helper()
	program, openssl := servertest.Require(t, "nginx"), servertest.Require(t, "openssl")
	doc, err := os.ReadFile("../../docs/page.md")
	if err != nil {
		t.Fatal(err)
	}
	server := between(string(doc), "\nnginx, complete:\n", "\n`curl ")
	dir, err := os.MkdirTemp("", "nginx") // where its workers, another account, may read
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=pec.studio.example",
		"-addext", "subjectAltName=DNS:pec.studio.example", "-keyout", filepath.Join(dir, "pec.key"), "-out", filepath.Join(dir, "pec.crt")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	hash, err := exec.Command(openssl, "passwd", "-apr1", "segreta").Output()
	if err != nil {
		t.Fatal(err)
	}
	write("pec.htpasswd", "anna:"+string(hash)+"bruno:"+string(hash))
	listen := freePort(t)
	for _, change := range [][2]string{{"/etc/ssl/pec.crt", dir + "/pec.crt"}, {"/etc/ssl/pec.key", dir + "/pec.key"}, {"/etc/nginx/pec.htpasswd", dir + "/pec.htpasswd"},
		{"listen 443 ssl", "listen " + listen + " ssl"}, {"/run/pec-ingest/page.sock", socket}} {
		if !strings.Contains(server, change[0]) {
			t.Fatalf("docs/page.md: the configuration for nginx has no %q", change[0])
		}
		server = strings.ReplaceAll(server, change[0], change[1])
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user www-data;"
	}
	write("nginx.conf", fmt.Sprintf("daemon off; %s pid %s/pid; error_log stderr; events {}\nhttp { access_log off; %s\n%s}\n", user, dir, folders(dir), server))
	cmd := exec.Command(program, "-c", filepath.Join(dir, "nginx.conf"), "-p", dir)
	log := &lockedBuffer{}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("nginx:\n%s", log)
		}
	})
	pem, err := os.ReadFile(filepath.Join(dir, "pec.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	v := newVisitor(t)
	var d net.Dialer
	v.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "tcp", listen) }}
	return v
}

// folders keeps what nginx writes in one folder, whoever runs it.
func folders(dir string) string {
	var b strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&b, "%s_temp_path %s/%s; ", kind, dir, kind)
	}
	return b.String()
}

// TestProxy: behind a real nginx, configured as the documentation says.
func TestProxy(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	dir, err := os.MkdirTemp("", "page")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	account := "www-data"
	if os.Getuid() != 0 {
		account = strconv.Itoa(os.Getuid())
	}
	socket := filepath.Join(dir, "page.sock")
	s.edit("listen = \"\"\n", fmt.Sprintf("listen = \"\"\npage_socket = %q\npage_url = \"https://pec.studio.example\"\nproxy_uid = %q\ndeciders = [\"anna\"]\n", socket, account))
	s.start()
	v := nginxOf(t, socket)
	const site = "https://pec.studio.example"
	s.within(patience, "nginx answers", func() bool {
		res, err := v.client.Get(site + "/")
		if err == nil {
			res.Body.Close()
		}
		return err == nil
	})
	auth := func(name string) string {
		r := &http.Request{Header: http.Header{}}
		r.SetBasicAuth(name, "segreta")
		return r.Header.Get("Authorization")
	}
	for _, tc := range []struct {
		name, path string
		headers    []string
		code       int
		says       string
	}{
		{"nobody", "/", nil, 401, ""},
		{"nobody, but says so", "/", []string{"X-Remote-User", "anna"}, 401, ""},
		{"anna", "/", []string{"Authorization", auth("anna")}, 200, "anna"},
		{"anna decides", "/da-decidere", []string{"Authorization", auth("anna")}, 200, "anna"},
		{"bruno looks", "/", []string{"Authorization", auth("bruno")}, 200, "bruno"},
		{"bruno does not decide", "/da-decidere", []string{"Authorization", auth("bruno")}, 403, "bruno"},
		{"bruno says that he is anna", "/da-decidere", []string{"Authorization", auth("bruno"), "X-Remote-User", "anna"}, 403, "bruno"},
		{"with an underscore", "/da-decidere", []string{"Authorization", auth("bruno"), "X_Remote_User", "anna"}, 403, "bruno"},
		{"no calendar without a key", "/calendario/x.ics", nil, 404, ""},
	} {
		code, body := v.get(site+tc.path, tc.headers...)
		if code != tc.code || !strings.Contains(body, tc.says) {
			t.Errorf("%s: got %d, want %d and %q in it\n%.500s", tc.name, code, tc.code, tc.says, body)
		}
	}
	if code, body := v.get(strings.TrimSpace(s.ok("calendar", "--link", "Outlook"))); code != 200 || !strings.HasPrefix(body, "BEGIN:VCALENDAR") {
		t.Errorf("the calendar: got %d %.100s", code, body)
	}
	// No link leads here; the hint says where the page is.
	if got := s.exits(exitFailed, "page"); !strings.Contains(got.stderr, site) {
		t.Errorf("page without web.listen: got %s", got)
	}
	// Another account of this machine is not heard, even with the right words.
	if account == "www-data" {
		other := newVisitor(t)
		other.client.Transport = overUnix(socket)
		req, _ := http.NewRequest("GET", (&url.URL{Scheme: "http", Host: "pec.studio.example", Path: "/"}).String(), nil)
		req.Header.Set("X-Remote-User", "anna")
		if res, err := other.client.Do(req); err == nil {
			res.Body.Close()
			t.Errorf("root, who is not the proxy, got an answer: %s", res.Status)
		}
	}
}
