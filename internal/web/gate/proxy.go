package gate

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"pec-ingest/internal/web/page"
)

// Proxy says whom a reverse proxy may bring.
type Proxy struct {
	UID    uint32 // of the proxy; the kernel tells who connects
	Host   string // the page's name as browsers know it
	Header string // who has signed in
	// Names in that header: who may decide, and who may see candidates under
	// review in clear; "*" is everybody. All others look only.
	Deciders, Revealers []string
}

func (p *Proxy) person(name, lang string) page.Person {
	has := func(list []string) bool { return slices.Contains(list, name) || slices.Contains(list, "*") }
	decides := has(p.Deciders)
	return page.Person{Name: name, Actor: fmt.Sprintf("page:%s(uid:%d)", name, p.UID), Lang: lang,
		CanDecide: decides, CanReveal: decides && has(p.Revealers)}
}

// proxyHost tells whether the browser meant the page by its name.
func (g *Gate) proxyHost(r *http.Request) bool {
	p := g.proxy.Load()
	return p != nil && hostOf(r.Host) == strings.ToLower(p.Host)
}

// brought finds out whom the proxy brings.
func (g *Gate) brought(w http.ResponseWriter, r *http.Request) (page.Person, bool) {
	p := g.proxy.Load() // not nil: the host was right
	if r.URL.Path == pathStyle {
		http.ServeFileFS(w, r, assets, "gate.css")
		return page.Person{}, false
	}
	if r.URL.Path == PathOut {
		g.message(w, r, http.StatusOK, msgProxyOut)
		return page.Person{}, false
	}
	name, ok := named(r.Header, p.Header)
	if !ok {
		g.opts.Log.Warn("the proxy does not say who comes", "event", "page.no_name",
			"hint", "it must set web.proxy_header to one valid name, and pass on none that a browser sent")
		g.message(w, r, http.StatusForbidden, msgNoName)
		return page.Person{}, false
	}
	return p.person(name, ""), true
}

// named is the one value of a header, when it is a name. Headers that some
// programs take for the same one (case, underscores) make the request
// ambiguous, and nobody is let in with it.
func named(h http.Header, header string) (name string, ok bool) {
	fold := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "_", "-") }
	var values []string
	for k, v := range h {
		if fold(k) == fold(header) {
			values = append(values, v...)
		}
	}
	if len(values) != 1 || len(h.Values(header)) != 1 || CheckName(values[0]) != nil {
		return "", false
	}
	return values[0], true
}
