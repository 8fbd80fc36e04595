package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"pec-ingest/internal/inbox"
)

// maxRedials is how many new sessions one pass may need; more says that the
// server is out of order, not a message.
const maxRedials = 20

// getter asks for messages and tells of each that was answered.
type getter func(uids []uint32, answered func(uid uint32)) (missing []uint32, err error)

// getAll asks for messages, and goes on when one of them makes the server
// fail: a file with a bad block, a bug in an index. Dovecot ends the session
// on such a one, at every pass anew; without this nothing behind it would
// ever be read.
//
// Answers come in the order of UIDs, so the first without one is suspected.
// It is asked for again alone, in a new session; failing twice it counts as
// missing, like one that the server does not hand over.
func (p *pass) getAll(ctx context.Context, uids []uint32, get getter) (missing []uint32, err error) {
	left := slices.Clone(uids)
	slices.Sort(left)
	var suspect uint32 // asked for alone in this turn; 0 = none
	for len(left) > 0 {
		ask := left
		if suspect != 0 {
			ask = []uint32{suspect}
		}
		answered := map[uint32]bool{}
		gone, err := get(ask, func(uid uint32) { answered[uid] = true })
		if err == nil {
			missing = append(missing, gone...)
			left = slices.DeleteFunc(left, func(uid uint32) bool { return slices.Contains(ask, uid) })
			suspect = 0
			continue
		}
		if !serverFault(err) || ctx.Err() != nil || p.redials >= maxRedials {
			return missing, err
		}
		if rerr := p.redial(ctx); rerr != nil {
			return missing, errors.Join(err, rerr)
		}
		if suspect != 0 {
			p.log.Warn("the server fails on a message: going on without it", "event", "message.poison", "uid", suspect, "err", err)
			missing = append(missing, suspect)
			p.unable[suspect] = errors.Is(err, inbox.ErrUnavailable)
			left = slices.DeleteFunc(left, func(uid uint32) bool { return uid == suspect })
			suspect = 0
			continue
		}
		left = slices.DeleteFunc(left, func(uid uint32) bool { return answered[uid] })
		if len(left) > 0 {
			suspect = left[0]
		}
	}
	return missing, nil
}

// serverFault tells an error of the session from one of our own, such as a
// full disk.
func serverFault(err error) bool {
	var one *inbox.MessageError
	return errors.As(err, &one) || errors.Is(err, inbox.ErrNetwork) || errors.Is(err, inbox.ErrUnavailable)
}

// redial replaces the session of the pass by a new one on the same folder.
func (p *pass) redial(ctx context.Context) error {
	p.redials++
	p.sess.Close()
	sess, err := p.openInbox(ctx, p.opts)
	if err != nil {
		return err
	}
	p.sess = sess
	box, err := sess.Examine(ctx)
	if err != nil {
		return p.inboxError(err)
	}
	if box.UIDValidity != p.box.UIDValidity {
		return p.inboxError(fmt.Errorf("signing in again: %w", inbox.ErrUIDValidity))
	}
	return nil
}
