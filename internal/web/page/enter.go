package page

import (
	"context"
	"net/http"
	"strings"
	"time"

	"pec-ingest/internal/safetext"
)

// enterForm is what somebody enters, without the password.
type enterForm struct {
	Mailbox, Login, Way, Caller, Told, Expires string
	Confirm                                    bool
}

// ways are how a password may have come.
var ways = []string{"telefono", "persona", "carta", "altro"}

type enterData struct {
	frame
	Form  enterForm
	Wrong map[string]string
	Ways  []string
	Boxes []Mailbox // for the browser to complete
	Max   string    // latest moment that can have been
}

// toldForm is how a datetime-local field sends a moment.
const toldForm = "2006-01-02T15:04"

func (p *Page) enterData(r *http.Request) (enterData, error) {
	boxes, err := p.o.Source.Mailboxes(r.Context())
	if err != nil {
		return enterData{}, err
	}
	d := enterData{frame: p.frame(r, "enter", "enter.title"), Wrong: map[string]string{}, Ways: ways, Boxes: boxes}
	d.Max = d.now.In(d.loc).Format(toldForm)
	return d, nil
}

func (p *Page) enterForm(w http.ResponseWriter, r *http.Request, _ Person) error {
	d, err := p.enterData(r)
	if err != nil {
		return err
	}
	d.Form = enterForm{Mailbox: safetext.LineN(r.URL.Query().Get("casella"), 254), Way: ways[0], Told: d.Max, Confirm: true}
	return p.render(w, http.StatusOK, "enter", d)
}

// enter stores a password; the answer never has it.
func (p *Page) enter(w http.ResponseWriter, r *http.Request, who Person) error {
	password := takePassword(r)
	defer password.Wipe()
	d, err := p.enterData(r)
	if err != nil {
		return err
	}
	f := r.PostForm
	d.Form = enterForm{Mailbox: strings.ToLower(safetext.LineN(f.Get("casella"), 254)), Login: safetext.LineN(f.Get("utente"), 254), Way: ways[len(ways)-1],
		Caller: safetext.LineN(f.Get("da"), 120), Told: safetext.LineN(f.Get("quando"), 20), Expires: safetext.LineN(f.Get("scadenza"), 20), Confirm: f.Get("conferma") != ""}
	for _, way := range ways {
		if f.Get("modo") == way {
			d.Form.Way = way
		}
	}
	e := Entry{Who: who.actor(), Mailbox: d.Form.Mailbox, Login: d.Form.Login, Confirm: d.Form.Confirm, Secret: password}
	if e.Mailbox == "" {
		d.Wrong["casella"] = d.T("wrong.mailbox")
	}
	if password.IsZero() {
		d.Wrong["password"] = d.T("wrong.password")
	}
	if d.Form.Caller == "" {
		d.Wrong["da"] = d.T("wrong.caller")
	}
	if e.Expires, err = readDay(d.Form.Expires); err != nil {
		d.Wrong["scadenza"] = d.T("wrong.day")
	}
	told, err := time.ParseInLocation(toldForm, d.Form.Told, d.loc)
	switch {
	case d.Form.Told == "":
		told = d.now
	case err != nil || told.After(d.now.Add(time.Minute)) || told.Before(d.now.AddDate(0, 0, -toldDays)):
		d.Wrong["quando"] = d.T("wrong.told", toldDays)
	}
	if d.now.Sub(told) > time.Minute {
		e.Told = told
	}
	if len(d.Wrong) > 0 {
		d.Problem = &Problem{Kind: KindInvalid}
		return p.render(w, http.StatusUnprocessableEntity, "enter", d)
	}
	// Noted in the studio's language, whatever the page's is.
	e.Source = words{}.T("way."+d.Form.Way) + ", da " + d.Form.Caller + ", " + told.In(d.loc).Format("02/01/2006 15:04")
	stored, err := p.o.Source.Enter(context.WithoutCancel(r.Context()), e)
	if err != nil {
		problem, ok := problemOf(err)
		if !ok {
			return err
		}
		d.Problem = problem
		if field, ok := fieldOf[problem.Kind]; ok {
			d.Wrong[field] = d.T("problem." + string(problem.Kind))
		}
		return p.render(w, statusOf(problem.Kind), "enter", d)
	}
	done := "inserita"
	switch {
	case stored.State == "unverified":
		done = "inserita-da-provare"
	case stored.Confirmed:
		done = "inserita-confermata"
	}
	http.Redirect(w, r, mailboxPath(stored.Mailbox)+"?esito="+done, http.StatusSeeOther)
	return nil
}

// toldDays is how long ago a password may have been told.
const toldDays = 60

// fieldOf is the field of a form that a problem is about.
var fieldOf = map[Kind]string{
	KindNotListed: "casella", KindNotFound: "casella", KindRefused: "password", KindDatePast: "scadenza", KindDateFar: "scadenza", KindNoLogin: "utente",
}
