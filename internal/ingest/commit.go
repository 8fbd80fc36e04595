package ingest

import (
	"context"
	"errors"
	"strings"
	"time"

	"pec-ingest/internal/notify"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/safetext"
	"pec-ingest/internal/submission"
	"pec-ingest/internal/vault"
)

// commitJudged is the FIRST COMMIT: what was judged, sealed and unverified,
// with its identifier and its audit entry. Several messages share one
// transaction; when it fails none of them counts as read.
func (p *pass) commitJudged(ctx context.Context, batch []judged) error {
	if len(batch) == 0 {
		return nil
	}
	if p.opts.DryRun {
		for _, j := range batch {
			p.report(ctx, j)
			p.planned = append(p.planned, j.subs...)
		}
		return nil
	}
	killPoint("before-judged-commit")
	fresh := make([]bool, len(batch))
	err := p.vault.Fill(ctx, func(tx *vault.Tx) error {
		for i := range batch {
			var err error
			if fresh[i], err = p.commitOne(tx, &batch[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, vault.ErrTooLarge) && len(batch) == 1 && dropLetters(&batch[0]) {
		return p.commitJudged(ctx, batch)
	}
	if errors.Is(err, vault.ErrTooLarge) && len(batch) > 1 {
		half := len(batch) / 2
		if err := p.commitJudged(ctx, batch[:half]); err != nil {
			return err
		}
		return p.commitJudged(ctx, batch[half:])
	}
	if err != nil {
		return commitError(err)
	}
	killPoint("after-judged-commit")
	for i := range batch {
		if !fresh[i] {
			batch[i].replay = true
		}
		p.report(ctx, batch[i])
	}
	return nil
}

// leavesTrace tells whether the first commit of a message that was not
// downloaded writes anything.
func (p *pass) leavesTrace(j *judged) bool {
	if j.stopped || j.id != "" || p.holes[j.at.UID] {
		return true
	}
	if j.reason == pec.ReasonReceipt || j.skipped != "" {
		return false
	}
	_, listed := p.clients.client(j.claimed.Sender)
	_, writes := p.clients.byEmail[strings.ToLower(j.claimed.Sender)]
	return listed || writes
}

// dropLetters gives up the letters of a message that is too large for one
// transaction with them: it stays in the inbox to be read there.
func dropLetters(j *judged) (dropped bool) {
	for i := range j.reviews {
		dropped = dropped || len(j.reviews[i].Letter) > 0
		j.reviews[i].Letter = nil
	}
	return dropped
}

// commitOne writes one judged message; fresh is false when its identifier
// was known, in which case nothing but its place is kept.
func (p *pass) commitOne(tx *vault.Tx, j *judged) (fresh bool, err error) {
	if j.stopped {
		return true, p.commitStopped(tx, j)
	}
	if p.holes[j.at.UID] {
		if err := tx.DeleteHole(j.at.Folder, j.at.UID); err != nil {
			return false, err
		}
	}
	if j.id == "" {
		return true, p.commitRefused(tx, j)
	}
	seen, known, err := tx.Seen(j.id)
	if err != nil {
		return false, err
	}
	if known {
		j.same = p.rereading() || seen.UIDValidity == j.at.UIDValidity && seen.UID == j.at.UID
		return false, p.adoptPlace(tx, j, seen)
	}
	verdict := "none"
	for i, sub := range j.subs {
		verdict = sub.Find
		if err := p.commitSubmission(tx, sub, j.reviews[i]); err != nil {
			return false, err
		}
	}
	return true, tx.PutSeen(vault.Seen{ID: j.id, At: p.now, Verdict: verdict,
		Folder: j.at.Folder, UIDValidity: j.at.UIDValidity, UID: j.at.UID})
}

func (p *pass) commitSubmission(tx *vault.Tx, sub vault.Submission, letter vault.Review) error {
	sub.Letter, sub.LetterLabel = letter.Letter, letter.LetterLabel
	if err := tx.PutSubmission(sub); err != nil {
		return err
	}
	return tx.Audit(vault.AuditEntry{Actor: ActorService, Event: "submission.judged", Mailbox: sub.Mailbox, Login: sub.Login,
		Detail: "found=" + sub.Find + " id=" + safetext.Line(sub.ID)})
}

// commitRefused keeps a record of an envelope that claims to come from a
// client and is not what it claims; other mail leaves no trace.
func (p *pass) commitRefused(tx *vault.Tx, j *judged) error {
	if j.reason == pec.ReasonReceipt || j.skipped != "" {
		return nil
	}
	if err := p.askForPEC(tx, j); err != nil {
		return err
	}
	_, listed := p.clients.client(j.claimed.Sender)
	if !listed {
		return nil
	}
	r := vault.Refused{At: p.now, Reason: string(j.reason), ClaimedID: safetext.Line(j.claimed.ID),
		ClaimedSender: safetext.Address(j.claimed.Sender), UIDValidity: j.at.UIDValidity, UID: j.at.UID, Listed: true}
	if known, err := p.refusedBefore(tx, r); known || err != nil {
		return err
	}
	return tx.AddRefused(r)
}

// rejudgedWithin is how long after an interrupted pass the next one may come
// to the same messages.
const rejudgedWithin = 30 * 24 * time.Hour

// refusedBefore tells whether a pass that did not come to its end has a record
// of the message already: the cursor follows only every few seconds. Such
// messages have no identifier that could be believed; their place tells.
func (p *pass) refusedBefore(tx *vault.Tx, r vault.Refused) (bool, error) {
	if p.refused == nil {
		list, err := tx.RefusedSince(p.now.Add(-rejudgedWithin))
		if err != nil {
			return false, err
		}
		p.refused = map[vault.Refused]bool{}
		for _, old := range list {
			old.At = time.Time{}
			p.refused[old] = true
		}
	}
	r.At = time.Time{}
	return p.refused[r], nil
}

// askForPEC tells a client, by PEC and once a month, that a password must come
// by PEC: somebody wrote about one by ordinary mail, with the client's address
// as sender. That mail itself is never answered, its sender may be forged.
func (p *pass) askForPEC(tx *vault.Tx, j *judged) error {
	uncertified := j.reason == pec.ReasonNotPEC || j.reason == pec.ReasonAnomaly
	if !uncertified || p.now.Sub(j.received) > AnswerWithin || !strings.Contains(strings.ToLower(j.claimed.Subject), "password") {
		return nil
	}
	mailbox, ok := p.clients.byEmail[strings.ToLower(j.claimed.Sender)]
	if !ok {
		return nil
	}
	client := p.clients.byMailbox[mailbox]
	cause := "not-certified/" + mailbox + "/" + p.today(p.now).Format("2006-01")
	again, err := afterRestoreOf(tx, j.received)
	if err != nil {
		return err
	}
	return p.queueDoubtful(tx, cause, notify.KindNotCertified, client, mailbox, p.dataFor(client, "", vault.Version{}), priorityReply, again)
}

// adoptPlace follows a known message to a new place: after the server
// renumbered its folder, a submission that is not filed away yet must still
// be found. A second copy of a message whose first is still there changes
// nothing.
func (p *pass) adoptPlace(tx *vault.Tx, j *judged, seen vault.Seen) error {
	if seen.UIDValidity == j.at.UIDValidity || seen.Folder != j.at.Folder {
		return nil
	}
	for n := range maxShares {
		sub, ok, err := tx.Submission(submissionID(j.id, n))
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		sub.Location = j.at
		if err := tx.PutSubmission(sub); err != nil {
			return err
		}
	}
	seen.UIDValidity, seen.UID = j.at.UIDValidity, j.at.UID
	return tx.PutSeen(seen)
}

// report counts and tells what was judged.
func (p *pass) report(ctx context.Context, j judged) {
	if j.replay && j.same {
		return // an interrupted pass had judged and counted it
	}
	if j.stopped {
		p.sum.Errors++
		p.step(p.progress.done + 1)
		if !p.opts.DryRun {
			p.tellHole(j.hole, j.gone)
		}
		p.observe(Observation{UID: j.at.UID, Reason: "unreadable", Why: "this program fails on it; the log says where (event=message.panic)"})
		return
	}
	p.sum.Seen++
	p.step(p.progress.done + 1)
	if j.why == "" && j.reason != "" {
		j.why = j.reason.Sentence()
	}
	o := Observation{UID: j.at.UID, ID: safetext.Line(j.id), Kind: j.kind, Reason: string(j.reason), Why: j.why, Subject: j.subject}
	log := p.log.With("event", "message.judged", "uid", j.at.UID, "kind", string(j.kind), "reason", string(j.reason))
	switch {
	case j.replay:
		p.sum.Ignored++
		o.Certified, o.Reason, o.Why = true, "replay", "this PEC identifier was seen before"
		log.Info("message ignored: seen before")
	case j.reason == pec.ReasonReceipt:
		p.sum.Receipts++
		log.Debug("receipt")
	case j.skipped != "":
		p.sum.Ignored++
		o.Find, o.Why = submission.None, j.skipped
		log.Debug("envelope left alone", "why", j.skipped)
	case j.reason != "":
		p.sum.Ignored++
		p.reportRefused(j, log)
	case len(j.subs) == 0:
		p.sum.Ignored++
		o.Certified, o.Find = true, submission.None
		log.Debug("certified, no submission")
	default:
		o.Certified = true
		for _, sub := range j.subs {
			o.Mailbox, o.Find = sub.Mailbox, submission.State(sub.Find)
			p.log.Info("submission judged", "event", "submission.judged", "uid", j.at.UID, "mailbox", sub.Mailbox,
				"found", sub.Find, "candidates", len(sub.Candidates))
		}
	}
	p.observe(o)
}

func (p *pass) reportRefused(j judged, log interface {
	Debug(string, ...any)
	Warn(string, ...any)
}) {
	if _, listed := p.clients.client(j.claimed.Sender); listed && j.reason != pec.ReasonNotPEC {
		log.Warn("message refused although it claims to come from a client", "mailbox_claimed", safetext.Address(j.claimed.Sender),
			"why", j.why, "detail", j.detail, "hint", "it stays unread in the inbox and was not believed; if the client did write, ask for it again by PEC")
		return
	}
	log.Debug("message ignored", "why", j.why)
}
