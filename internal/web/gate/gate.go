// Package gate stands before the page and decides who enters.
//
// Two ways lead in. Over TCP, on loopback addresses only, a person brings a
// one-time link that `ingest page` printed, and has a session afterwards. Over
// a unix socket a reverse proxy brings people it has signed in itself; it is
// known by its uid, which the kernel tells, and names the person in a header.
// The same header over TCP is nothing. Programs bring keys of their own, for
// the calendar feed and for metrics, and monitoring asks /healthz and /readyz
// without any.
//
// What the page is, the gate does not know: it puts a page.Person into the
// request's context, after which that handler answers. All that a browser must
// be told to keep others out is said here, before the page writes anything.
//
// Sources: RFC 6265bis (cookies), CSP Level 3, Fetch Metadata, RFC 9110.
package gate

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pec-ingest/internal/web/page"
)

// Limits on what somebody who has not signed in may use.
const (
	maxForm       = 4 << 10 // bytes of a sign-in
	maxInside     = 1 << 20 // bytes of what somebody inside sends
	maxHeader     = 16 << 10
	headerTimeout = 5 * time.Second
	bodyTimeout   = 10 * time.Second
	idleTimeout   = 30 * time.Second
	wordTimeout   = 3 * time.Second // for the answers to monitoring
	writeTimeout  = wordTimeout + 7*time.Second
	// insideTimeout is for the answer to somebody who has signed in: a
	// decision waits for a login at a mail server.
	insideTimeout = 3 * time.Minute
	closeTimeout  = 2 * time.Second // for answers that are under way at the end
)

// Options are the parts of a Gate. Only Alive and Ready are required.
type Options struct {
	Page http.Handler // nil: there is none; health and feeds only

	// Alive and Ready answer monitoring, each within three seconds.
	Alive, Ready func(context.Context) bool

	// Calendar and Metrics write what a key opens; nil: there is none. Key
	// names the key of that kind with that token, "" for none.
	Calendar, Metrics func(context.Context, io.Writer) error
	Key               func(ctx context.Context, kind, token string) (name string, err error)

	// Audit records who came in, went out or was refused; nil: nobody does.
	Audit func(actor, event, detail string)

	Log *slog.Logger // nil: nothing is logged
}

// The kinds of keys.
const (
	KeyCalendar = "calendar"
	KeyMetrics  = "metrics"
)

// Gate knows the links that were given out, who is inside, and how often
// somebody tried in vain. It may serve several servers, and is for many
// goroutines.
type Gate struct {
	opts     Options
	tickets  tickets
	sessions sessions
	failures failures
	proxy    atomic.Pointer[Proxy]
	foreign  *http.CrossOriginProtection
	life     context.Context // until Close
	end      context.CancelFunc
	working  sync.RWMutex // read-locked by each answer to somebody inside
}

// New makes a gate that nobody has passed yet.
func New(o Options) *Gate {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Audit == nil {
		o.Audit = func(string, string, string) {}
	}
	g := &Gate{opts: o, foreign: http.NewCrossOriginProtection()}
	g.life, g.end = context.WithCancel(context.Background())
	g.failures.tell = func(count int) {
		g.opts.Log.Warn("wrong or used links were brought to the page", "event", "page.refused", "count", count,
			"hint", "somebody guesses, or a link was opened twice; `ingest page` makes a new one")
		g.opts.Audit("page", "page.refused", times(count))
	}
	return g
}

// Close ends what was begun for people who are inside, waits for it a little,
// and tells what was not told yet. Servers are closed before, by themselves.
func (g *Gate) Close() {
	g.end()
	ended := make(chan struct{})
	go func() {
		g.working.Lock()
		defer g.working.Unlock()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(closeTimeout):
	}
	g.failures.rest()
}

// SetProxy changes whom the proxy may bring, for requests that come after it.
func (g *Gate) SetProxy(p Proxy) { g.proxy.Store(&p) }

// open is what answers over TCP.
func (g *Gate) open() http.Handler {
	return g.words(sane(loopbackHost, g.guarded(g.inside(g.visitor))))
}

// proxied is what answers the reverse proxy.
func (g *Gate) proxied() http.Handler {
	return g.words(sane(g.proxyHost, g.guarded(g.inside(g.brought))))
}

// guarded refuses what another site's page made a browser send.
func (g *Gate) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := g.foreign.Check(r); err != nil {
			g.message(w, r, http.StatusForbidden, msgForeign)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// inside lets in whom who knows, and keeps the way open for the answer.
func (g *Gate) inside(who func(http.ResponseWriter, *http.Request) (page.Person, bool)) http.Handler {
	feeds := g.feeds()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if feeds(w, r) {
			return
		}
		p, ok := who(w, r)
		if !ok {
			return
		}
		if g.opts.Page == nil {
			g.message(w, r, http.StatusNotFound, msgNoPage)
			return
		}
		defer protect(r)()
		ctx, cancel := g.begun(w, r)
		defer cancel()
		r.Body = http.MaxBytesReader(w, r.Body, maxInside)
		g.opts.Page.ServeHTTP(w, r.WithContext(page.WithPerson(ctx, p)))
	})
}

// begun is the context of an answer, which may take longer than a stranger's.
// What a person sent off is finished when the browser hangs up, and ends when
// the service does.
func (g *Gate) begun(w http.ResponseWriter, r *http.Request) (context.Context, context.CancelFunc) {
	g.working.RLock()
	until := time.Now().Add(insideTimeout)
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(until) // the server takes a timeout for a hang-up
	_ = rc.SetWriteDeadline(until)
	ctx := r.Context()
	if r.Method == http.MethodPost {
		ctx = context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	stop := context.AfterFunc(g.life, cancel)
	return ctx, func() {
		stop()
		cancel()
		g.working.RUnlock()
	}
}

// sane sets the headers of every answer and refuses requests that no browser
// sends to this page: other names for it, other methods, paths in disguise,
// bodies without a length (RFC 9112 §6.1, §11.2).
func sane(host func(*http.Request) bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protectBrowser(w.Header())
		switch {
		case r.URL.IsAbs() || r.URL.Opaque != "" || !plainPath(r.URL.Path, r.URL.EscapedPath()):
			refuse(w, http.StatusBadRequest)
		case len(r.TransferEncoding) > 0:
			// Forms come with their length. Where a body ends is then beyond
			// doubt, for this server and for a proxy before it.
			refuse(w, http.StatusLengthRequired)
		case !host(r):
			refuse(w, http.StatusMisdirectedRequest)
		case r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost:
			w.Header().Set("Allow", "GET, HEAD, POST")
			refuse(w, http.StatusMethodNotAllowed)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// refuse answers with the status' own words, which quote nothing of the request.
func refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Connection", "close")
	http.Error(w, http.StatusText(status), status)
}

// plainPath tells whether a path is the only way to write it: nothing to be
// cleaned, no separator or control character behind an escape.
func plainPath(p, escaped string) bool {
	clean := path.Clean("/" + p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	if p != clean || strings.ContainsAny(p, "\\;") {
		return false
	}
	for _, r := range p {
		if r < ' ' || r == 0x7f {
			return false
		}
	}
	lower := strings.ToLower(escaped)
	return !strings.Contains(lower, "%2f") && !strings.Contains(lower, "%2e") && !strings.Contains(lower, "%25")
}
