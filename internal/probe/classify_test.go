package probe_test

import (
	"strings"
	"testing"
	"unicode"

	"pec-ingest/internal/probe"
	"pec-ingest/internal/secret"
)

const exchange = "The Microsoft Exchange IMAP4 service is ready. [UABSADAA]"

// Answers as servers give them. Only a clear word on the credentials is a
// refusal; everything that is unclear keeps the password.
func TestClassify(t *testing.T) {
	for _, c := range []struct {
		name, greeting, answer string
		want                   probe.Outcome
	}{
		{"dovecot wrong", "", "t NO [AUTHENTICATIONFAILED] Authentication failed.", probe.Refused},
		{"dovecot password expired", "", "t NO [EXPIRED] Password expired", probe.Refused},
		{"dovecot disabled", "", "t NO [AUTHORIZATIONFAILED] User is disabled", probe.NotEnabled},
		{"dovecot nologin", "", "t NO [AUTHENTICATIONFAILED] Login disabled for this user", probe.NotEnabled},
		{"dovecot proxy down", "", "t NO [UNAVAILABLE] Account is temporarily unavailable.", probe.Unavailable},
		{"dovecot auth process", "", "t NO [UNAVAILABLE] Temporary authentication failure. [pec1:2026-11-22 06:00:00]", probe.Unavailable},
		{"dovecot auth process, old", "", "t NO Temporary authentication failure.", probe.Unavailable},
		{"dovecot internal", "", "t NO [UNAVAILABLE] Internal login failure. Refer to server log for more information.", probe.Unavailable},
		{"dovecot connections", "", "t NO [LIMIT] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)", probe.RateLimited},
		{"dovecot connections, old", "", "t NO [UNAVAILABLE] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=16)", probe.RateLimited},
		{"dovecot plaintext", "", "t NO [PRIVACYREQUIRED] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", probe.Unavailable},
		{"gmail wrong", "", "t NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)", probe.Refused},
		{"gmail alert wrong", "", "t NO [ALERT] Invalid credentials (Failure)", probe.Refused},
		{"gmail webmail password", "", "t NO [ALERT] Application-specific password required: https://support.google.com/accounts/answer/185833 (Failure)", probe.Refused},
		{"gmail imap off", "", "t NO [ALERT] Your account is not enabled for IMAP use. Please visit your Gmail settings page and enable your account for IMAP access. (Failure)", probe.NotEnabled},
		{"gmail browser", "", "* NO [WEBALERT https://accounts.google.com/signin/continue] Web login required.\nt NO [ALERT] Please log in via your web browser: https://support.google.com/mail/accounts/answer/78754 (Failure)", probe.NotEnabled},
		{"gmail browser, refusal after it", "", "* NO [WEBALERT https://accounts.google.com/signin/continue] Web login required.\nt NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)", probe.NotEnabled},
		{"gmail connections", "", "t NO [ALERT] Too many simultaneous connections. (Failure)", probe.RateLimited},
		{"gmail bandwidth", "", "t NO [ALERT] Account exceeded command or bandwidth limits. (Failure)", probe.RateLimited},
		{"gmail ill", "", "t NO [UNAVAILABLE] Temporary System Error (Failure)", probe.Unavailable},
		{"microsoft", exchange, "t NO LOGIN failed.", probe.NotEnabled},
		{"microsoft plain", exchange, "t NO AUTHENTICATE failed.", probe.NotEnabled},
		{"microsoft not connected", exchange, "t BAD User is authenticated but not connected.", probe.Unavailable},
		{"microsoft throttled", exchange, "* BYE Server Unavailable. 15", probe.Unavailable},
		{"yahoo wrong", "", "t NO [AUTHENTICATIONFAILED] LOGIN Invalid credentials", probe.Refused},
		{"yahoo limit", "", "t NO [LIMIT] LOGIN Rate limit hit.", probe.RateLimited},
		{"yahoo ill", "", "t NO [UNAVAILABLE] LOGIN Server error - Please try again later", probe.Unavailable},
		{"icloud wrong", "", "t NO [AUTHENTICATIONFAILED] Authentication Failed", probe.Refused},
		{"cyrus wrong", "", "t NO Login failed: authentication failure", probe.Refused},
		{"cyrus ill", "", "t NO Login failed: generic failure", probe.Unavailable},
		{"italian wrong", "", "t NO Credenziali non valide", probe.Refused},
		{"italian expired", "", "t NO Password scaduta", probe.Refused},
		{"italian blocked", "", "t NO [AUTHENTICATIONFAILED] Casella bloccata", probe.NotEnabled},
		{"italian imap off", "", "t NO Accesso IMAP non abilitato", probe.NotEnabled},
		{"italian later", "", "t NO [AUTHENTICATIONFAILED] Servizio momentaneamente sospeso, riprovare più tardi", probe.Unavailable},
		{"italian attempts", "", "t NO [AUTHENTICATIONFAILED] Troppi tentativi falliti", probe.RateLimited},
		{"locked and wrong", "", "t NO [AUTHENTICATIONFAILED] Authentication failed: account locked", probe.NotEnabled},
		{"wrong or off", "", "t NO Invalid credentials or IMAP is disabled", probe.NotEnabled},
		{"wrong, try again", "", "t NO [AUTHENTICATIONFAILED] Authentication failed. Please try again", probe.Refused},
		{"warning of another kind", "", "* NO [ALERT] Scheduled maintenance tonight\nt NO [AUTHENTICATIONFAILED] Authentication failed.", probe.Unavailable},
		{"code alone", "", "t NO [AUTHENTICATIONFAILED]", probe.Refused},
		{"small letters", "", "t no [authenticationfailed] nope", probe.Refused},
		{"bare login failed", "", "t NO Login failed.", probe.Unavailable},
		{"bare no", "", "t NO", probe.Unavailable},
		{"unknown code", "", "t NO [X-FOO] bar", probe.Unavailable},
		{"code in the text", "", "t NO something [AUTHENTICATIONFAILED]", probe.Unavailable},
		{"code not closed", "", "t NO [AUTHENTICATIONFAILED", probe.Unavailable},
		{"warning refuses, answer doesn't", "", "* NO Invalid credentials\nt NO Something else", probe.Unavailable},
		{"bad", "", "t BAD [AUTHENTICATIONFAILED] Authentication failed.", probe.Unavailable},
		{"bye", "", "* BYE [AUTHENTICATIONFAILED] Authentication failed.", probe.Unavailable},
		{"bye limit", "", "* BYE Too many connections from your address", probe.RateLimited},
		{"nonsense", "", "HTTP/1.1 401 Unauthorized: invalid credentials", probe.Unavailable},
		{"smtp", "", "535 5.7.8 Authentication failed", probe.Unavailable},
		{"empty", "", "", probe.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := probe.Classify(c.answer, c.greeting); got != c.want {
				t.Errorf("%q: got %s, want %s", c.answer, got, c.want)
			}
		})
	}
}

func TestTrouble(t *testing.T) {
	for o, want := range map[probe.Outcome]bool{
		probe.Accepted: false, probe.Refused: false, probe.NotEnabled: false,
		probe.Unavailable: true, probe.RateLimited: true, probe.Network: true, probe.TLS: true,
	} {
		if got := o.Trouble(); got != want {
			t.Errorf("%s: got %v, want %v", o, got, want)
		}
	}
}

// A refusal destroys a password, so the classifier may give one only for a NO,
// whatever else stands there; an acceptance is none of its business.
func FuzzClassify(f *testing.F) {
	f.Add("t NO [AUTHENTICATIONFAILED] Authentication failed.", "")
	f.Add("* NO [ALERT] x\nt NO [EXPIRED] y", exchange)
	f.Add("t BAD [LIMIT", "")
	f.Fuzz(func(t *testing.T, text, greeting string) {
		got := probe.Classify(text, greeting)
		switch got {
		case probe.NotEnabled, probe.Unavailable, probe.RateLimited:
		case probe.Refused:
			last := text[strings.LastIndexByte(text, '\n')+1:]
			fields := strings.SplitN(last, " ", 3)
			if len(fields) < 2 || !strings.EqualFold(fields[1], "NO") {
				t.Fatalf("%q is taken for a refusal", text)
			}
			// Whoever names a passing reason as well has not refused.
			if also := probe.Classify(text+" temporarily unavailable", greeting); also == probe.Refused {
				t.Fatalf("%q with a passing reason is still a refusal", text)
			}
		default:
			t.Fatalf("%q gives %q", text, got)
		}
	})
}

// What is shown of a server's words never holds the password, the login or an
// address, and is one safe line.
func TestClean(t *testing.T) {
	const login, password = "rossi@pec.it", `hunter2"\€`
	for _, c := range []struct{ name, words, want string }{
		{"plain", "NO [AUTHENTICATIONFAILED] Authentication failed.", "NO [AUTHENTICATIONFAILED] Authentication failed."},
		{"address", "user ROSSI@pec.it unknown, ask <admin@pec.it>", "user [address] unknown, ask <[address]>"},
		{"password", "bad command: LOGIN x hunter2\"\\€", ""},
		{"password, other case", "BAD HUNTER2\"\\€", ""},
		{"password quoted", `BAD LOGIN "x" "hunter2\"\\€"`, ""},
		{"sasl", "BAD AHJvc3NpQHBlYy5pdABodW50ZXIyIlzigqw=", ""},
		{"terminal", "NO \x1b[31mred\x1b[0m\u202e", "NO [31mred[0m"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := probe.Clean(login, secret.FromString(password), c.words)
			if c.want == "" {
				if strings.Contains(strings.ToLower(got), "hunter") || strings.Contains(got, "AHJv") {
					t.Errorf("got %q: it holds the password", got)
				}
				return
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if got := probe.Clean("M1234567", secret.FromString("x-y-z"), "unknown m1234567"); got != "unknown [login]" {
		t.Errorf("user id: got %q", got)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("rossi@pec.it", "hunter2", "NO hunter2 rossi@pec.it")
	f.Add("[", "p", "[ ] […]")
	f.Add("İ\xff", "x y", "x  y İ")
	f.Fuzz(func(t *testing.T, login, password, words string) {
		if login == "" || password == "" {
			return
		}
		got := probe.Clean(login, secret.FromString(password), words)
		for _, r := range got {
			if unicode.IsControl(r) {
				t.Fatalf("%U in %q", r, got)
			}
		}
		// Our own words ("[login]") may hold a short password by chance.
		if len(password) > 8 && strings.Contains(words, password) && strings.Contains(got, password) && !strings.Contains("[the answer repeats the login and is not shown] [address] [login]", password) {
			t.Fatalf("%q shows the password %q", got, password)
		}
	})
}
