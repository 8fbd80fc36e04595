package page

import (
	"context"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"pec-ingest/internal/safetext"
	"pec-ingest/internal/secret"
)

type reviewsData struct {
	frame
	Open, Decided []Review
	All           bool
}

// decidedShown is how many decided items the list shows below the open ones.
const decidedShown = 20

func (p *Page) reviews(w http.ResponseWriter, r *http.Request, _ Person) error {
	rows, err := p.o.Source.Reviews(r.Context(), true)
	if err != nil {
		return err
	}
	d := reviewsData{frame: p.frame(r, "reviews", "nav.review"), All: r.URL.Query().Get("tutte") != ""}
	d.Live = true
	for _, row := range rows {
		if row.Decided.IsZero() {
			d.Open = append(d.Open, row)
		}
	}
	for i := len(rows) - 1; i >= 0 && (d.All || len(d.Decided) < decidedShown); i-- {
		if !rows[i].Decided.IsZero() {
			d.Decided = append(d.Decided, rows[i])
		}
	}
	return p.render(w, http.StatusOK, "reviews", d)
}

type reviewData struct {
	frame
	Item       ReviewItem
	Next       int // another open item; 0 = none
	Place      string
	Others     []onlooker
	Choice     int // the candidate that is chosen; 0 = typed
	Form       approvalForm
	Wrong      map[string]string // field → what is wrong with it, in words
	RejectWith string
	Tell       bool
}

// KeyOf is the shortcut of a part of the form that approves: the password's
// field where there is nothing but typing it, else the button.
func (d reviewData) KeyOf(part string) string {
	if (part == "password") == (d.Choice == 0) {
		return "a"
	}
	return ""
}

// approvalForm is what somebody had entered, without the password.
type approvalForm struct{ Mailbox, Login, Expires, NewClient string }

type onlooker struct {
	Name string
	At   time.Time
}

func number(r *http.Request, name string) (int, error) {
	n, err := strconv.Atoi(r.PathValue(name))
	if err != nil || n < 1 || strconv.Itoa(n) != r.PathValue(name) {
		return 0, &Problem{Kind: KindNotFound}
	}
	return n, nil
}

func (p *Page) review(w http.ResponseWriter, r *http.Request, who Person) error {
	d, err := p.reviewData(r, who, false)
	if err != nil {
		return err
	}
	d.Live = d.Item.Decided.IsZero()
	return p.render(w, http.StatusOK, "review", d)
}

// reveal shows the letter and its candidates in clear, once: the answer to
// the POST is the only page that has them.
func (p *Page) reveal(w http.ResponseWriter, r *http.Request, who Person) error {
	d, err := p.reviewData(r, who, true)
	if err != nil {
		return err
	}
	return p.render(w, http.StatusOK, "review", d)
}

func (p *Page) reviewData(r *http.Request, who Person, reveal bool) (d reviewData, err error) {
	n, err := number(r, "n")
	if err != nil {
		return d, err
	}
	item, err := p.o.Source.Review(r.Context(), who.actor(), n, reveal)
	if err != nil {
		return d, err
	}
	item.Revealed = reveal
	d = reviewData{frame: p.frame(r, "review", "review.title"), Item: item, Wrong: map[string]string{}}
	d.Title = d.T("review.title", n)
	d.Form.Expires = d.ISODay(item.Stated)
	if item.Login != item.Mailbox {
		d.Form.Login = item.Login
	}
	for _, c := range item.Candidates {
		if !c.Refused && d.Choice == 0 {
			d.Choice = c.N
		}
	}
	d.Next, d.Place = p.nextOpen(r.Context(), d.frame, n)
	if item.Decided.IsZero() {
		d.Others = p.lookedAt(n, who.Name, d.now)
	}
	return d, nil
}

// nextOpen is the next item that waits, after n or from the beginning.
func (p *Page) nextOpen(ctx context.Context, f frame, n int) (next int, place string) {
	rows, err := p.o.Source.Reviews(ctx, false)
	if err != nil {
		return 0, ""
	}
	for i, row := range rows {
		switch {
		case row.N == n:
			place = f.T("review.place", i+1, len(rows))
		case row.N > n:
			return row.N, place
		case next == 0:
			next = row.N
		}
	}
	return next, place
}

// lookedFor is how long somebody is taken to be still looking: the page asks
// again more often than that.
const lookedFor = 90 * time.Second

// lookedAt notes that somebody looks at an item, and names the others who do.
func (p *Page) lookedAt(n int, name string, now time.Time) (others []onlooker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for item, people := range p.seen {
		for who, at := range people {
			if now.Sub(at) > lookedFor {
				delete(people, who)
			}
		}
		if len(people) == 0 {
			delete(p.seen, item)
		}
	}
	if p.seen[n] == nil {
		p.seen[n] = map[string]time.Time{}
	}
	for who, at := range p.seen[n] {
		if who != name {
			others = append(others, onlooker{who, at})
		}
	}
	p.seen[n][name] = now
	return others
}

func (p *Page) approve(w http.ResponseWriter, r *http.Request, who Person) error {
	n, err := number(r, "n")
	if err != nil {
		return err
	}
	f := r.PostForm
	a := Approval{Who: who.actor(), N: n, Mailbox: safetext.LineN(f.Get("casella"), 254), Login: safetext.LineN(f.Get("utente"), 254),
		NewClient: safetext.LineN(f.Get("cliente"), 200)}
	wrong := map[string]string{}
	words := wordsFor(r, who)
	choice, _ := strconv.Atoi(f.Get("candidato"))
	if a.Candidate = max(choice, 0); a.Candidate == 0 {
		a.Typed = takePassword(r)
		if a.Typed.IsZero() {
			wrong["password"] = words.T("wrong.password")
		}
	}
	defer a.Typed.Wipe()
	if a.Expires, err = readDay(f.Get("scadenza")); err != nil {
		wrong["scadenza"] = words.T("wrong.day")
	}
	if len(wrong) == 0 {
		// A login may take long, and what it proved is kept whoever waits.
		var stored Stored
		if stored, err = p.o.Source.Approve(context.WithoutCancel(r.Context()), a); err == nil {
			done := "approvata"
			if stored.State == "unverified" {
				done = "approvata-dubbia"
			}
			p.onward(w, r, n, done)
			return nil
		}
	} else {
		err = &Problem{Kind: KindInvalid}
	}
	return p.reviewAgain(w, r, who, err, func(d *reviewData) {
		if problem, ok := problemOf(err); ok && fieldOf[problem.Kind] != "" {
			field := fieldOf[problem.Kind]
			if problem.Kind == KindNotListed && a.Mailbox == "" {
				field = "cliente"
			}
			wrong[field] = d.T("problem." + string(problem.Kind))
		}
		d.Wrong, d.Choice = wrong, a.Candidate
		d.Form = approvalForm{a.Mailbox, a.Login, f.Get("scadenza"), a.NewClient}
	})
}

func (p *Page) reject(w http.ResponseWriter, r *http.Request, who Person) error {
	n, err := number(r, "n")
	if err != nil {
		return err
	}
	reason, tell := safetext.LineN(r.PostForm.Get("motivo"), 300), r.PostForm.Get("avvisa") != ""
	wrong := map[string]string{}
	if tell && reason == "" {
		wrong["motivo"] = wordsFor(r, who).T("wrong.reason")
		err = &Problem{Kind: KindInvalid}
	} else if err = p.o.Source.Reject(r.Context(), who.actor(), n, reason, tell); err == nil {
		p.onward(w, r, n, "respinta")
		return nil
	}
	return p.reviewAgain(w, r, who, err, func(d *reviewData) { d.Wrong, d.RejectWith, d.Tell = wrong, reason, tell })
}

// onward goes to the next item that waits.
func (p *Page) onward(w http.ResponseWriter, r *http.Request, n int, done string) {
	to := "/da-decidere"
	if next, _ := p.nextOpen(r.Context(), frame{}, n); next > 0 {
		to += "/" + strconv.Itoa(next)
	}
	http.Redirect(w, r, to+"?esito="+done, http.StatusSeeOther)
}

// reviewAgain shows the item with what went wrong and what had been entered.
func (p *Page) reviewAgain(w http.ResponseWriter, r *http.Request, who Person, cause error, fill func(*reviewData)) error {
	problem, ok := problemOf(cause)
	if !ok || problem.Kind == KindNotFound {
		return cause
	}
	d, err := p.reviewData(r, who, false)
	if err != nil {
		return err
	}
	fill(&d)
	if problem.Kind == KindDecided {
		// The item itself says who was first, to the second.
		problem = &Problem{Kind: KindDecided, By: d.Item.DecidedBy, At: d.Item.Decided}
	}
	d.Problem = problem
	return p.render(w, statusOf(problem.Kind), "review", d)
}

// takePassword takes the password out of a form, which forgets it.
func takePassword(r *http.Request) secret.Secret {
	password := secret.FromString(strings.TrimSpace(r.PostForm.Get("password")))
	delete(r.PostForm, "password")
	delete(r.Form, "password")
	return password
}

// readDay reads a day as a date field sends it, or as people write it.
func readDay(s string) (time.Time, error) {
	if s = safetext.LineN(s, 20); s == "" {
		return time.Time{}, nil
	}
	for _, form := range []string{time.DateOnly, "2/1/2006", "2.1.2006", "2-1-2006"} {
		if day, err := time.Parse(form, s); err == nil && day.Year() > 2000 && day.Year() < 2100 {
			return day, nil
		}
	}
	return time.Time{}, &Problem{Kind: KindInvalid}
}

// piece is a part of a letter; marks are where a candidate stands.
type piece struct {
	Text string
	Mark bool
}

var marker = regexp.MustCompile(`\[[0-9]{1,2}: [^\]\n]{1,200}\]`)

// Pieces cuts a letter at its candidates.
func (frame) Pieces(letter string) (list []piece) {
	letter = safetext.Block(letter, 400)
	at := 0
	for _, m := range marker.FindAllStringIndex(letter, -1) {
		list = append(list, piece{letter[at:m[0]], false}, piece{letter[m[0]:m[1]], true})
		at = m[1]
	}
	return append(list, piece{letter[at:], false})
}

// Who names an actor of the audit log for people.
func (f frame) Who(actor string) string {
	if actor == "service" {
		return f.T("who.service")
	}
	if m := actorForm.FindStringSubmatch(actor); m != nil {
		return safetext.LineN(m[1]+m[2], 80)
	}
	return safetext.LineN(actor, 80)
}

// actorForm is "uid:1000(anna)", or "page:Anna Rossi(uid:1000)".
var actorForm = regexp.MustCompile(`^(?:uid:[0-9]+\(([^()]+)\)|page:([^()]+)(?:\(.*\))?)$`)
