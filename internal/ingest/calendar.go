package ingest

import (
	"context"
	"fmt"
	"io"
	"time"

	ics "github.com/arran4/golang-ical"

	"pec-ingest/internal/safetext"
	"pec-ingest/internal/schedule"
)

// Calendar writes the renewals and expiries to come as iCalendar (RFC 5545):
// all-day events, with identifiers that stay the same, so that a calendar
// that subscribes moves them and does not double them.
func (s *Service) Calendar(ctx context.Context, w io.Writer, now time.Time) error {
	all, err := s.inventory(ctx, "")
	if err != nil {
		return err
	}
	cal := ics.NewCalendarFor("pec-ingest")
	cal.SetMethod(ics.MethodPublish)
	cal.SetName("Password PEC")
	for _, k := range all {
		if k.version.N == 0 {
			continue
		}
		f := s.facts(k)
		who := safetext.Line(firstOf(k.client.Name, k.client.Mailbox))
		event := func(kind string, day time.Time, title string) {
			id := fmt.Sprintf("%s-%s-%d-%s@pec-ingest", kind, hashText(f.Mailbox + "\x00" + f.Login)[:16], f.Version, kind)
			e := cal.AddEvent(id)
			e.SetDtStampTime(k.version.StoredAt)
			e.SetAllDayStartAt(day)
			e.SetAllDayEndAt(day.AddDate(0, 0, 1))
			e.SetSummary(title)
			e.SetDescription(safetext.Line(k.client.Mailbox + " " + k.client.Phone))
		}
		event("renew", schedule.RenewDay(f.Issued, f.Expires, s.policy), "Rinnovo password PEC: "+who)
		event("expiry", f.Expires, "Scade la password PEC: "+who)
		if !f.Claimed.IsZero() {
			event("claimed", f.Claimed, "Scadenza posticipata (dichiarata): "+who)
		}
	}
	_, err = io.WriteString(w, cal.Serialize())
	return err
}
