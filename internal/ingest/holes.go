package ingest

import (
	"context"
	"slices"
	"strings"
	"time"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/safetext"
	"pec-ingest/internal/vault"
)

// holePause is how long a message that could not be read is left alone: a
// minute after the first time, since others wait for it (waitsForHole), then
// twenty minutes, doubled each time.
func holePause(tries int) time.Duration {
	if tries <= 1 {
		return time.Minute
	}
	return time.Duration(1<<tries) * 5 * time.Minute
}

// holeTries is how often an unreadable message is asked for.
const holeTries = 6

// another tells whether a server has handed over a message other than the one
// whose header it gave under the same UID. What is judged is filed away by its
// UID, so the two must not be mixed up.
func (p *pass) another(h inbox.Header, m inbox.Message) (differs bool) {
	if m.TooLarge || len(h.Raw) == 0 {
		return false
	}
	p.guarded(m.UID, func() {
		was, is := pec.MessageID(h.Raw), pec.MessageID(m.Raw)
		differs = was != "" && is != "" && was != is
	})
	return differs
}

// freshHoles lists the messages that could not be read and were not asked for
// again yet.
func (p *pass) freshHoles(ctx context.Context) (fresh []vault.Hole, err error) {
	err = p.vault.View(ctx, func(tx *vault.Tx) error {
		holes, err := tx.Holes(p.folderName())
		fresh = slices.DeleteFunc(holes, func(h vault.Hole) bool {
			return h.UIDValidity != p.box.UIDValidity || h.Tries > 1
		})
		return err
	})
	return fresh, err
}

// waitsForHole tells whether a group should not be settled yet: one of the
// messages that could not be read may be its newest password, and trying an
// older one would be a needless refusal, which the client would be told of.
// It waits until that message was asked for a second time, and no longer.
//
// Where nothing is known of the message but that the server can't read it, by
// its own word, nobody waits: it is a damaged file, and will stay one.
func (p *pass) waitsForHole(g group, fresh []vault.Hole) bool {
	return slices.ContainsFunc(fresh, func(h vault.Hole) bool {
		if h.Sender == "" {
			return !h.Unable
		}
		return strings.EqualFold(h.Sender, g.mailbox) || slices.Contains(p.clients.serves(h.Sender), g.mailbox)
	})
}

// noted are the messages that could not be read earlier, by their UID; due are
// those of them to be asked for again now.
func (p *pass) noted(ctx context.Context) (noted map[uint32]vault.Hole, due []uint32, err error) {
	err = p.vault.View(ctx, func(tx *vault.Tx) error {
		noted, due = map[uint32]vault.Hole{}, nil
		holes, err := tx.Holes(p.folderName())
		if err != nil {
			return err
		}
		for _, h := range holes {
			if h.UIDValidity != p.box.UIDValidity {
				continue
			}
			noted[h.UID] = h
			if !pausing(h.NextAt, p.now, holePause(holeTries)) {
				due = append(due, h.UID)
			}
		}
		return nil
	})
	slices.Sort(due)
	return noted, due, err
}

// noteMissing remembers messages that the server listed and then did not
// hand over. Those that have simply gone are forgotten; the others are asked
// for again later, and given up, with a record, after holeTries.
//
// Behind all that the server has shown or promised there is nothing to wait for:
// the cursor stays before it.
func (p *pass) noteMissing(ctx context.Context, uids []uint32, headers map[uint32]inbox.Header) error {
	uids = slices.DeleteFunc(slices.Clone(uids), func(uid uint32) bool { return uid >= p.reach && !p.holes[uid] })
	if len(uids) == 0 || p.opts.DryRun {
		return nil
	}
	slices.Sort(uids)
	still, err := p.sess.Search(ctx, uids[0], time.Time{})
	if err != nil {
		return p.inboxError(err)
	}
	for _, uid := range uids {
		_, there := slices.BinarySearch(still, uid)
		if there {
			p.sum.Errors++
		}
		if err := p.noteHole(ctx, uid, there, p.claimedSender(headers[uid])); err != nil {
			return err
		}
	}
	return nil
}

// claimedSender is whom a header names as the sender, "" if it can't be read.
func (p *pass) claimedSender(h inbox.Header) (sender string) {
	if len(h.Raw) > 0 {
		p.guarded(h.UID, func() { sender = safetext.Address(p.Reader.Outer(h.Raw).Claimed.Sender) })
	}
	return sender
}

func (p *pass) noteHole(ctx context.Context, uid uint32, there bool, sender string) error {
	h := vault.Hole{Folder: p.folderName(), UIDValidity: p.box.UIDValidity, UID: uid, Sender: sender, Unable: p.unable[uid],
		Reason: "the server lists the message and does not hand it over"}
	var gone bool
	err := p.vault.Update(ctx, func(tx *vault.Tx) (err error) {
		if !there {
			return tx.DeleteHole(h.Folder, uid)
		}
		h, gone, err = p.putHole(tx, h)
		return err
	})
	if err == nil && there {
		p.tellHole(h, gone)
	}
	return err
}

// commitStopped notes a message on which this program fails. It is read again
// later all the same: by then a newer version may run. Nobody waits for it if
// not even its sender is known.
func (p *pass) commitStopped(tx *vault.Tx, j *judged) (err error) {
	sender := j.claimed.Sender
	j.hole, j.gone, err = p.putHole(tx, vault.Hole{Folder: j.at.Folder, UIDValidity: j.at.UIDValidity, UID: j.at.UID, Sender: sender, Unable: sender == "",
		Reason: "the program fails on the message"})
	return err
}

// putHole remembers a message that could not be read, to be asked for again; if
// that was tried often enough it is gone: a record stands for it.
func (p *pass) putHole(tx *vault.Tx, h vault.Hole) (_ vault.Hole, gone bool, err error) {
	before, err := p.holeOf(tx, h.UID)
	if err != nil {
		return h, false, err
	}
	h.Tries = before.Tries + 1
	h.NextAt = p.now.Add(holePause(h.Tries))
	if h.Tries < holeTries {
		return h, false, tx.PutHole(h)
	}
	if err := tx.AddRefused(vault.Refused{At: p.now, Reason: "unreadable", UIDValidity: h.UIDValidity, UID: h.UID}); err != nil {
		return h, true, err
	}
	return h, true, tx.DeleteHole(h.Folder, h.UID)
}

// holeOf is what is noted of a message, zero if nothing is.
func (p *pass) holeOf(tx *vault.Tx, uid uint32) (vault.Hole, error) {
	holes, err := tx.Holes(p.folderName())
	for _, h := range holes {
		if h.UID == uid && h.UIDValidity == p.box.UIDValidity {
			return h, nil
		}
	}
	return vault.Hole{}, err
}

// tellHole logs what was committed of a message that could not be read.
func (p *pass) tellHole(h vault.Hole, gone bool) {
	if gone {
		p.log.Error("a message can't be read and is given up", "event", "message.unreadable", "uid", h.UID,
			"hint", "open it in the webmail: if it is a client's password, enter it with `ingest set`")
		return
	}
	p.log.Warn("a message could not be read", "event", "message.unread", "uid", h.UID, "tries", h.Tries, "next", h.NextAt)
}
