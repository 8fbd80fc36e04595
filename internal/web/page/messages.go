package page

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"pec-ingest/internal/safetext"
)

// The states of a message, as the outbox names them.
const (
	outQueued    = "queued"
	outInDoubt   = "in-doubt"
	outSent      = "sent"
	outAccepted  = "accepted"
	outDelivered = "delivered"
	outFailed    = "failed"
)

// needsPerson tells whether nothing happens any more with a message by itself.
func needsPerson(m Message) bool {
	return m.State == outFailed && !m.Withdrawn || m.State == outInDoubt || m.Late && (m.State == outSent || m.State == outAccepted)
}

// messageSets are the filters of the list.
var messageSets = []struct {
	Key  string
	Test func(Message) bool
}{
	{"tutti", func(Message) bool { return true }},
	{"aperti", func(m Message) bool {
		return m.State == outQueued || m.State == outSent || m.State == outAccepted && !m.External || m.State == outInDoubt
	}},
	{"guardare", needsPerson},
	{"consegnati", func(m Message) bool { return m.State == outDelivered || m.State == outAccepted && m.External }},
}

type messageSet struct {
	Key, Href string
	N         int
	Now       bool
}

type messagesData struct {
	frame
	Rows       []Message
	Sets       []messageSet
	Search     string
	Set        string
	Prev, Next string
	Page       int
	Pages      int
}

func (p *Page) messages(w http.ResponseWriter, r *http.Request, _ Person) error {
	rows, err := p.o.Source.Messages(r.Context())
	if err != nil {
		return err
	}
	q := r.URL.Query()
	d := messagesData{frame: p.frame(r, "messages", "nav.outbox"), Search: safetext.LineN(q.Get("q"), 200), Set: "tutti", Page: 1}
	d.Live = true
	find := listQuery{Search: d.Search}
	rows = slices.DeleteFunc(rows, func(m Message) bool {
		return !find.matches(Mailbox{Address: m.To + " " + m.Mailbox, Client: m.Kind + " " + d.Or("kind.", m.Kind)})
	})
	for _, set := range messageSets {
		if q.Get("quali") == set.Key {
			d.Set = set.Key
		}
	}
	for _, set := range messageSets {
		n := 0
		for _, m := range rows {
			if set.Test(m) {
				n++
			}
		}
		d.Sets = append(d.Sets, messageSet{set.Key, messagesPath(d.Search, set.Key, 1), n, set.Key == d.Set})
		if set.Key == d.Set {
			d.Rows = slices.DeleteFunc(slices.Clone(rows), func(m Message) bool { return !set.Test(m) })
		}
	}
	d.Pages = max(1, (len(d.Rows)+perPage-1)/perPage)
	if n, err := strconv.Atoi(q.Get("pagina")); err == nil && n > 1 {
		d.Page = min(n, d.Pages)
	}
	d.Rows = d.Rows[min((d.Page-1)*perPage, len(d.Rows)):min(d.Page*perPage, len(d.Rows))]
	if d.Page > 1 {
		d.Prev = messagesPath(d.Search, d.Set, d.Page-1)
	}
	if d.Page < d.Pages {
		d.Next = messagesPath(d.Search, d.Set, d.Page+1)
	}
	return p.render(w, http.StatusOK, "messages", d)
}

func messagesPath(search, set string, page int) string {
	v := url.Values{}
	if search != "" {
		v.Set("q", search)
	}
	if set != "tutti" {
		v.Set("quali", set)
	}
	if page > 1 {
		v.Set("pagina", strconv.Itoa(page))
	}
	if len(v) == 0 {
		return "/messaggi"
	}
	return "/messaggi?" + v.Encode()
}

type sending struct{ Icon, Text string }

// Sending says how a message stands: shape and words.
func (f frame) Sending(m Message) sending {
	switch {
	case m.Withdrawn:
		return sending{"off", f.T("out.withdrawn")}
	case m.State == outDelivered:
		return sending{"valid", f.T("out.delivered")}
	case m.State == outAccepted && m.External:
		return sending{"valid", f.T("out.accepted.external")}
	case m.Late && (m.State == outAccepted || m.State == outSent):
		return sending{"due", f.T("out.late." + m.State)}
	case m.State == outAccepted, m.State == outSent:
		return sending{"unverified", f.T("out." + m.State)}
	case m.State == outQueued:
		return sending{"missing", f.T("out.queued.state")}
	case m.State == outInDoubt:
		return sending{"due", f.T("out.in-doubt")}
	}
	return sending{"broken", f.T("out.failed")}
}

// step is one of the stations of a message.
type step struct {
	Class, Text string
}

// Steps are the stations of a message: those behind it, those before it.
func (f frame) Steps(m Message) (list []step) {
	add := func(done bool, text string) {
		class := "not"
		if done {
			class = "is"
		}
		list = append(list, step{class, text})
	}
	add(true, f.T("step.queued", f.Second(m.Queued)))
	if m.State == outFailed {
		class, text := "bad", f.T("out.failed")
		if m.Withdrawn {
			text = f.T("out.withdrawn")
		}
		if !m.StateAt.IsZero() {
			text += " · " + f.Second(m.StateAt)
		}
		return append(list, step{class, text})
	}
	order := slices.Index([]string{outQueued, outInDoubt, outSent, outAccepted, outDelivered}, m.State)
	sent := f.T("step.sent.not")
	if order >= 2 {
		sent = f.T("step.sent", f.Second(m.Sent))
	} else if order == 1 {
		sent = f.T("out.in-doubt")
	}
	add(order >= 2, sent)
	accepted, delivered := f.T("step.accepted.not"), f.T("step.delivered.not")
	if order >= 3 {
		accepted = f.T("step.accepted")
	}
	if m.State == outAccepted && !m.StateAt.IsZero() {
		accepted += " · " + f.Second(m.StateAt)
	}
	add(order >= 3, accepted)
	if m.External {
		return append(list, step{"not", f.T("step.external")})
	}
	if order >= 4 {
		delivered = f.T("step.delivered")
		if !m.StateAt.IsZero() {
			delivered += " · " + f.Second(m.StateAt)
		}
	}
	add(order >= 4, delivered)
	return list
}

// Next says what happens next with a message, and what a person can do.
func (f frame) Next(m Message) string {
	switch {
	case m.Withdrawn, m.State == outDelivered, m.State == outAccepted && m.External:
		return f.T("next.nothing")
	case m.State == outQueued && !m.NextTry.IsZero() && m.NextTry.After(f.now):
		return f.T("next.try", f.At(m.NextTry), m.Tries)
	case m.State == outQueued:
		return f.T("next.queued")
	case m.State == outInDoubt:
		return f.T("next.in-doubt")
	case m.State == outFailed:
		return f.T("next.failed")
	case m.Late:
		return f.T("next.late." + m.State)
	}
	return f.T("next." + m.State)
}

// CanRetry tells whether a person may have a message sent again.
func (frame) CanRetry(m Message) bool {
	return m.State == outFailed || m.State == outInDoubt || m.State == outSent && m.Late
}

// CanDrop tells whether a person may give a message up.
func (frame) CanDrop(m Message) bool {
	return m.State == outQueued || m.State == outInDoubt || m.State == outFailed && !m.Withdrawn
}

func (p *Page) message(w http.ResponseWriter, r *http.Request, _ Person) error {
	n, err := number(r, "n")
	if err != nil {
		return err
	}
	m, err := p.o.Source.Message(r.Context(), n)
	if err != nil {
		return err
	}
	d := struct {
		frame
		M MessageText
	}{p.frame(r, "message", "nav.outbox"), m}
	d.Title, d.Live = d.T("out.title", n), true
	return p.render(w, http.StatusOK, "message", d)
}

// proof gives the delivery receipt as it came, to be saved.
func (p *Page) proof(w http.ResponseWriter, r *http.Request, _ Person) error {
	n, err := number(r, "n")
	if err != nil {
		return err
	}
	raw, err := p.o.Source.Proof(r.Context(), n)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="ricevuta-%d.eml"`, n))
	h.Set("Content-Length", strconv.Itoa(len(raw)))
	_, _ = w.Write(raw)
	return nil
}

func (p *Page) retry(w http.ResponseWriter, r *http.Request, who Person) error {
	return p.decideMessage(w, r, "ritentato", func(n int) error { return p.o.Source.Retry(r.Context(), who.actor(), n) })
}

func (p *Page) drop(w http.ResponseWriter, r *http.Request, who Person) error {
	return p.decideMessage(w, r, "annullato", func(n int) error { return p.o.Source.Drop(r.Context(), who.actor(), n) })
}

func (p *Page) decideMessage(w http.ResponseWriter, r *http.Request, done string, do func(int) error) error {
	n, err := number(r, "n")
	if err != nil {
		return err
	}
	if err := do(n); err != nil {
		return err
	}
	http.Redirect(w, r, fmt.Sprintf("/messaggi/%d?esito=%s", n, done), http.StatusSeeOther)
	return nil
}
