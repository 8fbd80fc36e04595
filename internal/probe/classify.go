package probe

import "strings"

// sentences say for people what an answer to a login means.
var sentences = map[Outcome]string{
	Refused:     "the server refused the login",
	NotEnabled:  "the account does not let mail programs in",
	Unavailable: "the server gave no clear answer to the login",
	RateLimited: "the server limits connections or logins",
}

// Words that servers use, small letters. They were collected from Dovecot,
// Cyrus, Gmail, Microsoft, Yahoo and Italian providers. The order in which
// the groups are asked is in classify; each word speaks of the account, the
// server or the credentials and of nothing else.
var (
	wordsLimit = []string{
		"too many", "rate limit", "maximum number", "simultaneous", "bandwidth", "throttl",
		"troppi ", "troppe ", "numero massimo",
	}
	wordsTemporary = []string{
		"temporar", "try again later", "try later", "unavailable", "internal error", "internal failure",
		"internal login failure", "internal server", "server error", "system error", "timeout", "timed out",
		"maintenance", "back-end", "backend", "generic failure",
		"temporane", "più tardi", "piu' tardi", "piu tardi", "momentane", "manutenzione", "non disponibile",
		"errore interno", "errore di sistema",
	}
	wordsClosed = []string{
		"disabled", "not enabled", "not active", "inactive", "not allowed", "not permitted", "blocked", "locked",
		"suspend", "web login", "web browser", "not supported", "basic auth", "oauth",
		"disabilitat", "non abilitat", "disattivat", "non attiv", "bloccat", "sospes", "non consentit",
	}
	wordsCredentials = []string{
		"invalid credentials", "invalid user name or password", "invalid username or password",
		"invalid login or password", "invalid user or password", "invalid password", "invalid login credentials",
		"bad username or password", "bad user name or password", "bad password", "wrong password",
		"wrong username or password", "incorrect password", "incorrect username or password", "login incorrect",
		"password mismatch", "authentication failed", "authentication failure", "user not found", "unknown user",
		"password expired", "password has expired", "application-specific password required",
		"password errat", "password non valid", "password non corrett", "password scadut",
		"credenziali errat", "credenziali non valid", "autenticazione fallita", "utente o password",
	}
)

// classify says what a server's answer to a login means. OK is not its
// business: it never returns Accepted.
//
// Refused needs a tagged NO with either a response code that speaks of the
// credentials (RFC 5530 §3: AUTHENTICATIONFAILED, EXPIRED) or plain words
// that do, and nothing in the answer, untagged warnings included, that names
// another reason. Whatever is left is Unavailable: a good password that is
// taken for a wrong one is lost, a wrong one that is tried again tomorrow
// isn't. A bare "Login failed." is such a case: Zimbra and others say it also
// when the account is locked or the server is ill.
func classify(a answer, greeting string) Outcome {
	said := strings.ToLower(a.text)
	codes := []string{a.code}
	for _, w := range a.warnings {
		said += "\n" + strings.ToLower(w.text)
		codes = append(codes, w.code)
	}
	if holds(said, wordsLimit) || oneOf(codes, "LIMIT") {
		return RateLimited
	}
	// RFC 5530 §3; PRIVACYREQUIRED can't be meant, since TLS is on.
	if oneOf(codes, "UNAVAILABLE", "INUSE", "SERVERBUG", "CORRUPTION", "CANNOT", "OVERQUOTA", "PRIVACYREQUIRED") {
		return Unavailable
	}
	if holds(said, wordsTemporary) {
		return Unavailable
	}
	if a.status != "NO" {
		return Unavailable // BYE, BAD or nonsense
	}
	if oneOf(codes, "AUTHORIZATIONFAILED", "NOPERM", "CONTACTADMIN", "WEBALERT") || holds(said, wordsClosed) {
		return NotEnabled
	}
	if a.code == "AUTHENTICATIONFAILED" || a.code == "EXPIRED" || holds(strings.ToLower(a.text), wordsCredentials) {
		return Refused
	}
	// Exchange says nothing but "LOGIN failed." and "AUTHENTICATE failed.",
	// for a wrong password and for password logins that are switched off, as
	// they are at Microsoft's own service: a person must look.
	if strings.Contains(strings.ToLower(greeting), "microsoft exchange") {
		return NotEnabled
	}
	return Unavailable
}

func holds(text string, words []string) bool {
	for _, w := range words {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

func oneOf(codes []string, want ...string) bool {
	for _, c := range codes {
		for _, w := range want {
			if c == w {
				return true
			}
		}
	}
	return false
}
