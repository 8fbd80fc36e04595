package inbox

import (
	"context"

	"github.com/emersion/go-imap/v2"
)

// notTooLarge finds messages that are within MaxMessage although RFC822.SIZE,
// which some servers only estimate and a broken one invents, says otherwise:
// they have no byte beyond it. What is too large is never read again, so this
// is worth one more question.
func (s *Session) notTooLarge(ctx context.Context, uids []uint32) (small map[uint32]bool, err error) {
	small = map[uint32]bool{}
	var over []uint32
	for _, uid := range uids {
		if m, ok := s.meta[uid]; ok && m.size > s.c.MaxMessage {
			over = append(over, uid)
		}
	}
	if len(over) == 0 {
		return small, nil
	}
	section := &imap.FetchItemBodySection{Peek: true, Partial: &imap.SectionPartial{Offset: s.c.MaxMessage, Size: 1}}
	opts := &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{section}}
	b := []batch{{over, int64(len(over)) * itemBudget}}
	_, err = s.fetch(ctx, b, opts, 1, false, func(it item) error {
		if len(it.raw) == 0 {
			small[it.uid] = true
		}
		return nil
	})
	return small, err
}
