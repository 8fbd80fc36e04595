package ingest

import (
	"context"
	"slices"
	"time"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/vault"
)

// A message may end the service in a way that can't be caught (guard.go): all
// memory taken, a read that never comes back until the watchdog ends it. It
// must not do so for ever. A service that finds that the one before it did not
// end by itself, for whatever reason, a power failure mostly, makes its first
// scan on trial: before a message is looked at, the vault notes it as one that
// could not be read, and what comes of it takes the note away. Whoever dies at
// it leaves the note behind; the message is then passed over, read again later
// and again on trial, and given up after holeTries, like any other hole.
//
// The note costs two commits a message. So it is made for the first batches of
// headers only, and the cursor is moved behind each: what a service died at is
// not far behind the cursor, and each one that dies further on has brought the
// next one nearer. In an ordinary scan there is none.

// jobReading is when the service that reads the inbox began to; the zero time
// once it has ended by itself.
const jobReading = "reading"

// trialAtLeast is how many messages a scan on trial reads in that way at least,
// if there are so many; then it is an ordinary one from its next batch on.
const trialAtLeast = 200

const trialReason = "the service ended while it read the message"

// beginReading notes that this service reads the inbox from now on.
func (s *Service) beginReading(ctx context.Context) {
	now := time.Now()
	err := s.vault.Update(ctx, func(tx *vault.Tx) error {
		before, known, err := tx.Job(jobReading)
		if err != nil {
			return err
		}
		s.onTrial.Store(known && !before.IsZero())
		return tx.PutJob(jobReading, now)
	})
	if err != nil {
		s.log.Warn("the start can't be noted", "event", "service.unnoted", "err", err, "hint", HintOf(err))
	}
	if s.onTrial.Load() {
		s.log.Warn("the service did not end by itself last time: new messages are read one by one", "event", "service.unclean",
			"hint", "nothing is lost; if the machine did not fail, `journalctl -u pec-ingest` shows what ended it")
	}
}

// endReading notes that it ended by itself. Where that can't be noted in time,
// the next one is careful for nothing.
func (s *Service) endReading(ctx context.Context) {
	_ = s.vault.Update(ctx, func(tx *vault.Tx) error { return tx.PutJob(jobReading, time.Time{}) })
}

// endTrial notes that a scan came to its end: the next one is an ordinary one. A
// dry run notes nothing of what it reads, so it is no trial.
func (p *pass) endTrial() {
	if !p.opts.DryRun {
		p.onTrial.Store(false)
	}
}

// trial says which messages of a scan are read on trial: those that a service
// died at and, after an end that was none, all of the first batches.
type trial struct {
	suspects map[uint32]bool
	left     int // how many messages are read on trial, suspects or not, before the scan is an ordinary one
}

func newTrial(all bool) *trial {
	t := &trial{suspects: map[uint32]bool{}}
	if all {
		t.left = trialAtLeast
	}
	return t
}

func (t *trial) suspect(uid uint32) { t.suspects[uid] = true }

// wary tells that whatever comes next is on trial.
func (t *trial) wary() bool { return t.left > 0 }

// of splits off the messages of one batch that are read on trial, each alone,
// and counts them.
func (t *trial) of(s sorted) (rest sorted, alone []sorted) {
	all := t.wary()
	split := func(uids []uint32, one func(uint32) sorted) (left []uint32) {
		for _, uid := range uids {
			if all || t.suspects[uid] {
				alone = append(alone, one(uid))
			} else {
				left = append(left, uid)
			}
		}
		return left
	}
	rest.skipped = s.skipped
	rest.small = split(s.small, func(uid uint32) sorted { return sorted{small: []uint32{uid}} })
	rest.large = split(s.large, func(uid uint32) sorted { return sorted{large: []uint32{uid}} })
	rest.receipts = split(s.receipts, func(uid uint32) sorted { return sorted{receipts: []uint32{uid}} })
	t.left -= len(alone)
	return rest, alone
}

func (s sorted) uid() uint32 {
	return slices.Concat(s.small, s.large, s.receipts)[0]
}

// readOnTrial reads one message, with a note of it in the vault meanwhile.
func (p *pass) readOnTrial(ctx context.Context, l *line, one sorted, headers map[uint32]inbox.Header) (missing []uint32, err error) {
	if err := l.wait(); err != nil { // nobody looks at p.holes now
		return nil, err
	}
	uid := one.uid()
	before, gone, err := p.beginTrial(ctx, uid, p.claimedSender(headers[uid]))
	if gone || err != nil {
		return nil, err
	}
	p.holes[uid] = true
	missing, err = p.readSorted(ctx, l, one, headers)
	if err == nil {
		err = l.wait()
	}
	if err != nil || slices.Contains(missing, uid) { // not for the message's sake, or noted as missing soon
		return missing, firstError(err, p.dropTrial(ctx, uid, before))
	}
	return missing, nil
}

// beginTrial notes a message, in advance, as one that could not be read; gone
// tells that it was tried often enough. before is what was noted of it; zero:
// nothing.
func (p *pass) beginTrial(ctx context.Context, uid uint32, sender string) (before vault.Hole, gone bool, err error) {
	h := vault.Hole{Folder: p.folderName(), UIDValidity: p.box.UIDValidity, UID: uid, Sender: sender, Unable: sender == "", Reason: trialReason}
	err = p.vault.Update(ctx, func(tx *vault.Tx) error {
		if before, err = p.holeOf(tx, uid); err != nil {
			return err
		}
		h, gone, err = p.putHole(tx, h)
		return err
	})
	if err == nil && gone {
		p.sum.Errors++
		p.tellHole(h, true)
	}
	return before, gone, err
}

// dropTrial puts back what was noted before a trial that says nothing.
func (p *pass) dropTrial(ctx context.Context, uid uint32, before vault.Hole) error {
	return p.vault.Update(context.WithoutCancel(ctx), func(tx *vault.Tx) error {
		if before.UID == 0 {
			return tx.DeleteHole(p.folderName(), uid)
		}
		return tx.PutHole(before)
	})
}
