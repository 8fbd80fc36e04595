package page_test

import (
	"bytes"
	"fmt"
	"image"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/web/page"
)

// What is done is done as the person, once, and leads on by a redirection.
func TestActions(t *testing.T) {
	day := today().AddDate(0, 0, 80)
	now := time.Now().In(rome(t))
	tests := []struct {
		name, path string
		form       url.Values
		did, to    string
	}{
		{"approve a candidate", "/da-decidere/1/approva", url.Values{"candidato": {"1"}, "password": {"left from before"}, "scadenza": {day.Format(time.DateOnly)}},
			`approve 1 candidate 1 typed 0 mailbox "" login "" expires ` + day.Format("20060102") + ` new ""`, "/da-decidere/2?esito=approvata"},
		{"approve a typed one", "/da-decidere/5/approva", url.Values{"candidato": {"0"}, "password": {" Xk7pQ2mm \n"}, "casella": {"altra@pec.example"}, "utente": {"UT1"}, "cliente": {"Nuovo \u202eS.r.l."}},
			`approve 5 candidate 0 typed 8 mailbox "altra@pec.example" login "UT1" expires 00010101 new "Nuovo S.r.l."`, "/da-decidere/1?esito=approvata"},
		{"an Italian date", "/da-decidere/1/approva", url.Values{"candidato": {"1"}, "scadenza": {"1/2/2027"}},
			`approve 1 candidate 1 typed 0 mailbox "" login "" expires 20270201 new ""`, "/da-decidere/2?esito=approvata"},
		{"reject", "/da-decidere/3/respingi", url.Values{"motivo": {"è quella\r\ndella webmail"}, "avvisa": {"1"}}, `reject 3 "è quella della webmail" true`, "/da-decidere/4?esito=respinta"},
		{"reject without a word", "/da-decidere/3/respingi", nil, `reject 3 "" false`, "/da-decidere/4?esito=respinta"},
		{"a place", "/caselle/cliente0001@pec.example/posti", url.Values{"posto": {"Fatture in Cloud"}, "login": {"cliente0001@pec.example"}},
			"place cliente0001@pec.example cliente0001@pec.example Fatture in Cloud", "/caselle/cliente0001@pec.example?esito=posto"},
		{"retry", "/messaggi/4/ritenta", nil, "retry 4", "/messaggi/4?esito=ritentato"},
		{"drop", "/messaggi/4/annulla", nil, "drop 4", "/messaggi/4?esito=annullato"},
		{"check", "/stato/controlla", nil, "check", "/stato#controllo"},
		{"enter", "/inserisci", url.Values{"casella": {"Cliente0001@PEC.example"}, "password": {"Xk7pQ2mm"}, "modo": {"telefono"}, "da": {"Anna Verdi"}, "conferma": {"1"}, "quando": {now.Format("2006-01-02T15:04")}},
			fmt.Sprintf(`enter cliente0001@pec.example 8 "telefono, da Anna Verdi, %s" confirm true`, now.Format("02/01/2006 15:04")), "/caselle/cliente0001@pec.example?esito=inserita-confermata"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(8)
			w := ask(newPage(f), anna, "POST", tt.path, tt.form)
			if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || to != tt.to {
				t.Errorf("got %d to %q, want 303 to %q", w.Code, to, tt.to)
			}
			if want := []string{anna.Actor + " " + tt.did}; !slices.Equal(f.did, want) {
				t.Errorf("got %q, want %q", f.did, want)
			}
			if to := w.Header().Get("Location"); to != "" {
				if body := ask(newPage(f), anna, "GET", to, nil).Body.String(); strings.Contains(to, "esito") && !strings.Contains(body, `class="done"`) {
					t.Errorf("%s does not say what was done", to)
				}
			}
		})
	}
}

func rome(t testing.TB) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// What can't be is said at its field; what was typed stays, but the password.
func TestWrongForms(t *testing.T) {
	good := func(change ...string) url.Values {
		v := url.Values{"casella": {"cliente0001@pec.example"}, "password": {"S3cretXY"}, "modo": {"carta"}, "da": {"Anna <b>Verdi"}, "scadenza": {"2027-02-01"}}
		for i := 0; i < len(change); i += 2 {
			v.Set(change[i], change[i+1])
		}
		return v
	}
	tests := []struct {
		name, path, field string
		form              url.Values
		fail              error
		status            int
	}{
		{"no password", "/inserisci", "password", good("password", " "), nil, 422},
		{"no mailbox", "/inserisci", "casella", good("casella", ""), nil, 422},
		{"no caller", "/inserisci", "da", good("da", "\u202e\x1b"), nil, 422},
		{"no date", "/inserisci", "scadenza", good("scadenza", "31/02/2027"), nil, 422},
		{"told in the future", "/inserisci", "quando", good("quando", time.Now().AddDate(0, 0, 2).Format("2006-01-02T15:04")), nil, 422},
		{"told long ago", "/inserisci", "quando", good("quando", "2020-01-01T10:00"), nil, 422},
		{"refused", "/inserisci", "password", good(), &page.Problem{Kind: page.KindRefused, Detail: "the provider refuses"}, 422},
		{"not listed", "/inserisci", "casella", good(), &page.Problem{Kind: page.KindNotListed}, 422},
		{"date past", "/inserisci", "scadenza", good(), &page.Problem{Kind: page.KindDatePast}, 422},
		{"approved, the wrong password", "/da-decidere/1/approva", "password", url.Values{"candidato": {"0"}, "password": {"S3cretXY"}}, &page.Problem{Kind: page.KindRefused}, 422},
		{"approved for nobody", "/da-decidere/3/approva", "cliente", url.Values{"candidato": {"1"}}, &page.Problem{Kind: page.KindNotListed}, 422},
		{"approved for a stranger", "/da-decidere/3/approva", "casella", url.Values{"candidato": {"1"}, "casella": {"x@pec.example"}}, &page.Problem{Kind: page.KindNotListed}, 422},
		{"approved without a login", "/da-decidere/5/approva", "utente", url.Values{"candidato": {"1"}}, &page.Problem{Kind: page.KindNoLogin}, 422},
		{"typed nothing", "/da-decidere/1/approva", "password", url.Values{"candidato": {"0"}}, nil, 422},
		{"approved on no day", "/da-decidere/1/approva", "scadenza", url.Values{"candidato": {"1"}, "scadenza": {"domani"}}, nil, 422},
		{"told no reason", "/da-decidere/1/respingi", "motivo", url.Values{"avvisa": {"1"}}, nil, 422},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(8)
			f.fail = tt.fail
			w := ask(newPage(f), anna, "POST", tt.path, tt.form)
			body := w.Body.String()
			if w.Code != tt.status || !strings.Contains(body, `role="alert"`) {
				t.Errorf("got %d, want %d with an alert", w.Code, tt.status)
			}
			if !regexp.MustCompile(`id="`+tt.field+`"[^>]*aria-invalid="true"`).MatchString(body) || !strings.Contains(body, `id="`+tt.field+`-wrong"`) {
				t.Errorf("the field %s is not marked", tt.field)
			}
			if strings.Contains(body, "S3cretXY") {
				t.Error("the password stands in the answer")
			}
			if tt.path == "/inserisci" && tt.field != "da" && !strings.Contains(body, `value="Anna &lt;b&gt;Verdi"`) {
				t.Error("what was typed is gone")
			}
			if tt.fail == nil && len(f.did) > 0 {
				t.Errorf("done all the same: %q", f.did)
			}
			checkHTML(t, tt.name, body)
		})
	}
}

// Who comes second is told who was first, to the second.
func TestDecidedByAnother(t *testing.T) {
	f := newFake(8)
	h := newPage(f)
	f.reviews[0].Decided, f.reviews[0].DecidedBy, f.reviews[0].Decision = time.Date(2026, 11, 20, 9, 23, 45, 0, time.UTC), "page:Carla Neri(uid:0)", "approved"
	f.fail = &page.Problem{Kind: page.KindDecided}
	for _, path := range []string{"/da-decidere/1/approva", "/da-decidere/1/respingi"} {
		w := ask(h, anna, "POST", path, url.Values{"candidato": {"1"}})
		if body := w.Body.String(); w.Code != http.StatusConflict || !strings.Contains(body, "Già deciso da Carla Neri, 20 nov 2026, 10:23:45") || strings.Contains(body, "page:Carla") || strings.Contains(body, `action="/da-decidere/1/approva"`) {
			t.Errorf("%s: got %d %s", path, w.Code, body)
		}
	}
}

// Two who look at the same item are told of each other, for a while.
func TestOnlookers(t *testing.T) {
	h := newPage(newFake(8))
	if body := ask(h, anna, "GET", "/da-decidere/1", nil).Body.String(); strings.Contains(body, "sta guardando") {
		t.Error("somebody looks, though nobody does")
	}
	if body := ask(h, carla, "GET", "/da-decidere/1", nil).Body.String(); !strings.Contains(body, "Anche Anna Rossi sta guardando") {
		t.Error("carla is not told of Anna")
	}
	if body := ask(h, carla, "GET", "/da-decidere/2", nil).Body.String(); strings.Contains(body, "sta guardando") {
		t.Error("somebody looks at another item")
	}
}

// A letter is shown in clear to who may, by a POST only, and that is noted.
func TestReveal(t *testing.T) {
	f := newFake(8)
	h := newPage(f)
	if body := ask(h, anna, "GET", "/da-decidere/1", nil).Body.String(); strings.Contains(body, "Xk7pQ2mm") || strings.Contains(body, "<img") {
		t.Error("shown in clear unasked")
	}
	w := ask(h, anna, "POST", "/da-decidere/1/mostra", nil)
	if body := w.Body.String(); w.Code != 200 || !strings.Contains(body, "<code>Xk7pQ2mm</code>") || !strings.Contains(body, `src="/da-decidere/1/file/1"`) {
		t.Errorf("got %d %s", w.Code, body)
	}
	if want := []string{anna.Actor + " reveal 1"}; !slices.Equal(f.did, want) {
		t.Errorf("got %q, want %q", f.did, want)
	}
	checkHTML(t, "reveal", w.Body.String())
	if w := ask(h, anna, "GET", "/da-decidere/1/mostra", nil); w.Code != 405 {
		t.Errorf("by a link: got %d, want 405", w.Code)
	}
}

// Files: pictures are drawn anew, everything else is saved and never opened.
func TestFiles(t *testing.T) {
	f := newFake(8)
	h := newPage(f)
	get := func(path string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", path, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(page.WithPerson(r.Context(), anna)))
		return w
	}
	w := get("/da-decidere/1/file/1", "Sec-Fetch-Site", "same-origin")
	if w.Code != 200 || w.Header().Get("Content-Type") != "image/jpeg" || bytes.Equal(w.Body.Bytes(), f.files[1].data) {
		t.Errorf("picture: got %d %s", w.Code, w.Header().Get("Content-Type"))
	}
	for _, path := range []string{"/da-decidere/1/file/2", "/da-decidere/1/file/3"} {
		if w := get(path); w.Code != 404 || strings.Contains(w.Body.String(), "alert(1)") {
			t.Errorf("%s shown: got %d", path, w.Code)
		}
		w := get(path + "?scarica")
		if w.Code != 200 || w.Header().Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(w.Header().Get("Content-Disposition"), "attachment") {
			t.Errorf("%s saved: got %d %v", path, w.Code, w.Header())
		}
		if d := w.Header().Get("Content-Disposition"); strings.ContainsAny(d, "\u202e<>\r\n") || strings.Contains(d, "..") {
			t.Errorf("got %q", d)
		}
		for _, name := range []string{"Content-Security-Policy", "X-Content-Type-Options", "Cache-Control"} {
			if w.Header().Get(name) == "" {
				t.Errorf("%s: no %s", path, name)
			}
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "sandbox") {
			t.Errorf("%s: got policy %s", path, csp)
		}
	}
	done := len(f.did)
	if w := get("/da-decidere/1/file/1", "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusForbidden || len(f.did) != done {
		t.Errorf("from another site: got %d", w.Code)
	}
	w = ask(h, anna, "GET", "/messaggi/5/ricevuta.eml", nil)
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/octet-stream" || w.Header().Get("Content-Disposition") != `attachment; filename="ricevuta-5.eml"` {
		t.Errorf("receipt: got %d %v", w.Code, w.Header())
	}
}

func TestRedraw(t *testing.T) {
	for kind, want := range map[string]string{"jpeg": "image/jpeg", "png": "image/png"} {
		out, contentType, err := page.Redraw(picture(kind, 3000, 40))
		if err != nil || contentType != want {
			t.Fatalf("%s: got %s, %v", kind, contentType, err)
		}
		if c, _, err := image.DecodeConfig(bytes.NewReader(out)); err != nil || c.Width != 1600 || c.Height != 21 {
			t.Errorf("%s: got %d×%d, %v", kind, c.Width, c.Height, err)
		}
	}
	// A header that claims more than is there, and what is no picture.
	bomb := picture("png", 10, 10)
	copy(bomb[16:], []byte{0, 1, 0, 0, 0, 1, 0, 0})
	for name, data := range map[string][]byte{"bomb": bomb, "svg": []byte("<svg onload=x>"), "empty": nil, "cut": picture("jpeg", 100, 100)[:50]} {
		if out, _, err := page.Redraw(data); err == nil || out != nil {
			t.Errorf("%s: got %d bytes, want an error", name, len(out))
		}
	}
}

// exif puts an orientation into a JPEG.
func exif(jpeg []byte, order string, o byte) []byte {
	tiff := "MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00" + string(o) + "\x00\x00\x00\x00\x00\x00"
	if order == "II" {
		tiff = "II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00" + string(o) + "\x00\x00\x00\x00\x00\x00\x00"
	}
	body := "Exif\x00\x00" + tiff
	return slices.Concat(jpeg[:2], []byte{0xff, 0xe1, 0, byte(len(body) + 2)}, []byte(body), jpeg[2:])
}

func TestOrientation(t *testing.T) {
	plain := picture("jpeg", 40, 20)
	if got := page.Orientation(plain); got != 1 {
		t.Errorf("nothing said: got %d, want 1", got)
	}
	for o := byte(1); o <= 8; o++ {
		for _, order := range []string{"MM", "II"} {
			data := exif(plain, order, o)
			if got := page.Orientation(data); got != int(o) {
				t.Errorf("%s %d: got %d", order, o, got)
			}
			out, _, err := page.Redraw(data)
			if err != nil {
				t.Fatal(err)
			}
			c, _, err := image.DecodeConfig(bytes.NewReader(out))
			if err != nil {
				t.Fatal(err)
			}
			if lying := c.Width > c.Height; lying != (o < 5) {
				t.Errorf("%d: got %d×%d", o, c.Width, c.Height)
			}
		}
	}
	if got := page.Orientation(exif(plain, "MM", 9)); got != 1 {
		t.Errorf("9: got %d, want 1", got)
	}
}

func FuzzOrientation(f *testing.F) {
	plain := picture("jpeg", 8, 8)
	f.Add(plain)
	f.Add(exif(plain, "MM", 6))
	f.Add(exif(plain, "II", 3)[:30])
	f.Fuzz(func(t *testing.T, data []byte) {
		if o := page.Orientation(data); o < 1 || o > 8 {
			t.Errorf("got %d", o)
		}
	})
}

func FuzzFileName(f *testing.F) {
	for _, s := range []string{"../../etc/passwd", `C:\x\y.exe`, ".htaccess", "a\u202egnp.exe", "", "con:", "<b>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name := page.FileName(s, 3)
		if name == "" || strings.ContainsAny(name, "/\\:<>\"|?*\r\n\x00") || strings.HasPrefix(name, ".") {
			t.Errorf("%q: got %q", s, name)
		}
	})
}

// No source of the package can give or read a stored password: nothing in it
// opens a secret, and Source has no method that returns one.
func TestGivesNothingAway(t *testing.T) {
	list, err := filepath.Glob("*.go")
	if err != nil || len(list) < 15 {
		t.Fatalf("found %d files, %v", len(list), err)
	}
	for _, name := range list {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{".Reveal(", ".RevealString(", "internal/ingest", "Unseal", "internal/vault"} {
			if strings.Contains(string(b), word) {
				t.Errorf("%s mentions %s", name, word)
			}
		}
	}
	src, err := os.ReadFile("source.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\t[A-Z][A-Za-z]*\(.*\) (.*)$`).FindAllStringSubmatch(string(src), -1) {
		if strings.Contains(m[1], "secret") || strings.Contains(m[1], "Entry,") || strings.Contains(m[1], "Approval") {
			t.Errorf("a method of Source returns %s", m[1])
		}
	}
}
