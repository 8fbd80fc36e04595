package ingest

import (
	"time"

	"pec-ingest/internal/notify"
	"pec-ingest/internal/provider"
	"pec-ingest/internal/schedule"
	"pec-ingest/internal/vault"
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
			RemindFrom: today, DaysLeft: 10, Digest: sampleDigest(today)}
		if p, ok := s.providers.ByID("aruba-pec"); ok {
			d.Provider, d.Steps, d.Postpone = p.Name, provider.Numbered(p.Steps, lang), provider.Numbered(p.Postpone, lang)
		}
		switch k {
		case notify.KindStudioInbox: // as queueStudioInbox fills it in
			d.Mailbox, d.Steps, d.Postpone = s.cfg.Inbox.Username, nil, nil
		case notify.KindRejected:
			d.Reason = map[string]string{"it": "nella foto la password non si legge", "en": "the password in the picture cannot be read"}[lang]
		}
		r, err := s.templates.Render(k, d)
		return r.Subject, r.Text, err
	}
	return "", "", notFound("there is no message %q", kind).hint("`ingest outbox preview` lists them")
}

// sampleDigest is a digest with something in each of its lists.
func sampleDigest(today time.Time) notify.Digest {
	item := func(mailbox, state string, days int) []notify.Item {
		return []notify.Item{{Mailbox: mailbox, Client: "Mario Rossi", Phone: "051 111111", State: state, Expires: today.AddDate(0, 0, days), DaysLeft: days}}
	}
	return notify.Digest{Day: today,
		Call: item("rossi@pec.example", schedule.StateDue, 2), Due: item("bianchi@pec.example", schedule.StateDue, 8),
		Expired: item("neri@pec.example", schedule.StateExpired, -3), Broken: item("gialli@pec.example", schedule.StateBroken, 40),
		Review:      []string{"n. 12, verdi@pec.example: " + reviewWords[ReviewIntended]},
		Refused:     []string{refusedLine(vault.Refused{ClaimedSender: "rossi@pec.example", Reason: "bad-signature"})},
		Left:        []string{"verdi@pec.example: «Documenti e nuova password»"},
		Undelivered: []string{"n. 31 a neri@pec.example («password scaduta»): non consegnato"},
		AuditHead:   "3f2a9c…", AuditSeq: 412}
}

// PreviewKinds lists the kinds of messages.
func PreviewKinds() []string {
	var kinds []string
	for _, k := range notify.Kinds() {
		kinds = append(kinds, string(k))
	}
	return kinds
}
