package inbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/emersion/go-imap/v2"
)

// keepAlive is how long the connection is left without a word: routers forget
// silent connections after ten minutes and more, servers end them after
// thirty (RFC 3501 §5.4).
const keepAlive = 9 * time.Minute

// Watch waits until a pass should be made and returns nil: the server has
// announced a message since the last Search began, poll has passed (servers
// are known that accept IDLE and announce nothing), or wake has a value. It
// returns the context's error at once when ctx ends, and any other error when
// the session is over.
func (s *Session) Watch(ctx context.Context, poll time.Duration, wake <-chan struct{}) error {
	end := time.NewTimer(poll)
	defer end.Stop()
	for {
		again, err := s.watchOnce(ctx, end.C, wake)
		if err != nil {
			return fmt.Errorf("watching the folder: %w", err)
		}
		if !again {
			return nil
		}
	}
}

// Linger waits for d at most, without a word, for what makes a pass worth while
// right now: news is true when wake has a value or the server has announced a
// message since the last Search began. Watch is to follow where it is false.
//
// Passes that are asked for come one right behind the other, and some servers
// need a while to begin with IDLE: Dovecot has all files of the folder watched.
// At the end of d the server is asked (NOOP), so that nothing that arrived
// meanwhile depends on what it says when IDLE begins.
func (s *Session) Linger(ctx context.Context, d time.Duration, wake <-chan struct{}) (news bool, err error) {
	end := time.NewTimer(d)
	defer end.Stop()
	select {
	case <-s.news:
		return true, nil
	case <-wake:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	case <-s.imap.Closed():
		return false, fmt.Errorf("watching the folder: %w", s.explain(ctx, ErrNetwork))
	case <-end.C:
	}
	err = s.do(ctx, answerBudget, func() error { return s.imap.Noop().Wait() })
	if err != nil && !errors.Is(err, ErrUnavailable) { // it won't say, or Watch finds the session over
		return false, fmt.Errorf("watching the folder: %w", err)
	}
	select {
	case <-s.news:
		return true, nil
	default:
		return false, nil
	}
}

// watchOnce waits for keepAlive at most, then says a word to the server and
// returns true.
func (s *Session) watchOnce(ctx context.Context, poll <-chan time.Time, wake <-chan struct{}) (again bool, err error) {
	select {
	case <-s.news:
		return false, nil
	default:
	}
	stopIdle, err := s.startIdle(ctx)
	if err != nil {
		return false, err
	}
	pause := time.NewTimer(keepAlive)
	defer pause.Stop()
	select {
	case <-s.news:
	case <-poll:
	case <-wake:
	case <-pause.C:
		again = true
	case <-s.imap.Closed():
		return false, s.explain(ctx, ErrNetwork)
	case <-ctx.Done():
		s.Close() // nothing that waits for the server
		_ = stopIdle()
		return false, ctx.Err()
	}
	return again, s.do(ctx, answerBudget, stopIdle)
}

// startIdle begins IDLE where the server has it. The function returned ends
// it and waits for the answer, which also proves that the connection lives;
// it is NOOP where there is no IDLE.
func (s *Session) startIdle(ctx context.Context) (stop func() error, err error) {
	err = s.do(ctx, answerBudget, func() error {
		if err := s.reading(); err != nil {
			return err
		}
		stop = func() error { return s.imap.Noop().Wait() }
		if s.noIdle || !s.caps.Has(imap.CapIdle) {
			return nil
		}
		idle, err := s.imap.Idle()
		var ie *imap.Error
		if errors.As(err, &ie) {
			s.noIdle = true // it offers IDLE and refuses it: polling is left
			s.c.Logger.Warn("server refuses IDLE, polling only", "event", "inbox.no_idle")
			return nil
		}
		if err != nil {
			return err
		}
		stop = func() error {
			if err := idle.Close(); err != nil {
				return err
			}
			return idle.Wait()
		}
		return nil
	})
	return stop, err
}

// Backoff is how long to wait before the session is opened for the
// attempt-th time (from 1) after failures in a row: two seconds, doubled each
// time up to five minutes, of which a random half is taken off, so that many
// installations don't come back at the same moment.
//
// It is for trouble with network and server. After ErrRefused nothing may be
// tried again before the password has changed.
func Backoff(attempt int) time.Duration {
	const first, last = 2 * time.Second, 5 * time.Minute
	d := last
	if shift := attempt - 1; shift < 8 {
		d = min(first<<max(shift, 0), last)
	}
	return d/2 + rand.N(d/2+1)
}
