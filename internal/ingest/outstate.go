package ingest

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"pec-ingest/internal/notify"
	"pec-ingest/internal/vault"
)

const (
	// lateAfter is when a message that is not delivered is a matter for the
	// digest. A PEC provider says within 24 hours that it gave up (RFC 6109
	// §3.3.3).
	lateAfter = 24 * time.Hour
	// giveUpAfter is how long a recipient's server may ask to come back later
	// (RFC 5321 §4.5.4.1: four to five days).
	giveUpAfter = 5 * 24 * time.Hour
	// maxResends is how often a message in doubt is sent again by itself.
	maxResends = 3
)

// whatNext says in words what happens next with a message, and what a person
// can do.
// closed tells that the provider refuses the password for sending.
func (s *Service) whatNext(o vault.Outgoing, closed bool, now time.Time) string {
	decide := fmt.Sprintf("`ingest outbox retry %d` sends it again, `ingest outbox drop %d` gives it up", o.N, o.N)
	switch o.State {
	case vault.OutQueued:
		switch {
		case !s.cfg.SMTP.Enabled:
			return "waits until the configuration has an [smtp]"
		case closed:
			return "waits: the provider refuses the studio's password for sending; once that is changed it is sent by itself"
		case o.NextAt.After(now):
			return fmt.Sprintf("is tried again at %s (tried %d times)", s.clock(o.NextAt), o.Tries)
		case o.LastError != "":
			return fmt.Sprintf("is tried again in the next run (tried %d times)", o.Tries)
		}
		return "is sent in the next run"
	case vault.OutInDoubt:
		switch {
		case s.tracked() && o.Resent < maxResends:
			return fmt.Sprintf("its acceptance receipt is waited for until %s; without one it is sent again with the same Message-ID", s.clock(o.SentAt.Add(doubtAfter)))
		case s.tracked():
			return "is not sent again by itself, no receipt came for it; ask the recipient, then " + decide
		}
		return "may have arrived, and is not sent again by itself; ask the recipient, then " + decide
	case vault.OutSent:
		switch {
		case !s.tracked():
			return "nothing: receipts of this account are not read"
		case now.Sub(o.SentAt) > lateAfter:
			return "no acceptance receipt came within 24 hours; look into the sent mail at the provider, then " + decide
		}
		return "the provider's acceptance receipt is waited for"
	case vault.OutAccepted:
		switch {
		case o.External:
			return "nothing: the recipient has ordinary mail, for which there is no delivery receipt"
		case now.Sub(o.SentAt) > lateAfter:
			return "no delivery receipt came within 24 hours; phone the client"
		}
		return "the delivery receipt is waited for"
	case vault.OutDelivered:
		return fmt.Sprintf("nothing; the proof: `ingest outbox show %d --receipt FILE`", o.N)
	}
	switch {
	case o.Withdrawn:
		return "nothing"
	case !s.cfg.SMTP.Enabled:
		return fmt.Sprintf("is not sent; once the configuration has an [smtp], `ingest outbox retry %d` does", o.N)
	}
	return "needs a person: mend the cause; " + decide
}

// clock writes an instant as the studio's wall clock shows it.
func (s *Service) clock(t time.Time) string {
	return t.In(s.policy.Location).Format("2006-01-02 15:04 MST")
}

// undelivered tells whether the digest must name a message: it is on its way
// for longer than a day, or has failed since the last digest. What was sent
// and brought no receipt is named once, since nothing will change; what waits
// is named until it is gone.
func (s *Service) undelivered(o vault.Outgoing, last, now time.Time) bool {
	late := now.Sub(o.QueuedAt) > lateAfter
	becameLate := late && o.QueuedAt.Add(lateAfter).After(last)
	switch o.State {
	case vault.OutQueued:
		return late
	case vault.OutInDoubt:
		return late || !s.tracked() && now.Sub(o.SentAt) > doubtAfter
	case vault.OutSent:
		return becameLate && s.tracked()
	case vault.OutAccepted:
		return becameLate && !o.External
	case vault.OutFailed:
		changed := o.StateAt
		if changed.IsZero() { // written before states were dated
			changed = o.QueuedAt
		}
		return s.cfg.SMTP.Enabled && !o.Withdrawn && changed.After(last)
	}
	return false
}

// outdated tells why a queued message must not go out any more, "" if it
// must: after days without a way out it may say what is no longer true. Of
// warnings that pile up only the newest goes out.
func outdated(tx *vault.Tx, o vault.Outgoing) (why string, err error) {
	if o.Mailbox == "" {
		return "", nil
	}
	client, ok, err := tx.Client(o.Mailbox)
	if err != nil {
		return "", err
	}
	if !ok || !client.RemovedAt.IsZero() {
		return "the client was removed", nil
	}
	kind := notify.Kind(o.Kind)
	if !isWarning(kind) {
		return "", nil
	}
	open, err := tx.OpenOutgoing()
	if err != nil {
		return "", err
	}
	var d notify.Data
	if err := json.Unmarshal(o.Data, &d); err != nil {
		return "", nil // composing it says so
	}
	for _, later := range open {
		if later.N > o.N && later.State == vault.OutQueued && later.To == o.To && isWarning(notify.Kind(later.Kind)) && covers(later, d) {
			return fmt.Sprintf("message %d says it again, with what is true now", later.N), nil
		}
	}
	about := d.Items
	if len(about) == 0 {
		about = []notify.Item{{Mailbox: d.Mailbox, Expires: d.Expires}}
	}
	for _, item := range about {
		if holds, err := stillHolds(tx, kind, item); err != nil || holds {
			return "", err
		}
	}
	return "no longer true: there is a newer password, or its date was postponed", nil
}

func isWarning(k notify.Kind) bool {
	return k == notify.KindExpiring || k == notify.KindExpired || k == notify.KindBroken
}

// covers tells whether a later message names every mailbox that d does.
func covers(later vault.Outgoing, d notify.Data) bool {
	var l notify.Data
	if json.Unmarshal(later.Data, &l) != nil {
		return false
	}
	for _, m := range d.Mailboxes {
		if !slices.Contains(l.Mailboxes, m) {
			return false
		}
	}
	return len(d.Mailboxes) > 0
}

// stillHolds tells whether what a warning says of one mailbox is true of any
// of its credentials.
func stillHolds(tx *vault.Tx, kind notify.Kind, item notify.Item) (bool, error) {
	creds, err := tx.CredentialsOf(item.Mailbox)
	if err != nil {
		return false, err
	}
	for _, cred := range creds {
		v, ok, err := tx.Version(cred.Mailbox, cred.Login, cred.Current)
		if err != nil {
			return false, err
		}
		if !ok {
			continue
		}
		postponed := v.Claimed.After(v.Expires)
		switch kind {
		case notify.KindBroken:
			if cred.Refused {
				return true, nil
			}
		default:
			if v.Expires.Equal(item.Expires) && !postponed || postponed && v.Claimed.Equal(item.Expires) {
				return true, nil
			}
		}
	}
	return false, nil
}
