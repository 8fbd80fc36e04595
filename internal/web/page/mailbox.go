package page

import (
	"net/http"
	"net/url"
	"strings"
)

type mailboxData struct {
	frame
	Box MailboxDetail
}

func (p *Page) mailbox(w http.ResponseWriter, r *http.Request, _ Person) error {
	box, err := p.o.Source.Mailbox(r.Context(), strings.ToLower(r.PathValue("mailbox")))
	if isKind(err, KindNotListed) {
		return &Problem{Kind: KindNotFound}
	}
	if err != nil {
		return err
	}
	d := mailboxData{frame: p.frame(r, "mailbox", "home.title"), Box: box}
	d.Title, d.Live = d.Addr(box.Address), true
	if box.Client != "" {
		d.Title = d.Safe(box.Client)
	}
	return p.render(w, http.StatusOK, "mailbox", d)
}

// mailboxPath is the address of one mailbox.
func mailboxPath(address string) string { return "/caselle/" + url.PathEscape(address) }

// placeDone notes that the current password was entered at a place by hand.
func (p *Page) placeDone(w http.ResponseWriter, r *http.Request, who Person) error {
	address := strings.ToLower(r.PathValue("mailbox"))
	if err := p.o.Source.PlaceDone(r.Context(), who.actor(), address, r.PostForm.Get("login"), r.PostForm.Get("posto")); err != nil {
		return err
	}
	http.Redirect(w, r, mailboxPath(address)+"?esito=posto", http.StatusSeeOther)
	return nil
}

func (p *Page) help(w http.ResponseWriter, r *http.Request, _ Person) error {
	d := struct {
		frame
		States []string
	}{p.frame(r, "help", "help.title"), states}
	return p.render(w, http.StatusOK, "help", d)
}

// BoxHref is the address of one mailbox, for templates.
func (frame) BoxHref(address string) string { return mailboxPath(address) }
