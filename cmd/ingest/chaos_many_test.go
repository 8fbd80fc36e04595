package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pec-ingest/internal/servertest"
)

// TestChaosMany delivers the submissions of thousands of clients at once while
// programs fetch passwords through the socket: everything comes through, each
// mailbox sees one login, and nobody who asks gets another's password.
func TestChaosMany(t *testing.T) {
	t.Parallel()
	clients, readers := 150, 40
	if chaosLong() {
		clients, readers = 5_000, 1_000
	}
	if v := os.Getenv("PEC_INGEST_MANY"); v != "" {
		if _, err := fmt.Sscanf(v, "%dx%d", &clients, &readers); err != nil {
			t.Fatalf("PEC_INGEST_MANY=%s: %v, want clients and readers, such as 1500x300", v, err)
		}
	}
	mailbox := func(i int) string { return fmt.Sprintf("cliente%d@pec.gestore.example", i) }
	password := func(i int) string { return fmt.Sprintf("Xk%dpQ%d", i, 7*i+3) }
	var users []servertest.User
	var csv strings.Builder
	csv.WriteString("mailbox,name\n")
	for i := range clients {
		users = append(users, userOf(mailbox(i), password(i)))
		fmt.Fprintf(&csv, "%s,Ditta %d\n", mailbox(i), i)
	}
	s := newStudio(t, studioOptions{apart: true, users: users, clients: []string{}})
	s.write("clienti.csv", csv.String(), 0o644)
	s.ok("client", "import", s.dir+"/clienti.csv")
	r := s.start()
	for i := range clients {
		s.deliver(s.submission(mailbox(i), 0.01, password(i)))
	}
	begun := time.Now()
	const limit = time.Hour // a busy machine may take long
	var late atomic.Int64
	// A program that got no answer for half a minute asks again, as a mail
	// program does at its next fetch. Any other answer is one.
	get := func(i int) result {
		for {
			out := s.run("get", mailbox(i))
			unanswered := strings.Contains(out.stderr, "the running service does not answer") || strings.Contains(out.stderr, "is the service overloaded?")
			if out.code != exitFailed || !unanswered || time.Since(begun) > limit {
				return out
			}
			late.Add(1)
		}
	}
	var wg sync.WaitGroup
	for n := range readers {
		wg.Go(func() {
			// Each program asks again until its password is there.
			for i := n % clients; ; {
				out := get(i)
				if out.code == exitOK {
					if out.stdout != password(i)+"\n" {
						t.Errorf("get %s: got another password", mailbox(i))
					}
					return
				}
				if out.code != exitNotFound || time.Since(begun) > limit {
					t.Errorf("get %s: got %s", mailbox(i), out)
					return
				}
				time.Sleep(500 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	s.within(limit, "every password stored", func() bool {
		return strings.Count(s.ok("status"), " valid ") == clients
	})
	// More callers at the same moment than the service has places for.
	for range 300 {
		wg.Go(func() {
			if out := get(0); out.code != exitOK || out.stdout != password(0)+"\n" {
				t.Errorf("get %s among hundreds: got %s", mailbox(0), out)
			}
		})
	}
	wg.Wait()
	t.Logf("%d submissions, %d readers: %v; %d times no answer for %v; %s", clients, readers,
		time.Since(begun).Round(time.Second), late.Load(), getWait, memoryOf(r.cmd.Process.Pid))
	for i := 0; i < clients; i += 1 + clients/12 {
		s.wantGet(mailbox(i), password(i))
		s.wantLogins(mailbox(i), 1, 0)
	}
	s.within(patience, "every message filed away", func() bool {
		return len(s.folder("INBOX")) == 0 && len(s.folder(processed)) == clients
	})
	r.stop()
}
