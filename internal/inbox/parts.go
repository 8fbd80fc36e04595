package inbox

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/emersion/go-imap/v2"
)

const (
	maxPartHead = 8 << 10 // bytes of one part's MIME header
	partBatch   = 50      // messages in one FETCH of parts' headers
)

// PartHeads fetches the MIME headers of some parts of messages, named in
// IMAP's numbering, and calls fn for each message with one header for each
// section: empty where the message has no such part. A header longer than is
// read makes over true; nothing may be concluded from such an answer.
//
// This is what BODYSTRUCTURE would tell, without its danger: it comes as
// literals, so that no malformed message can break the answer for others.
// missing and errors are as with Headers.
//
// Source: RFC 3501 §6.4.5 (BODY[n.MIME]).
func (s *Session) PartHeads(ctx context.Context, uids []uint32, sections [][]int, fn func(uid uint32, heads [][]byte, over bool) error) (missing []uint32, err error) {
	opts := &imap.FetchOptions{UID: true}
	for _, section := range sections {
		opts.BodySection = append(opts.BodySection, &imap.FetchItemBodySection{Peek: true, Part: section, Specifier: imap.PartSpecifierMIME})
	}
	each := func(it item) error {
		heads := make([][]byte, len(sections))
		for i, section := range sections {
			head, answered := it.parts[sectionName(section)]
			it.over = it.over || !answered
			heads[i] = head
		}
		return fn(it.uid, heads, it.over)
	}
	missing, err = s.twice(ctx, uids, func(uids []uint32) ([]uint32, error) {
		var batches []batch
		for chunk := range slices.Chunk(uids, partBatch) {
			batches = append(batches, batch{chunk, int64(len(chunk)) * (int64(len(sections))*(maxPartHead+64) + itemBudget)})
		}
		return s.fetch(ctx, batches, opts, maxPartHead, false, each)
	})
	if err != nil {
		return missing, fmt.Errorf("fetching headers of parts: %w", err)
	}
	return missing, nil
}

// sectionName writes a section as IMAP does: "1.3".
func sectionName(section []int) string {
	var b []byte
	for i, n := range section {
		if i > 0 {
			b = append(b, '.')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return string(b)
}
