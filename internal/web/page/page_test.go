package page_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"pec-ingest/internal/web/page"
)

var anna = page.Person{Name: "anna", CanDecide: true, CanReveal: true}

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

func TestNobodySeesNothing(t *testing.T) {
	h := page.New(page.Options{Source: &fake{boxes: boxes(3)}})
	for _, path := range []string{"/", "/stato", "/nulla", "/da-decidere/1"} {
		for _, method := range []string{"GET", "POST", "PUT"} {
			w := ask(h, page.Person{}, method, path, nil)
			if w.Code != http.StatusForbidden || w.Body.Len() > 0 {
				t.Errorf("%s %s: got %d with %d bytes, want 403 without content", method, path, w.Code, w.Body.Len())
			}
		}
	}
}

func TestMailboxes(t *testing.T) {
	h := page.New(page.Options{Source: &fake{boxes: boxes(12)}})
	w := ask(h, anna, "GET", "/", nil)
	if body := w.Body.String(); w.Code != 200 || !strings.Contains(body, "cliente0003@pec.example") || strings.Contains(body, "⟦") {
		t.Errorf("got %d %s", w.Code, body)
	}
}
