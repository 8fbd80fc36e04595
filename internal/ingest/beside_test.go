package ingest_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/probe"
	"pec-ingest/internal/secret"
)

// A server that leaves the logins of many mailboxes without an answer does not
// keep the passwords of the others there from being checked, day after day.
func TestCheckHangingMailboxes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "[[provider]]\nid = \"gestore\"\nsigner = \"s@gestore.example\"\nimap = \"gestore.example:993\"\nvalidity = \"90d\"\n")
		const hanging, good = 15, 3
		var answers []string
		for i := range hanging {
			b.storePassword(fmt.Sprintf("a%02d@pec.gestore.example", i), "gestore")
		}
		for i := range good {
			b.storePassword(fmt.Sprintf("b%d@pec.gestore.example", i), "gestore")
			answers = append(answers, fmt.Sprintf("b%d@pec.gestore.example", i))
		}
		logins := make(chan string, 10*(hanging+good))
		var mu sync.Mutex
		most, underway := 0, 0
		b.service.Login = func(ctx context.Context, _ probe.Target, login string, _ secret.Secret) probe.Result {
			logins <- login
			if login[0] == 'b' {
				return probe.Result{Outcome: probe.Accepted, Sent: true}
			}
			mu.Lock()
			underway++
			most = max(most, underway)
			mu.Unlock()
			select {
			case <-ctx.Done():
			case <-time.After(probe.MaxTime):
			}
			mu.Lock()
			underway--
			mu.Unlock()
			return probe.Result{Outcome: probe.Network, Sent: true}
		}
		once := func() {
			if _, err := b.service.Once(context.Background(), ingest.RunOptions{}); err != nil {
				t.Fatal(err)
			}
			b.cut()
		}
		once() // the checks have come up since
		for day := range 2 {
			time.Sleep(24 * time.Hour)
			start := time.Now()
			once()
			took := time.Since(start)
			tried := map[string]int{}
			for len(logins) > 0 {
				tried[<-logins]++
			}
			for _, mailbox := range answers {
				if tried[mailbox] != 1 {
					t.Errorf("day %d: got %d logins to %s, want 1", day, tried[mailbox], mailbox)
				}
			}
			if len(tried) != hanging+good {
				t.Errorf("day %d: got logins to %d mailboxes, want %d", day, len(tried), hanging+good)
			}
			if most < 2 || most > 5 {
				t.Errorf("day %d: got %d hanging logins at once, want 2 to 5", day, most)
			}
			if limit := hanging * probe.MaxTime / 2; took > limit {
				t.Errorf("day %d: the check took %v, want less than %v", day, took, limit)
			}
		}
		b.close()
	})
}

// A server that can't be reached is asked twice, not once for each mailbox; one
// that takes passwords and never answers is given up, too, and the mailboxes
// that were not tried have their turn first the next time.
func TestCheckServerAway(t *testing.T) {
	for _, c := range []struct {
		name string
		sent bool
		want int
	}{
		{"not reached", false, 2},
		{"no answers", true, 40},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, "[[provider]]\nid = \"gestore\"\nsigner = \"s@gestore.example\"\nimap = \"gestore.example:993\"\nvalidity = \"90d\"\n")
				const clients = 42
				for i := range clients {
					b.storePassword(fmt.Sprintf("c%02d@pec.gestore.example", i), "gestore")
				}
				var last []string
				b.service.Login = func(_ context.Context, _ probe.Target, login string, _ secret.Secret) probe.Result {
					last = append(last, login)
					return probe.Result{Outcome: probe.Network, Sent: c.sent}
				}
				once := func() {
					if _, err := b.service.Once(context.Background(), ingest.RunOptions{}); err != nil {
						t.Fatal(err)
					}
					b.cut()
				}
				once() // the checks have come up since
				time.Sleep(24 * time.Hour)
				once()
				if len(last) != c.want {
					t.Errorf("got %d logins, want %d", len(last), c.want)
				}
				last = nil
				time.Sleep(24 * time.Hour)
				once()
				if want := fmt.Sprintf("c%02d@pec.gestore.example", c.want); len(last) == 0 || last[0] != want {
					t.Errorf("got the first login of the next day to %v, want %s", last[:min(1, len(last))], want)
				}
				b.close()
			})
		})
	}
}
