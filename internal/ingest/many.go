package ingest

import (
	"fmt"
	"sync"

	"pec-ingest/internal/vault"
)

// A sender who writes more letters than people can decide on must not make
// the list unusable for the others: beyond maxWaiting open items of one
// sender the rest are one item, which counts them. Nothing of them is lost:
// their messages stay in the inbox, unread, and their records in the vault;
// only what was sealed for the person who decides is not kept. When items of
// the sender were decided, new letters get items of their own again.

const (
	maxWaiting = 20 // open items of one sender, beside the one for the rest
	maxSealed  = 60 // letters of one sender and pass that are sealed for review
)

// openReview gives a submission its item, or counts it in the one that stands
// for the rest of its sender's.
func (p *pass) openReview(tx *vault.Tx, s *vault.Submission) (vault.Review, error) {
	sender := firstOf(s.Sender, s.Mailbox)
	waiting, err := tx.Waiting(sender)
	if err != nil {
		return vault.Review{}, err
	}
	r := vault.Review{SubmissionID: s.ID, Mailbox: s.Mailbox, Login: s.Login, Reason: s.Reason, OpenedAt: p.now,
		Letter: s.Letter, LetterLabel: s.LetterLabel, Sender: sender}
	if len(waiting) >= maxWaiting {
		if r, err = restOf(tx, waiting, r); err != nil {
			return r, err
		}
		for i := range s.Candidates {
			s.Candidates[i].Sealed = nil
		}
		if err := tx.DeleteBlobs(s.ID); err != nil {
			return r, err
		}
	}
	if r.N > 0 {
		err = tx.PutReview(r)
	} else {
		r.N, err = tx.AddReview(r)
	}
	s.ReviewN = r.N
	return r, err
}

// restOf is the item that stands for the rest of a sender's letters, with one
// more of them: the one there is, or one made of r.
func restOf(tx *vault.Tx, waiting []int, r vault.Review) (vault.Review, error) {
	for i := len(waiting) - 1; i >= 0; i-- { // mostly the last
		rest, ok, err := tx.Review(waiting[i])
		if err != nil {
			return r, err
		}
		if !ok {
			return r, fmt.Errorf("review item %d waits and is not there", waiting[i])
		}
		if rest.Reason == ReviewMany {
			rest.Letters++
			return rest, nil
		}
	}
	r.Reason, r.Mailbox, r.Login, r.Letters = ReviewMany, r.Sender, "", 1
	r.Letter, r.LetterLabel = nil, vault.Label{}
	return r, nil
}

// staysPut leaves the message of the letter that such an item began with where
// the others of it are.
func staysPut(tx *vault.Tx, id string) error {
	sub, ok, err := tx.Submission(id)
	if err != nil || !ok {
		return err
	}
	sub.Filed = FiledStays
	return tx.PutSubmission(sub)
}

// sealing counts the letters of each sender that a pass has sealed for
// review. Messages are judged by several goroutines.
type sealing struct {
	mu sync.Mutex
	by map[string]int
}

// more tells whether one more letter of a sender is sealed.
func (c *sealing) more(sender string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by[sender]++
	return c.by[sender] <= maxSealed
}
