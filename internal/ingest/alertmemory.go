package ingest

import (
	"context"
	"errors"
	"sync"
	"time"

	"pec-ingest/internal/vault"
)

// The vault remembers which alerts went out and whether the account for them
// is refused. That the vault itself does not answer must be told, too: what is
// to be known for that stands here, as long as the process lasts.

// outageAlert is after how long without a good pass, or without an answer of
// the vault, people are told.
const outageAlert = 2 * time.Hour

// alertMemory is what a process knows of its alerts by itself.
type alertMemory struct {
	mu      sync.Mutex
	told    map[string]bool // causes of alerts that went out without a record
	account vault.Account   // AccountAlert as last seen, with what was learned since
	learned bool            // the vault does not have it yet
}

// tell marks a cause as told; first is false where it was before.
func (m *alertMemory) tell(cause string) (first bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.told[cause] {
		return false
	}
	if m.told == nil || len(m.told) > 64 { // of days that are over
		m.told = map[string]bool{}
	}
	m.told[cause] = true
	return true
}

func (m *alertMemory) toldAlready(cause string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.told[cause]
}

// lastSeen is AccountAlert as far as this process knows it.
func (m *alertMemory) lastSeen() vault.Account {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.account
}

// firstToday tells whether an alert is the first of its day and kind, and
// marks it as such; lost tells that the vault can't be asked for anything.
func (s *Service) firstToday(ctx context.Context, e Event) (first, lost bool) {
	cause := "alert/" + e.Event + "/" + s.today(e.At).Format(time.DateOnly)
	if s.daemon.alerts.toldAlready(cause) {
		return false, false
	}
	err := s.vault.Update(ctx, func(tx *vault.Tx) error {
		first = false
		done, err := tx.Caused(cause)
		if err != nil || done {
			return err
		}
		first = true
		return tx.MarkCause(cause, e.At.Format(time.RFC3339))
	})
	switch {
	case err == nil:
		return first, false
	case errors.Is(err, vault.ErrNotLeading):
		return false, false // who leads now sends it
	}
	s.log.Error("an alert can't be recorded; it is sent all the same", "event", "alert.error", "err", err)
	return s.daemon.alerts.tell(cause), LostVault(err)
}

// noteAlertLogin is noteLogin where the vault does not answer: a refusal counts
// in this process, and is recorded when the vault is back.
func (s *Service) noteAlertLogin(l login) error {
	if l.answer != answerRefused && l.answer != answerNo {
		return nil
	}
	m := s.daemon.alerts
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.account
	if a.Username != s.usernameOf(AccountAlert) || !s.daemon.marks.is(a, l.secret) {
		salt, mark, err := s.daemon.marks.make(l.secret)
		if err != nil {
			return err
		}
		a = anew(a, salt, mark)
	}
	m.account, m.learned = s.noted(a, l, time.Now().UTC().Truncate(time.Second)), true
	return nil
}

// rememberAlerts brings memory and vault to the same state, for the next time
// that the vault does not answer.
func (s *Service) rememberAlerts(ctx context.Context) error {
	if s.cfg.Alert.SMTP == "" {
		return nil
	}
	m := s.daemon.alerts
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.learned {
		a, _, err := s.account(ctx, AccountAlert)
		if err == nil {
			m.account = a
		}
		return err
	}
	var known vault.Account
	err := s.vault.Update(ctx, func(tx *vault.Tx) (err error) {
		if known, _, err = tx.Account(AccountAlert); err != nil {
			return err
		}
		if known.GoodAt.After(m.account.RefusedAt) && known.GoodAt.After(m.account.TroubleAt) {
			return nil // another service was faster, with another secret
		}
		known = m.account
		if err := tx.PutAccount(known); err != nil || known.RefusedAt.IsZero() {
			return err
		}
		return auditRefused(tx, AccountAlert)
	})
	if err == nil {
		m.account, m.learned = known, false
	}
	return err
}

// outage is how long the cluster has not answered a service.
type outage struct {
	member string    // the service
	since  time.Time // zero: it answers
	told   string    // the day on which people were told last
}

// clusterAnswers notes whether the cluster answered this service just now. It
// tells people when it has not for outageAlert, once a day, and when it does
// again. Each service that is cut off tells it by itself, since they can't agree.
func (s *Service) clusterAnswers(ctx context.Context, o *outage, now time.Time, err error) {
	day := s.today(now).Format(time.DateOnly)
	switch {
	case err == nil:
		if o.told != "" {
			s.Alert(ctx, Event{Event: "vault.back", At: now, good: true, Msg: "etcd answers the service " + o.member +
				" again; it had not since " + o.since.UTC().Format(time.RFC3339), Hint: "nothing: what has waited is done now"})
		}
		o.since, o.told = time.Time{}, ""
	case o.since.IsZero():
		o.since = now
	case now.Sub(o.since) >= outageAlert && o.told != day:
		o.told = day
		s.Alert(ctx, Event{Event: "vault.outage", At: now, Msg: "etcd, which holds the vault, has not answered the service " + o.member +
			" since " + o.since.UTC().Format(time.RFC3339), Hint: "do a majority of its members run, and can this machine reach them? `etcdctl endpoint health`; services that reach it go on"})
	}
}
