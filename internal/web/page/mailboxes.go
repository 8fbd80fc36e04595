package page

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"pec-ingest/internal/safetext"
	"pec-ingest/internal/schedule"
)

// perPage is how many mailboxes stand on one page of the list.
const perPage = 100

// states is the order in which states are listed: what is urgent first.
var states = []string{schedule.StateBroken, schedule.StateExpired, schedule.StateDue, schedule.StateUnverified, schedule.StateMissing, schedule.StateValid}

// column is one column of the list and how it is sorted.
type column struct {
	Key  string
	less func(a, b Mailbox) int
}

var columns = []column{
	{"client", func(a, b Mailbox) int {
		return cmp.Or(strings.Compare(strings.ToLower(cmp.Or(a.Client, a.Address)), strings.ToLower(cmp.Or(b.Client, b.Address))), strings.Compare(a.Address, b.Address))
	}},
	{"state", func(a, b Mailbox) int {
		return cmp.Or(cmp.Compare(slices.Index(states, a.State), slices.Index(states, b.State)), byDays(a, b))
	}},
	{"days", byDays},
	{"span", func(a, b Mailbox) int { return cmp.Compare(elapsed(b), elapsed(a)) }},
	{"check", func(a, b Mailbox) int { return a.Checked.Compare(b.Checked) }},
}

// byDays puts those without a password last.
func byDays(a, b Mailbox) int {
	if (a.Version == 0) != (b.Version == 0) {
		return cmp.Compare(b2i(a.Version == 0), b2i(b.Version == 0))
	}
	return cmp.Or(a.Expires.Compare(b.Expires), strings.Compare(a.Address, b.Address))
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// listQuery is what the address asks of the list.
type listQuery struct {
	Search, State, Sort string
	Down, All           bool
	Page                int
}

func readListQuery(v url.Values) listQuery {
	q := listQuery{Search: safetext.LineN(v.Get("q"), 200), Sort: "state", All: v.Get("pagina") == "tutte", Page: 1}
	if slices.Contains(states, v.Get("stato")) {
		q.State = v.Get("stato")
	}
	for _, c := range columns {
		if v.Get("ordina") == c.Key {
			q.Sort = c.Key
		}
	}
	q.Down = v.Get("verso") == "giu"
	if n, err := strconv.Atoi(v.Get("pagina")); err == nil && n > 1 {
		q.Page = n
	}
	return q
}

// address is the query of a list; what is as usual is left out.
func (q listQuery) address() string {
	v := url.Values{}
	if q.Search != "" {
		v.Set("q", q.Search)
	}
	if q.State != "" {
		v.Set("stato", q.State)
	}
	if q.Sort != "state" {
		v.Set("ordina", q.Sort)
	}
	if q.Down {
		v.Set("verso", "giu")
	}
	switch {
	case q.All:
		v.Set("pagina", "tutte")
	case q.Page > 1:
		v.Set("pagina", strconv.Itoa(q.Page))
	}
	if len(v) == 0 {
		return "/"
	}
	return "/?" + v.Encode()
}

// matches tells whether each word that was looked for is in the row.
func (q listQuery) matches(m Mailbox) bool {
	if q.State != "" && m.State != q.State {
		return false
	}
	text := strings.ToLower(m.Address + " " + m.Client + " " + m.Login + " " + m.Provider)
	for _, word := range strings.Fields(strings.ToLower(q.Search)) {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

type sortLink struct {
	Key, Href string
	Now, Down bool
}

type stateCount struct {
	State, Href string
	N           int
	Now         bool
}

type mailboxesData struct {
	frame
	Query        listQuery
	Rows         []Mailbox
	Shown        []boxRow // Rows, in words
	CheckLabel   string
	Total, Found int
	States       []stateCount
	Everything   string // the address without a state
	Sorts        []sortLink
	Pages        int
	Prev, Next   string
	AllHref      string
	PagedHref    string
}

func (p *Page) mailboxes(w http.ResponseWriter, r *http.Request, _ Person) error {
	rows, err := p.o.Source.Mailboxes(r.Context())
	if err != nil {
		return err
	}
	q := readListQuery(r.URL.Query())
	d := mailboxesData{frame: p.frame(r, "mailboxes", "home.title"), Query: q, Total: len(rows)}
	d.Live = true
	counts := map[string]int{}
	for _, m := range rows {
		counts[m.State]++
	}
	for _, s := range states {
		if counts[s] == 0 && s != q.State {
			continue
		}
		other := q
		other.State, other.Page = s, 1
		d.States = append(d.States, stateCount{s, other.address(), counts[s], s == q.State})
	}
	everything := q
	everything.State, everything.Page = "", 1
	d.Everything = everything.address()

	rows = slices.DeleteFunc(rows, func(m Mailbox) bool { return !q.matches(m) })
	d.Found = len(rows)
	for _, c := range columns {
		other := q
		other.Sort, other.Page = c.Key, 1
		other.Down = c.Key == q.Sort && !q.Down
		d.Sorts = append(d.Sorts, sortLink{c.Key, other.address(), c.Key == q.Sort, q.Down})
		if c.Key == q.Sort {
			slices.SortStableFunc(rows, c.less)
		}
	}
	if q.Down {
		slices.Reverse(rows)
	}
	d.Rows = rows
	d.paginate()
	d.CheckLabel = d.T("home.col.check") + ":"
	for _, m := range d.Rows {
		d.Shown = append(d.Shown, d.row(m))
	}
	return p.render(w, http.StatusOK, "mailboxes", d)
}

// boxRow is a row of the list in words, ready for the template: with a
// thousand of them the template's own calls would take most of the time.
type boxRow struct {
	State, ID, Href, Name, Address, Login string
	StateText, Trouble                    string
	Left, Expires, ExpiresISO, Claimed    string
	Bar                                   *span
	Check, CheckedAt, CheckedISO          string
}

func (f frame) row(m Mailbox) boxRow {
	r := boxRow{State: m.State, Href: mailboxPath(m.Address), Name: f.Addr(m.Address), StateText: f.Or("state.", m.State)}
	r.ID = "m-" + url.PathEscape(m.Address+"/"+m.Login)
	if m.Client != "" {
		r.Name, r.Address = f.Safe(m.Client), r.Name
	}
	if m.Login != "" && m.Login != m.Address {
		r.Login = f.T("home.login", f.Safe(m.Login))
	}
	if !m.TroubleSince.IsZero() {
		r.Trouble = f.T("trouble.from", f.At(m.TroubleSince))
	}
	if m.Version > 0 {
		r.Left, r.Expires, r.ExpiresISO, r.Bar = f.Left(m), f.Day(m.Expires), f.ISODay(m.Expires), f.Span(m)
	}
	if !m.Claimed.IsZero() {
		r.Claimed = f.T("claimed", f.Day(m.Claimed))
	}
	if !m.Checked.IsZero() {
		r.Check, r.CheckedAt, r.CheckedISO = f.Or("check.", m.CheckResult), f.At(m.Checked), f.ISO(m.Checked)
	}
	return r
}

// paginate cuts the rows to the page asked for.
func (d *mailboxesData) paginate() {
	q := d.Query
	d.Pages = (len(d.Rows) + perPage - 1) / perPage
	if d.Pages < 2 {
		return
	}
	q.All, q.Page = true, 1
	d.AllHref = q.address()
	q.All = false
	d.PagedHref = q.address()
	if d.Query.All {
		return
	}
	q.Page = min(d.Query.Page, d.Pages)
	d.Query.Page = q.Page
	d.Rows = d.Rows[(q.Page-1)*perPage : min(q.Page*perPage, len(d.Rows))]
	other := q
	if q.Page > 1 {
		other.Page = q.Page - 1
		d.Prev = other.address()
	}
	if q.Page < d.Pages {
		other.Page = q.Page + 1
		d.Next = other.address()
	}
}

// Left says how long a password still lives.
func (f frame) Left(m Mailbox) string {
	switch {
	case m.Version == 0:
		return "–"
	case m.DaysLeft == 0:
		return f.T("days.today")
	case m.DaysLeft < 0:
		return f.N("days.over", -m.DaysLeft)
	}
	return f.N("days", m.DaysLeft)
}

// span is where a password stands in its validity, for the bar: lengths in
// percent of it.
type span struct {
	State       string
	Done, Renew int // elapsed; where the renewal begins
	Knob        int // where the mark stands, inside the bar
	Label       string
}

// Span gives the bar of a mailbox.
func (f frame) Span(m Mailbox) *span {
	renew := 100
	if total := days(m.Issued, m.Expires); total > 0 {
		renew = min(100*days(m.Issued, m.RenewOn)/total, 100)
	}
	done := min(elapsedOn(m, f.Today()), 100)
	return &span{m.State, done, renew, max(1, min(done, 99)), f.T("span.label", f.Day(m.Issued), f.Day(m.Expires), f.Day(m.RenewOn), done)}
}

func days(from, to time.Time) int { return int(to.Sub(from).Hours() / 24) }

// elapsedOn is how much of the validity is over, in percent; over 100 after it.
func elapsedOn(m Mailbox, today time.Time) int {
	total := days(m.Issued, m.Expires)
	if m.Version == 0 || total <= 0 {
		return 0
	}
	return max(0, 100*days(m.Issued, today)/total)
}

// elapsed is elapsedOn as of the day that DaysLeft counts from.
func elapsed(m Mailbox) int { return elapsedOn(m, m.Expires.AddDate(0, 0, -m.DaysLeft)) }
