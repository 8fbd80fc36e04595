package page_test

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"pec-ingest/internal/web/page"
)

var (
	anna  = page.Person{Name: "Anna Rossi", Actor: "page:Anna Rossi(uid:0)", CanDecide: true, CanReveal: true}
	carla = page.Person{Name: "carla", CanDecide: true}
	luca  = page.Person{Name: "luca"} // looks only
)

// routes are all views that a GET gives, with what must stand in them.
var routes = map[string][]string{
	"/":                                {"cliente0003@pec.example", "rifiutata", "Restano"},
	"/caselle/cliente0001@pec.example": {"Anna Verdi 1", "Fatture in Cloud", "sostituita dalla versione 2", "inserita: telefono"},
	"/scadenze":                        {"Nei prossimi 90 giorni", "<svg", "giornata pesante"},
	"/stato":                           {"studio@pec.example", "22f841c8", "v1.0.0", "3,4 MB"},
	"/aiuto":                           {"Legenda", "da rinnovare", "non mostra mai una password"},
	"/da-decidere":                     {"Password non chiara", "respinta: data sbagliata", "carla", "10:23:45"},
	"/da-decidere/1":                   {"[1: ••••••••]", "8 caratteri", "Prova e approva", "foto.jpg"},
	"/da-decidere/6":                   {"Già deciso da carla, 20 nov 2026, 10:23:45"},
	"/messaggi":                        {"Avviso di scadenza", "consegnato", "invio incerto"},
	"/messaggi/5":                      {"Password ricevuta: funziona", "/messaggi/5/ricevuta.eml", "Ricevuta di avvenuta consegna"},
	"/registro":                        {"lettera vista in chiaro", "Anna Rossi", "Più vecchi"},
	"/inserisci":                       {"Password per programmi di posta", "datalist"},
}

var readerRoutes = []string{"/", "/caselle/cliente0001@pec.example", "/scadenze", "/stato", "/aiuto"}

func newPage(f *fake) http.Handler {
	return page.New(page.Options{Source: f, Version: "v1.0.0", Studio: "Studio Rossi", LogoutPath: "/esci"})
}

func TestViews(t *testing.T) {
	f := newFake(61)
	f.entries[1].Actor = anna.Actor
	h := newPage(f)
	for path, want := range routes {
		w := ask(h, anna, "GET", path, nil)
		body := w.Body.String()
		if w.Code != 200 {
			t.Errorf("%s: got %d", path, w.Code)
		}
		for _, s := range want {
			if !strings.Contains(html.UnescapeString(body), s) {
				t.Errorf("%s: %q is missing", path, s)
			}
		}
		english := ask(h, anna, "GET", path, nil, "pec_lang=en").Body.String()
		if !strings.Contains(body, `<html lang="it"`) || !strings.Contains(english, `<html lang="en"`) {
			t.Errorf("%s: the language is not said", path)
		}
		for lang, b := range map[string]string{"it": body, "en": english} {
			if i := strings.Index(b, "⟦"); i >= 0 {
				t.Errorf("%s in %s: a key without words: %s", path, lang, b[i:min(len(b), i+60)])
			}
			if strings.Contains(b, "%!") {
				t.Errorf("%s in %s: a text with the wrong values", path, lang)
			}
		}
		checkHTML(t, path, body)
		h := w.Header()
		if got := h.Get("Content-Security-Policy"); got != page.ContentPolicy || strings.Contains(got, "unsafe") {
			t.Errorf("%s: got policy %q", path, got)
		}
		for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin", "Content-Type": "text/html; charset=utf-8"} {
			if h.Get(name) != want {
				t.Errorf("%s: %s: got %q, want %q", path, name, h.Get(name), want)
			}
		}
	}
}

// checkHTML looks at the markup of a view: nothing inline, one h1, headings in
// order, a label for each field, each id once, all that is pointed to there.
func checkHTML(t *testing.T, path, body string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	ids, labels, refs := map[string]int{}, map[string]bool{}, map[string]bool{}
	var fields []string
	h1, level := 0, 1
	var walk func(*html.Node, bool)
	walk = func(n *html.Node, labelled bool) {
		if n.Type == html.ElementNode {
			at := map[string]string{}
			for _, a := range n.Attr {
				at[a.Key] = a.Val
				if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
					t.Errorf("%s: <%s %s>: nothing inline may be there", path, n.Data, a.Key)
				}
			}
			if id, ok := at["id"]; ok {
				ids[id]++
			}
			for _, key := range []string{"aria-labelledby", "aria-describedby", "list"} {
				for _, id := range strings.Fields(at[key]) {
					refs[id] = true
				}
			}
			switch n.Data {
			case "script":
				if at["src"] == "" || n.FirstChild != nil {
					t.Errorf("%s: an inline script", path)
				}
			case "style":
				t.Errorf("%s: an inline style", path)
			case "label":
				labels[at["for"]] = true
				labelled = true
			case "input", "select", "textarea":
				if at["type"] != "hidden" && !labelled {
					fields = append(fields, at["id"])
				}
			case "img":
				if at["alt"] == "" {
					t.Errorf("%s: a picture without words", path)
				}
			case "a":
				if href := at["href"]; strings.HasPrefix(href, "#") {
					refs[href[1:]] = true
				} else if !strings.HasPrefix(href, "/") || strings.HasPrefix(href, "//") {
					t.Errorf("%s: a link to %q leaves the page", path, href)
				}
			case "form":
				if !strings.HasPrefix(at["action"], "/") {
					t.Errorf("%s: a form to %q", path, at["action"])
				}
			case "h1":
				h1++
			case "h2", "h3", "h4":
				if l := int(n.Data[1] - '0'); l > level+1 {
					t.Errorf("%s: h%d after h%d", path, l, level)
				} else {
					level = l
				}
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c, labelled)
		}
	}
	walk(doc, false)
	if h1 != 1 {
		t.Errorf("%s: %d h1, want 1", path, h1)
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("%s: the id %q stands %d times", path, id, n)
		}
	}
	for id := range refs {
		if ids[id] == 0 {
			t.Errorf("%s: nothing has the id %q", path, id)
		}
	}
	for _, id := range fields {
		if id == "" || !labels[id] {
			t.Errorf("%s: the field %q has no label", path, id)
		}
	}
}

func TestRights(t *testing.T) {
	f := newFake(8)
	h := newPage(f)
	for path := range routes {
		if w := ask(h, page.Person{}, "GET", path, nil); w.Code != 403 || w.Body.Len() > 0 {
			t.Errorf("nobody, %s: got %d with %d bytes, want 403 without content", path, w.Code, w.Body.Len())
		}
		want := 403
		if slices.Contains(readerRoutes, path) {
			want = 200
		}
		w := ask(h, luca, "GET", path, nil)
		if w.Code != want {
			t.Errorf("a reader, %s: got %d, want %d", path, w.Code, want)
		}
		for _, secret := range []string{"051 123456", "info@cliente", "Fatture in Cloud", "Password non chiara", "credential.accepted", "Avviso di scadenza", "action=\"/da-decidere", "href=\"/inserisci"} {
			if strings.Contains(w.Body.String(), secret) {
				t.Errorf("a reader sees %q in %s", secret, path)
			}
		}
	}
	posts := []string{"/caselle/cliente0001@pec.example/posti", "/da-decidere/1/approva", "/da-decidere/1/respingi", "/da-decidere/1/mostra", "/messaggi/4/ritenta",
		"/messaggi/4/annulla", "/registro/verifica", "/stato/controlla", "/inserisci"}
	form := url.Values{"candidato": {"1"}, "password": {"x"}, "casella": {"cliente0001@pec.example"}, "da": {"x"}, "posto": {"x"}}
	for _, path := range posts {
		for _, who := range []page.Person{{}, luca} {
			if w := ask(h, who, "POST", path, form); w.Code != 403 {
				t.Errorf("%q, POST %s: got %d, want 403", who.Name, path, w.Code)
			}
		}
		if w := ask(h, anna, "PUT", path, nil); w.Code != 405 && w.Code != 404 {
			t.Errorf("PUT %s: got %d, want 405", path, w.Code)
		}
	}
	for _, path := range []string{"/da-decidere/1/mostra", "/da-decidere/1/file/1"} {
		method := "POST"
		if strings.Contains(path, "file") {
			method = "GET"
		}
		if w := ask(h, carla, method, path, nil); w.Code != 403 {
			t.Errorf("%s without the right to reveal: got %d, want 403", path, w.Code)
		}
	}
	if len(f.did) > 0 {
		t.Errorf("what was not allowed was done: %q", f.did)
	}
}

func TestMethodsAndPaths(t *testing.T) {
	h := newPage(newFake(8))
	for path, want := range map[string]int{
		"/nulla": 404, "/caselle/": 404, "/caselle/nessuno@pec.example": 404, "/caselle/..%2f..%2fetc": 404, "/caselle/%00": 404,
		"/da-decidere/99": 404, "/da-decidere/0": 404, "/da-decidere/01": 404, "/da-decidere/-1": 404, "/da-decidere/1e3": 404, "/da-decidere/99999999999999999999": 404,
		"/da-decidere/1/file/9": 404, "/da-decidere/1/file/x": 404, "/da-decidere/1/approva": 405, "/messaggi/99": 404, "/messaggi/4/ricevuta.eml": 404,
		"/assets/../page.go": 404, "/assets/style.css": 404, "/assets/%2e%2e%2fpage.go": 404, "/inserisci/": 404, "//evil.example/": 404, "/registro/verifica": 405,
		"/?pagina=9999999999999999999999": 200, "/?pagina=-1&stato=nulla&ordina=password&verso=x": 200, "/registro?prima=-4&dal=31/02/2026&evento=%27": 200,
		"/messaggi?pagina=77&quali=x": 200, "/?esito=%3Cscript%3E": 200,
	} {
		w := ask(h, anna, "GET", path, nil)
		for range 3 { // a tidied path is answered by a redirection
			if w.Code != http.StatusMovedPermanently && w.Code != http.StatusTemporaryRedirect {
				break
			}
			to := w.Header().Get("Location")
			if strings.HasPrefix(to, "//") || strings.Contains(to, "evil") && !strings.HasPrefix(to, "/evil") {
				t.Errorf("%s leads to %s", path, to)
			}
			w = ask(h, anna, "GET", to, nil)
		}
		if w.Code != want {
			t.Errorf("GET %s: got %d, want %d", path, w.Code, want)
		}
		if strings.Contains(w.Body.String(), "package page") {
			t.Errorf("GET %s gives a source file", path)
		}
	}
	for path := range routes {
		for _, method := range []string{"DELETE", "PUT", "PATCH", "OPTIONS", "TRACE"} {
			w := ask(h, anna, method, path, nil)
			if w.Code != 405 {
				t.Errorf("%s %s: got %d, want 405", method, path, w.Code)
			}
		}
		if w := ask(h, anna, "HEAD", path, nil); w.Code != 200 {
			t.Errorf("HEAD %s: got %d, want 200", path, w.Code)
		}
	}
}

// Each text is there in both languages, and each key of the templates and of
// the fixed codes has one.
func TestWords(t *testing.T) {
	said, templates := page.Said(), page.Templates(t)
	for key, both := range said {
		if strings.TrimSpace(both[0]) == "" || strings.TrimSpace(both[1]) == "" {
			t.Errorf("%s: got %q", key, both)
		}
		verbs := regexp.MustCompile(`%[sdv]`)
		if it, en := verbs.FindAllString(both[0], -1), verbs.FindAllString(both[1], -1); len(it) != len(en) && !strings.HasSuffix(key, ".one") {
			t.Errorf("%s: %q and %q take different values", key, both[0], both[1])
		}
	}
	used := 0
	for name, text := range templates {
		for _, m := range regexp.MustCompile(`\b([TN]) "([a-z0-9.-]+)"`).FindAllStringSubmatch(text, -1) {
			used++
			keys := []string{m[2]}
			if m[1] == "N" {
				keys = []string{m[2] + ".one", m[2] + ".more"}
			}
			for _, key := range keys {
				if _, ok := said[key]; !ok {
					t.Errorf("%s: there are no words for %s", name, key)
				}
			}
		}
	}
	if used < 100 {
		t.Errorf("found %d keys in the templates, want them all", used)
	}
	if len(templates) < 12 {
		t.Errorf("got templates %q", slices.Sorted(maps.Keys(templates)))
	}
}

// A source's failure is told, in words, and shows nothing of its text.
func TestTrouble(t *testing.T) {
	f := newFake(8)
	f.fail = errors.New("bbolt: page 7 at /var/lib/secret")
	w := ask(newPage(f), anna, "POST", "/messaggi/4/ritenta", nil)
	if body := w.Body.String(); w.Code != 500 || strings.Contains(body, "bbolt") || !strings.Contains(body, "Qualcosa non ha funzionato") {
		t.Errorf("got %d %s", w.Code, body)
	}
	for _, kind := range []page.Kind{page.KindNotFound, page.KindInvalid, page.KindRefused, page.KindTooMany, page.KindDatePast, page.KindDateFar, page.KindNoLogin,
		page.KindNoHost, page.KindNotListed, page.KindDecided, page.KindNoCandidate, page.KindNoKey, page.KindSent, page.KindFailed} {
		f.fail = &page.Problem{Kind: kind, Detail: "detail <b>"}
		for _, lang := range []string{"it", "en"} {
			w := ask(newPage(f), anna, "POST", "/messaggi/4/ritenta", nil, "pec_lang="+lang)
			if w.Code < 400 || strings.Contains(w.Body.String(), "⟦") || strings.Contains(w.Body.String(), "<b>") {
				t.Errorf("%s in %s: got %d %s", kind, lang, w.Code, w.Body)
			}
		}
	}
}
