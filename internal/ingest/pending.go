package ingest

import (
	"context"
	"errors"

	"pec-ingest/internal/vault"
)

// Outcomes that no login stands behind (the probe is off) are committed many
// at a time: a first pass over a large inbox is not bound by the disk then. A
// crash loses nothing, since what is not committed is settled again. Where a
// login was made its outcome is committed at once.

// pendingCommit is a SECOND COMMIT that waits for others.
type pendingCommit struct {
	mailbox string
	keys    int // that it touches, about
	commit  func(tx *vault.Tx) error
	done    func() // told once it is committed
}

const (
	maxPending   = 100       // that wait at most
	pendingBytes = 256 << 10 // one of them writes fewer
)

// commitWith commits now, or with others soon. keys is how many it touches,
// about; a transaction that gets too large by it is made again without it.
func (p *pass) commitWith(ctx context.Context, mailbox string, keys int, commit func(tx *vault.Tx) error, done func()) error {
	if p.cfg.Probe.Enabled {
		if err := p.vault.Update(ctx, commit); err != nil {
			return err
		}
		done()
		return nil
	}
	p.pending = append(p.pending, pendingCommit{mailbox, keys, commit, done})
	if len(p.pending) < maxPending {
		return nil
	}
	return p.commitPending(ctx)
}

// pendingFor tells whether something of a mailbox waits: what is read of it
// would be old.
func (p *pass) pendingFor(mailbox string) bool {
	for _, c := range p.pending {
		if c.mailbox == mailbox {
			return true
		}
	}
	return false
}

// commitPending commits all that waits, as much as fits a transaction. What
// fails together with others is tried alone, so that it concerns its mailbox
// only.
func (p *pass) commitPending(ctx context.Context) error {
	most := len(p.pending)
	for len(p.pending) > 0 {
		n := 0
		err := p.vault.Fill(ctx, func(tx *vault.Tx) error {
			for n = 0; n < min(most, len(p.pending)); n++ {
				if keys, bytes := tx.Room(); n > 0 && (keys < p.pending[n].keys || bytes < pendingBytes) {
					return nil
				}
				if err := p.pending[n].commit(tx); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil && n > 0 && (errors.Is(err, vault.ErrTooLarge) || errors.Is(err, vault.ErrInvalid)) {
			most = n // those before it, then itself
			continue
		}
		if err != nil {
			first := p.pending[0]
			p.pending = p.pending[1:]
			if err = p.unlessAlone(first.mailbox, err); err != nil {
				p.pending = nil
				return err
			}
			most = len(p.pending)
			continue
		}
		done := p.pending[:n]
		p.pending = p.pending[n:]
		for _, c := range done {
			c.done()
		}
		most = len(p.pending)
	}
	return nil
}
