package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"pec-ingest/internal/vault"
)

// A message that ends the process itself, not by a fault that can be caught:
// the service manager starts the service again and again, the other messages
// come through, and the one is passed over, tried again later, given up.
func TestDeadlyMessage(t *testing.T) {
	t.Parallel()
	program := buildKillable(t)
	for _, c := range []struct {
		name   string
		mended bool // after the first pass that came to its end
	}{{"for ever", false}, {"mended", true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStudio(t, studioOptions{})
			first, bad, last := s.submission(rossi, 9, passwords[rossi]), s.submission(verdi, 8, passwords[verdi]), s.submission(bianchi, 7, passwords[bianchi])
			s.deliver(first, bad, last)
			deadly := "PEC_INGEST_KILL_TEXT=" + idOf(bad)
			if died := s.untilPassed(program, deadly); died != 2 {
				t.Errorf("died %d times before all others were read, want twice", died)
			}
			s.wantGet(rossi, passwords[rossi])
			s.wantGet(bianchi, passwords[bianchi])
			if c.mended {
				deadly = ""
			}
			deaths := 0
			for range 10 {
				if s.holesDue() == 0 {
					break
				}
				deaths += s.untilPassed(program, deadly)
			}
			refused := 0
			s.inVault(func(tx *vault.Tx) error {
				list, err := tx.RefusedSince(time.Now().Add(-time.Hour))
				refused = len(list)
				return err
			})
			if c.mended {
				if s.wantGet(verdi, passwords[verdi]); deaths != 0 || refused != 0 {
					t.Errorf("with a sound program: died %d times, %d records of unreadable messages", deaths, refused)
				}
				return
			}
			if deaths != 4 || refused != 1 { // five tries in all, the sixth is not made
				t.Errorf("died %d times more, %d records; want 4 and 1", deaths, refused)
			}
			if died := s.untilPassed(program, deadly); died != 0 {
				t.Errorf("died %d times at a message that was given up", died)
			}
		})
	}
}

// The notes are made for what is near the cursor only; a deadly message behind
// many others, of which nothing is recorded, is found all the same.
func TestDeadlyMessageFarBehind(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	for i := range 350 {
		s.imap.Deliver(studioPEC, "INBOX", fmt.Appendf(nil, "From: x@y.example\r\nTo: %s\r\nX-Trasporto: posta-certificata\r\nMessage-ID: <%d@y.example>\r\nSubject: altro\r\n\r\nciao\r\n", studioPEC, i), time.Now())
	}
	bad, last := s.submission(verdi, 8, passwords[verdi]), s.submission(bianchi, 7, passwords[bianchi])
	s.deliver(bad, last)
	if died := s.untilPassed(buildKillable(t), "PEC_INGEST_KILL_TEXT="+idOf(bad)); died < 2 || died > 4 {
		t.Errorf("died %d times before all others were read, want two to four times", died)
	}
	s.wantGet(bianchi, passwords[bianchi])
}

// untilPassed starts the service, again each time that it dies, until it has
// nothing more to read, and ends it. It tells how often it died.
func (s *studio) untilPassed(program, env string) (died int) {
	s.t.Helper()
	for died < 20 {
		log := &lockedBuffer{}
		cmd := exec.Command(program, "--config", s.configPath(), "--log-level", "debug", "run")
		cmd.Env = append(os.Environ(), env)
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			s.t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		passed, over := false, false
		for end := time.Now().Add(patience); !passed && !over; {
			select {
			case <-ended:
				over = true
			case <-time.After(20 * time.Millisecond):
				passed = strings.Contains(log.String(), "event=pass.finished")
			}
			if time.Now().After(end) {
				_ = cmd.Process.Kill()
				s.t.Fatalf("neither died nor came to the end of a pass:\n%s", log)
			}
		}
		if over {
			if died++; !strings.Contains(log.String(), "event=pass.started") {
				s.t.Fatalf("did not start:\n%s", log)
			}
			continue
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			s.t.Fatalf("ending: %v\n%s", err, log)
		}
		return died
	}
	s.t.Fatal("dies for ever")
	return died
}

// holesDue makes all noted messages due, and counts them.
func (s *studio) holesDue() (n int) {
	s.t.Helper()
	s.inVault(func(tx *vault.Tx) error {
		holes, err := tx.Holes("INBOX")
		n = len(holes)
		for _, h := range holes {
			h.NextAt = time.Now().Add(-time.Minute)
			if err := tx.PutHole(h); err != nil {
				return err
			}
		}
		return err
	})
	return n
}
