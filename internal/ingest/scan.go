package ingest

import (
	"context"
	"runtime/debug"
	"slices"
	"time"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/vault"
)

const (
	headerBatch  = 500 // messages whose headers are asked for at once,
	firstHeaders = 100 // and of the first ones
	commitBatch  = 15  // submissions a transaction that says where they are filed
	commitKeys   = 500 // keys that a transaction of judged messages is filled up to, where the engine has room for them
	commitMost   = 200 // judged messages that wait for others at most

	cursorEvery = 2 * time.Second // the cursor moves in a long scan
)

// scan judges everything new in the inbox and makes the first commits.
//
// The cursor is the first UID not looked at yet; it moves with the commit of
// what lies before it, so a message is never downloaded again at every poll,
// and never skipped because a pass died. When UIDVALIDITY changed, all
// messages are new to us; the PEC identifiers in the vault tell the old ones.
func (p *pass) scan(ctx context.Context) error {
	cur, err := p.cursor(ctx)
	if err != nil {
		return err
	}
	if cur.UIDValidity != p.box.UIDValidity {
		if cur.UIDValidity != 0 {
			p.log.Warn("the inbox was renumbered by its server: reading it again from its start", "event", "inbox.renumbered",
				"uidvalidity_was", cur.UIDValidity, "uidvalidity_is", p.box.UIDValidity)
		}
		cur = vault.Cursor{Folder: p.folderName(), UIDValidity: p.box.UIDValidity, NextUID: 1, Since: p.since()}
	}
	end := cur
	end.Since = time.Time{}
	uids, last, err := p.listNew(ctx, cur)
	if err != nil {
		return err
	}
	p.from = cur.Since
	noted, holes, err := p.noted(ctx)
	if err != nil {
		return err
	}
	uids = slices.DeleteFunc(uids, func(u uint32) bool { _, known := noted[u]; return known }) // a service that died has noted them
	uids = append(holes, uids...)
	p.holes, p.trial = map[uint32]bool{}, newTrial(p.onTrial.Load())
	for _, uid := range holes {
		p.holes[uid] = true
		if noted[uid].Reason == trialReason {
			p.trial.suspect(uid)
		}
	}

	total := len(uids)
	if total > 0 {
		if err := p.needClients(ctx); err != nil {
			return err
		}
	}
	if total == 0 {
		p.endTrial()
		return p.moveCursor(ctx, p.behind(end, last))
	}
	p.beginProgress(total)
	l := p.startLine(ctx)
	err = p.caught("reading the inbox", func() error {
		err := p.scanAll(ctx, l, uids, cur)
		if err == nil {
			l.passed(p.behind(end, last), total, false)
		}
		return err
	})
	if lerr := l.close(); lerr != nil {
		return lerr
	}
	if err == nil {
		p.endTrial()
	}
	return err
}

// scanAll hands all that can matter over to l, and lets the cursor follow.
func (p *pass) scanAll(ctx context.Context, l *line, uids []uint32, cur vault.Cursor) error {
	for done := 0; done < len(uids); {
		// The first one is small: what it brings is read beside the next.
		batch := uids[done:min(done+min(headerBatch, firstHeaders+done), len(uids))]
		wary := p.trial.wary() // the batch; the next one may be an ordinary one
		if err := p.scanBatch(ctx, l, batch); err != nil {
			return err
		}
		done += len(batch)
		cur = p.behind(cur, batch[len(batch)-1])
		l.passed(cur, done, wary)
	}
	return nil
}

func (p *pass) cursor(ctx context.Context) (cur vault.Cursor, err error) {
	err = p.vault.View(ctx, func(tx *vault.Tx) error {
		cur, _, err = tx.Cursor(p.folderName())
		return err
	})
	return cur, err
}

func (p *pass) moveCursor(ctx context.Context, cur vault.Cursor) error {
	if p.opts.DryRun {
		return nil
	}
	return p.vault.Update(ctx, func(tx *vault.Tx) error {
		was, _, err := tx.Cursor(cur.Folder)
		if err != nil {
			return err
		}
		if was.UIDValidity == cur.UIDValidity && was.NextUID == cur.NextUID && was.Since.Equal(cur.Since) {
			return nil // a poll without news writes nothing
		}
		cur.At = p.now
		return tx.PutCursor(cur)
	})
}

// scanBatch looks at the header fields of some messages, downloads those that
// can matter and hands them over.
func (p *pass) scanBatch(ctx context.Context, l *line, uids []uint32) error {
	headers := map[uint32]inbox.Header{}
	missing, err := p.getAll(ctx, uids, func(uids []uint32, answered func(uint32)) ([]uint32, error) {
		return p.sess.Headers(ctx, uids, func(h inbox.Header) error {
			answered(h.UID)
			headers[h.UID] = h
			if h.UID < 1<<32-1 {
				p.reach = max(p.reach, h.UID+1)
			}
			return nil
		})
	})
	if err != nil {
		return p.inboxError(err)
	}
	s, err := p.sortByHeader(ctx, uids, headers)
	if err != nil {
		return err
	}
	rest, alone := s, []sorted(nil)
	if !p.opts.DryRun { // which notes nothing
		rest, alone = p.trial.of(s)
	}
	for _, one := range alone {
		gone, err := p.readOnTrial(ctx, l, one, headers)
		missing = append(missing, gone...)
		if err != nil {
			return l.scanError(err)
		}
	}
	gone, err := p.readSorted(ctx, l, rest, headers)
	missing = append(missing, gone...)
	if err != nil {
		return l.scanError(err)
	}
	if len(missing) == 0 {
		return nil
	}
	if err := l.wait(); err != nil {
		return err
	}
	return p.noteMissing(ctx, missing, headers)
}

// readSorted reads what was sorted, and hands over all but the receipts, which
// it counts behind all others.
func (p *pass) readSorted(ctx context.Context, l *line, s sorted, headers map[uint32]inbox.Header) (missing []uint32, err error) {
	l.add(s.skipped)
	// Reading the beginnings of the large ones goes on beside the next
	// download, the last of them beside that of the small ones.
	var looking *glance
	finish := func() error {
		if looking == nil {
			return nil
		}
		gone, err := p.readLarge(ctx, l, looking, headers)
		missing = append(missing, gone...)
		return err
	}
	for part := range slices.Chunk(s.large, siftBatch) {
		next, err := p.look(ctx, lookedAt(part), looks[0], headers)
		if err == nil {
			err = finish()
		}
		if err != nil {
			return missing, err
		}
		looking = next
	}
	gone, err := p.readWhole(ctx, l, s.small, headers)
	missing = append(missing, gone...)
	if err == nil {
		err = finish()
	}
	if err != nil || len(s.receipts) == 0 {
		return missing, err
	}
	if err := l.wait(); err != nil {
		return missing, err
	}
	gone, err = p.readReceipts(ctx, s.receipts, headers)
	return append(missing, gone...), err
}

// sorted are the messages of a batch by what their header fields say.
type sorted struct {
	small, large []uint32 // to be downloaded; to be looked into
	receipts     []uint32 // of messages of ours
	skipped      []judged
}

func (p *pass) sortByHeader(ctx context.Context, uids []uint32, headers map[uint32]inbox.Header) (s sorted, err error) {
	var failed []judged
	outers := make(map[uint32]pec.Outer, len(uids))
	for _, uid := range uids {
		if h, ok := headers[uid]; ok && !p.tooOld(h) {
			if !p.guarded(uid, func() { outers[uid] = p.Reader.Outer(h.Raw) }) {
				failed = append(failed, judged{at: locationOf(p, uid, ""), received: h.InternalDate, stopped: true})
			}
		}
	}
	err = p.vault.View(ctx, func(tx *vault.Tx) error {
		s = sorted{skipped: slices.Clone(failed)}
		for _, uid := range uids {
			outer, ok := outers[uid]
			if !ok {
				continue
			}
			h := headers[uid]
			j, skip, err := p.triage(tx, h, outer)
			switch {
			case err != nil:
				return err
			case j.mine:
				s.receipts = append(s.receipts, uid)
			case skip:
				s.skipped = append(s.skipped, j)
			case !p.opts.whole && h.Size > wholeUpTo && h.Size <= p.cfg.Inbox.MaxMessage:
				s.large = append(s.large, uid)
			default:
				s.small = append(s.small, uid)
			}
		}
		return nil
	})
	return s, err
}

// readWhole downloads messages and hands them over. Each of the very large ones
// is in memory without any other: it is asked for when all before it are
// committed, and what follows when it is.
func (p *pass) readWhole(ctx context.Context, l *line, uids []uint32, headers map[uint32]inbox.Header) (missing []uint32, err error) {
	var usual, alone []uint32
	for _, uid := range uids {
		if headers[uid].Size > judgingBytes {
			alone = append(alone, uid)
		} else {
			usual = append(usual, uid)
		}
	}
	if missing, err = p.readTogether(ctx, l, usual, headers); err != nil {
		return missing, err
	}
	for _, uid := range alone {
		if err := l.wait(); err != nil {
			return missing, err
		}
		debug.FreeOSMemory() // the memory of what was read so far is needed for this one
		gone, err := p.readTogether(ctx, l, []uint32{uid}, headers)
		missing = append(missing, gone...)
		if err != nil {
			return missing, err
		}
		if err := l.wait(); err != nil {
			return missing, err
		}
	}
	return missing, nil
}

func (p *pass) readTogether(ctx context.Context, l *line, uids []uint32, headers map[uint32]inbox.Header) (missing []uint32, err error) {
	if len(uids) == 0 {
		return nil, nil
	}
	return p.getAll(ctx, uids, func(uids []uint32, answered func(uint32)) ([]uint32, error) {
		var mixed []uint32
		gone, err := p.sess.Fetch(ctx, uids, func(m inbox.Message) error {
			if p.another(headers[m.UID], m) {
				mixed = append(mixed, m.UID)
				return nil
			}
			answered(m.UID)
			return l.judge(headers[m.UID], m)
		})
		return append(gone, mixed...), err
	})
}

// readLarge reads those large envelopes that can matter, by what g saw.
func (p *pass) readLarge(ctx context.Context, l *line, g *glance, headers map[uint32]inbox.Header) (missing []uint32, err error) {
	whole, begun, none, missing, err := p.sift(ctx, g, headers)
	if err != nil {
		return missing, err
	}
	l.add(none)
	odd, gone, err := p.readRest(ctx, l, begun, headers)
	missing = append(missing, gone...)
	if err != nil {
		return missing, err
	}
	gone, err = p.readWhole(ctx, l, append(whole, odd...), headers)
	return append(missing, gone...), err
}

// readRest downloads what follows the beginnings that are known. odd are
// messages whose length is not what the server says: they are read whole.
func (p *pass) readRest(ctx context.Context, l *line, begun []*looked, headers map[uint32]inbox.Header) (odd, missing []uint32, err error) {
	for _, from := range looks {
		first := map[uint32][]byte{}
		var uids []uint32
		for _, m := range begun {
			if int64(len(m.first)) == from {
				first[m.uid] = m.first
				uids = append(uids, m.uid)
			}
		}
		if len(uids) == 0 {
			continue
		}
		gone, err := p.getAll(ctx, uids, func(uids []uint32, answered func(uint32)) ([]uint32, error) {
			return p.sess.Peek(ctx, uids, from, restUpTo, func(m inbox.Message) error {
				answered(m.UID)
				m.Raw = append(first[m.UID], m.Raw...)
				if int64(len(m.Raw)) != m.Size {
					odd = append(odd, m.UID)
					return nil
				}
				return l.judge(headers[m.UID], m)
			})
		})
		missing = append(missing, gone...)
		if err != nil {
			return odd, missing, err
		}
	}
	return odd, missing, nil
}

func locationOf(p *pass, uid uint32, messageID string) vault.Location {
	return vault.Location{Folder: p.folderName(), UIDValidity: p.box.UIDValidity, UID: uid, MessageID: messageID}
}

// commitError wraps a vault failure of the first commit with what happens next.
func commitError(err error) error {
	return &Error{Msg: "committing judged messages", Err: err,
		Hint: firstOf(systemHint(err), "nothing is lost: these messages are read again by the next pass; is the disk full?")}
}
