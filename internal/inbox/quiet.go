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
// UID from in the folder as of uidValidity. Where it is open it is not opened
// anew, for which some servers look at every message, if it is clear what is in
// it: the server is asked (NOOP, UID SEARCH), and since the folder was opened
//
//   - it has told of no change, and finds no UID from from on: quiet is true;
//   - or it has announced messages and told of no other change, and finds from
//     from on as many as it has announced, none of which can have been there
//     before.
//
// In any other case the folder has been opened.
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
	found, usual, err := s.ask(ctx, from)
	if err != nil {
		return Mailbox{}, false, fmt.Errorf("asking for news: %w", err)
	}
	silent := usual && len(found) == 0 && !s.stir.Load()
	if usual && time.Since(s.opened) < reopenAfter && s.grown(found) {
		return s.mailbox, false, nil
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

// ask asks the server in the open folder for the UIDs from from on. usual tells
// whether it answered, and has said nothing since the folder was opened that is
// not usual in an open one.
func (s *Session) ask(ctx context.Context, from uint32) (found []uint32, usual bool, err error) {
	err = s.do(ctx, s.searchBudget(), func() (err error) {
		if err := s.imap.Noop().Wait(); err != nil {
			return err
		}
		found, err = s.search(from, time.Time{})
		return err
	})
	if errors.Is(err, ErrUnavailable) || errors.Is(err, ErrNoFolder) {
		return nil, false, nil // it won't say: opening the folder tells
	}
	return found, err == nil && !s.guard.takeOdd(), err
}

// grown tells whether found are the messages that the server has announced in
// the open folder, no more and no fewer, and nothing else has changed in it.
// Then they are a part of it.
func (s *Session) grown(found []uint32) bool {
	now, was := s.exists.Load(), s.mailbox
	if len(found) == 0 || s.shrunk.Load() || int64(now)-int64(was.Messages) != int64(len(found)) {
		return false
	}
	last := found[len(found)-1]
	if was.UIDNext == 0 || found[0] < was.UIDNext || last == 1<<32-1 {
		return false
	}
	// What is announced meanwhile stays in news and exists, and is found by the
	// next search.
	s.stir.Store(false)
	s.told.Store(false)
	s.vocal = true
	s.mailbox.UIDNext, s.mailbox.Messages = last+1, now
	return true
}
