package ingest

import (
	"context"
	"strings"
	"sync"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/submission"
	"pec-ingest/internal/vault"
)

// A sealed text costs as much as several signatures, so that what will hardly
// be needed is not sealed, and nothing twice.

// foreseen foresees which number the version has that a submission becomes.
// It may be wrong (the same password came again, another one was judged
// first): then the version is sealed anew.
type foreseen struct {
	mu   sync.Mutex
	last map[[2]string]int // by mailbox and login
}

func newForeseen() *foreseen { return &foreseen{last: map[[2]string]int{}} }

// version is the number of the next version of a credential. Messages are
// judged side by side, so it may be asked by many goroutines.
func (f *foreseen) version(ctx context.Context, v *vault.Vault, mailbox, login string) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := [2]string{mailbox, login}
	if _, ok := f.last[key]; !ok {
		err := v.View(ctx, func(tx *vault.Tx) error {
			cred, _, err := tx.Credential(mailbox, login)
			f.last[key] = cred.Last
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	f.last[key]++
	return f.last[key], nil
}

// settlesUnseen tells whether a submission is settled in this very pass without
// anybody reading it, as far as can be told: then its letter is not sealed. If
// a person must look after all, the letter is read again (letterAgain).
func (p *pass) settlesUnseen(sub vault.Submission) bool {
	return !p.cfg.Probe.Enabled && !p.rereading() &&
		sub.Find == string(submission.Found) && sub.Reason == "" && sub.Login != ""
}

// letterAgain reads and seals the letter of a submission that was thought to
// be settled unseen. Where the message is gone by now, or the inbox can't be
// read, there is none, and what is known of it must do.
func (p *pass) letterAgain(ctx context.Context, sub vault.Submission) (review vault.Review) {
	asJudged := sub
	asJudged.Reason = "" // came later
	if len(sub.Letter) > 0 || !p.settlesUnseen(asJudged) || strings.Contains(sub.ID, "#") ||
		sub.Location.Folder != p.folderName() || sub.Location.UIDValidity != p.box.UIDValidity ||
		!p.sealing.more(firstOf(sub.Sender, sub.Mailbox)) {
		return review
	}
	_, err := p.sess.Fetch(ctx, []uint32{sub.Location.UID}, func(m inbox.Message) (err error) {
		p.guarded(m.UID, func() { review, err = p.readLetter(sub, m) })
		return err
	})
	if err != nil {
		p.log.Warn("a letter for review could not be read again", "event", "review.letter_missing", "uid", sub.Location.UID, "err", err,
			"hint", "open it in the inbox")
	}
	return review
}

func (p *pass) readLetter(sub vault.Submission, m inbox.Message) (vault.Review, error) {
	verdict := p.Reader.Judge(m.Raw, pec.Options{
		Trust: p.trust, Recipients: p.ownAddresses(), ReceivedAt: m.InternalDate, MaxBytes: p.cfg.Inbox.MaxMessage,
	})
	if !verdict.Certified() || verdict.Message.ID != sub.ID {
		return vault.Review{}, nil
	}
	found := p.Reader.Find(verdict.Message, submission.Options{Location: p.policy.Location})
	defer found.Wipe()
	return p.letterOf(sub, verdict.Message, found, maxLetter)
}
