package notify_test

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"pec-ingest/internal/notify"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/servertest"
)

// XOAUTH2 through Postfix to Dovecot's own OAuth2 check, which asks a token
// server: neither end of the mechanism is this project's.
func TestSendXOAUTH2ToPostfix(t *testing.T) {
	servertest.Require(t, "postfix")
	const token = "ya29.a0-good_token"
	var asked atomic.Int32
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		if r.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusUnauthorized)
			_ = json.NewEncoder(w).Encode(map[string]any{"active": false})
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"active": true, "email": user})
	}))
	defer tokens.Close()

	// Not t.TempDir: Dovecot reads the file under an account of its own.
	dir, err := os.MkdirTemp("", "oauth2")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "oauth2.conf")
	if err := os.WriteFile(conf, []byte("introspection_mode = auth\nintrospection_url = "+tokens.URL+
		"/\nusername_attribute = email\nactive_attribute = active\nactive_value = true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	d := servertest.StartDovecot(t, servertest.DovecotOptions{
		Users: []servertest.User{{Name: "rossi@pec.it", Password: "x"}},
		Extra: "auth_mechanisms = plain login xoauth2\npassdb {\n  driver = oauth2\n  mechanisms = xoauth2\n  args = " + conf + "\n}\n",
	})
	p := servertest.StartPostfix(t, servertest.PostfixOptions{Dovecot: d})
	host, port, err := net.SplitHostPort(p.StartTLSAddr())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	c := notify.SMTPConfig{Host: host, Port: n, TLS: "starttls", Auth: "oauth2", Username: user,
		Password: secret.FromString(token), From: user, RootCAs: d.CA().Pool()}
	if _, err := notify.Send(t.Context(), c, letter, nil); err != nil {
		t.Fatalf("%v\n%s", err, p.Log())
	}
	if list := p.Await("rossi@pec.it", 1); len(list) != 1 {
		t.Errorf("got %d messages, want one", len(list))
	}
	if asked.Load() == 0 {
		t.Error("the token server was not asked")
	}

	c.Password = secret.FromString("ya29.expired_token")
	_, err = notify.Send(t.Context(), c, letter, nil)
	var e *notify.SendError
	if !errors.As(err, &e) || !e.Refused || e.Stage != notify.StageAuth || !strings.Contains(e.Hint, "ingest login") {
		t.Fatalf("got %v, want the token refused and a hint on ingest login", err)
	}
	checkSafe(t, err)
}
