package page

import "context"

// Person is who looks at the page, as whoever let him in says.
type Person struct {
	Name  string // shown; never empty
	Actor string // stands in the audit log; "" = "page:" and the name
	Lang  string // "it" or "en"; "" = Italian. A choice made on the page comes first

	// CanDecide: everything that administrators may do on the socket. Without
	// it there are Caselle, Scadenze and Stato, as for web.readers.
	CanDecide bool
	// CanReveal: letters and files of the review queue in clear. Each use is
	// audited. A stored password is never shown to anybody.
	CanReveal bool
	// CanLeave: there is a session to end. One that a proxy brings has none.
	CanLeave bool
}

// actor names the person in the audit log.
func (p Person) actor() string {
	if p.Actor != "" {
		return p.Actor
	}
	return "page:" + p.Name
}

type personKey struct{}

// WithPerson puts the person into a request's context.
func WithPerson(ctx context.Context, p Person) context.Context {
	return context.WithValue(ctx, personKey{}, p)
}

// PersonFrom is the person of a request; ok is false when nobody was let in.
func PersonFrom(ctx context.Context) (p Person, ok bool) {
	p, ok = ctx.Value(personKey{}).(Person)
	return p, ok && p.Name != ""
}
