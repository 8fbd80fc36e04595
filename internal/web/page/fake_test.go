package page_test

import (
	"context"
	"fmt"
	"time"

	"pec-ingest/internal/schedule"
	"pec-ingest/internal/web/page"
)

// fake is a Source without a service.
type fake struct {
	page.Source // what a test doesn't expect to be asked panics
	boxes       []page.Mailbox
	counts      page.Counts
}

func (f *fake) Policy() schedule.Policy                           { return schedule.Policy{} }
func (f *fake) Counts(context.Context) (page.Counts, error)       { return f.counts, nil }
func (f *fake) Mailboxes(context.Context) ([]page.Mailbox, error) { return f.boxes, nil }

// today is the studio's day.
func today() time.Time { return schedule.Policy{}.Today(time.Now()) }

// boxes makes n mailboxes in all states.
func boxes(n int) []page.Mailbox {
	states := []string{"valid", "due", "expired", "broken", "unverified", "missing"}
	list := make([]page.Mailbox, 0, n)
	for i := range n {
		m := page.Mailbox{Address: fmt.Sprintf("cliente%04d@pec.example", i), Client: fmt.Sprintf("Cliente n. %04d S.r.l.", i),
			Provider: "aruba-pec", State: states[i%len(states)]}
		m.Login = m.Address
		if m.State != "missing" {
			left := map[string]int{"valid": 60, "due": 5, "expired": -3, "broken": 40, "unverified": 88}[m.State]
			m.Version, m.DaysLeft, m.Expires = 1, left, today().AddDate(0, 0, left)
			m.Issued = m.Expires.AddDate(0, 0, -90)
			m.RenewOn = m.Issued.AddDate(0, 0, 80)
			m.Checked, m.CheckResult = time.Now().Add(-time.Hour), "accepted"
		}
		list = append(list, m)
	}
	return list
}
