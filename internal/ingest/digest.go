package ingest

import (
	"context"
	"errors"
	"time"

	"pec-ingest/internal/notify"
	"pec-ingest/internal/schedule"
	"pec-ingest/internal/vault"
)

// JobDigest is when the last digest was queued: the next one tells what has
// happened since.
const JobDigest = "digest"

// queueDigest tells the studio's people, once a working day and only with
// content, how things stand. It is made from the state itself and not from
// what happened, so that nothing is lost between two of them.
func (s *Service) queueDigest(ctx context.Context, all []known, now time.Time) error {
	today := s.today(now)
	if len(s.cfg.Warnings.ToStudio) == 0 || !s.policy.Working(today) {
		return nil
	}
	d, err := s.digest(ctx, all, now)
	if err != nil || d.Empty() {
		return err
	}
	cause := causeDigest + today.Format(time.DateOnly)
	return s.vault.Update(ctx, func(tx *vault.Tx) error {
		if done, err := tx.Caused(cause); err != nil || done {
			return err
		}
		if err := errors.Join(tx.MarkCause(cause, now.UTC().Format(time.RFC3339)), tx.PutJob(JobDigest, now)); err != nil {
			return err
		}
		if d.AuditSeq, d.AuditHead, err = tx.AuditHead(); err != nil {
			return err
		}
		data := notify.Data{Lang: "it", Studio: s.studio(), Digest: d}
		for _, to := range s.cfg.Warnings.ToStudio {
			if err := s.queue(tx, cause+"/"+to, notify.KindDigest, vault.Client{}, to, data, priorityWarning); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Service) digest(ctx context.Context, all []known, now time.Time) (notify.Digest, error) {
	today := s.today(now)
	next := s.warnings.NextWorking(now, s.policy)
	d := notify.Digest{Day: today}
	var last time.Time
	err := s.vault.View(ctx, func(tx *vault.Tx) (err error) {
		var ok bool
		if last, ok, err = tx.Job(JobDigest); !ok {
			last = now.AddDate(0, 0, -7) // the first digest does not tell the history of an old inbox
		}
		return err
	})
	if err != nil {
		return d, err
	}
	for _, k := range all {
		f := s.facts(k)
		item := notify.Item{Mailbox: k.client.Mailbox, Client: k.client.Name, Phone: k.client.Phone,
			State: schedule.StateOf(f, today, s.policy), Expires: f.Expires, DaysLeft: schedule.DaysLeft(f.Expires, today)}
		call := schedule.CallToday(now, next, f, s.policy)
		if call {
			d.Call = append(d.Call, item)
		}
		switch item.State {
		case schedule.StateDue:
			if !call { // named once, where it is most urgent
				d.Due = append(d.Due, item)
			}
		case schedule.StateBroken:
			d.Broken = append(d.Broken, item)
		case schedule.StateExpired:
			// Weekly: when the week since its date changed after the last digest.
			if last.IsZero() || schedule.DigestKey(f, today, s.policy) != schedule.DigestKey(f, s.today(last), s.policy) {
				d.Expired = append(d.Expired, item)
			}
		}
	}
	if d.Places, err = s.openPlaces(ctx); err != nil {
		return d, err
	}
	return d, s.digestLists(ctx, &d, last, now)
}

// digestLists adds what waits, what was refused and what was not delivered.
func (s *Service) digestLists(ctx context.Context, d *notify.Digest, last, now time.Time) error {
	err := s.vault.View(ctx, func(tx *vault.Tx) error {
		d.Review, d.Refused, d.Left, d.Undelivered, d.Notes = nil, nil, nil, nil, nil
		var open []vault.Review
		if err := tx.Reviews(func(r vault.Review) error {
			if r.DecidedAt.IsZero() {
				r.Letter = nil
				open = append(open, r)
			}
			return nil
		}); err != nil {
			return err
		}
		d.Review = s.reviewLines(open, now)
		refused, err := tx.RefusedSince(last)
		if err != nil {
			return err
		}
		for _, r := range refused {
			if r.Listed {
				d.Refused = append(d.Refused, refusedLine(r))
			} else if r.Reason == "unreadable" {
				d.Notes = append(d.Notes, "un messaggio in arrivo non si riesce a leggere: guardarlo nella webmail")
			}
		}
		if err := tx.Submissions(func(sub vault.Submission) error {
			if sub.Stage == vault.StageSettled && sub.HoldsMore && sub.Outcome != OutcomeReview && sub.JudgedAt.After(last) {
				d.Left = append(d.Left, leftLine(sub))
			}
			return nil
		}); err != nil {
			return err
		}
		return tx.AllOutgoing(func(o vault.Outgoing) error {
			if s.undelivered(o, last, now) {
				d.Undelivered = append(d.Undelivered, s.undeliveredLine(o))
			}
			return nil
		})
	})
	for _, list := range []*[]string{&d.Review, &d.Refused, &d.Left, &d.Undelivered, &d.Notes} {
		*list = shortened(*list)
	}
	return err
}
