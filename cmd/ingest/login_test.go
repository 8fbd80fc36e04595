package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pec-ingest/internal/servertest"
)

// tokenServer is an OAuth 2.0 server with device authorization (RFC 8628)
// that rotates its refresh tokens, and answers Dovecot's questions about
// access tokens.
type tokenServer struct {
	url string

	mu      sync.Mutex
	n       int                         // tokens made so far
	access  map[string]string           // access token → whose it is
	refresh string                      // the one that is valid
	user    string                      // who signs in
	polls   int                         // of the device: the first is answered with "pending"
	fault   func(w http.ResponseWriter) // answers renewals instead
	renewed int
}

func startTokenServer(t *testing.T) *tokenServer {
	s := &tokenServer{access: map[string]string{}, user: studioPEC}
	mux := http.NewServeMux()
	mux.HandleFunc("/device", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.polls = 0
		answer(w, http.StatusOK, map[string]any{"device_code": "the-device", "user_code": "WXYZ-1234",
			"verification_uri": "https://login.example/device", "expires_in": 300, "interval": 1})
	})
	mux.HandleFunc("/token", s.token)
	mux.HandleFunc("/introspect", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		user, ok := s.access[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
		if !ok {
			answer(w, http.StatusUnauthorized, map[string]any{"active": false})
			return
		}
		answer(w, http.StatusOK, map[string]any{"active": true, "email": user})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

func (s *tokenServer) token(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	refuse := func(why string) { answer(w, http.StatusBadRequest, map[string]any{"error": why}) }
	switch r.FormValue("grant_type") {
	case "urn:ietf:params:oauth:grant-type:device_code":
		if s.polls++; s.polls == 1 {
			refuse("authorization_pending")
			return
		}
	case "refresh_token":
		if s.fault != nil {
			s.fault(w)
			return
		}
		if r.FormValue("refresh_token") != s.refresh {
			refuse("invalid_grant")
			return
		}
		s.renewed++
	default:
		refuse("unsupported_grant_type")
		return
	}
	s.n++
	access, refresh := fmt.Sprintf("access-T0ken-%d", s.n), fmt.Sprintf("refresh-T0ken-%d", s.n)
	s.access[access] = s.user
	if s.user == studioPEC {
		s.refresh = refresh
	}
	// Less than what is renewed ahead of time: each use renews it.
	answer(w, http.StatusOK, map[string]any{"access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": 300})
}

func (s *tokenServer) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *tokenServer) renewals() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renewed
}

// TestLogin signs in to the studio's inbox and to the server that sends, both
// of which ask a token server (Dovecot's own OAuth2 check, also for Postfix).
func TestLogin(t *testing.T) {
	servertest.Require(t, "postfix")
	t.Parallel()
	tokens := startTokenServer(t)
	// Not t.TempDir: Dovecot reads the file under an account of its own.
	dir, err := os.MkdirTemp("", "oauth2")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "oauth2.conf")
	if err := os.WriteFile(conf, []byte("introspection_mode = auth\nintrospection_url = "+tokens.url+
		"/introspect\nusername_attribute = email\nactive_attribute = active\nactive_value = true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := newStudio(t, studioOptions{
		extra: "auth_mechanisms = plain login xoauth2\npassdb {\n  driver = oauth2\n  mechanisms = xoauth2\n  args = " + conf + "\n}\n"})
	s.edit("password_file = \"inbox-password\"", "auth = \"oauth2\"\naccount = \"prova\"")
	post := servertest.StartPostfix(t, servertest.PostfixOptions{Dovecot: s.imap})
	host, port, err := net.SplitHostPort(post.StartTLSAddr())
	if err != nil {
		t.Fatal(err)
	}
	heard := filepath.Join(t.TempDir(), "alerts")
	b, err := os.ReadFile(s.configPath())
	if err != nil {
		t.Fatal(err)
	}
	s.write("config.toml", string(b)+fmt.Sprintf(`[smtp]
host = %q
port = %s
tls = "starttls"
username = %[3]q
from = %[3]q
auth = "oauth2"
account = "prova"
tls_ca_file = "tls.pem"
[alert]
command = ["/bin/sh", "-c", "cat >> %[4]s"]
[[oauth]]
id = "prova"
client_id = "pec-ingest"
device_url = "%[5]s/device"
token_url = "%[5]s/token"
`, host, port, studioPEC, heard, tokens.url), 0o644)

	if r := s.run("once"); r.code != exitFailed || !strings.Contains(r.stderr, "ingest login prova") {
		t.Fatalf("before anybody signed in: got %v, want exit 1 and a hint on ingest login", r)
	}
	if r := s.run("login", "nessuno"); r.code != exitNotFound {
		t.Errorf("an unknown account: got %v, want exit 3", r)
	}
	out := s.ok("login", "prova")
	if !strings.Contains(out, "https://login.example/device") || !strings.Contains(out, "WXYZ-1234") {
		t.Errorf("got %q, want the address and the code", out)
	}
	noSecrets := func(what, text string) {
		t.Helper()
		if strings.Contains(text, "T0ken-") {
			t.Errorf("%s shows a token:\n%s", what, text)
		}
	}
	noSecrets("login", out)

	s.deliver(s.submission(rossi, 2, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	if got := post.Await(rossi, 1); len(got) != 1 {
		t.Fatalf("got %d answers, want one\n%s", len(got), post.Log())
	}
	before := tokens.renewals()
	s.once(sum{})
	if n := tokens.renewals(); n <= before || before == 0 {
		t.Errorf("got %d, then %d renewals: a token is renewed ahead of its end", before, n)
	}

	t.Log("the token server is out of order: the token in hand serves on")
	for name, fault := range map[string]func(http.ResponseWriter){
		"500":     func(w http.ResponseWriter) { http.Error(w, "T0ken-trouble", http.StatusInternalServerError) },
		"html":    func(w http.ResponseWriter) { fmt.Fprint(w, "<html>T0ken-portal</html>") },
		"nothing": func(w http.ResponseWriter) { answer(w, http.StatusOK, map[string]any{}) },
	} {
		tokens.set(func() { tokens.fault = fault })
		r := s.exits(exitOK, "once")
		noSecrets(name, r.stdout+r.stderr)
	}
	tokens.set(func() { tokens.fault = nil })
	s.once(sum{})

	t.Log("somebody signs in as another user")
	tokens.set(func() { tokens.user = rossi })
	if r := s.run("login", "prova"); r.code != exitFailed || !strings.Contains(r.stderr, studioPEC) {
		t.Errorf("got %v, want exit 1 and whose sign-in is needed", r)
	}
	tokens.set(func() { tokens.user = studioPEC })
	s.once(sum{})

	t.Log("the sign-in is withdrawn")
	tokens.set(func() {
		tokens.fault = func(w http.ResponseWriter) {
			answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
		}
	})
	s.once(sum{}) // the access token lives for some minutes
	alerts, err := os.ReadFile(heard)
	if err != nil || strings.Count(string(alerts), "oauth.lost") != 1 || !strings.Contains(string(alerts), "ingest login prova") {
		t.Errorf("alert: got %s (%v), want one oauth.lost that names ingest login prova", alerts, err)
	}
	tokens.set(func() { clear(tokens.access) }) // and now it does not
	r := s.exits(exitFailed, "once")
	if !strings.Contains(r.stderr, "ingest login prova") {
		t.Errorf("got %v, want the next step", r)
	}
	tokens.set(func() { tokens.fault = nil })
	s.ok("login", "prova")
	s.deliver(s.submission(bianchi, 1, passwords[bianchi]))
	s.once(sum{Seen: 1, Accepted: 1})
	if got := post.Await(bianchi, 1); len(got) != 1 {
		t.Errorf("got %d answers after signing in again, want one", len(got))
	}

	t.Log("the sign-in is lost while the service runs, and made anew through its socket")
	tokens.set(func() {
		clear(tokens.access)
		tokens.refresh = "withdrawn"
	})
	running := s.start()
	s.deliver(s.submission(verdi, 1, passwords[verdi]))
	s.within(patience, "the service asks for the sign-in", func() bool {
		return strings.Contains(running.log.String(), "ingest login prova")
	})
	if out := s.ok("login", "prova"); !strings.Contains(out, "prova: signed in") {
		t.Errorf("login through the socket: got %q", out)
	}
	s.within(patience, "the service takes what waits", s.has(verdi, "valid", 1.0))
	if got := post.Await(verdi, 1); len(got) != 1 {
		t.Errorf("got %d answers from the service, want one", len(got))
	}
	running.stop()
	noSecrets("the service's log", running.log.String())

	s.ok("audit", "--verify")
	vaultFile, err := os.ReadFile(s.vaultPath())
	if err != nil {
		t.Fatal(err)
	}
	noSecrets("the vault's file", string(vaultFile))
}
