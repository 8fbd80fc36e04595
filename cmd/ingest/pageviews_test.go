package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"pec-ingest/internal/pectest"
	"pec-ingest/internal/servertest"
)

// Those of the cast who have something to decide.
const (
	gialli  = "gialli@pec.gestore.example"     // two passwords in one letter
	marroni = "marroni@pec.gestore.example"    // writes like an attacker
	azzurra = "azzurra@pec.gestore.example"    // all is well
	grigi   = "grigi@pec.gestore.example"      // has let the date pass
	celesti = "celesti@pec.gestore.example"    // has sent nothing yet
	strange = "r\u043essi@pec.gestore.example" // not rossi: the second letter is Cyrillic
	violaPE = "viola@pec.gestore.example"      // no client
)

// evilSubject is what a browser, a terminal or an eye might take for something
// else.
const evilSubject = "<script>alert(1)</script><img src=x onerror=alert(2)> \u202egnp.exe\u202c rosso"

// pageStudio is a studio with something in every view, its service running.
func pageStudio(t *testing.T) (s *studio, base string) {
	t.Helper()
	users := []servertest.User{{Name: azzurra, Password: "aZ7-zurra"}, {Name: grigi, Password: "gr1Gi-88"}, {Name: gialli, Password: "g1Alli-77"}, {Name: marroni, Password: "m4rroNi"}, {Name: violaPE, Password: "v1oLa-9x"}}
	s = newStudio(t, studioOptions{smtp: true, users: users, clients: []string{rossi}})
	for _, c := range [][2]string{{rossi, "Mario Rossi"}, {verdi, "Verdi Costruzioni S.r.l."}, {neri, "Studio dentistico Neri"}, {bianchi, "Bianchi & C. S.n.c."},
		{gialli, "Trattoria da Gialli"}, {marroni, "Marroni Ettore"}, {azzurra, "Cooperativa Azzurra"}, {grigi, "Autofficina Grigi"}, {celesti, "Agenzia Celesti"}} {
		s.ok("client", "add", c[0], "--name", c[1])
	}
	base = "http://" + freePort(t)
	s.edit("listen = \"\"\n", fmt.Sprintf("listen = %q\n", strings.TrimPrefix(base, "http://")))

	photo := s.letter(bianchi, 5, "password", "Buongiorno,\nla password per programmi di posta è nella foto allegata.\n")
	photo.Letter.Attachments = []pectest.Attachment{{Name: "foto.png", Type: "image/png", Data: picture(t)}}
	two := s.letter(gialli, 4, "Password PEC", "Buongiorno,\nla password per programmi di posta è una di queste: g1Alli-77 oppure g1Alli-78 oppure g1Alli-17 oppure g1Alli-18,\nnon riesco a leggere bene.\nSaluti, Gialli\n")
	evil := s.letter(marroni, 3, evilSubject, "<b>Buongiorno</b>,\nla password per programmi di posta è m4rroNi oppure Zz9kLm2x oppure Yy8kLm3x oppure Ww7kLm4x\n</p><script>alert(3)</script> \u202etxt. \x1b[31mrosso\x1b[0m\nFine\n")
	// Two unclear letters of one mailbox are not decided by trying.
	again := func(e pectest.Envelope) pectest.Envelope {
		return s.letter(e.Sender, 2, e.Subject, strings.ReplaceAll(e.Letter.Text, "\r\n", "\n"))
	}
	s.deliver(s.submission(rossi, 30, passwords[rossi]), s.submission(neri, 40, passwords[neri]), s.submission(azzurra, 40*24, "aZ7-zurra"),
		s.submission(grigi, 95*24, "gr1Gi-88"), s.submission(verdi, 84*24, passwords[verdi]))
	s.once(sum{Seen: 5, Accepted: 5})
	s.clients.SetPassword(neri, "changed-by-provider")
	s.hoursLater(neri, 2)
	s.run("report", neri, "--refused")
	s.wantState(neri, "broken", 1.0)
	s.deliver(photo, two, evil, again(two), again(evil), s.submission(violaPE, 2, "v1oLa-9x"),
		s.submission(strange, 2, "x9x-Tr4p"))
	r := s.start()
	t.Cleanup(func() {
		if !t.Failed() {
			r.stop()
		}
	})
	s.within(patience, "seven letters to decide", func() bool { return len(s.rows("review", "list", "--json")) == 7 })
	return s, base
}

// picture is a small photograph of nothing.
func picture(t *testing.T) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 240, 120))
	for x := range 240 {
		for y := range 120 {
			m.Set(x, y, color.RGBA{uint8(x), uint8(2 * y), 160, 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// numberOf is the review item of a mailbox.
func (s *studio) numberOf(mailbox string) string {
	s.t.Helper()
	for _, r := range s.rows("review", "list", "--json") {
		if r["mailbox"] == mailbox {
			return fmt.Sprint(r["n"])
		}
	}
	s.t.Fatalf("nothing of %s is to be decided", mailbox)
	return ""
}

// TestPage drives the page of a running service with Chromium.
func TestPage(t *testing.T) {
	t.Parallel()
	engine := chromium(t)
	s, base := pageStudio(t)
	shots := os.Getenv(shotsEnv)
	if shots == "" {
		shots = t.TempDir()
	} else if err := os.MkdirAll(shots, 0o755); err != nil {
		t.Fatal(err)
	}
	enter := func(t *testing.T, args ...string) *browser {
		t.Helper()
		b := window(t, engine, base, shots)
		b.do(chromedp.Navigate(strings.TrimSpace(s.ok(append([]string{"page"}, args...)...))), chromedp.WaitReady(chromedp.CSS("form")))
		b.press("button[type=submit]")
		if got := js[string](b, "location.href"); got != base+"/" {
			t.Fatalf("after signing in: at %s, want the page without the link's token", got)
		}
		return b
	}
	t.Run("views", func(t *testing.T) {
		pageViews(t, s, window(t, engine, base, shots), enter(t, "--name", "Anna Rossi", "--reveal"))
	})
	t.Run("find", func(t *testing.T) { pageFind(t, enter(t)) })
	t.Run("fresh", func(t *testing.T) { pageFresh(t, s, enter(t, "--name", "Fabio")) })
	t.Run("language and theme", func(t *testing.T) { pageLanguage(t, enter(t, "--lang", "en")) })
	t.Run("keyboard", func(t *testing.T) { pageKeyboard(t, s, enter(t, "--name", "Carla")) })
	t.Run("no script", func(t *testing.T) { pageNoScript(t, s, enter(t, "--name", "Bruno"), enter(t, "--name", "Dario")) })
	t.Run("typed", func(t *testing.T) { pageTyped(t, s, enter(t, "--name", "Anna Rossi", "--reveal")) })
	t.Run("long name", func(t *testing.T) { pageLongName(t, s, enter(t)) })
	t.Run("session over", func(t *testing.T) { pageEnded(t, s, enter(t, "--name", "Gina")) })
	t.Run("readers", func(t *testing.T) { pageReader(t, enter(t, "--view", "--name", "Elena")) })
}

// pageViews looks at every view: light and dark, wide and narrow.
func pageViews(t *testing.T, s *studio, stranger, b *browser) {
	views := []struct{ name, path, says string }{
		{"caselle", "/", "Mario Rossi"},
		{"casella", "/caselle/" + rossi, "Mario Rossi"},
		{"scadenze", "/scadenze", "Scadenze"},
		{"da-decidere", "/da-decidere", `r\u{43e}ssi@`}, // the stranger, not rossi
		{"una-lettera", "/da-decidere/" + s.numberOf(gialli), "oppure"},
		{"una-lettera-ostile", "/da-decidere/" + s.numberOf(marroni), "gnp.exe rosso"},
		{"messaggi", "/messaggi", rossi},
		{"messaggio", "/messaggi/1", "n. 1"},
		{"registro", "/registro", "credential.accepted"},
		{"stato", "/stato", "Stato"},
		{"inserisci", "/inserisci", "Password"},
		{"aiuto", "/aiuto", "Tastiera"},
	}
	look := func(b *browser, name string) {
		t.Helper()
		b.axe(name)
		b.shot(name + "-1280")
		b.dark(true)
		b.shot(name + "-1280-dark")
		b.width(390)
		b.axe(name + ", dark, at 390")
		b.shot(name + "-390-dark")
		b.dark(false)
		b.fits(name + " at 390")
		b.shot(name + "-390")
		b.width(320) // WCAG 2.2, 1.4.10
		b.fits(name + " at 320")
		b.width(1280)
		b.quiet(name)
	}
	for _, v := range views {
		b.open(v.path)
		b.says(v.says)
		for _, secret := range []string{passwords[rossi], passwords[verdi], inboxPass, "g1Alli-77", "g1Alli-78", "m4rroNi", "v1oLa-9x"} {
			if strings.Contains(js[string](b, "document.documentElement.outerHTML"), secret) {
				t.Errorf("%s: a password is in the page", v.name)
			}
		}
		if js[bool](b, "[...document.body.innerText].some(c => /[\\u202a-\\u202e\\u2066-\\u2069\\u001b]/.test(c))") {
			t.Errorf("%s: characters that turn or colour text are in the page", v.name)
		}
		if n := js[int](b, "document.querySelectorAll('script:not([src]), [onerror], [onload], [style], style').length"); n != 0 {
			t.Errorf("%s: %d elements with something inline", v.name, n)
		}
		look(b, v.name)
	}
	stranger.open("/")
	stranger.says("Non hai fatto l’accesso")
	look(stranger, "fuori")
	stranger.open("/accesso?t=x")
	look(stranger, "accesso")
}

// pageFind searches, filters and sorts.
func pageFind(t *testing.T, b *browser) {
	rows := func() []string {
		return js[[]string](b, "[...document.querySelectorAll('table.mailboxes tbody th a')].map(a => a.textContent)")
	}
	all := len(rows())
	b.do(chromedp.SendKeys(chromedp.CSS("#q"), "costruzioni")) // the list follows what is typed
	b.until("document.querySelectorAll('table.mailboxes tbody tr').length === 1")
	if got := rows(); len(got) != 1 || got[0] != "Verdi Costruzioni S.r.l." {
		t.Errorf("searching: got %q", got)
	}
	b.open("/?q=%3Cscript%3Ealert(1)%3C/script%3E")
	if got := rows(); len(got) != 0 {
		t.Errorf("searching for nothing: got %q", got)
	}
	b.open("/?stato=missing")
	if got := rows(); len(got) == 0 || len(got) == all {
		t.Errorf("those that are missing: got %d of %d", len(got), all)
	}
	orders := map[string]bool{}
	b.open("/")
	for i := range js[int](b, "document.querySelectorAll('table.mailboxes thead th a').length") {
		b.open("/")
		b.press(fmt.Sprintf("table.mailboxes thead th:nth-child(%d) a", i+1))
		if got := js[int](b, "document.querySelectorAll('thead [aria-sort]').length"); got != 1 {
			t.Errorf("column %d: %d columns say that they are sorted", i+1, got)
		}
		orders[strings.Join(rows(), "|")] = true
	}
	if len(orders) < 2 {
		t.Error("every column gives the same order")
	}
	b.quiet("searching and sorting")
}

// pageFresh sees what others do, and keeps what one is typing.
func pageFresh(t *testing.T, s *studio, b *browser) {
	refresh := func(until string) {
		t.Helper()
		js[bool](b, "document.dispatchEvent(new Event('visibilitychange'))") // as when one comes back to the window
		b.until(until)
	}
	b.open("/")
	b.do(chromedp.SendKeys(chromedp.CSS("#q"), "celesti"))
	b.until("document.querySelectorAll('table.mailboxes tbody tr').length === 1")
	s.ok("client", "add", celesti, "--name", "Celesti e figli")
	refresh("document.querySelector('table.mailboxes').textContent.includes('Celesti e figli')")
	if got := js[[]string](b, "[document.querySelector('#q').value, document.activeElement.id]"); got[0] != "celesti" || got[1] != "q" {
		t.Errorf("after a refresh: got %q typed and the focus on %q, want celesti and q", got[0], got[1])
	}
	b.open("/da-decidere/" + s.numberOf(marroni))
	b.do(chromedp.SendKeys(chromedp.CSS("#motivo"), "non ancora finito"))
	before := js[string](b, "document.querySelector('#fresh').textContent")
	s.within(patience, "another second", func() bool { return !strings.HasSuffix(before, time.Now().In(rome()).Format("15:04:05")) })
	refresh(fmt.Sprintf("document.querySelector('#fresh').textContent !== %q", before))
	if got := js[[]string](b, "[document.querySelector('#motivo').value, document.activeElement.id]"); got[0] != "non ancora finito" || got[1] != "motivo" {
		t.Errorf("after a refresh: got %q typed and the focus on %q", got[0], got[1])
	}
	b.quiet("refreshing")
}

// pageLanguage chooses language and theme, which stay chosen.
func pageLanguage(t *testing.T, b *browser) {
	look := func(lang, theme, title string) {
		t.Helper()
		got := js[[]string](b, "[document.documentElement.lang, document.documentElement.dataset.theme || '', document.querySelector('h1').textContent]")
		if got[0] != lang || got[1] != theme || got[2] != title {
			t.Errorf("got %q, want %q", got, []string{lang, theme, title})
		}
	}
	look("en", "", "Mailboxes")
	b.press("button[name=lang][value=it]")
	look("it", "", "Caselle")
	b.press("button[name=theme][value=dark]")
	b.open("/stato")
	look("it", "dark", "Stato")
	b.axe("chosen dark")
	b.press("button[name=theme][value=auto]")
	b.press("button[name=lang][value=en]")
	for _, path := range []string{"/scadenze", "/inserisci", "/aiuto"} {
		b.open(path)
		b.axe(path + " in English")
	}
	b.quiet("language and theme")
}

// tabTo walks with Tab until a selector has the focus, which is seen at each
// step.
func (b *browser) tabTo(selector string) {
	b.t.Helper()
	for range 120 {
		b.do(chromedp.KeyEvent(kb.Tab))
		got := js[[]bool](b, `(e => [e.matches(`+fmt.Sprintf("%q", selector)+`), e === document.body || (e.type || '').startsWith('date') || (s =>
			s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 1 || s.boxShadow !== 'none')(getComputedStyle(e))])(document.activeElement)`)
		if !got[1] {
			b.t.Errorf("the focus is not to be seen on %s", js[string](b, "document.activeElement.outerHTML.slice(0, 200)"))
		}
		if got[0] {
			return
		}
	}
	b.t.Fatalf("%s: Tab never comes to %s", js[string](b, "location.pathname"), selector)
}

// pageKeyboard approves one of two passwords without a mouse.
func pageKeyboard(t *testing.T, s *studio, b *browser) {
	b.open("/")
	b.do(chromedp.KeyEvent(kb.Tab))
	if !js[bool](b, "document.activeElement.matches('a.skip') && document.activeElement.getBoundingClientRect().top >= 0") {
		t.Error("the first Tab does not show the way past the menu")
	}
	b.do(chromedp.KeyEvent(kb.Enter))
	if got := js[string](b, "document.activeElement.id"); got != "main" {
		t.Errorf("past the menu: the focus is on %q, want main", got)
	}
	b.open("/")
	b.tabTo("nav a[href='/da-decidere']")
	b.leaving(chromedp.KeyEvent(kb.Enter))
	b.tabTo("a[href='/da-decidere/" + s.numberOf(gialli) + "']")
	b.leaving(chromedp.KeyEvent(kb.Enter))
	b.tabTo("input[name=candidato]")
	b.do(chromedp.KeyEvent(" "))
	b.tabTo("form[action$=approva] button.main")
	b.leaving(chromedp.KeyEvent(kb.Enter))
	s.wantState(gialli, "valid", 1.0)
	s.wantGet(gialli, "g1Alli-77")
	if got := strings.Join(s.auditOf("review.decided"), "\n"); !strings.Contains(got, "page:Carla(uid:") {
		t.Errorf("the audit log does not say who decided:\n%s", got)
	}

	// One letter leads to what is to be done: the button, or the password
	// where it must be typed.
	b.open("/da-decidere/" + s.numberOf(marroni))
	b.do(chromedp.KeyEvent("a"))
	if !js[bool](b, "document.activeElement.matches('form[action$=approva] button.main')") {
		t.Error("a does not lead to the button that approves")
	}
	b.open("/da-decidere/" + s.numberOf(bianchi))
	b.do(chromedp.KeyEvent("a"))
	if got := js[string](b, "document.activeElement.id"); got != "password" {
		t.Errorf("a leads to %q where the password must be typed", got)
	}

	// The plot's bars, one after the other.
	b.open("/scadenze")
	const bar = "document.activeElement.closest('.plot.wide') ? document.activeElement.getAttribute('href') : ''"
	js[bool](b, "document.querySelector('.plot.wide a').focus({focusVisible: true}) === undefined")
	first := js[string](b, bar)
	b.do(chromedp.KeyEvent(kb.Tab))
	second := js[string](b, bar)
	if first == "" || second == "" || first == second {
		t.Fatalf("with Tab from bar to bar: got %q and %q", first, second)
	}
	for _, step := range []struct{ key, want string }{{kb.ArrowLeft, first}, {kb.ArrowRight, second}, {kb.Home, first}} {
		b.do(chromedp.KeyEvent(step.key))
		if got := js[string](b, bar); got != step.want {
			t.Errorf("arrows in the plot: got %q, want %q", got, step.want)
		}
	}
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until("location.hash === '" + first + "'")
	b.quiet("by keyboard")
}

// pageNoScript decides without scripts; of two people the second is told.
func pageNoScript(t *testing.T, s *studio, b, other *browser) {
	for _, w := range []*browser{b, other} {
		call(w, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	}
	for _, path := range []string{"/", "/scadenze", "/da-decidere", "/messaggi", "/registro", "/stato", "/inserisci", "/aiuto"} {
		b.open(path)
		if h1 := js[string](b, "document.querySelector('h1').textContent"); h1 == "" {
			t.Errorf("%s: nothing is there without scripts", path)
		}
	}
	b.open("/")
	b.do(chromedp.SendKeys(chromedp.CSS("#q"), "costruzioni"))
	b.leaving(chromedp.SendKeys(chromedp.CSS("#q"), kb.Enter))
	if got := js[int](b, "document.querySelectorAll('table.mailboxes tbody tr').length"); got != 1 {
		t.Errorf("searching without scripts: got %d mailboxes, want 1", got)
	}
	item := "/da-decidere/" + s.numberOf(marroni)
	b.open(item)
	other.open(item)
	b.do(chromedp.SendKeys(chromedp.CSS("#motivo"), "scrive in modo strano"))
	b.press("form[action$=respingi] button")
	other.press("form[action$=approva] button.main")
	other.says("Bruno")
	if !regexp.MustCompile(`Bruno\b.* \d\d:\d\d:\d\d`).MatchString(other.text()) {
		t.Errorf("the second of two is not told when:\n%s", other.text())
	}
	other.quiet("the second of two")
	if got := strings.Join(s.auditOf("review.decided"), "\n"); !strings.Contains(got, "page:Bruno(uid:") || strings.Contains(got, "page:Dario") {
		t.Errorf("the audit log does not say who decided:\n%s", got)
	}
	s.wantState(marroni, "missing", nil)
	b.quiet("without scripts")
}

// pageTyped reads the picture, types the password that is in it, and enters
// one that came by phone.
func pageTyped(t *testing.T, s *studio, b *browser) {
	item := "/da-decidere/" + s.numberOf(bianchi)
	b.open(item)
	b.press("form[action$=mostra] button")
	if !js[bool](b, "(i => i !== null && i.complete && i.naturalWidth > 0)(document.querySelector('img.picture'))") {
		t.Error("the picture does not show")
	}
	b.shot("una-foto-1280")
	b.axe("a picture")
	if got := strings.Join(s.auditOf("review.revealed"), "\n"); !strings.Contains(got, "page:Anna Rossi(uid:") {
		t.Errorf("the audit log does not say who looked:\n%s", got)
	}
	// What looks like a page, a colour or another order is text.
	b.open("/da-decidere/" + s.numberOf(marroni))
	b.press("form[action$=mostra] button")
	b.says("<script>alert(1)</script><img", "onerror=alert(2)>", "<b>Buongiorno</b>", "</p><script>alert(3)</script>")
	b.axe("an attacker's letter")
	b.shot("una-lettera-ostile-scoperta-1280")
	b.quiet("an attacker's letter")

	b.open(item)
	b.do(chromedp.Click(chromedp.CSS("#typed")), chromedp.SendKeys(chromedp.CSS("#password"), passwords[bianchi]))
	b.press("form[action$=approva] button.main")
	s.wantState(bianchi, "valid", 1.0)
	s.wantGet(bianchi, passwords[bianchi])

	b.open("/inserisci")
	b.do(chromedp.SendKeys(chromedp.CSS("#casella"), neri), chromedp.SendKeys(chromedp.CSS("#password"), "wrong-one"), chromedp.SendKeys(chromedp.CSS("#da"), "sig.ra Neri"))
	b.press("form[action='/inserisci'] button.main")
	b.axe("a password that is refused")
	b.shot("inserisci-rifiutata-1280")
	if got := js[[]string](b, "[document.querySelector('#casella').value, document.querySelector('#password').value]"); got[0] != neri || got[1] != "" {
		t.Errorf("after a refusal the form holds %q, want the mailbox and no password", got)
	}
	b.do(chromedp.SendKeys(chromedp.CSS("#password"), "changed-by-provider"))
	b.press("form[action='/inserisci'] button.main")
	s.wantState(neri, "valid", 2.0)
	b.quiet("typing passwords")
}

// pageLongName shows a client whose name is one long word.
func pageLongName(t *testing.T, s *studio, b *browser) {
	s.ok("client", "add", celesti, "--name", strings.Repeat("W", 300))
	for _, wide := range []int64{1280, 800, 390, 320} {
		b.width(wide)
		for _, path := range []string{"/", "/caselle/" + celesti} {
			b.open(path)
			b.fits(fmt.Sprintf("%s at %d, with a name of 300 letters", path, wide))
		}
	}
	b.quiet("a long name")
}

// pageEnded loses its session while a form is being filled in. With scripts
// and without, what was typed is sent after signing in again, and not typed
// a second time.
func pageEnded(t *testing.T, s *studio, b *browser) {
	again := func() {
		t.Helper()
		// As another window of the same browser does.
		_, token, _ := strings.Cut(strings.TrimSpace(s.ok("page", "--name", "Gina")), "?t=")
		to := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		res, err := to.PostForm(b.base+"/accesso", url.Values{"t": {token}})
		if err != nil || len(res.Cookies()) != 1 {
			t.Fatalf("signing in again: %v, %v", res, err)
		}
		res.Body.Close()
		call(b, network.SetCookie, network.SetCookieParams{Name: res.Cookies()[0].Name, Value: res.Cookies()[0].Value, URL: b.base, HTTPOnly: new(true), SameSite: network.CookieSameSiteStrict})
	}
	fill := func() {
		t.Helper()
		b.open("/inserisci")
		b.do(chromedp.SendKeys(chromedp.CSS("#casella"), verdi), chromedp.SendKeys(chromedp.CSS("#password"), passwords[verdi]), chromedp.SendKeys(chromedp.CSS("#da"), "sig. Verdi"))
		s.ok("page", "revoke", "all")
	}
	const button = "form[action='/inserisci'] button.main"
	fill()
	b.do(chromedp.Click(chromedp.CSS(button)))
	b.until("document.querySelector('.unsent') !== null")
	b.says("Non è stato inviato nulla", "La sessione è finita")
	b.axe("a form that nobody takes")
	if got := js[[]string](b, "['#casella', '#password', '#da'].map(s => document.querySelector(s).value)"); strings.Join(got, " ") != verdi+" "+passwords[verdi]+" sig. Verdi" {
		t.Errorf("after the session's end the form holds %q", got)
	}
	again()
	b.press(button)
	if got := js[string](b, "location.pathname"); got != "/caselle/"+verdi {
		t.Errorf("after signing in again: at %s\n%s", got, b.text())
	}

	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	fill()
	b.press(button)
	b.says("non è stato salvato", "ricarica la pagina")
	again()
	b.leaving(chromedp.Reload())
	if got := js[string](b, "location.pathname"); got != "/caselle/"+verdi {
		t.Errorf("after signing in again, without scripts: at %s\n%s", got, b.text())
	}
	b.quiet("a session that ends")
}

// pageReader looks at what readers may see, and at nothing else.
func pageReader(t *testing.T, b *browser) {
	b.open("/")
	for path, want := range map[string]int{"/scadenze": 200, "/stato": 200, "/da-decidere": 403, "/messaggi": 403, "/registro": 403, "/inserisci": 403, "/da-decidere/1/file/1": 403} {
		if got := js[int](b, fmt.Sprintf("(r => { r.open('GET', %q, false); r.send(); return r.status })(new XMLHttpRequest())", path)); got != want {
			t.Errorf("%s: got %d, want %d", path, got, want)
		}
	}
	b.open("/da-decidere")
	b.axe("not for readers")
	b.open("/")
	b.press("form[action='/esci'] button")
	b.axe("after leaving")
	b.open("/")
	b.says("Non hai fatto l’accesso")
	b.quiet("a reader")
}
