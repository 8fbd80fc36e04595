package ingest_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-imap/v2"

	"pec-ingest/internal/ingest"
)

// Passes that are asked for one right behind the other find the connection
// free: IDLE, for which some servers need a while, begins when no other one has
// come for a moment. What arrives in that moment is noticed.
func TestRunOnceAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "")
		defer b.close()
		wire := &syncBuffer{}
		b.heard = wire
		b.run(func() {
			expect := func(what string, idles, passes int) {
				t.Helper()
				synctest.Wait()
				if got, n := strings.Count(wire.String(), " IDLE\r\n"), b.state().Passes; got != idles || n != passes {
					t.Errorf("%s: got %d times IDLE and %d passes, want %d and %d", what, got, n, idles, passes)
				}
			}
			once := func() {
				t.Helper()
				if _, err := b.service.Once(context.Background(), ingest.RunOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			expect("after the first pass, which nobody asked for", 1, 1)
			for range 5 {
				once()
				time.Sleep(100 * time.Millisecond)
			}
			expect("one behind the other", 1, 6)
			time.Sleep(time.Second)
			expect("nobody asks any more", 2, 6)

			once()
			time.Sleep(100 * time.Millisecond)
			raw := "From: qualcuno@example.com\r\nSubject: ciao\r\n\r\nciao\r\n"
			if _, err := b.user.Append("INBOX", bytes.NewReader([]byte(raw)), &imap.AppendOptions{Time: time.Now()}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			expect("a message in the moment before IDLE", 3, 8)
			if _, err := b.user.Append("INBOX", bytes.NewReader([]byte(raw)), &imap.AppendOptions{Time: time.Now()}); err != nil {
				t.Fatal(err)
			}
			expect("a message later", 4, 9)
		})
	})
}
