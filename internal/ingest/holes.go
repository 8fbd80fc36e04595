package ingest

import (
	"context"
	"slices"
	"strings"
	"time"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/pec"
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

// another tells whether a server has handed over a message other than the one
// whose header it gave under the same UID. What is judged is filed away by its
// UID, so the two must not be mixed up.
func another(h inbox.Header, m inbox.Message) bool {
	if m.TooLarge || len(h.Raw) == 0 {
		return false
	}
	was, is := pec.MessageID(h.Raw), pec.MessageID(m.Raw)
	return was != "" && is != "" && was != is
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
