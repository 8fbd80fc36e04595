package inbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

const (
	headerBatch = 500      // messages in one FETCH of headers
	metaMost    = 2_000    // messages whose size and date are kept, before the next headers
	bodyBatch   = 50       // messages in one FETCH of whole messages, and
	bodyBytes   = 4 << 20  // their size, unless one alone is larger
	itemBudget  = 1 << 10  // what surrounds the literal in one FETCH response
	sizeSlack   = 64 << 10 // RFC822.SIZE may be a little wrong
)

// errCallback wraps the error of a caller's function, to tell it from the
// server's.
type errCallback struct{ err error }

func (e errCallback) Error() string { return e.err.Error() }
func (e errCallback) Unwrap() error { return e.err }
func (e errCallback) Is(target error) bool {
	_, ok := target.(errCallback)
	return ok
}

// batch is one FETCH command.
type batch struct {
	uids   []uint32
	budget int64
}

// item is one answered message.
type item struct {
	uid   uint32
	meta  meta
	flags []string
	body  bool              // the answer has a body, were it an empty one
	parts map[string][]byte // MIME headers by section; empty: no such part
	raw   []byte
	over  bool // the body was larger than allowed, and thrown away
}

// Headers fetches size, date, flags and HeaderFields of messages and calls fn
// for each, in the server's order. missing are the UIDs that the server, asked
// twice, gave nothing for: mostly messages deleted in the meantime. An error
// of fn ends the fetch and is returned, wrapped; the session stays usable.
func (s *Session) Headers(ctx context.Context, uids []uint32, fn func(Header) error) (missing []uint32, err error) {
	section := &imap.FetchItemBodySection{
		Peek: true, Specifier: imap.PartSpecifierHeader, HeaderFields: HeaderFields,
		Partial: &imap.SectionPartial{Offset: 0, Size: MaxHeader},
	}
	opts := &imap.FetchOptions{
		UID: true, Flags: true, InternalDate: true, RFC822Size: true,
		BodySection: []*imap.FetchItemBodySection{section},
	}
	each := func(it item) error {
		return fn(Header{
			UID: it.uid, Size: it.meta.size, InternalDate: it.meta.date, Flags: it.flags,
			Raw: it.raw, Truncated: it.over || len(it.raw) >= MaxHeader,
		})
	}
	if len(s.meta) > metaMost {
		clear(s.meta) // Fetch asks again where it must
	}
	missing, err = s.twice(ctx, uids, func(uids []uint32) ([]uint32, error) {
		var batches []batch
		for chunk := range slices.Chunk(uids, headerBatch) {
			batches = append(batches, batch{chunk, int64(len(chunk)) * (MaxHeader + itemBudget)})
		}
		return s.fetch(ctx, batches, opts, MaxHeader, false, each)
	})
	if err != nil {
		return missing, fmt.Errorf("fetching headers: %w", err)
	}
	return missing, nil
}

// Fetch downloads whole messages and calls fn for each, one at a time. A
// message larger than Config.MaxMessage is not downloaded: its Raw is nil and
// TooLarge set. missing and errors are as with Headers; an error in the middle
// of a message is a *MessageError.
func (s *Session) Fetch(ctx context.Context, uids []uint32, fn func(Message) error) (missing []uint32, err error) {
	return s.bodies(ctx, uids, 0, 0, fn)
}

// Peek is Fetch for n bytes of each message from offset from on, however large
// it is; fewer where the message ends before.
func (s *Session) Peek(ctx context.Context, uids []uint32, from, n int64, fn func(Message) error) (missing []uint32, err error) {
	if n <= 0 || from < 0 {
		return nil, fmt.Errorf("fetching messages: nothing to peek at")
	}
	return s.bodies(ctx, uids, from, n, fn)
}

// bodies fetches messages whole (n = 0) or n of their bytes.
func (s *Session) bodies(ctx context.Context, uids []uint32, from, first int64, fn func(Message) error) (missing []uint32, err error) {
	section := &imap.FetchItemBodySection{Peek: true}
	limit := s.c.MaxMessage
	if first > 0 {
		section.Partial = &imap.SectionPartial{Offset: from, Size: first}
		limit = first
	}
	opts := &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{section}}
	missing, err = s.twice(ctx, uids, func(uids []uint32) ([]uint32, error) {
		gone, err := s.sizes(ctx, uids)
		if err != nil {
			return gone, err
		}
		small := map[uint32]bool{}
		if first == 0 {
			if small, err = s.notTooLarge(ctx, uids); err != nil {
				return gone, err
			}
		}
		var wanted []uint32
		for _, uid := range uids {
			m, ok := s.meta[uid]
			if !ok {
				continue // gone
			}
			if first == 0 && m.size > s.c.MaxMessage && !small[uid] {
				if err := fn(Message{UID: uid, Size: m.size, InternalDate: m.date, TooLarge: true}); err != nil {
					return gone, errCallback{err}
				}
				continue
			}
			wanted = append(wanted, uid)
		}
		each := func(it item) error {
			m := s.meta[it.uid]
			return fn(Message{UID: it.uid, Size: m.size, InternalDate: m.date, Raw: it.raw, TooLarge: it.over})
		}
		lost, err := s.fetch(ctx, s.bodyBatches(wanted, from, first), opts, limit, first == 0, each)
		return append(gone, lost...), err
	})
	if err != nil {
		return missing, fmt.Errorf("fetching messages: %w", err)
	}
	return missing, nil
}

// bodyBatches cuts uids so that a batch is neither many messages nor many
// bytes.
func (s *Session) bodyBatches(uids []uint32, from, first int64) []batch {
	var (
		batches []batch
		b       batch
		bytes   int64
	)
	for _, uid := range uids {
		size := min(s.meta[uid].size, s.c.MaxMessage)
		if first > 0 {
			size = min(max(size-from, 0), first)
		}
		if len(b.uids) > 0 && (len(b.uids) == bodyBatch || bytes+size > bodyBytes) {
			batches = append(batches, b)
			b, bytes = batch{}, 0
		}
		b.uids = append(b.uids, uid)
		b.budget += size + size/8 + itemBudget + sizeSlack
		bytes += size
	}
	if len(b.uids) > 0 {
		batches = append(batches, b)
	}
	return batches
}

// sizes learns size and date of the messages that Headers hasn't brought.
func (s *Session) sizes(ctx context.Context, uids []uint32) (missing []uint32, err error) {
	var unknown []uint32
	for _, uid := range uids {
		if _, ok := s.meta[uid]; !ok {
			unknown = append(unknown, uid)
		}
	}
	var batches []batch
	for chunk := range slices.Chunk(unknown, headerBatch) {
		batches = append(batches, batch{chunk, int64(len(chunk)) * itemBudget})
	}
	opts := &imap.FetchOptions{UID: true, InternalDate: true, RFC822Size: true}
	return s.fetch(ctx, batches, opts, 0, false, func(item) error { return nil })
}

// twice runs get, and once more for what was missing: an unasked FETCH about
// one of the messages (somebody has changed a flag) makes the library ignore
// the answer to ours, as it does when a server sends the UID after the body.
func (s *Session) twice(ctx context.Context, uids []uint32, get func([]uint32) ([]uint32, error)) ([]uint32, error) {
	uids = slices.Clone(uids)
	slices.Sort(uids)
	uids = slices.Compact(uids)
	if len(uids) > 0 && uids[0] == 0 {
		uids = uids[1:] // would be "*", the last message
	}
	missing, err := get(uids)
	if err == nil && len(missing) > 0 {
		missing, err = get(missing)
	}
	var cb errCallback
	if errors.As(err, &cb) {
		return missing, cb.err
	}
	return missing, err
}

// fetch sends one FETCH after the other and calls each for every message that
// was asked for. Bodies above limit are not kept; whole means that an empty
// body is none. It returns the UIDs without an answer.
//
// A FETCH is answered in one stream, so a round trip is lost only between
// batches. Two at once would save that, too, but Dovecot then answers the
// second before it has completed the first, and the library waits for ever.
func (s *Session) fetch(ctx context.Context, batches []batch, opts *imap.FetchOptions, limit int64, whole bool, each func(item) error) (missing []uint32, err error) {
	for _, b := range batches {
		err := s.do(ctx, b.budget+answerBudget, func() error {
			if err := s.reading(); err != nil {
				return err
			}
			cmd := s.imap.Fetch(uidSet(b.uids), opts)
			lost, err := s.read(cmd, b.uids, limit, whole, each)
			missing = append(missing, lost...)
			return err
		})
		if err != nil {
			return missing, err
		}
	}
	return missing, ctx.Err()
}

// read takes the answers to one FETCH, all of them, even when nobody wants
// them any more: the library can't go on before. Only when the stream ends
// does it return at once.
//
// The library ends a message in the same way whether its response was good or
// broken after the body. So a message is passed on only when the next one has
// begun, or the whole command is answered.
func (s *Session) read(cmd *imapclient.FetchCommand, uids []uint32, limit int64, whole bool, each func(item) error) (missing []uint32, err error) {
	open := make(map[uint32]bool, len(uids))
	for _, uid := range uids {
		open[uid] = true
	}
	var last *item
	pass := func() error {
		if last == nil {
			return nil
		}
		it := *last
		last = nil
		if !s.accept(&it, open[it.uid], limit > 0, whole) {
			return nil
		}
		delete(open, it.uid)
		start := time.Now()
		defer func() { s.guard.pause(time.Since(start)) }()
		if err := each(it); err != nil {
			return errCallback{err}
		}
		return nil
	}
	for err == nil {
		msg := cmd.Next()
		if msg == nil {
			break
		}
		if err = pass(); err != nil {
			break
		}
		it, rerr := readItem(msg, limit)
		if rerr != nil {
			// The stream has ended inside a body, and the library's reading
			// goroutine knows and ends, too. Close would read on at the same
			// place, in two goroutines at once.
			return nil, rerr
		}
		last = &it
	}
	if cerr := cmd.Close(); cerr != nil && err == nil {
		var ie *imap.Error
		if errors.As(cerr, &ie) {
			err = pass() // a NO: the messages before it are good
		}
		if err == nil {
			err = s.refusedFetch(cerr, uids, open)
		}
	}
	if err == nil {
		err = pass()
	}
	if err == nil {
		for _, uid := range uids {
			if open[uid] {
				missing = append(missing, uid)
			}
		}
	}
	return missing, err
}

// accept decides whether an answered message is one that was asked for, and
// there. What it refuses is asked for again.
func (s *Session) accept(it *item, open, body, whole bool) bool {
	if it.uid == 0 || !open || (body && !it.body) {
		return false
	}
	if it.meta.date.IsZero() {
		it.meta = s.meta[it.uid]
	} else {
		s.meta[it.uid] = it.meta
	}
	if !whole || it.over {
		return true
	}
	// A body of nothing is how some servers answer for a message that was
	// deleted under us. Any other length than RFC822.SIZE is believed only
	// when it comes twice: some servers only estimate the size.
	n := int64(len(it.raw))
	if n == it.meta.size {
		return true
	}
	if n == 0 {
		return false
	}
	again := s.odd[it.uid] == n
	s.odd[it.uid] = n
	return again
}

// refusedFetch looks at a NO to a FETCH. [EXPUNGEISSUED] (RFC 5530) only says
// that some are gone, and they are missing then. Otherwise the first one
// without an answer is named, so that one damaged message can be told from a
// server that is down.
func (s *Session) refusedFetch(err error, uids []uint32, open map[uint32]bool) error {
	var ie *imap.Error
	if !errors.As(err, &ie) || ie.Type != imap.StatusResponseTypeNo {
		return err
	}
	if ie.Code == "EXPUNGEISSUED" {
		return nil
	}
	for _, uid := range uids {
		if open[uid] {
			return &MessageError{UID: uid, Err: err}
		}
	}
	return nil // it has given all that was asked for
}

// readItem reads one response. What is over limit is read and thrown away;
// guard has made sure that it can't be endless.
func readItem(msg *imapclient.FetchMessageData, limit int64) (item, error) {
	var it item
	for {
		switch d := msg.Next().(type) {
		case nil:
			return it, nil
		case imapclient.FetchItemDataUID:
			it.uid = uint32(d.UID)
		case imapclient.FetchItemDataRFC822Size:
			it.meta.size = d.Size
		case imapclient.FetchItemDataInternalDate:
			it.meta.date = d.Time.UTC()
		case imapclient.FetchItemDataFlags:
			for _, f := range d.Flags {
				it.flags = append(it.flags, string(f))
			}
		case imapclient.FetchItemDataBodySection:
			mime := d.Section != nil && d.Section.Specifier == imap.PartSpecifierMIME
			if mime {
				it.part(d.Section.Part, nil)
			}
			if d.Literal == nil {
				continue
			}
			it.body = true
			size := d.Literal.Size()
			var (
				raw []byte
				n   int64
				err error
			)
			if size > limit {
				it.over = true
				n, err = io.Copy(io.Discard, d.Literal)
			} else {
				raw = make([]byte, size)
				var m int
				m, err = io.ReadFull(d.Literal, raw)
				n = int64(m)
			}
			if err != nil || n != size {
				return it, &MessageError{UID: it.uid, Err: errors.Join(ErrNetwork, err)}
			}
			if mime {
				it.part(d.Section.Part, raw)
			} else {
				it.raw = raw
			}
		}
	}
}

// part notes the MIME header of a part.
func (it *item) part(section []int, head []byte) {
	if it.parts == nil {
		it.parts = map[string][]byte{}
	}
	it.body = true
	it.parts[sectionName(section)] = head
}

func uidSet(uids []uint32) imap.UIDSet {
	var set imap.UIDSet
	for _, uid := range uids {
		set.AddNum(imap.UID(uid))
	}
	return set
}
