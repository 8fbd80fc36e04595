package page_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"pec-ingest/internal/schedule"
	"pec-ingest/internal/web/page"
)

var rowLink = regexp.MustCompile(`href="/caselle/(cliente[0-9]+)@pec\.example"[^>]*data-row`)

// listed are the mailboxes of a page of the list, in order.
func listed(h http.Handler, path string) (list []string) {
	for _, m := range rowLink.FindAllStringSubmatch(ask(h, anna, "GET", path, nil).Body.String(), -1) {
		list = append(list, strings.TrimLeft(strings.TrimPrefix(m[1], "cliente"), "0"))
	}
	return list
}

func TestList(t *testing.T) {
	f := newFake(8)
	h := newPage(f)
	tests := []struct{ path, want string }{
		{"/", "3 2 1 4 5  6 7"},                         // what is urgent first
		{"/?verso=giu", "7 6  5 4 1 2 3"},               //
		{"/?ordina=days", "2 1  3 6 7 4 5"},             // without a password last
		{"/?ordina=client", "1  5 6 2 3 4 7"},           // by name
		{"/?ordina=client&verso=giu", "7 4 3 2 6 5  1"}, //
		{"/?stato=broken", "3"},
		{"/?q=verdi", "1"},
		{"/?q=VERDI+cliente0001", "1"},
		{"/?q=verdi+gallo", ""},
		{"/?q=UT000004", "4"}, // by login
		{"/?q=%3Cscript%3E", ""},
	}
	for _, tt := range tests {
		if got := strings.Join(listed(h, tt.path), " "); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.path, got, tt.want)
		}
	}
	// The sorted column says so, and a search stays when one sorts.
	body := ask(h, anna, "GET", "/?q=pec&ordina=days", nil).Body.String()
	if !strings.Contains(body, `aria-sort="ascending"`) || !strings.Contains(body, `href="/?ordina=days&amp;q=pec&amp;verso=giu"`) || !strings.Contains(body, `value="pec"`) {
		t.Errorf("got %s", body)
	}
	if body := ask(newPage(newFake(0)), anna, "GET", "/", nil).Body.String(); !strings.Contains(body, "Non ci sono ancora clienti") {
		t.Error("an empty list says nothing")
	}
}

func TestPages(t *testing.T) {
	h := newPage(newFake(250))
	seen := map[string]bool{}
	for n := 1; n <= 3; n++ {
		for _, m := range listed(h, fmt.Sprintf("/?pagina=%d", n)) {
			seen[m] = true
		}
	}
	if len(seen) != 250 {
		t.Errorf("three pages show %d of 250", len(seen))
	}
	if got := len(listed(h, "/")); got != 100 {
		t.Errorf("a page has %d, want 100", got)
	}
	if got := len(listed(h, "/?pagina=tutte")); got != 250 {
		t.Errorf("all: got %d, want 250", got)
	}
	if body := ask(h, anna, "GET", "/?pagina=3", nil).Body.String(); !strings.Contains(body, "Pagina 3 di 3") || strings.Contains(body, `rel="next"`) {
		t.Error("the last page is not the last")
	}
}

// A heavy day is seen at once, and so are days off.
func TestPlot(t *testing.T) {
	f := newFake(0)
	day := today().AddDate(0, 0, 20)
	for day.Weekday() != time.Monday {
		day = day.AddDate(0, 0, 1)
	}
	add := func(n int, day time.Time, state string) {
		for range n {
			i := len(f.boxes)
			f.boxes = append(f.boxes, page.Mailbox{Address: fmt.Sprintf("c%d@pec.example", i), State: state, Version: 1, Expires: day, Issued: day.AddDate(0, 0, -90)})
		}
	}
	add(12, day, schedule.StateValid)
	add(1, day.AddDate(0, 0, 1), schedule.StateValid)
	add(1, day.AddDate(0, 0, 5), schedule.StateValid)
	add(3, day.AddDate(0, 0, 2), schedule.StateBroken)
	add(2, today().AddDate(0, 0, 90), schedule.StateValid)
	add(2, today().AddDate(0, 0, -1), schedule.StateExpired)
	body := ask(newPage(f), anna, "GET", "/scadenze", nil).Body.String()
	text := html.UnescapeString(body)
	for want, n := range map[string]int{`class="bar heavy"`: 2, `class="bar"`: 4 + 1, "studio chiuso</span>": 1, "12 password": 4, "scadono 14 password": 1, "2 sono già scadute": 1} {
		if got := strings.Count(text, want); got != n && !(want == "studio chiuso</span>" && got >= 1) {
			t.Errorf("%q stands %d times, want %d", want, got, n)
		}
	}
	if n := strings.Count(body, `class="closed"`); n < 2*24 {
		t.Errorf("%d days off are drawn, want the weekends at least", n)
	}
	checkHTML(t, "/scadenze", body)
	if body := ask(newPage(newFake(0)), anna, "GET", "/scadenze", nil).Body.String(); !strings.Contains(body, "non scade nessuna password") {
		t.Error("an empty plot says nothing")
	}
}

// What a person chose stays, and a form leads back into the page only.
func TestPreferences(t *testing.T) {
	h := newPage(newFake(8))
	w := ask(h, luca, "POST", "/preferenze", map[string][]string{"lang": {"en"}, "back": {"/scadenze?x=1"}})
	cookies := w.Result().Cookies()
	if w.Code != 303 || w.Header().Get("Location") != "/scadenze?x=1" || len(cookies) != 1 {
		t.Fatalf("got %d %v", w.Code, w.Header())
	}
	if c := cookies[0]; c.Name != "pec_lang" || c.Value != "en" || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" {
		t.Errorf("got %v", c)
	}
	for _, back := range []string{"//evil.example", "https://evil.example", `/\evil.example`, "/x\r\nSet-Cookie: a=b", "/x?a=\x00", "/\x7f", "", "javascript:alert(1)"} {
		if to := ask(h, luca, "POST", "/preferenze", map[string][]string{"lang": {"it"}, "back": {back}}).Header().Get("Location"); to != "/" {
			t.Errorf("%q leads to %q", back, to)
		}
	}
	for cookie, want := range map[string]string{"pec_theme=dark": `data-theme="dark"`, "pec_theme=light": `data-theme="light"`, "pec_keys=off": `data-keys="off"`} {
		if body := ask(h, luca, "GET", "/", nil, cookie).Body.String(); !strings.Contains(body, want) {
			t.Errorf("%s: no %s", cookie, want)
		}
	}
	for _, cookie := range []string{"pec_theme=\"><script>", "pec_lang=fr"} {
		if body := ask(h, luca, "GET", "/", nil, cookie).Body.String(); strings.Contains(body, "<script>") || !strings.Contains(body, `<html lang="it">`) {
			t.Errorf("%s is believed", cookie)
		}
	}
	if body := ask(h, page.Person{Name: "ann", Lang: "en"}, "GET", "/", nil).Body.String(); !strings.Contains(body, `<html lang="en">`) {
		t.Error("the person's own language is not used")
	}
	if body := ask(h, page.Person{Name: "ann", CanLeave: true}, "GET", "/", nil).Body.String(); !strings.Contains(body, `action="/esci"`) {
		t.Error("there is no way out")
	}
}

func TestAudit(t *testing.T) {
	f := newFake(8)
	h := newPage(f)
	ask(h, anna, "GET", "/registro?casella=Cliente0001@pec.example&chi=anna&evento=credential.&dal=2026-11-02&al=2026-11-03&prima=200", nil)
	from := time.Date(2026, 11, 1, 23, 0, 0, 0, time.UTC) // 00:00 in Rome
	want := page.AuditQuery{Mailbox: "Cliente0001@pec.example", Actor: "anna", Event: "credential.", From: from, To: from.AddDate(0, 0, 2), Before: 200, Limit: 100}
	if f.asked != want {
		t.Errorf("got %+v, want %+v", f.asked, want)
	}
	body := ask(h, anna, "GET", "/registro?chi=anna", nil).Body.String()
	if !strings.Contains(body, `href="/registro?chi=anna&amp;prima=151"`) {
		t.Error("no way to what is older")
	}
	if !strings.Contains(html.UnescapeString(body), "nessuno l'ha ancora verificata") {
		t.Error("an unverified chain is not said to be one")
	}
	if w := ask(h, anna, "POST", "/registro/verifica", nil); w.Header().Get("Location") != "/registro#catena" {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
	if body := ask(h, carla, "GET", "/registro", nil).Body.String(); !strings.Contains(body, "La catena è integra") || !strings.Contains(body, "22f841c8") {
		t.Error("a verified chain is not said to be one")
	}
	f.chain = &page.Problem{Kind: page.KindFailed, Detail: "audit entry 7 is missing"}
	ask(h, anna, "POST", "/registro/verifica", nil)
	if body := ask(h, anna, "GET", "/registro", nil).Body.String(); !strings.Contains(body, "La catena non è integra") || !strings.Contains(body, "audit entry 7 is missing") {
		t.Error("a broken chain is not said to be one")
	}
}

func TestStanding(t *testing.T) {
	f := newFake(8)
	h := newPage(f)
	for range 3 { // pressed in haste: the accounts are tried once
		ask(h, anna, "POST", "/stato/controlla", nil)
	}
	if want := []string{anna.Actor + " check"}; !slices.Equal(f.did, want) {
		t.Errorf("got %q, want %q", f.did, want)
	}
	body := ask(h, anna, "GET", "/stato", nil).Body.String()
	for _, want := range []string{"Collegato, aspetta messaggi", "there is no [smtp]", "Ultimo controllo", "2 caselle senza risposta"} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is missing", want)
		}
	}
	checkHTML(t, "/stato", body)
	if body := ask(h, luca, "GET", "/stato", nil).Body.String(); strings.Contains(body, `action="/stato/controlla"`) || strings.Contains(body, "there is no [smtp]") || strings.Contains(body, "22f841c8") {
		t.Error("who only looks sees what the self-check found, or the log's head")
	}
	f.locked = true
	body = ask(h, anna, "GET", "/stato", nil).Body.String()
	for _, want := range []string{"rifiuta la password", "login &lt;b&gt;refused", "Una sola chiave", "Nessuna ancora", "Non c&#39;è ancora nessuna copia"} {
		if !strings.Contains(body, want) {
			t.Errorf("in trouble: %q is missing", want)
		}
	}
}

// attacks are texts that strangers may send.
var attacks = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `{{.Source}}`, `javascript:alert(1)`, "\x1b[31mred\x1b]0;title\x07",
	"a\u202egnp.exe", "\u2066bidi\u2069", "zero\u200bwidth", "line\r\nbreak", `</p></main><form action=https://evil.example>`, "&lt;b&gt;", "\xff\xfe", "${7*7}", "--><!--",
}

// Foreign text is shown as text, wherever it stands.
func TestAttacks(t *testing.T) {
	for _, a := range attacks {
		f := newFake(8)
		for i := range f.boxes {
			f.boxes[i].Client, f.boxes[i].Login, f.boxes[i].Provider, f.boxes[i].CheckResult = a, a, a, a
		}
		f.boxes[7].Address = "x/../" + a + "@pec.example"
		for i := range f.reviews {
			f.reviews[i].Client, f.reviews[i].Reason, f.reviews[i].DecidedBy, f.reviews[i].Decision = a, a, a, "rejected: "+a
		}
		f.reviews[4].Client, f.reviews[4].Mailbox = "", a
		f.subject, f.letter = a, a+"\n[1: ••••"+a+"]"
		f.entries = f.entries[:6]
		for i := range f.entries {
			f.entries[i].Actor, f.entries[i].Event, f.entries[i].Detail, f.entries[i].Mailbox = a, a, a, a
		}
		f.files[2] = fakeFile{page.FileInfo{N: 2, Name: a, Type: a}, nil}
		h := newPage(f)
		for path := range routes {
			for _, method := range []string{"GET", "POST"} {
				to := path
				if method == "POST" {
					if !strings.HasPrefix(path, "/da-decidere/1") {
						continue
					}
					to += "/mostra"
				}
				w := ask(h, anna, method, to, nil)
				body := w.Body.String()
				if w.Code != 200 {
					t.Fatalf("%q in %s: got %d", a, to, w.Code)
				}
				if i := strings.IndexAny(body, "\x1b\x07\u202e\u2066\u2069\u200b\x00"); i >= 0 {
					t.Errorf("%q in %s: a raw %q", a, to, body[i:i+1])
				}
				if strings.Contains(body, "<script>") || strings.Contains(body, "<img src=x") || strings.Contains(body, "evil.example>") && strings.Contains(body, "<form action=https") || strings.Contains(body, "href=\"javascript") {
					t.Errorf("%q stands raw in %s", a, to)
				}
				checkHTML(t, to, body)
			}
		}
		for _, path := range []string{"/?q=", "/messaggi?q=", "/registro?casella=", "/registro?dal=", "/inserisci?casella=", "/?esito="} {
			body := ask(h, anna, "GET", path+url.QueryEscape(a), nil).Body.String()
			if strings.ContainsAny(body, "\x1b\x07\u202e\u2066\u2069\u200b\x00") || strings.Contains(body, "<script>") || strings.Contains(body, "<img src=x") {
				t.Errorf("%q stands raw in %s", a, path)
			}
			checkHTML(t, path, body)
		}
	}
}

// slowBoxes is a Source whose mailboxes are many.
func BenchmarkThousandMailboxes(b *testing.B) {
	f := newFake(1000)
	h := newPage(f)
	for name, path := range map[string]string{"all": "/?pagina=tutte", "first page": "/", "search": "/?q=verdi&ordina=days", "plot": "/scadenze"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if w := ask(h, anna, "GET", path, nil); w.Code != 200 {
					b.Fatal(w.Code)
				}
			}
		})
	}
	if _, err := f.Mailboxes(context.Background()); err != nil {
		b.Fatal(err)
	}
}
