package ingest

import (
	"slices"
	"time"

	"pec-ingest/internal/vault/etcdstore"
)

// A login whose answer the leader died over may be repeated once (DESIGN §2);
// when the next leader dies over it as well a person must decide. Leaders
// rarely die alone: a bad machine, a bad network, a rollout takes one after
// the other. So the repetition waits until a leader has shown that it stays,
// and what nobody was interrupted at goes first.

// calmAfter is how long a leader leads before it repeats such a login.
const calmAfter = 3 * etcdstore.LeaseTTL * time.Second

// calmIn is how long it is until this service may repeat a login that was
// interrupted; 0: it may now, as a service alone always may, and a command
// that leads for its own time.
func (s *Service) calmIn() time.Duration {
	s.cluster.mu.Lock()
	defer s.cluster.mu.Unlock()
	if s.cluster.since.IsZero() {
		return 0
	}
	return max(calmAfter-time.Since(s.cluster.since), 0)
}

// interruptedLast puts the groups in which a login was interrupted behind the
// others, if this service must wait with them.
func (s *Service) interruptedLast(groups []group) []group {
	if s.calmIn() == 0 {
		return groups
	}
	first := make([]group, 0, len(groups))
	var last []group
	for _, g := range groups {
		if g.interrupted() {
			last = append(last, g)
		} else {
			first = append(first, g)
		}
	}
	return slices.Concat(first, last)
}

func (g group) interrupted() bool {
	for _, sub := range g.subs {
		if sub.Intent != nil {
			return true
		}
	}
	return false
}

// waitsForCalm tells whether a group is left to a later pass of this term,
// which it sees to.
func (p *pass) waitsForCalm(g group) bool {
	left := p.calmIn()
	if left == 0 || !g.interrupted() {
		return false
	}
	p.daemon.wakeIn(left)
	p.log.Info("not tried again yet: the service that led before was lost over this login, and this one leads for a short time only",
		"event", "submission.waits", "mailbox", g.mailbox)
	return true
}
