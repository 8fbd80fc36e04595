package inbox_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/servertest"
)

const noIdle = "IMAP4rev1 UIDPLUS MOVE NAMESPACE"

// watching starts Watch and returns what it returns.
func watching(ctx context.Context, s *inbox.Session, poll time.Duration, wake chan struct{}) chan error {
	done := make(chan error, 1)
	go func() { done <- s.Watch(ctx, poll, wake) }()
	return done
}

// patience is for a machine that is very busy with other things.
const patience = 2 * time.Minute

func await(t *testing.T, done chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		t.Fatal("Watch does not return")
		return nil
	}
}

func TestWatch(t *testing.T) {
	d := studioServer(t, servertest.DovecotOptions{})
	s := dial(t, config(d))
	// The first wait starts right with IDLE, on a folder that is open.
	if _, err := s.Search(t.Context(), 1, time.Time{}); err != nil {
		t.Fatal(err)
	}
	wake := make(chan struct{}, 1)

	t.Run("new message", func(t *testing.T) {
		before, _ := s.Traffic()
		done := watching(t.Context(), s, time.Hour, wake)
		for { // until the server has said that it idles
			if now, _ := s.Traffic(); now > before {
				break
			}
			time.Sleep(time.Millisecond)
		}
		d.Deliver(studio, "INBOX", mail("a", 300), time.Time{})
		if err := await(t, done); err != nil {
			t.Fatal(err)
		}
		got, err := s.Search(t.Context(), 1, time.Time{})
		if err != nil || len(got) != 1 {
			t.Errorf("got %v, %v, want one message", got, err)
		}
	})
	t.Run("woken", func(t *testing.T) {
		done := watching(t.Context(), s, time.Hour, wake)
		wake <- struct{}{}
		if err := await(t, done); err != nil {
			t.Error(err)
		}
	})
	t.Run("poll", func(t *testing.T) {
		if err := await(t, watching(t.Context(), s, 50*time.Millisecond, wake)); err != nil {
			t.Error(err)
		}
	})
	t.Run("announced before", func(t *testing.T) {
		// A pass goes on after its search; what arrives then must not wait
		// for the next poll.
		if _, err := s.Search(t.Context(), 1, time.Time{}); err != nil {
			t.Fatal(err)
		}
		d.Deliver(studio, "INBOX", mail("b", 300), time.Time{})
		d.Messages(studio, "INBOX") // the server knows
		if _, missing := fetchAll(t, s, []uint32{1}); missing != nil {
			t.Fatalf("missing %v", missing)
		}
		if err := await(t, watching(t.Context(), s, time.Hour, wake)); err != nil {
			t.Error(err)
		}
	})
	t.Run("arrived while filing", func(t *testing.T) {
		box, err := s.Examine(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Search(t.Context(), 1, time.Time{}); err != nil {
			t.Fatal(err)
		}
		// The server tells of it in the answer to SELECT, and not again.
		d.Deliver(studio, "INBOX", mail("c", 300), time.Time{})
		d.Messages(studio, "INBOX")
		if _, _, err := s.File(t.Context(), box.UIDValidity, []inbox.FileItem{item(1, "a")}, inbox.Move); err != nil {
			t.Fatal(err)
		}
		if err := await(t, watching(t.Context(), s, time.Hour, wake)); err != nil {
			t.Error(err)
		}
		if got, err := s.Search(t.Context(), 1, time.Time{}); err != nil || len(got) != 2 {
			t.Errorf("got %v, %v, want two messages", got, err)
		}
	})
	t.Run("no news, then cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := watching(ctx, s, time.Hour, wake)
		select {
		case err := <-done:
			t.Errorf("Watch returns %v without news", err)
		case <-time.After(200 * time.Millisecond):
		}
		cancel()
		if err := await(t, done); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
	})
}

// For a moment before IDLE the next one who asks, or a message, finds the
// connection free; then nothing has been missed.
func TestLinger(t *testing.T) {
	const moment = 200 * time.Millisecond
	for _, c := range []struct {
		name   string
		during func(s *inbox.Session, wake chan struct{}, stop context.CancelFunc)
		noop   string // the answer to it; "" = not asked
		news   bool
		took   time.Duration
		err    error
	}{
		{"nothing", nil, "TAG OK done\r\n", false, moment, nil},
		{"asked for", func(_ *inbox.Session, wake chan struct{}, _ context.CancelFunc) { wake <- struct{}{} }, "", true, moment / 2, nil},
		{"a message that the server tells of when asked", nil, "* 4 EXISTS\r\nTAG OK done\r\n", true, moment, nil},
		{"stopped", func(_ *inbox.Session, _ chan struct{}, stop context.CancelFunc) { stop() }, "", false, moment / 2, context.Canceled},
		{"the session is over", func(s *inbox.Session, _ chan struct{}, _ context.CancelFunc) { s.Close() }, "", false, moment / 2, inbox.ErrClosed},
		{"NO", nil, "TAG NO not now\r\n", false, moment, nil},
		{"silent", nil, silent, false, moment + fakeTimeout, inbox.ErrNetwork},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{script: on(map[string]string{"NOOP": c.noop})}
				s, err := talk(t, f, nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.Search(t.Context(), 1, time.Time{}); err != nil {
					t.Fatal(err)
				}
				before := len(f.sent())
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				wake := make(chan struct{}, 1)
				if c.during != nil {
					time.AfterFunc(moment/2, func() { c.during(s, wake, stop) })
				}
				start := time.Now()
				news, err := s.Linger(ctx, moment, wake)
				if news != c.news || !errors.Is(err, c.err) || time.Since(start) != c.took {
					t.Errorf("got %t, %v after %v, want %t, %v after %v", news, err, time.Since(start), c.news, c.err, c.took)
				}
				asked := 0
				if c.noop != "" {
					asked = 1
				}
				if sent := f.sent()[before:]; len(sent) != asked {
					t.Errorf("got the commands %q, want %d", sent, asked)
				}
			})
		})
	}
}

// What Dovecot has in the moment before IDLE it tells at its end.
func TestLingerDovecot(t *testing.T) {
	d := studioServer(t, servertest.DovecotOptions{})
	s := dial(t, config(d))
	if _, err := s.Search(t.Context(), 1, time.Time{}); err != nil {
		t.Fatal(err)
	}
	d.Deliver(studio, "INBOX", mail("a", 300), time.Time{})
	// A message of the same tick of the clock as the search is seen a moment
	// later.
	for deadline := time.Now().Add(patience); ; {
		news, err := s.Linger(t.Context(), 5*time.Millisecond, nil)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("got %t, %v, want the message", news, err)
		}
		if news {
			return
		}
	}
}

func TestWatchWithoutIdle(t *testing.T) {
	d := studioServer(t, servertest.DovecotOptions{Capability: noIdle})
	s := dial(t, config(d))
	if err := await(t, watching(t.Context(), s, 50*time.Millisecond, nil)); err != nil {
		t.Error(err)
	}
}

// A server that offers IDLE and refuses it is polled, on the same session.
func TestIdleRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, answer := range []string{"TAG NO not for you\r\n", "TAG BAD what\r\n"} {
			f := &fake{script: on(map[string]string{"IDLE": answer})}
			s, err := talk(t, f, nil)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := await(t, watching(t.Context(), s, 20*time.Millisecond, nil)); err != nil {
					t.Fatalf("%q: %v", answer, err)
				}
			}
			idles := 0
			for _, cmd := range f.sent() {
				if cmd == "IDLE" {
					idles++
				}
			}
			if idles != 1 {
				t.Errorf("%q: IDLE was tried %d times, want once", answer, idles)
			}
		}
	})
}

// An administrator who ends the session is noticed, and the next one works.
func TestKicked(t *testing.T) {
	d := studioServer(t, servertest.DovecotOptions{})
	s := dial(t, config(d))
	if _, err := s.Examine(t.Context()); err != nil {
		t.Fatal(err)
	}
	done := watching(t.Context(), s, time.Hour, nil)
	d.Kick(studio)
	if err := await(t, done); !errors.Is(err, inbox.ErrNetwork) && !errors.Is(err, inbox.ErrUnavailable) {
		t.Errorf("got %v, want %v or %v", err, inbox.ErrNetwork, inbox.ErrUnavailable)
	}
	if _, err := dial(t, config(d)).Examine(t.Context()); err != nil {
		t.Error(err)
	}
}

// A server that ends is noticed at once, not at the next poll.
func TestWatchServerEnds(t *testing.T) {
	for _, capability := range []string{"", noIdle} {
		d := studioServer(t, servertest.DovecotOptions{Capability: capability})
		s := dial(t, config(d))
		done := watching(t.Context(), s, time.Hour, nil)
		d.Stop()
		if err := await(t, done); !errors.Is(err, inbox.ErrNetwork) && !errors.Is(err, inbox.ErrUnavailable) {
			t.Errorf("capability %q: got %v, want %v or %v", capability, err, inbox.ErrNetwork, inbox.ErrUnavailable)
		}
	}
}

func TestBackoff(t *testing.T) {
	for attempt, want := range map[int]time.Duration{-5: 2 * time.Second, 1: 2 * time.Second, 2: 4 * time.Second, 7: 128 * time.Second, 9: 5 * time.Minute, 1 << 40: 5 * time.Minute} {
		seen := map[time.Duration]bool{}
		for range 50 {
			got := inbox.Backoff(attempt)
			if got < want/2 || got > want {
				t.Fatalf("attempt %d: got %v, want between %v and %v", attempt, got, want/2, want)
			}
			seen[got] = true
		}
		if len(seen) < 2 {
			t.Errorf("attempt %d: always the same wait", attempt)
		}
	}
}
