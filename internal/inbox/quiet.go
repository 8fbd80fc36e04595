package inbox

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// reopenAfter is how long a folder stays open without being opened anew, on a
// server that has shown that it announces messages in an open one.
const reopenAfter = time.Hour

// Refresh is Examine for one who has looked before, at everything below the
// UID from in the folder as of uidValidity. Where it is open and nothing in it
// has changed, it is not opened anew, for which some servers look at every
// message: the server is asked (NOOP), must have said nothing of a change since
// the folder was opened, and find no UID from from on. Then quiet is true, and
// box what Examine said. In any other case the folder has been opened.
//
// Servers are known that announce nothing before a folder is opened anew. So a
// server that says nothing is believed for poll only, until it has announced a
// message by itself that was then there; after that for an hour. One that is
// found to have kept silent about a message is not asked any more.
func (s *Session) Refresh(ctx context.Context, uidValidity, from uint32, poll time.Duration) (box Mailbox, quiet bool, err error) {
	if s.mute || !s.examined || s.mailbox.UIDValidity != uidValidity {
		box, err = s.Examine(ctx)
		return box, false, err
	}
	silent, err := s.silent(ctx, from)
	if err != nil {
		return Mailbox{}, false, fmt.Errorf("asking for news: %w", err)
	}
	believed := poll
	if s.vocal {
		believed = reopenAfter
	}
	if silent && time.Since(s.opened) < believed {
		return s.mailbox, true, nil
	}
	was, vocal := s.mailbox, s.vocal
	s.vocal = false
	if box, err = s.Examine(ctx); err != nil {
		return box, false, err
	}
	if silent && !s.vocal && box.UIDValidity == was.UIDValidity && was.UIDNext != 0 && box.UIDNext > was.UIDNext {
		s.mute = true
		s.c.Logger.Info("server announces no messages in an open folder: it is opened at each poll", "event", "inbox.mute")
		return box, false, nil
	}
	s.vocal = s.vocal || vocal
	return box, false, nil
}

// silent asks the server in the open folder and tells whether it has nothing
// to say, now and since the folder was opened.
func (s *Session) silent(ctx context.Context, from uint32) (bool, error) {
	found := 0
	err := s.do(ctx, s.searchBudget(), func() error {
		if err := s.imap.Noop().Wait(); err != nil {
			return err
		}
		uids, err := s.search(from, time.Time{})
		found = len(uids)
		return err
	})
	if errors.Is(err, ErrUnavailable) || errors.Is(err, ErrNoFolder) {
		return false, nil // it won't say: opening the folder tells
	}
	return err == nil && found == 0 && !s.stir.Load() && !s.guard.takeOdd(), err
}
