package inbox_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/secret"
)

// A server that repeats the password long after the login, when its caller has
// wiped it, still finds it kept out of errors.
func TestRepeatsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := secret.FromString(password)
		f := &fake{script: func(cmd string) (string, bool) {
			return "TAG NO last login was LOGIN x " + password + "; go away\r\n", strings.HasPrefix(cmd, "EXAMINE")
		}}
		s, err := talk(t, f, func(c *inbox.Config) { c.Password = p })
		if err != nil {
			t.Fatal(err)
		}
		p.Wipe()
		_, err = s.Examine(t.Context())
		if err == nil || strings.Contains(err.Error(), password) || !strings.Contains(err.Error(), "withheld") {
			t.Errorf("got %v, want the words withheld", err)
		}
	})
}
