package gate

import "net/http"

// Open and Proxied are what the servers answer with.
func (g *Gate) Open() http.Handler    { return g.open() }
func (g *Gate) Proxied() http.Handler { return g.proxied() }

// The limits that tests go beyond.
const (
	MaxConns      = maxConns
	FailuresOfOne = failuresOfOne
	FailuresOfAll = failuresOfAll
)
