package vault

import (
	"context"
	"fmt"
)

// DestroySecrets removes every sealed text of a mailbox: versions, candidates
// of submissions, letters kept for review. What was known about them stays.
// It returns how many there were. It takes as many transactions as needed, and
// may be run again.
//
// The bytes stay in free pages of the file until those are used again, and in
// backups: sealed, as they always were.
func (v *Vault) DestroySecrets(ctx context.Context, mailbox string) (int, error) {
	var doomed []func(tx *Tx) error
	destroyed := 0
	err := v.View(ctx, func(tx *Tx) error {
		doomed, destroyed = nil, 0
		prefix, err := join("ver", mailbox)
		if err != nil {
			return err
		}
		err = each(tx, prefix+"\x00", func(r Version) error {
			if len(r.Sealed) > 0 {
				destroyed++
				doomed = append(doomed, func(tx *Tx) error { return destroyVersion(tx, r) })
			}
			return nil
		})
		if err != nil {
			return err
		}
		err = tx.Submissions(func(r Submission) error {
			n := 0
			for _, c := range r.Candidates {
				if len(c.Sealed) > 0 {
					n++
				}
			}
			if r.Mailbox == mailbox && n > 0 {
				destroyed += n
				doomed = append(doomed, func(tx *Tx) error { return destroyCandidates(tx, r.ID) })
			}
			return nil
		})
		if err != nil {
			return err
		}
		return tx.Reviews(func(r Review) error {
			if r.Mailbox == mailbox && len(r.Letter) > 0 {
				destroyed++
				doomed = append(doomed, func(tx *Tx) error { return destroyLetter(tx, r.N) })
			}
			return nil
		})
	})
	if err != nil {
		return 0, fmt.Errorf("destroying secrets: %w", err)
	}
	// A record may be near to a transaction's size, so each has its own.
	for _, destroy := range doomed {
		if err := v.Update(ctx, destroy); err != nil {
			return 0, fmt.Errorf("destroying secrets: %w", err)
		}
	}
	return destroyed, nil
}

// These read the record again: it may have changed since it was listed.

func destroyVersion(tx *Tx, listed Version) error {
	r, ok, err := tx.Version(listed.Mailbox, listed.Login, listed.N)
	if err != nil || !ok {
		return err
	}
	r.Sealed = nil
	return tx.PutVersion(r)
}

func destroyCandidates(tx *Tx, id string) error {
	r, ok, err := tx.Submission(id)
	if err != nil || !ok {
		return err
	}
	for i := range r.Candidates {
		r.Candidates[i].Sealed = nil
	}
	return tx.PutSubmission(r)
}

func destroyLetter(tx *Tx, n int) error {
	r, ok, err := tx.Review(n)
	if err != nil || !ok {
		return err
	}
	r.Letter = nil
	return tx.PutReview(r)
}
