// Package page is the page for the studio's people: it shows everything and
// gives nothing away.
//
// It makes HTML on the server (html/template, embedded assets, no build step)
// and works without JavaScript; the script only keeps it fresh. There is no
// route that could show a stored password: Source has no method that gives
// one. What is foreign passes safetext and is then escaped by html/template.
//
// Who is let in is decided by others: the handler expects a Person in the
// request's context, and shows nothing without one.
package page

import (
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// Options of New.
type Options struct {
	Source  Source // required
	Version string // of the program
	Studio  string // the studio's name, for the head of the page

	// LogoutPath takes a POST that ends the session; "" = there is none to end.
	LogoutPath string
	// SecureCookies marks the cookies of language and theme Secure.
	SecureCookies bool

	Log *slog.Logger // nil: nothing is logged
}

// Page is the handler that New makes.
type Page struct {
	o     Options
	mux   *http.ServeMux
	views map[string]*view

	// What was found on somebody's request is shown until the next time.
	mu     sync.Mutex
	checks checked
	chain  verified
	seen   map[int]map[string]time.Time // item → who looked at it, when

	checking sync.Mutex // held while the self-check runs
}

// ContentPolicy is the Content-Security-Policy of every page.
const ContentPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// New makes the page of a source. Its routes lie below "/", its assets below
// AssetPrefix; those are the same for everybody and need no Person.
func New(o Options) http.Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Page{o: o, mux: http.NewServeMux(), views: views(), seen: map[int]map[string]time.Time{}}
	p.get("/{$}", everybody, p.mailboxes)
	p.get("/caselle/{mailbox}", everybody, p.mailbox)
	p.get("/scadenze", everybody, p.expiries)
	p.get("/stato", everybody, p.standing)
	p.get("/aiuto", everybody, p.help)
	p.post("/preferenze", everybody, p.preferences)

	p.post("/caselle/{mailbox}/posti", deciders, p.placeDone)
	p.get("/da-decidere", deciders, p.reviews)
	p.get("/da-decidere/{n}", deciders, p.review)
	p.post("/da-decidere/{n}/approva", deciders, p.approve)
	p.post("/da-decidere/{n}/respingi", deciders, p.reject)
	p.post("/da-decidere/{n}/mostra", revealers, p.reveal)
	p.get("/da-decidere/{n}/file/{file}", revealers, p.reviewFile)
	p.get("/messaggi", deciders, p.messages)
	p.get("/messaggi/{n}", deciders, p.message)
	p.get("/messaggi/{n}/ricevuta.eml", deciders, p.proof)
	p.post("/messaggi/{n}/ritenta", deciders, p.retry)
	p.post("/messaggi/{n}/annulla", deciders, p.drop)
	p.get("/registro", deciders, p.audit)
	p.post("/registro/verifica", deciders, p.verify)
	p.post("/stato/controlla", deciders, p.check)
	p.get("/inserisci", deciders, p.enterForm)
	p.post("/inserisci", deciders, p.enter)
	p.mux.HandleFunc("GET "+AssetPrefix+"{name}", serveAsset)
	return http.HandlerFunc(p.serve)
}

// maxForm bounds what a form may hold.
const maxForm = 64 << 10

// needs is the right that a route asks for.
type needs int

const (
	everybody needs = iota
	deciders
	revealers
)

func (n needs) met(p Person) bool {
	switch n {
	case deciders:
		return p.CanDecide
	case revealers:
		return p.CanDecide && p.CanReveal
	}
	return true
}

// serve is all that comes before a route is chosen.
func (p *Page) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", ContentPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if _, pattern := p.mux.Handler(r); pattern == "" {
		p.unknown(w, r)
		return
	}
	p.mux.ServeHTTP(w, r)
}

// unknown answers what no route takes: another method, or nothing there.
func (p *Page) unknown(w http.ResponseWriter, r *http.Request) {
	if _, ok := PersonFrom(r.Context()); !ok {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := p.mux.Handler(other); pattern != "" && r.Method != method {
			w.Header().Set("Allow", method)
			p.trouble(w, r, http.StatusMethodNotAllowed, &Problem{Kind: KindInvalid})
			return
		}
	}
	p.trouble(w, r, http.StatusNotFound, &Problem{Kind: KindNotFound})
}

type action func(http.ResponseWriter, *http.Request, Person) error

func (p *Page) get(path string, n needs, do action) { p.mux.HandleFunc("GET "+path, p.guard(n, do)) }

func (p *Page) post(path string, n needs, do action) {
	guarded := p.guard(n, do)
	p.mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		guarded(w, r)
	})
}

// guard lets only those through who have the right, and turns errors into
// pages.
func (p *Page) guard(n needs, do action) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, ok := PersonFrom(r.Context())
		if !ok {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if !n.met(who) {
			p.trouble(w, r, http.StatusForbidden, &Problem{Kind: kindNotAllowed})
			return
		}
		if r.Method == http.MethodPost {
			if err := r.ParseForm(); err != nil {
				p.trouble(w, r, http.StatusBadRequest, &Problem{Kind: KindInvalid})
				return
			}
		}
		err := do(w, r, who)
		if err == nil {
			return
		}
		if problem, ok := problemOf(err); ok {
			p.trouble(w, r, statusOf(problem.Kind), problem)
			return
		}
		if errors.Is(err, r.Context().Err()) && r.Context().Err() != nil {
			return // nobody waits for the answer
		}
		p.o.Log.Error("a page could not be made", "event", "page.error", "path", r.Pattern, "err", err)
		p.trouble(w, r, http.StatusInternalServerError, &Problem{Kind: KindFailed})
	}
}

func statusOf(k Kind) int {
	switch k {
	case kindNotAllowed:
		return http.StatusForbidden
	case KindNotFound:
		return http.StatusNotFound
	case KindDecided, KindSent:
		return http.StatusConflict
	case KindFailed, KindNoKey:
		return http.StatusInternalServerError
	}
	return http.StatusUnprocessableEntity
}

// kindNotAllowed: the person lacks the right; no source says this.
const kindNotAllowed Kind = "not-allowed"
