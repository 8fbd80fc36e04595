package ingest

import (
	"context"
	"slices"
	"strings"
	"time"

	"pec-ingest/internal/schedule"
	"pec-ingest/internal/vault"
)

// StatusRow is one credential in `status --json`; null stands for unknown.
// Times are RFC 3339 in UTC, dates ISO in the studio's time zone.
type StatusRow struct {
	Mailbox       string     `json:"mailbox"`
	Login         *string    `json:"login"`
	Client        *string    `json:"client"`
	Provider      *string    `json:"provider"`
	State         string     `json:"state"`
	ClaimedUntil  *string    `json:"claimed_until"`
	Version       *int       `json:"version"`
	ReceivedAt    *time.Time `json:"received_at"`
	ExpiresAt     *string    `json:"expires_at"`
	DaysLeft      *int       `json:"days_left"`
	LastCheck     *LastCheck `json:"last_check"`
	NextWarningAt *time.Time `json:"next_warning_at"`
}

// LastCheck is the last login that was tried with a credential.
type LastCheck struct {
	At           time.Time  `json:"at"`
	Result       string     `json:"result"`
	TroubleSince *time.Time `json:"trouble_since,omitempty"`
}

// known is one credential with what belongs to it.
type known struct {
	client  vault.Client
	cred    vault.Credential
	version vault.Version // the current one; zero when there is none
	proven  vault.Version // the last proven one, while the current one could not be tried
}

// Status lists the credentials of one mailbox, or of all with "". A listed
// mailbox without a password stands in it as missing.
func (s *Service) Status(ctx context.Context, mailbox string, now time.Time) ([]StatusRow, error) {
	mailbox = strings.ToLower(mailbox)
	warned, err := s.causes(ctx)
	if err != nil {
		return nil, err
	}
	runs := s.warningRuns(now)
	var rows []StatusRow
	err = s.eachKnown(ctx, mailbox, func() { rows = []StatusRow{} }, func(k known) {
		rows = append(rows, s.statusRow(k, now, runs, warned))
	})
	if err == nil && mailbox != "" && len(rows) == 0 {
		err = noSuchMailbox(mailbox)
	}
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func noSuchMailbox(mailbox string) error {
	return notFound("no client with the mailbox %s", mailbox).code(CodeNotListed).hint("`ingest client list` shows them, `ingest client add` adds one")
}

// inventory reads the clients with their credentials, in the order of their
// mailboxes; removed clients are left out.
func (s *Service) inventory(ctx context.Context, mailbox string) (all []known, err error) {
	err = s.eachKnown(ctx, mailbox, func() { all = nil }, func(k known) { all = append(all, k) })
	return all, err
}

// eachKnown is inventory for one who needs only a little of each, which is a
// kilobyte. begin is called first, and whenever all begins anew.
func (s *Service) eachKnown(ctx context.Context, mailbox string, begin func(), fn func(known)) error {
	return s.vault.View(ctx, func(tx *vault.Tx) error {
		begin()
		if mailbox == "" {
			return tx.Clients(func(c vault.Client) error { return eachOf(tx, c, fn) })
		}
		return eachAt(tx, mailbox, fn)
	})
}

// eachAt gives what is known of one mailbox; nothing where nobody listed has it.
func eachAt(tx *vault.Tx, mailbox string, fn func(known)) error {
	c, ok, err := tx.Client(mailbox)
	if err != nil || !ok {
		return err
	}
	return eachOf(tx, c, fn)
}

// eachOf gives what is known of one client, unless it was removed.
func eachOf(tx *vault.Tx, c vault.Client, fn func(known)) error {
	if !c.RemovedAt.IsZero() {
		return nil
	}
	creds, err := tx.CredentialsOf(c.Mailbox)
	if err != nil {
		return err
	}
	if len(creds) == 0 {
		fn(known{client: c})
	}
	for _, cred := range creds {
		k := known{client: c, cred: cred}
		if cred.Current > 0 {
			if k.version, _, err = tx.Version(cred.Mailbox, cred.Login, cred.Current); err != nil {
				return err
			}
		}
		if k.version.State == VersionUnverified && cred.Proven > 0 {
			if k.proven, _, err = tx.Version(cred.Mailbox, cred.Login, cred.Proven); err != nil {
				return err
			}
		}
		fn(k)
	}
	return nil
}

// facts turns a credential into what the expiry policy asks for.
func (s *Service) facts(k known) schedule.Facts {
	login := k.cred.Login
	if login == "" {
		login = k.client.Mailbox
	}
	return schedule.Facts{
		Mailbox: k.client.Mailbox, Login: login, Version: k.version.N,
		Issued: s.issued(k.version), Expires: k.version.Expires, Claimed: k.version.Claimed,
		Broken:     k.cred.Refused,
		Unverified: k.version.State == VersionUnverified && s.cfg.Probe.Enabled,
		Missing:    k.version.N == 0,
	}
}

// issued is the day from which a version's present period counts: a password
// that was postponed is not one of twice the validity.
func (s *Service) issued(v vault.Version) time.Time {
	if v.ExpiresFrom != expiresProved {
		return v.ReceivedAt
	}
	return schedule.PeriodStart(v.ReceivedAt, v.Expires, v.ValidityDays, s.policy)
}

func (s *Service) statusRow(k known, now time.Time, runs []time.Time, warned func(string) bool) StatusRow {
	f := s.facts(k)
	row := StatusRow{Mailbox: k.client.Mailbox, Client: orNull(k.client.Name), State: schedule.StateOf(f, s.today(now), s.policy)}
	if p, ok := s.providerOf(k.client, k.cred.Signer); ok {
		row.Provider = orNull(p.ID)
	} else {
		row.Provider = orNull(k.client.Provider)
	}
	row.Login = orNull(k.cred.Login)
	if k.cred.Login == "" {
		if login, ok := s.loginOf(k.client, ""); ok {
			row.Login = orNull(login)
		}
	}
	if f.Missing {
		return row // what was checked was a password that is gone, of a client who came back
	}
	if !k.cred.LastCheck.At.IsZero() {
		row.LastCheck = &LastCheck{At: k.cred.LastCheck.At, Result: k.cred.LastCheck.Result}
		if since := k.cred.LastCheck.TroubleSince; !since.IsZero() {
			row.LastCheck.TroubleSince = &since
		}
	}
	v := k.version
	row.Version, row.ReceivedAt = &v.N, &v.ReceivedAt
	row.ExpiresAt = dateOrNull(v.Expires)
	row.ClaimedUntil = dateOrNull(v.Claimed)
	left := schedule.DaysLeft(v.Expires, s.today(now))
	row.DaysLeft = &left
	if len(runs) == 0 {
		return row
	}
	if at := schedule.NextWarningRun(now, runs, f, warned, s.policy); !at.IsZero() {
		at = at.UTC()
		row.NextWarningAt = &at
	}
	return row
}

// warningRuns are the scheduled warnings runs as far as any password lives.
func (s *Service) warningRuns(now time.Time) []time.Time {
	far := now.AddDate(0, 0, 2*s.policy.MaxValidityDays)
	return s.warnings.WorkingRuns(now, far, s.policy)
}

// causes gives a look-up of what was warned of already.
func (s *Service) causes(ctx context.Context) (func(string) bool, error) {
	sent := map[string]bool{}
	err := s.vault.View(ctx, func(tx *vault.Tx) error {
		clear(sent)
		return tx.Causes(causeWarning, func(cause string) error {
			sent[cause] = true
			return nil
		})
	})
	return func(key string) bool { return sent[warningCause(key)] }, err
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func dateOrNull(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	d := t.Format(time.DateOnly)
	return &d
}

// HistoryRow is one version of a credential in `history --json`.
type HistoryRow struct {
	Mailbox     string     `json:"mailbox"`
	Login       string     `json:"login"`
	Version     int        `json:"version"`
	State       string     `json:"state"`
	Current     bool       `json:"current"`
	Source      string     `json:"source"`
	ReceivedAt  time.Time  `json:"received_at"`
	StoredAt    time.Time  `json:"stored_at"`
	ProvenAt    *time.Time `json:"proven_at"`
	ExpiresAt   *string    `json:"expires_at"`
	ExpiresFrom string     `json:"expires_from"`
	Claimed     *string    `json:"claimed_until"`
	EndedAt     *time.Time `json:"ended_at"`
	Ended       *string    `json:"ended"`
	HasSecret   bool       `json:"has_secret"`
}

// History lists the versions of a mailbox, oldest first, without secrets. On a
// cluster it may be as old as vault.Glance allows.
func (s *Service) History(ctx context.Context, mailbox string) ([]HistoryRow, error) {
	mailbox = strings.ToLower(mailbox)
	rows := []HistoryRow{}
	err := s.vault.View(vault.Glance(ctx), func(tx *vault.Tx) error {
		rows = rows[:0]
		if _, ok, err := tx.Client(mailbox); err != nil {
			return err
		} else if !ok {
			return noSuchMailbox(mailbox)
		}
		creds, err := tx.CredentialsOf(mailbox)
		if err != nil {
			return err
		}
		for _, cred := range creds {
			versions, err := tx.Versions(mailbox, cred.Login)
			if err != nil {
				return err
			}
			for _, v := range versions {
				rows = append(rows, historyRow(cred, v))
			}
		}
		return nil
	})
	return rows, err
}

func historyRow(cred vault.Credential, v vault.Version) HistoryRow {
	state := v.State
	if v.N == cred.Current && cred.Refused {
		state = schedule.StateBroken
	}
	return HistoryRow{Mailbox: v.Mailbox, Login: v.Login, Version: v.N, State: state, Current: v.N == cred.Current,
		Source: v.Source, ReceivedAt: v.ReceivedAt, StoredAt: v.StoredAt, ProvenAt: timeOrNull(v.ProvenAt),
		ExpiresAt: dateOrNull(v.Expires), ExpiresFrom: v.ExpiresFrom, Claimed: dateOrNull(v.Claimed),
		EndedAt: timeOrNull(v.EndedAt), Ended: orNull(v.Ended), HasSecret: len(v.Sealed) > 0}
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// DueRow is one warning in `due --json`.
type DueRow struct {
	Mailbox   string   `json:"mailbox"`
	Login     string   `json:"login"`
	Client    *string  `json:"client"`
	Version   int      `json:"version"`
	ExpiresAt string   `json:"expires_at"`
	DaysLeft  int      `json:"days_left"`
	Threshold string   `json:"threshold"`
	On        string   `json:"on"`
	To        []string `json:"to"`
}

// Due lists what the warnings run would send on a day; zero means now.
func (s *Service) Due(ctx context.Context, now, day time.Time) ([]DueRow, error) {
	var facts []schedule.Facts
	err := s.eachKnown(ctx, "", func() { facts = nil }, func(k known) {
		if k.version.N != 0 {
			facts = append(facts, s.facts(k))
		}
	})
	if err != nil {
		return nil, err
	}
	warned, err := s.causes(ctx)
	if err != nil {
		return nil, err
	}
	on := s.today(now)
	var warnings []schedule.Warning
	if day.IsZero() || !day.After(on) {
		warnings = schedule.Due(now, s.warnings.NextWorking(now, s.policy), facts, warned, s.policy)
	} else {
		on = day
		warnings = schedule.Forecast(now, day, s.warnings, facts, warned, s.policy)
	}
	clients := map[string]vault.Client{}
	err = s.vault.View(ctx, func(tx *vault.Tx) error {
		clear(clients)
		for _, w := range warnings {
			c, ok, err := tx.Client(w.Mailbox)
			if err != nil {
				return err
			}
			if ok {
				clients[w.Mailbox] = c
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	rows := make([]DueRow, 0, len(warnings))
	for _, w := range warnings {
		c := clients[w.Mailbox]
		rows = append(rows, DueRow{Mailbox: w.Mailbox, Login: w.Login, Client: orNull(c.Name), Version: w.Version,
			ExpiresAt: w.Expires.Format(time.DateOnly), DaysLeft: schedule.DaysLeft(w.Expires, on), Threshold: w.Threshold,
			On: w.On.Format(time.DateOnly), To: s.recipientsOf(w, c)})
	}
	return rows, nil
}

func factsOf(s *Service, all []known) []schedule.Facts {
	facts := make([]schedule.Facts, 0, len(all))
	for _, k := range all {
		facts = append(facts, s.facts(k))
	}
	return facts
}

// warnable reads all that a warnings run looks at.
func (s *Service) warnable(ctx context.Context) ([]known, func(string) bool, error) {
	all, err := s.inventory(ctx, "")
	if err != nil {
		return nil, nil, err
	}
	all = slices.DeleteFunc(all, func(k known) bool { return k.version.N == 0 })
	warned, err := s.causes(ctx)
	return all, warned, err
}

// recipientsOf lists the addresses a warning goes to: the client's PEC, and
// the studio's people in their digest.
func (s *Service) recipientsOf(w schedule.Warning, c vault.Client) []string {
	var to []string
	if w.ToClient {
		to = append(to, c.Mailbox)
		if c.Email != "" {
			to = append(to, c.Email)
		}
	}
	if w.ToStudio {
		to = append(to, s.cfg.Warnings.ToStudio...)
	}
	return to
}
