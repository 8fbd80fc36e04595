package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"pec-ingest/internal/servertest"
)

// TestChaosSteady lets the service work for a while, with messages, readers
// and broken connections all the time: in the end it holds no more
// descriptors, goroutines and memory than it did after a third of that.
func TestChaosSteady(t *testing.T) {
	t.Parallel()
	lasts := 20 * time.Second
	if chaosLong() {
		lasts = 10 * time.Minute
	}
	var users []servertest.User
	mailbox := func(i int) string { return fmt.Sprintf("cliente%d@pec.gestore.example", i) }
	const clients = 30
	for i := range clients {
		users = append(users, userOf(mailbox(i), "Xk7pQ2"))
	}
	s := newStudio(t, studioOptions{apart: true, smtp: true, users: users, clients: []string{}})
	for i := range clients {
		s.ok("client", "add", mailbox(i))
	}
	r := s.start()
	pid := r.cmd.Process.Pid
	begun, third := time.Now(), false
	restarted := begun
	var memory, files, rounds int
	for ; time.Since(begun) < lasts || rounds < 30; rounds++ { // a busy machine makes few rounds
		s.deliver(s.submission(mailbox(rounds%clients), 0.01, "Xk7pQ2"),
			s.letter(mailbox(rounds%clients), 0.01, "Fattura", "In allegato la fattura.\n"))
		s.run("get", mailbox(rounds%clients))
		s.ok("status")
		if rounds%10 == 3 && time.Since(restarted) > lasts/40 { // a slow machine must get on in between
			s.imap.Restart()
			restarted = time.Now()
		}
		if !third && rounds >= 10 && time.Since(begun) > lasts/3 {
			third, memory, files = true, anonymous(pid), descriptors(t, pid)
		}
		time.Sleep(200 * time.Millisecond)
	}
	s.within(patience, "watching again", func() bool { return strings.Contains(s.ok("status"), "watching the inbox") })
	// What has leaked stays, what is at work for the moment goes.
	var memoryNow, filesNow int
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		memoryNow, filesNow = anonymous(pid), descriptors(t, pid)
		if filesNow <= files+5 && memoryNow <= memory+memory/2+8<<10 {
			break
		}
		if time.Now().After(end) {
			t.Errorf("%d descriptors are open and %d MiB used, %d and %d MiB after a third of the time", filesNow, memoryNow>>10, files, memory>>10)
			break
		}
	}
	// The runtime writes every goroutine down when it is asked to quit.
	if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	<-r.ended
	goroutines := strings.Count(r.log.String(), "\ngoroutine ")
	t.Logf("%d rounds in %v: %d goroutines; descriptors %d, then %d; memory %d MiB, then %d MiB", rounds, lasts, goroutines, files, filesNow, memory>>10, memoryNow>>10)
	if goroutines == 0 || goroutines > 40 {
		t.Errorf("%d goroutines, want some and 40 at most", goroutines)
	}
}
