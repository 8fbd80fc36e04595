package ingest

import (
	"context"
	"slices"
	"time"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/vault"
)

// listNew asks for the messages from the cursor on. uids are those to be read,
// ascending; last is the last one that the server lists, which may be too old to
// be read; 0 if there is none.
func (p *pass) listNew(ctx context.Context, cur vault.Cursor) (uids []uint32, last uint32, err error) {
	from, since, gapsTo := cur.NextUID, cur.Since, uint32(0)
	if !since.IsZero() {
		// What is too old now must lie before the cursor afterwards, or the next
		// pass, which asks for no day, would take it for new.
		all, err := p.sess.Search(ctx, from, time.Time{})
		if err != nil {
			return nil, 0, p.inboxError(err)
		}
		last, gapsTo = newest(all), p.box.UIDNext
	}
	if uids, err = p.sess.Search(ctx, from, since); err != nil {
		return nil, 0, p.inboxError(err)
	}
	uids = slices.DeleteFunc(uids, func(u uint32) bool { return u < from }) // "N:*" names the last message even below N
	unlisted, err := p.sess.Unlisted(ctx, from, uids, gapsTo, since)
	if err != nil {
		return nil, 0, p.inboxError(err)
	}
	if len(unlisted) > 0 {
		p.log.Warn("the server's search left out messages that are there: they are read, too", "event", "inbox.unlisted", "count", len(unlisted))
		uids = append(uids, unlisted...)
		slices.Sort(uids)
	}
	if p.reach = p.box.UIDNext; p.reach == 0 {
		p.reach = 1<<32 - 1 // it does not say
	}
	return uids, max(last, newest(uids)), nil
}

// newest is the last of ascending UIDs, 0 if there are none.
func newest(uids []uint32) uint32 {
	if len(uids) == 0 {
		return 0
	}
	return uids[len(uids)-1]
}

// behind moves the cursor behind uid, at most to where the server has said by
// UIDNEXT, or by handing over a message, that there are messages: one that it
// lists out of nothing must not hide those that get their numbers later.
func (p *pass) behind(cur vault.Cursor, uid uint32) vault.Cursor {
	if uid < 1<<32-1 {
		uid++
	}
	cur.NextUID = max(cur.NextUID, min(uid, p.reach))
	return cur
}

// since is the first day that a first pass looks at.
func (p *pass) since() time.Time {
	if p.rereading() {
		return p.today(p.rereadFrom)
	}
	if !p.cfg.Inbox.Since.IsZero() {
		return p.cfg.Inbox.Since
	}
	return p.today(p.now).AddDate(0, 0, -p.policy.MaxValidityDays)
}

// tooOld: a server searches by days of its own time zone and may list the day
// before.
func (p *pass) tooOld(h inbox.Header) bool {
	return !p.from.IsZero() && p.today(h.InternalDate).Before(p.from)
}
