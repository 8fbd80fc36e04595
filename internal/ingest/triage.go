package ingest

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/submission"
	"pec-ingest/internal/vault"
)

// What a message costs before it is known to be of no interest. A submission
// is small and is taken whole at once; what is larger shows its text in its
// first kilobytes, and its documents behind.
const (
	wholeUpTo   = 24 << 10  // larger envelopes are first looked into
	restUpTo    = 256 << 10 // up to this size what is known is not asked for again
	siftBatch   = 64        // messages whose beginnings are held at once
	skippedNote = "not downloaded: its text is about something else"
)

// looks are how many bytes of a large envelope are looked at: the first of them,
// and where the text goes on behind these the next. What is not twice as large
// as the next look is downloaded instead.
var looks = [...]int64{8 << 10, 32 << 10, 128 << 10}

// triage tells from the header fields whether a message must be looked at.
// They are not signed, so all they may say is "skip": a message that claims
// to be a receipt or ordinary mail is no submission whatever else it holds.
func (p *pass) triage(tx *vault.Tx, h inbox.Header, outer pec.Outer) (j judged, skip bool, err error) {
	kind := outer.Kind
	j = judged{at: locationOf(p, h.UID, outer.ID), received: h.InternalDate, claimed: outer.Claimed}
	switch {
	case kind.IsReceipt():
		j.kind, j.reason = kind, pec.ReasonReceipt
		j.mine, err = p.ours(tx, j.claimed)
		return j, true, err
	case kind == pec.KindAnomaly:
		j.kind, j.reason = kind, pec.ReasonAnomaly
		return j, true, nil
	case kind == pec.KindOrdinary, kind == pec.KindREM:
		j.kind, j.reason = kind, pec.ReasonNotPEC
		return j, true, nil
	}
	if j.at.MessageID != "" {
		known, same, err := judgedBefore(tx, j.at)
		if err != nil {
			return j, false, err
		}
		if known {
			j.kind, j.id, j.replay, j.same = kind, j.at.MessageID, true, same
			return j, true, nil
		}
	}
	if kind == pec.KindEnvelope && p.ignoredSender(j.claimed) {
		j.kind, j.skipped = kind, "not downloaded: its sender is no client"
		return j, true, nil
	}
	return j, false, nil
}

// ignoredSender tells whether an envelope names, in the way of RFC 6109
// §3.1.5, a sender whose letters are ignored whatever they hold.
func (p *pass) ignoredSender(c pec.Claimed) bool {
	if p.cfg.Policy.Unlisted != "ignore" {
		return false
	}
	mailbox := pec.MailboxOf(c.Sender)
	from := strings.ToLower(c.From)
	if mailbox == "" || !strings.Contains(from, "per conto di: "+mailbox) && !strings.Contains(from, "per conto di:"+mailbox) {
		return false
	}
	return len(p.clients.serves(mailbox)) == 0
}

// looked is the beginning of one message.
type looked struct {
	uid   uint32
	size  int64
	first []byte

	// What first says.
	outer    pec.Outer
	outline  *submission.Outline // nil unless it is no submission, as far as was seen
	sections [][]int
	matters  bool // its text was seen and may be about a password: more of it changes nothing
}

// sift looks into large envelopes, of which g is the first look, and sorts out
// those that are surely no submission. whole are those to be downloaded; of
// begun the beginning is known, and the rest worth asking for.
func (p *pass) sift(ctx context.Context, g *glance, headers map[uint32]inbox.Header) (whole []uint32, begun []*looked, none []judged, missing []uint32, err error) {
	for i := 0; ; i++ {
		missing = append(missing, g.missing...)
		useless, unclear, lost, err := p.sortOut(ctx, g.seen())
		missing = append(missing, lost...)
		if err != nil {
			return nil, nil, nil, missing, err
		}
		for _, m := range useless {
			none = append(none, judged{at: locationOf(p, m.uid, m.outer.ID), received: headers[m.uid].InternalDate, claimed: m.outer.Claimed,
				kind: pec.KindEnvelope, skipped: skippedNote})
		}
		var further []*looked
		for _, m := range unclear {
			switch {
			case int64(len(m.first)) != looks[i]: // not as long as the server says
				whole = append(whole, m.uid)
			case m.outline == nil && !m.matters && i+1 < len(looks) && m.size > 2*looks[i+1]:
				further = append(further, m)
			case m.size <= restUpTo:
				begun = append(begun, m)
			default:
				whole = append(whole, m.uid)
			}
		}
		if len(further) == 0 {
			return whole, begun, none, missing, nil
		}
		if g, err = p.look(ctx, further, looks[i+1], headers); err != nil {
			return nil, nil, nil, missing, err
		}
	}
}

func lookedAt(uids []uint32) []*looked {
	list := make([]*looked, len(uids))
	for i, uid := range uids {
		list[i] = &looked{uid: uid}
	}
	return list
}

// glance is what came of a look: reading it goes on.
type glance struct {
	list    []*looked
	missing []uint32
	reading sync.WaitGroup
}

// seen waits until all is read.
func (g *glance) seen() []*looked {
	g.reading.Wait()
	return g.list
}

// look downloads messages up to byte upTo, from where their beginnings end, and
// begins to read them.
func (p *pass) look(ctx context.Context, list []*looked, upTo int64, headers map[uint32]inbox.Header) (*glance, error) {
	g := &glance{}
	if len(list) == 0 {
		return g, nil
	}
	from := int64(len(list[0].first)) // the same for all
	known := make(map[uint32][]byte, len(list))
	uids := make([]uint32, len(list))
	for i, m := range list {
		uids[i], known[m.uid] = m.uid, m.first
	}
	workers := make(chan struct{}, runtime.GOMAXPROCS(0))
	var err error
	g.missing, err = p.getAll(ctx, uids, func(uids []uint32, answered func(uint32)) ([]uint32, error) {
		var mixed []uint32
		gone, err := p.sess.Peek(ctx, uids, from, upTo-from, func(m inbox.Message) error {
			if from == 0 && p.another(headers[m.UID], m) {
				mixed = append(mixed, m.UID)
				return nil
			}
			answered(m.UID)
			one := &looked{uid: m.UID, size: m.Size, first: m.Raw}
			if from > 0 {
				one.first = append(known[m.UID], m.Raw...)
			}
			h := headers[m.UID]
			g.list = append(g.list, one)
			g.reading.Go(func() {
				workers <- struct{}{}
				defer func() { <-workers }()
				if !p.guarded(one.uid, func() { one.read(p.Reader, h) }) {
					one.outline, one.matters = nil, true // to be downloaded whole, and judged
				}
			})
			return nil
		})
		return append(gone, mixed...), err
	})
	if err != nil {
		g.reading.Wait()
	}
	return g, err
}

// sortOut separates what is surely no submission.
func (p *pass) sortOut(ctx context.Context, list []*looked) (useless, unclear []*looked, missing []uint32, err error) {
	outlines := map[uint32]*submission.Outline{}
	by := map[string][]uint32{} // by the parts to be asked for
	sections := map[string][][]int{}
	for _, m := range list {
		if m.outline == nil {
			continue
		}
		key := fmt.Sprint(m.sections)
		outlines[m.uid] = m.outline
		by[key] = append(by[key], m.uid)
		sections[key] = m.sections
	}
	sure := map[uint32]bool{}
	for _, key := range slices.Sorted(maps.Keys(by)) {
		at := sections[key]
		if len(at) == 0 { // nothing stands behind what was seen
			for _, uid := range by[key] {
				sure[uid] = true
			}
			continue
		}
		gone, err := p.getAll(ctx, by[key], func(uids []uint32, answered func(uint32)) ([]uint32, error) {
			return p.sess.PartHeads(ctx, uids, at, func(uid uint32, heads [][]byte, over bool) error {
				answered(uid)
				p.guarded(uid, func() { sure[uid] = !over && outlines[uid].Harmless(heads) })
				return nil
			})
		})
		missing = append(missing, gone...)
		if err != nil {
			return nil, nil, missing, err
		}
	}
	for _, m := range list {
		switch {
		case slices.Contains(missing, m.uid):
		case sure[m.uid]:
			useless = append(useless, m)
		default:
			unclear = append(unclear, m)
		}
	}
	return useless, unclear, missing, nil
}

// read looks whether what is known of an envelope is no submission: outline is
// then set, and sections are the parts of which that is still to be shown.
// Where its text was seen to its end and is not that, it matters.
func (m *looked) read(r Reader, h inbox.Header) {
	m.outer = r.Outer(h.Raw)
	g, ok := r.Glimpse(m.first)
	if !ok {
		return
	}
	o, ok := submission.NewOutline(g.Original)
	if !ok {
		return
	}
	// The certified subject and sender, or what the envelope says they are;
	// then the letter's own subject counts, too.
	c := m.outer.Claimed
	subject, mailbox := g.Subject, pec.MailboxOf(g.Sender)
	if g.Sender == "" {
		subject, mailbox = bareSubject(c.Subject), pec.MailboxOf(c.Sender)
	}
	if mailbox == "" || !o.Useless(subject, mailbox) || g.Sender == "" && !o.Useless("", mailbox) {
		m.matters = true
		return
	}
	m.outline = o
	for _, part := range o.Unseen() {
		m.sections = append(m.sections, append(slices.Clone(g.Section), part...))
	}
}

// bareSubject takes off what the provider puts before the client's subject.
// RFC 6109 §3.1.5.
func bareSubject(s string) string {
	const prefix = "POSTA CERTIFICATA:"
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		s = s[len(prefix):]
	}
	return strings.TrimSpace(s)
}

// judgedBefore tells whether a PEC identifier was judged before, and whether that
// was this very message at this very place.
func judgedBefore(tx *vault.Tx, at vault.Location) (known, same bool, err error) {
	seen, ok, err := tx.Seen(at.MessageID)
	return ok, ok && seen.UIDValidity == at.UIDValidity && seen.UID == at.UID, err
}
