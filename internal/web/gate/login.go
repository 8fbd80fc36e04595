package gate

import (
	"embed"
	"html/template"
	"net"
	"net/http"
	"time"

	"pec-ingest/internal/web/page"
)

// The gate's own paths.
const (
	PathIn    = "/accesso" // ?t=TOKEN, and &lang=en
	PathOut   = "/esci"
	pathStyle = "/accesso/stile.css"
)

//go:embed gate.html gate.css
var assets embed.FS

var view = template.Must(template.ParseFS(assets, "gate.html"))

// message is something to tell a person who is not inside.
type message int

const (
	msgEnter message = iota // the link's page: press the button
	msgNobody
	msgUnsent // the same, to somebody who has sent something
	msgBadLink
	msgSlow
	msgForeign
	msgOut
	msgNoPage
	msgNoName
	msgProxyOut
)

// words of a message, in one language.
type words struct{ Title, Text, Button string }

var texts = map[string]map[message]words{
	"it": {
		msgEnter:    {"Accesso", "Il collegamento vale una volta sola. Premi il pulsante per entrare da questo browser.", "Entra"},
		msgNobody:   {"Non hai fatto l’accesso", "Serve un collegamento personale: lo stampa il comando «ingest page», vale cinque minuti e una volta sola. Se eri già entrato e arrivi qui da un altro sito, riprova.", "Riprova"},
		msgUnsent:   {"La sessione è finita", "Quello che hai inviato non è stato salvato. Per non riscriverlo: apri un nuovo collegamento («ingest page») in un’altra scheda di questo browser, poi torna qui, ricarica la pagina e conferma di inviare di nuovo.", ""},
		msgBadLink:  {"Il collegamento non vale più", "È già stato usato, oppure sono passati più di cinque minuti. Il comando «ingest page» ne stampa un altro.", ""},
		msgSlow:     {"Troppi tentativi", "Sono arrivati troppi collegamenti sbagliati. Quello giusto funziona sempre: «ingest page» ne stampa uno nuovo.", ""},
		msgForeign:  {"Richiesta rifiutata", "La richiesta arriva dalla pagina di un altro sito. Torna alla pagina e ripeti l’operazione da lì.", ""},
		msgOut:      {"Sei uscito", "La sessione è chiusa in questo browser.", ""},
		msgNoPage:   {"La pagina non c’è", "Questo servizio è avviato senza la pagina.", ""},
		msgNoName:   {"Accesso non riuscito", "Il proxy non dice chi sei, o lo dice in modo non valido. Chi amministra il server trova le istruzioni in docs/page.md.", ""},
		msgProxyOut: {"Da qui non si esce", "L’accesso è del server che sta davanti a questa pagina: per uscire chiudi il browser o usa la sua pagina.", ""},
	},
	"en": {
		msgEnter:    {"Sign in", "The link works once. Press the button to sign in with this browser.", "Sign in"},
		msgNobody:   {"You are not signed in", "You need a link of your own: the command “ingest page” prints it; it works once and for five minutes. If you were signed in and came here from another site, try again.", "Try again"},
		msgUnsent:   {"Your session has ended", "What you sent was not saved. So as not to type it again: open a new link (“ingest page”) in another tab of this browser, then come back here, reload the page and confirm that it is sent again.", ""},
		msgBadLink:  {"The link no longer works", "It was used before, or more than five minutes have passed. The command “ingest page” prints another one.", ""},
		msgSlow:     {"Too many attempts", "Too many wrong links were brought. The right one always works: “ingest page” prints a new one.", ""},
		msgForeign:  {"Request refused", "The request comes from another site’s page. Go back to the page and do it again there.", ""},
		msgOut:      {"You are signed out", "The session has ended in this browser.", ""},
		msgNoPage:   {"There is no page", "This service runs without the page.", ""},
		msgNoName:   {"Could not sign in", "The proxy does not say who you are, or not in a valid way. The administrator finds the rules in docs/page.md.", ""},
		msgProxyOut: {"You can’t sign out here", "The server in front of this page signs people in: close the browser, or use that server’s own page.", ""},
	},
}

// langOf is the language of a person who is not inside: what the link says,
// else what was chosen on the page, else Italian.
func langOf(r *http.Request) string {
	// r.FormValue would read a body of any size.
	choices := []string{r.URL.Query().Get("lang"), r.PostForm.Get("lang")}
	if c, err := r.Cookie(page.LangCookie); err == nil {
		choices = append(choices, c.Value)
	}
	for _, c := range choices {
		if c == "it" || c == "en" {
			return c
		}
	}
	return "it"
}

// message answers with a small page of the gate's own.
func (g *Gate) message(w http.ResponseWriter, r *http.Request, status int, m message) {
	g.show(w, r, status, m, "")
}

func (g *Gate) show(w http.ResponseWriter, r *http.Request, status int, m message, token string) {
	lang := langOf(r)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	data := struct {
		words
		Lang, Token, Style, In, Again string
	}{texts[lang][m], lang, token, pathStyle, PathIn, ""}
	if m == msgNobody && r.Method == http.MethodGet {
		data.Again = r.URL.RequestURI()
	}
	if err := view.Execute(w, data); err != nil {
		g.opts.Log.Debug("a page of the gate could not be written", "event", "page.error", "err", err)
	}
}

// visitor finds out who comes over TCP, and answers itself whoever is not
// inside: the link's page, its button, the way out.
func (g *Gate) visitor(w http.ResponseWriter, r *http.Request) (page.Person, bool) {
	switch r.URL.Path {
	case PathIn:
		g.enter(w, r)
		return page.Person{}, false
	case PathOut:
		g.leave(w, r)
		return page.Person{}, false
	case pathStyle:
		http.ServeFileFS(w, r, assets, "gate.css")
		return page.Person{}, false
	}
	p, ok := g.sessions.who(tokenOf(r), active(r), time.Now())
	switch {
	case ok:
	case r.Method == http.MethodPost:
		g.message(w, r, http.StatusForbidden, msgUnsent)
	default:
		g.message(w, r, http.StatusForbidden, msgNobody)
	}
	return p, ok
}

// enter shows the button, and takes what the button sends. Looking at a link
// does not use it: programs that preview links look.
func (g *Gate) enter(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		token := r.URL.Query().Get("t")
		if token == "" {
			g.message(w, r, http.StatusForbidden, msgNobody)
			return
		}
		g.show(w, r, http.StatusOK, msgEnter, token)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	now := time.Now()
	gr, ok := g.tickets.take(r.PostFormValue("t"), now)
	if !ok {
		// The right link is never refused because of wrong ones: who guesses
		// keeps nobody out.
		if g.failures.add(addressOf(r), now) {
			g.message(w, r, http.StatusForbidden, msgBadLink)
			return
		}
		w.Header().Set("Retry-After", "60")
		g.message(w, r, http.StatusTooManyRequests, msgSlow)
		return
	}
	if old := tokenOf(r); old != "" {
		g.sessions.close(old)
	}
	p := gr.person()
	http.SetCookie(w, cookie(g.sessions.open(p, gr.Issuer, now)))
	g.opts.Audit(p.Actor, "page.entered", rightsOf(p)+"; link by "+gr.Issuer)
	g.opts.Log.Info("somebody came in to the page", "event", "page.entered", "actor", p.Actor)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// leave ends the session. It takes a POST, so that no link or picture of
// another site does it.
func (g *Gate) leave(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		refuse(w, http.StatusMethodNotAllowed)
		return
	}
	if p, ok := g.sessions.close(tokenOf(r)); ok {
		g.opts.Audit(p.Actor, "page.left", "")
		g.opts.Log.Info("somebody left the page", "event", "page.left", "actor", p.Actor)
	}
	http.SetCookie(w, cookie(""))
	g.message(w, r, http.StatusOK, msgOut)
}

// addressOf is the address of a connection, without its port.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
