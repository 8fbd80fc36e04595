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
