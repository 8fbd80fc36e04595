package ingest

import (
	"time"

	"pec-ingest/internal/notify"
)

// Preview renders a kind of message with sample data, as a client would get
// it; nothing is sent.
func (s *Service) Preview(kind, lang string, now time.Time) (subject, text string, err error) {
	for _, k := range notify.Kinds() {
		if string(k) != kind {
			continue
		}
		today := s.today(now)
		d := notify.Data{Lang: lang, Studio: s.studio(), Client: "Mario Rossi", Mailbox: "rossi@pec.example",
			Mailboxes: []string{"rossi@pec.example"}, Expires: today.AddDate(0, 0, 10), Claimed: today.AddDate(0, 0, 100),
			RemindFrom: today, DaysLeft: 10, Digest: notify.Digest{Day: today}}
		if p, ok := s.providers.ByID("aruba-pec"); ok {
			d.Provider, d.Steps, d.Postpone = p.Name, p.Steps[lang], p.Postpone[lang]
		}
		r, err := s.templates.Render(k, d)
		return r.Subject, r.Text, err
	}
	return "", "", notFound("there is no message %q", kind).hint("`ingest outbox preview` lists them")
}

// PreviewKinds lists the kinds of messages.
func PreviewKinds() []string {
	var kinds []string
	for _, k := range notify.Kinds() {
		kinds = append(kinds, string(k))
	}
	return kinds
}
