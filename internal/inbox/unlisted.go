package inbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"
)

// gapsAtOnce is how many ranges of UIDs stand in one FETCH: servers take
// command lines of 8 KiB at least (RFC 7162 §4), and some no longer ones.
const gapsAtOnce = 300

// Unlisted returns the UIDs of messages that Search should have listed in uids,
// ascending, and has not: from the same from and since, and below end or the
// last one listed. Some servers search an index of their own, which may lag behind what
// is there; who goes on behind the last listed message would never see these.
// (What comes behind it is found by the next search.)
//
// It asks about numbers that were left out only, and not at all where there is
// none, as among newly arrived messages mostly.
func (s *Session) Unlisted(ctx context.Context, from uint32, uids []uint32, end uint32, since time.Time) (more []uint32, err error) {
	gaps := gapsOf(from, uids, end)
	for part := range slices.Chunk(gaps, gapsAtOnce) {
		err := s.do(ctx, answerBudget+itemBudget*int64(s.mailbox.Messages), func() error {
			if err := s.reading(); err != nil {
				return err
			}
			found, err := s.between(part, since)
			more = append(more, found...)
			return err
		})
		if errors.Is(err, ErrUnavailable) {
			return more, nil // it won't say
		}
		if err != nil {
			return more, fmt.Errorf("searching: %w", err)
		}
	}
	slices.Sort(more)
	return slices.Compact(more), nil
}

// between runs inside do. It lists what is in some ranges of UIDs.
func (s *Session) between(gaps imap.UIDSet, since time.Time) (found []uint32, err error) {
	cmd := s.imap.Fetch(gaps, &imap.FetchOptions{UID: true, InternalDate: true})
	limit := 2*int64(s.mailbox.Messages) + 100_000 // as in search
	for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
		it, err := readItem(msg, 0)
		if err != nil {
			return nil, err // as in read: the stream has ended
		}
		old := !since.IsZero() && !it.meta.date.IsZero() && it.meta.date.Before(since.AddDate(0, 0, -1))
		if it.uid != 0 && gaps.Contains(imap.UID(it.uid)) && !old && int64(len(found)) < limit {
			found = append(found, it.uid)
		}
	}
	err = cmd.Close()
	var ie *imap.Error
	if errors.As(err, &ie) && ie.Type == imap.StatusResponseTypeNo && ie.Code == "EXPUNGEISSUED" {
		err = nil
	}
	return found, err
}

// gapsOf are the numbers from from on, below end or the last of uids, that are
// not among them.
func gapsOf(from uint32, uids []uint32, end uint32) (gaps imap.UIDSet) {
	next := max(from, 1)
	for _, uid := range uids {
		if uid > next {
			gaps = append(gaps, imap.UIDRange{Start: imap.UID(next), Stop: imap.UID(uid - 1)})
		}
		if uid >= next {
			next = uid + 1
		}
	}
	if end > next {
		gaps = append(gaps, imap.UIDRange{Start: imap.UID(next), Stop: imap.UID(end - 1)})
	}
	return gaps
}
