package ingest

import (
	"context"
	"slices"
	"time"

	"pec-ingest/internal/probe"
)

// A server may serve most of its mailboxes and leave the login of some without
// an answer: one of the machines behind it is down. Such a login lasts as long
// as a login may, and must not keep the other mailboxes waiting.

const (
	slowLogin   = 3 * time.Second // how long a login is waited for before the next begins beside it
	mostBeside  = 5               // logins under way at once
	mostHanging = 40              // logins in a row that a server may leave without an answer, before the others there are left alone
)

// checked is a stored password after its login.
type checked struct {
	stored
	result probe.Result
	tried  bool
	err    error
}

// beside tries stored passwords, one after the other where servers answer, and
// others beside the login that hangs.
type beside struct {
	s        *Service
	note     func(checked) // of every one, in the caller's goroutine
	done     chan checked
	underway int
}

func (s *Service) newBeside(note func(checked)) *beside {
	return &beside{s: s, note: note, done: make(chan checked, mostBeside)}
}

// start tries one more. It returns when that login is over, or slow and others
// may begin beside it.
func (b *beside) start(ctx context.Context, c stored, now time.Time) {
	b.underway++
	go func() {
		r := checked{stored: c}
		r.err = b.s.caught("checking a stored password", func() (err error) {
			r.result, r.tried, err = b.s.checkOne(ctx, c, now)
			return err
		})
		b.done <- r
	}()
	slow := time.NewTimer(slowLogin)
	defer slow.Stop()
	for waited := false; b.underway == mostBeside || !waited; {
		select {
		case r := <-b.done:
			b.underway--
			b.note(r)
			if r.cred.Mailbox == c.cred.Mailbox && r.cred.Login == c.cred.Login {
				return
			}
		case <-slow.C:
			waited = true
		}
	}
}

// finish waits for what is under way.
func (b *beside) finish() {
	for ; b.underway > 0; b.underway-- {
		b.note(<-b.done)
	}
}

// troubledLast puts those behind whose last login was in trouble, the one that
// has waited longest first: mailboxes that hang every time would else take
// their turn before all others, every time.
func troubledLast(due []stored) []stored {
	var well, troubled []stored
	for _, c := range due {
		if c.cred.LastCheck.TroubleSince.IsZero() {
			well = append(well, c)
		} else {
			troubled = append(troubled, c)
		}
	}
	slices.SortStableFunc(troubled, func(a, b stored) int { return a.cred.LastCheck.At.Compare(b.cred.LastCheck.At) })
	return append(well, troubled...)
}

// breaker stops knocking at a server: the other mailboxes there are not tried
// in this run after two troubles in a row, or, with patience, after as many
// logins without an answer, and two that did not come so far.
type breaker struct {
	patience int
	troubles map[string]troubles // by address
}

type troubles struct{ unreached, inRow int }

func (b *breaker) open(addr string) bool {
	t := b.troubles[addr]
	return t.unreached >= 2 || t.inRow >= max(2, b.patience)
}

func (b *breaker) note(addr string, r probe.Result) {
	if r.Outcome != probe.Network && r.Outcome != probe.TLS {
		delete(b.troubles, addr)
		return
	}
	if b.troubles == nil {
		b.troubles = map[string]troubles{}
	}
	t := b.troubles[addr]
	t.inRow++
	if !r.Sent {
		t.unreached++
	}
	b.troubles[addr] = t
}
