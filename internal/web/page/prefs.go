package page

import (
	"net/http"
	"strings"
	"time"

	"pec-ingest/internal/schedule"
)

// What somebody chose on the page stands in cookies that hold one word each.
const (
	// LangCookie holds the language, "it" or "en".
	LangCookie  = "pec_lang"
	cookieTheme = "pec_theme"
	cookieKeys  = "pec_keys"
)

const rememberFor = 365 * 24 * time.Hour

func cookie(r *http.Request, name string, allowed ...string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	for _, a := range allowed {
		if c.Value == a {
			return a
		}
	}
	return ""
}

func themeOf(r *http.Request) string { return cookie(r, cookieTheme, "light", "dark") }
func keysOf(r *http.Request) bool    { return cookie(r, cookieKeys, "off") == "" }

func wordsFor(r *http.Request, who Person) words {
	lang := cookie(r, LangCookie, "it", "en")
	if lang == "" {
		lang = who.Lang
	}
	if lang != "en" {
		lang = "it"
	}
	return words{lang: lang}
}

func (p *Page) preferences(w http.ResponseWriter, r *http.Request, _ Person) error {
	for _, c := range []struct {
		field, name string
		allowed     []string
	}{{"lang", LangCookie, []string{"it", "en"}}, {"theme", cookieTheme, []string{"light", "dark", "auto"}}, {"keys", cookieKeys, []string{"on", "off"}}} {
		for _, a := range c.allowed {
			if r.PostForm.Get(c.field) == a {
				http.SetCookie(w, &http.Cookie{Name: c.name, Value: a, Path: "/", HttpOnly: true, Secure: p.o.SecureCookies,
					SameSite: http.SameSiteStrictMode, MaxAge: int(rememberFor / time.Second)})
			}
		}
	}
	http.Redirect(w, r, backTo(r.PostForm.Get("back")), http.StatusSeeOther)
	return nil
}

// backTo lets a form come back to a path of this page only.
func backTo(path string) string {
	odd := func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsFunc(path, odd) {
		return "/"
	}
	return path
}

func locationOf(p schedule.Policy) *time.Location {
	if p.Location != nil {
		return p.Location
	}
	loc, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		return time.UTC
	}
	return loc
}
