package gate

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"pec-ingest/internal/web/page"
)

// How long a session lasts: without anything that a person did, and in all.
// A page that refreshes itself keeps no session alive.
const (
	SessionIdle = 2 * time.Hour
	SessionLife = 12 * time.Hour
)

// maxSessions bounds the sessions; the one unused longest gives way.
const maxSessions = 256

// cookieName is the session's cookie. Over plain HTTP on loopback it can't
// have the prefix __Host- (which wants Secure); it is host-only all the same.
const cookieName = "ingest-session"

// Session is what is told of a session.
type Session struct {
	N                    int // number for Revoke
	Name, Rights, Issuer string
	Since, Used          time.Time
}

type session struct {
	n           int
	hash        Hash
	person      page.Person
	issuer      string
	since, used time.Time
}

func (s *session) over(now time.Time) bool {
	return now.Sub(s.used) >= SessionIdle || now.Sub(s.since) >= SessionLife
}

// sessions are those who are inside. They live as long as the service: after a
// restart everybody signs in again.
type sessions struct {
	mu   sync.Mutex
	last int
	list []*session
}

// open begins a session and gives what the cookie holds.
func (s *sessions) open(p page.Person, issuer string, now time.Time) (token string) {
	token, hash := NewToken()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(now)
	if len(s.list) >= maxSessions {
		oldest := slices.MinFunc(s.list, func(a, b *session) int { return a.used.Compare(b.used) })
		s.list = slices.DeleteFunc(s.list, func(x *session) bool { return x == oldest })
	}
	s.last++
	s.list = append(s.list, &session{n: s.last, hash: hash, person: p, issuer: issuer, since: now, used: now})
	return token
}

// who is inside with that token; active tells that a person did something.
func (s *sessions) who(token string, active bool, now time.Time) (p page.Person, ok bool) {
	hash := HashOf(token)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(now)
	for _, x := range s.list {
		if x.hash.Equal(hash) {
			if active {
				x.used = now
			}
			p, ok = x.person, true
		}
	}
	return p, ok
}

// close ends the session of a token.
func (s *sessions) close(token string) (p page.Person, ok bool) {
	hash := HashOf(token)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = slices.DeleteFunc(s.list, func(x *session) bool {
		if !x.hash.Equal(hash) {
			return false
		}
		p, ok = x.person, true
		return true
	})
	return p, ok
}

func (s *sessions) drop(now time.Time) {
	s.list = slices.DeleteFunc(s.list, func(x *session) bool { return x.over(now) })
}

// Sessions lists who is inside.
func (g *Gate) Sessions(now time.Time) []Session {
	g.sessions.mu.Lock()
	defer g.sessions.mu.Unlock()
	g.sessions.drop(now)
	list := make([]Session, 0, len(g.sessions.list))
	for _, x := range g.sessions.list {
		list = append(list, Session{x.n, x.person.Name, rightsOf(x.person), x.issuer, x.since, x.used})
	}
	return list
}

// Revoke ends session n, or with n = 0 all of them and every link that was
// not used yet, and tells how many ended.
func (g *Gate) Revoke(n int) (ended int) {
	if n == 0 {
		g.tickets.mu.Lock()
		ended = len(g.tickets.list)
		g.tickets.list = nil
		g.tickets.mu.Unlock()
	}
	g.sessions.mu.Lock()
	defer g.sessions.mu.Unlock()
	before := len(g.sessions.list)
	g.sessions.list = slices.DeleteFunc(g.sessions.list, func(x *session) bool { return n == 0 || x.n == n })
	return ended + before - len(g.sessions.list)
}

// refreshHeader is what the page's script sends when nobody asked it to.
const refreshHeader = "X-Refresh"

// active tells whether a person caused the request, and not the page's own
// refreshing, which says so. What a page loads besides is no sign of a person
// either. Source: Fetch Metadata.
func active(r *http.Request) bool {
	if r.Header.Get(refreshHeader) != "" {
		return false
	}
	mode := r.Header.Get("Sec-Fetch-Mode")
	return mode == "" || mode == "navigate" || r.Method == http.MethodPost
}

// cookie is the session's cookie with that value; "" takes it back.
func cookie(value string) *http.Cookie {
	c := &http.Cookie{Name: cookieName, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}

// tokenOf is the session token that a request brings. Two cookies of the name
// are none: another program on this host, on another port, may set one.
func tokenOf(r *http.Request) string {
	if list := r.CookiesNamed(cookieName); len(list) == 1 {
		return list[0].Value
	}
	return ""
}
