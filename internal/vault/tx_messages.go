package vault

import (
	"fmt"
	"time"
)

// Submission returns the submission with that PEC identifier.
func (tx *Tx) Submission(id string) (Submission, bool, error) {
	key, err := idKey("sub", id)
	if err != nil {
		return Submission{}, false, err
	}
	return get[Submission](tx, key)
}

// PutSubmission stores s under its identifier, and keeps it on the work list
// while it is not settled or not filed away.
func (tx *Tx) PutSubmission(s Submission) error {
	key, err := idKey("sub", s.ID)
	if err != nil {
		return err
	}
	if err := put(tx, key, s.normal()); err != nil {
		return err
	}
	work, err := idKey("open", s.ID)
	if err != nil {
		return err
	}
	return tx.list(work, s.ID, s.Stage != StageSettled || s.Filed == "")
}

// list puts key on a work list with what it stands for, or takes it off.
func (tx *Tx) list(key string, what any, on bool) error {
	b, err := tx.kv.Get(key)
	if err != nil || (b != nil) == on {
		return err
	}
	if on {
		return put(tx, key, what)
	}
	return tx.kv.Delete(key)
}

// OpenSubmissions returns the work list.
func (tx *Tx) OpenSubmissions() ([]Submission, error) {
	ids, err := all[string](tx, "open/")
	if err != nil {
		return nil, err
	}
	subs := make([]Submission, 0, len(ids))
	for _, id := range ids {
		s, ok, err := tx.Submission(id)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, damaged("the work list names a submission that is not there")
		}
		subs = append(subs, s)
	}
	return subs, nil
}

// Submissions calls fn with each submission there ever was.
func (tx *Tx) Submissions(fn func(Submission) error) error {
	return each(tx, "sub/", fn)
}

// Seen tells what became of the message with that identifier.
func (tx *Tx) Seen(id string) (Seen, bool, error) {
	key, err := idKey("seen", id)
	if err != nil {
		return Seen{}, false, err
	}
	return get[Seen](tx, key)
}

// PutSeen stores s under its identifier.
func (tx *Tx) PutSeen(s Seen) error {
	key, err := idKey("seen", s.ID)
	if err != nil {
		return err
	}
	return put(tx, key, s.normal())
}

// Cursor returns how far a folder has been read.
func (tx *Tx) Cursor(folder string) (Cursor, bool, error) {
	key, err := join("cursor", folder)
	if err != nil {
		return Cursor{}, false, err
	}
	return get[Cursor](tx, key)
}

// PutCursor stores c under its folder.
func (tx *Tx) PutCursor(c Cursor) error {
	key, err := join("cursor", c.Folder)
	if err != nil {
		return err
	}
	return put(tx, key, c.normal())
}

// Holes returns the holes of a folder, by UID.
func (tx *Tx) Holes(folder string) ([]Hole, error) {
	prefix, err := join("hole", folder)
	if err != nil {
		return nil, err
	}
	return all[Hole](tx, prefix+"\x00")
}

// PutHole stores h under its folder and UID.
func (tx *Tx) PutHole(h Hole) error {
	key, err := holeKey(h.Folder, h.UID)
	if err != nil {
		return err
	}
	return put(tx, key, h.normal())
}

// DeleteHole forgets a hole; one that is not there is no error.
func (tx *Tx) DeleteHole(folder string, uid uint32) error {
	key, err := holeKey(folder, uid)
	if err != nil {
		return err
	}
	return tx.kv.Delete(key)
}

func holeKey(folder string, uid uint32) (string, error) {
	return join("hole", folder, fmt.Sprintf("%010d", uid))
}

// refusedTime orders refused/ keys.
const refusedTime = "20060102T150405"

// AddRefused appends r; its time is needed.
func (tx *Tx) AddRefused(r Refused) error {
	if r.At.IsZero() {
		return fmt.Errorf("%w: refused message without time", ErrInvalid)
	}
	n, err := tx.next("refused")
	if err != nil {
		return err
	}
	r = r.normal()
	return put(tx, fmt.Sprintf("refused/%s/%06d", r.At.Format(refusedTime), n), r)
}

// RefusedSince returns the refused messages from t on, oldest first. The keys
// hold the time, so that the last days are read without those before.
func (tx *Tx) RefusedSince(t time.Time) ([]Refused, error) {
	t = second(t)
	var recs []Refused
	for _, prefix := range refusedPrefixes(t) {
		err := each(tx, prefix, func(r Refused) error {
			if !r.At.Before(t) {
				recs = append(recs, r)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return recs, nil
}

// refusedPrefixes are the beginnings of all keys of t's day and later ones, in
// order: the day itself, then each date that has a higher digit in one place
// and the same ones before it, from the last place to the first. Nothing is
// left out: a clock may have been wrong.
func refusedPrefixes(t time.Time) []string {
	day := t.UTC().Format("20060102")
	list := []string{"refused/" + day}
	for place := len(day) - 1; place >= 0; place-- {
		for digit := day[place] + 1; digit <= '9'; digit++ {
			list = append(list, "refused/"+day[:place]+string(digit))
		}
	}
	return list
}

// AddReview stores r under the next free number, which it returns.
func (tx *Tx) AddReview(r Review) (n int, err error) {
	if r.N, err = tx.next("review"); err != nil {
		return 0, err
	}
	return r.N, tx.PutReview(r)
}

// Review returns review item n.
func (tx *Tx) Review(n int) (Review, bool, error) {
	return get[Review](tx, reviewKey(n))
}

// PutReview stores r under its number, and keeps it among what waits of its
// sender while it is not decided.
func (tx *Tx) PutReview(r Review) error {
	if r.N < 1 {
		return fmt.Errorf("%w: review item %d", ErrInvalid, r.N)
	}
	if err := put(tx, reviewKey(r.N), r.normal()); err != nil || r.Sender == "" {
		return err
	}
	of, err := idKey("waits", r.Sender)
	if err != nil {
		return err
	}
	return tx.list(fmt.Sprintf("%s\x00%06d", of, r.N), r.N, r.DecidedAt.IsZero())
}

// Waiting returns the numbers of a sender's open review items, oldest first;
// those without Review.Sender are not counted.
func (tx *Tx) Waiting(sender string) ([]int, error) {
	of, err := idKey("waits", sender)
	if err != nil {
		return nil, err
	}
	return all[int](tx, of+"\x00")
}

// Reviews calls fn with each review item, decided ones too.
func (tx *Tx) Reviews(fn func(Review) error) error {
	return each(tx, "review/", fn)
}

func reviewKey(n int) string { return fmt.Sprintf("review/%06d", n) }
