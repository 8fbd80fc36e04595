package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/schedule"
	"pec-ingest/internal/vault"
	"pec-ingest/internal/web/gate"
	"pec-ingest/internal/web/page"
)

// pageSource is what the page asks, over the service that runs now.
type pageSource struct{ now current }

var _ page.Source = pageSource{}

// pageError turns a failure into one that the page has words for; others are
// the page's to log.
func pageError(err error) error {
	var e *ingest.Error
	if err == nil || !errors.As(err, &e) {
		return err
	}
	p := &page.Problem{Kind: page.Kind(ingest.CodeOf(err)), Detail: e.Error(), Hint: ingest.HintOf(err)}
	if p.Kind != "" {
		return p
	}
	class := ingest.ClassOf(err)
	switch {
	case class == ingest.NotFound:
		p.Kind = page.KindNotFound
	case class == ingest.Usage, class == ingest.NeedsPerson:
		p.Kind = page.KindInvalid
	case class == ingest.NoVault && !ingest.LostVault(err):
		p.Kind = page.KindNoKey
	default:
		p.Kind = page.KindFailed
	}
	return p
}

func (s pageSource) Policy() schedule.Policy { return s.now().Policy() }

func (s pageSource) Counts(ctx context.Context) (page.Counts, error) {
	w, err := s.now().Waiting(ctx, "")
	return page.Counts{Review: w.Review, Failed: w.Failed}, pageError(err)
}

func (s pageSource) Mailboxes(ctx context.Context) ([]page.Mailbox, error) {
	return s.overview(ctx, "")
}

func (s pageSource) overview(ctx context.Context, mailbox string) ([]page.Mailbox, error) {
	rows, err := s.now().Overview(ctx, mailbox, time.Now())
	if err != nil {
		return nil, pageError(err)
	}
	list := make([]page.Mailbox, 0, len(rows))
	for _, r := range rows {
		m := page.Mailbox{Address: r.Mailbox, Login: or(r.Login), Client: or(r.Client), Provider: or(r.Provider), State: r.State,
			Version: or(r.Version), Issued: r.Issued, RenewOn: r.RenewOn, Expires: dayOf(r.ExpiresAt), Claimed: dayOf(r.ClaimedUntil),
			DaysLeft: or(r.DaysLeft), NextWarning: or(r.NextWarningAt)}
		if c := r.LastCheck; c != nil {
			m.Checked, m.CheckResult, m.TroubleSince = c.At, c.Result, or(c.TroubleSince)
		}
		list = append(list, m)
	}
	return list, nil
}

// or is what p points to, or the zero value.
func or[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// dayOf reads a day of the service's own rows; zero for none.
func dayOf(s *string) time.Time {
	day, err := time.Parse(time.DateOnly, or(s))
	if err != nil {
		return time.Time{}
	}
	return day
}

// How much of its messages and of the log the view of a mailbox shows.
const (
	boxMessages = 10
	boxEntries  = 15
)

func (s pageSource) Mailbox(ctx context.Context, address string) (d page.MailboxDetail, err error) {
	service := s.now()
	if d.Credentials, err = s.overview(ctx, address); err != nil {
		return d, err
	}
	c, err := service.ListedClient(ctx, address)
	if err != nil {
		return d, pageError(err)
	}
	d.Address, d.Client, d.Email, d.Phone, d.Lang = c.Mailbox, or(c.Name), or(c.Email), or(c.Phone), or(c.Lang)
	d.Senders, d.AddedAt = c.Senders, c.AddedAt
	versions, err := service.History(ctx, address)
	if err != nil {
		return d, pageError(err)
	}
	for _, v := range slices.Backward(versions) {
		d.Versions = append(d.Versions, page.Version{Login: v.Login, N: v.Version, State: v.State, Current: v.Current, Source: v.Source,
			Received: v.ReceivedAt, Stored: v.StoredAt, Proven: or(v.ProvenAt), Expires: dayOf(v.ExpiresAt), Claimed: dayOf(v.Claimed),
			ExpiresFrom: v.ExpiresFrom, Ended: or(v.EndedAt), EndedBy: or(v.Ended), HasSecret: v.HasSecret})
	}
	places, err := service.Places(ctx, address)
	if err != nil {
		return d, pageError(err)
	}
	for _, p := range places {
		d.Places = append(d.Places, page.Place{Login: p.Login, Name: p.Place, Version: p.Version, Open: p.Open})
	}
	reviews, err := service.Reviews(ctx, false)
	if err != nil {
		return d, pageError(err)
	}
	for _, r := range reviews {
		if r.Mailbox == d.Address {
			d.Reviews = append(d.Reviews, pageReview(r, d.Client))
		}
	}
	messages, err := service.Sendings(ctx, d.Address, time.Now())
	if err != nil {
		return d, pageError(err)
	}
	for _, m := range messages[:min(len(messages), boxMessages)] {
		d.Messages = append(d.Messages, pageMessage(m))
	}
	entries, _, err := service.AuditSlice(ctx, ingest.AuditFilter{Mailbox: d.Address, Limit: boxEntries})
	for _, e := range entries {
		d.Audit = append(d.Audit, pageEntry(e))
	}
	return d, pageError(err)
}

func (s pageSource) PlaceDone(ctx context.Context, who, address, login, place string) error {
	_, err := s.now().PlaceDone(ctx, who, address, login, place, time.Now())
	return pageError(err)
}

func (s pageSource) Audit(ctx context.Context, q page.AuditQuery) (page.AuditPage, error) {
	rows, next, err := s.now().AuditSlice(ctx, ingest.AuditFilter{Mailbox: q.Mailbox, Actor: q.Actor, Event: q.Event,
		From: q.From, To: q.To, Before: q.Before, Limit: q.Limit})
	list := page.AuditPage{Next: next}
	for _, r := range rows {
		list.Entries = append(list.Entries, pageEntry(r))
	}
	return list, pageError(err)
}

func pageEntry(a ingest.AuditRow) page.AuditEntry {
	return page.AuditEntry{Seq: a.Seq, Version: a.Version, Count: a.Count, At: a.At, Actor: a.Actor, Event: a.Event,
		Mailbox: or(a.Mailbox), Login: or(a.Login), Detail: or(a.Detail), Hash: a.Hash}
}

func (s pageSource) VerifyAudit(ctx context.Context) (seq int, head string, err error) {
	seq, head, err = s.now().AuditVerify(ctx)
	return seq, head, pageError(err)
}

func (s pageSource) Enter(ctx context.Context, e page.Entry) (page.Stored, error) {
	service := s.now()
	r, err := service.Set(ctx, ingest.SetRequest{Actor: e.Who, Mailbox: e.Mailbox, Login: e.Login, Expires: e.Expires, Issued: e.Told,
		Source: e.Source, Confirm: e.Confirm, Secret: e.Secret}, time.Now())
	service.OutboxChanged()
	return pageStored(r), pageError(err)
}

func pageStored(r ingest.SetResult) page.Stored {
	return page.Stored{Mailbox: r.Mailbox, Login: r.Login, Version: r.Version, State: r.State, Expires: dayOf(&r.ExpiresAt),
		Probe: r.Probe, Confirmed: r.Confirmed}
}

func (s pageSource) Check(ctx context.Context, _ string) ([]page.CheckLine, error) {
	var lines []page.CheckLine
	for _, l := range s.now().SelfCheck(ctx, time.Now()) {
		lines = append(lines, page.CheckLine{Name: l.Name, Level: string(l.Level), Text: l.Msg, Hint: l.Hint})
	}
	return lines, nil
}

func (s pageSource) Standing(ctx context.Context) (page.Standing, error) {
	st, err := s.now().Standing(ctx, time.Now())
	if err != nil {
		return page.Standing{}, pageError(err)
	}
	p := page.Standing{InboxUser: st.InboxUser, InboxHost: st.InboxHost, InboxExpires: st.InboxExpires,
		SMTP: st.SMTPHost != "", SMTPHost: st.SMTPHost, SMTPGood: st.SMTPGood, SMTPRefused: st.SMTPRefused,
		ProbeOn: st.ProbeOn, LastChecks: st.LastChecks, NextChecks: st.NextChecks, LastWarnings: st.LastWarnings, NextWarnings: st.NextWarnings,
		Trouble: st.Trouble, Review: st.Waiting.Review, Outbox: st.Waiting.Outbox, Failed: st.Waiting.Failed, Open: st.Waiting.Open,
		AuditSeq: st.AuditSeq, AuditHead: st.AuditHead, Recipients: st.Recipients, Identity: st.Identity, VaultBytes: st.VaultBytes,
		LastBackup: st.LastBackup, BackupDir: st.ScheduledBackups}
	if d := st.Daemon; d != nil {
		p.Running, p.Phase, p.StartedAt, p.Connected, p.LastPass = true, d.Phase, d.StartedAt, or(d.ConnectedSince), or(d.LastPassAt)
		p.Passes, p.Reconnects, p.FailingSince, p.NextTry = d.Passes, d.Reconnects, or(d.FailingSince), or(d.NextTryAt)
		p.LastError, p.SendError, p.JobError, p.ClockError = d.LastError, d.SendError, d.JobError, d.ClockError
	}
	if !p.InboxExpires.IsZero() {
		p.InboxDaysLeft = schedule.DaysLeft(p.InboxExpires, s.Policy().Today(time.Now()))
	}
	for _, a := range st.Anchors {
		p.Anchors = append(p.Anchors, page.Anchor{Name: a.Name, SPKI: a.SPKI, Until: a.Until, CRL: a.CRL})
	}
	p.Versions = []page.Fact{{Name: "program", Text: programVersion()}, {Name: "go", Text: runtime.Version()},
		{Name: "vault", Text: strconv.Itoa(vault.Format)}, {Name: "system", Text: runtime.GOOS + "/" + runtime.GOARCH}}
	return p, nil
}

// programVersion is the release, or the commit that was built.
func programVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version := info.Main.Version
	for _, set := range info.Settings {
		if set.Key == "vcs.revision" && (version == "" || version == "(devel)") {
			version = set.Value[:min(12, len(set.Value))]
		}
	}
	return version
}

// pageOf makes the page of the service that runs now.
func pageOf(now current, studio string, log *slog.Logger) http.Handler {
	return page.New(page.Options{Source: pageSource{now}, Version: programVersion(), Studio: studio, LogoutPath: gate.PathOut, Log: log})
}
