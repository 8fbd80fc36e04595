package page

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"pec-ingest/internal/safetext"
)

// entriesShown is how many entries of the log stand on one page.
const entriesShown = 100

// verified is what was found when the chain was last walked.
type verified struct {
	At   time.Time
	Seq  int
	Head string
	By   string
	Bad  string // "" = it holds
}

type auditData struct {
	frame
	Entries []AuditEntry
	Form    struct{ Mailbox, Actor, Event, From, To string }
	Wrong   map[string]string
	Older   string // address of what is older; "" = nothing
	Newest  string // address of the beginning; "" = this is it
	Chain   verified
	Groups  []string
}

// eventGroups are how the names of events begin, as the filter offers them.
var eventGroups = []string{"credential.", "review.", "submission.", "probe.", "warning.", "outbox.", "client.", "page.", "vault.", "inbox.", "socket."}

func (p *Page) audit(w http.ResponseWriter, r *http.Request, _ Person) error {
	v := r.URL.Query()
	d := auditData{frame: p.frame(r, "audit", "nav.audit"), Wrong: map[string]string{}, Groups: eventGroups}
	d.Form.Mailbox, d.Form.Actor, d.Form.Event = safetext.Line(v.Get("casella")), safetext.Line(v.Get("chi")), v.Get("evento")
	if !slices.Contains(eventGroups, d.Form.Event) {
		d.Form.Event = ""
	}
	d.Form.From, d.Form.To = safetext.LineN(v.Get("dal"), 20), safetext.LineN(v.Get("al"), 20)
	q := AuditQuery{Mailbox: d.Form.Mailbox, Actor: d.Form.Actor, Event: d.Form.Event, Limit: entriesShown}
	var err error
	if q.From, err = d.instant(d.Form.From, 0); err != nil {
		d.Wrong["dal"] = d.T("wrong.day")
	}
	if q.To, err = d.instant(d.Form.To, 1); err != nil {
		d.Wrong["al"] = d.T("wrong.day")
	}
	if n, err := strconv.Atoi(v.Get("prima")); err == nil && n > 0 {
		q.Before = n
		d.Newest = auditPath(v, 0)
	}
	list, err := p.o.Source.Audit(r.Context(), q)
	if err != nil {
		return err
	}
	d.Entries = list.Entries
	if list.Next > 0 {
		d.Older = auditPath(v, list.Next)
	}
	d.Live = q.Before == 0
	p.mu.Lock()
	d.Chain = p.chain
	p.mu.Unlock()
	return p.render(w, http.StatusOK, "audit", d)
}

// instant is when a day of the studio begins, or the one after it.
func (f frame) instant(day string, after int) (time.Time, error) {
	t, err := readDay(day)
	if err != nil || t.IsZero() {
		return time.Time{}, err
	}
	return time.Date(t.Year(), t.Month(), t.Day()+after, 0, 0, 0, 0, f.loc).UTC(), nil
}

func auditPath(v url.Values, before int) string {
	out := url.Values{}
	for _, key := range []string{"casella", "chi", "evento", "dal", "al"} {
		if v.Get(key) != "" {
			out.Set(key, v.Get(key))
		}
	}
	if before > 0 {
		out.Set("prima", strconv.Itoa(before))
	}
	if len(out) == 0 {
		return "/registro"
	}
	return "/registro?" + out.Encode()
}

// verify walks the whole chain and keeps what was found until the next time.
func (p *Page) verify(w http.ResponseWriter, r *http.Request, who Person) error {
	found := verified{At: time.Now(), By: who.Name}
	var err error
	if found.Seq, found.Head, err = p.o.Source.VerifyAudit(r.Context()); err != nil {
		problem, ok := problemOf(err)
		if !ok {
			return err
		}
		found.Bad = problem.Detail
	}
	p.mu.Lock()
	p.chain = found
	p.mu.Unlock()
	http.Redirect(w, r, "/registro#catena", http.StatusSeeOther)
	return nil
}
