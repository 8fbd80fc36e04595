package page

import (
	"net/http"
	"time"
)

type checked struct {
	at    time.Time
	lines []CheckLine
}
type verified struct{ at time.Time }

func nothingYet(http.ResponseWriter, *http.Request, Person) error {
	return &Problem{Kind: KindNotFound}
}
func (p *Page) mailbox(w http.ResponseWriter, r *http.Request, who Person) error {
	return nothingYet(w, r, who)
}
func (p *Page) expiries(w http.ResponseWriter, r *http.Request, who Person) error {
	return nothingYet(w, r, who)
}
func (p *Page) standing(w http.ResponseWriter, r *http.Request, who Person) error {
	return nothingYet(w, r, who)
}
func (p *Page) help(w http.ResponseWriter, r *http.Request, who Person) error {
	return nothingYet(w, r, who)
}
func (p *Page) placeDone(w http.ResponseWriter, r *http.Request, who Person) error {
	return nothingYet(w, r, who)
}
func (p *Page) reviews(w http.ResponseWriter, r *http.Request, who Person) error {
	return nothingYet(w, r, who)
}
func (p *Page) review(w http.ResponseWriter, r *http.Request, who Person) error {
	return nothingYet(w, r, who)
}
func (p *Page) approve(w http.ResponseWriter, r *http.Request, who Person) error {
	return nothingYet(w, r, who)
}
func (p *Page) reject(w http.ResponseWriter, r *http.Request, who Person) error {
	return nothingYet(w, r, who)
}
func (p *Page) reveal(w http.ResponseWriter, r *http.Request, who Person) error {
	return nothingYet(w, r, who)
}
func (p *Page) reviewFile(w http.ResponseWriter, r *http.Request, who Person) error {
	return nothingYet(w, r, who)
}
func (p *Page) messages(w http.ResponseWriter, r *http.Request, who Person) error {
	return nothingYet(w, r, who)
}
func (p *Page) message(w http.ResponseWriter, r *http.Request, who Person) error {
	return nothingYet(w, r, who)
}
func (p *Page) proof(w http.ResponseWriter, r *http.Request, who Person) error {
	return nothingYet(w, r, who)
}
func (p *Page) retry(w http.ResponseWriter, r *http.Request, who Person) error {
	return nothingYet(w, r, who)
}
func (p *Page) drop(w http.ResponseWriter, r *http.Request, who Person) error {
	return nothingYet(w, r, who)
}
func (p *Page) audit(w http.ResponseWriter, r *http.Request, who Person) error {
	return nothingYet(w, r, who)
}
func (p *Page) verify(w http.ResponseWriter, r *http.Request, who Person) error {
	return nothingYet(w, r, who)
}
func (p *Page) check(w http.ResponseWriter, r *http.Request, who Person) error {
	return nothingYet(w, r, who)
}
func (p *Page) enterForm(w http.ResponseWriter, r *http.Request, who Person) error {
	return nothingYet(w, r, who)
}
func (p *Page) enter(w http.ResponseWriter, r *http.Request, who Person) error {
	return nothingYet(w, r, who)
}
