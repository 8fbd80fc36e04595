package page_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"pec-ingest/internal/web/page"
)

// ask sends one request as who, or as nobody where that has no name.
func ask(h http.Handler, who page.Person, method, path string, form url.Values, cookies ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if len(cookies) > 0 {
		r.Header.Set("Cookie", strings.Join(cookies, "; "))
	}
	if who.Name != "" {
		r = r.WithContext(page.WithPerson(r.Context(), who))
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
