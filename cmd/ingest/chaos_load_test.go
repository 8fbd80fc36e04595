package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/pectest"
	"pec-ingest/internal/servertest"
)

// onePoll is the poll interval that a service has by default: so long may a
// submission take to get through, whatever else lies in the inbox.
const onePoll = 5 * time.Minute

// flood is what somebody who wants to harm sends: n messages of every kind
// that costs work, none of which is of use. each is told of one after another.
func flood(s *studio, n int, each func([]byte)) {
	const stranger = "stranger@pec.gestore.example"
	certified := s.letter(stranger, 2, "Offerta", strings.Repeat("Gentile cliente, approfitti della nostra offerta. ", 40)).Bytes()
	letters := s.submission(stranger, 2, "Cavallo7Rosso").Bytes()
	forged := s.submission(rossi, 2, "Falsa-12345").Bytes()
	forged = bytes.Replace(forged, []byte("Falsa-12345"), []byte("Falsa-54321"), 1) // the signature is broken
	ordinary := []byte("From: chi@posta.example\r\nTo: " + studioPEC + "\r\nSubject: password\r\nMessage-ID: <x@posta.example>\r\n\r\nPassword: Xx12345678\r\n")
	for i := range n {
		raw := [][]byte{certified, forged, ordinary, letters, forged}[i%5]
		if i%5 == 3 && i < n/10 {
			raw = s.submission(stranger, 2+float64(i)/1000, fmt.Sprintf("Cavallo7Rosso%d", i)).Bytes() // a new one each
		}
		each(raw)
	}
}

// TestChaosFlood fills the inbox with a hostile sender's messages while the
// service runs: what clients send meanwhile, before and after gets through
// within one poll of its arrival.
func TestChaosFlood(t *testing.T) {
	t.Parallel()
	n := 2_000
	if chaosLong() {
		n = 100_000
	}
	s := newStudio(t, studioOptions{apart: true, users: []servertest.User{}})
	r := s.start()
	arrived := map[string]time.Time{}
	send := func(mailbox string) {
		s.deliver(s.submission(mailbox, 0.01, passwords[mailbox]))
		arrived[mailbox] = time.Now()
	}
	i := 0
	flood(s, n, func(raw []byte) {
		switch i++; i {
		case n / 10:
			send(rossi)
		case n / 2:
			send(bianchi)
		}
		s.imap.Deliver(studioPEC, "INBOX", raw, time.Now())
	})
	send(verdi)
	for _, mailbox := range []string{rossi, bianchi, verdi} {
		s.within(onePoll, mailbox+" accepted", s.has(mailbox, "valid", 1.0))
		took := time.Since(arrived[mailbox])
		t.Logf("%s accepted %v after it arrived", mailbox, took.Round(100*time.Millisecond))
		if took > onePoll {
			t.Errorf("%s accepted %v after it arrived, want %v at most", mailbox, took, onePoll)
		}
	}
	send(neri)
	s.within(onePoll, "neri accepted", s.has(neri, "valid", 1.0))
	t.Logf("neri accepted %v after it arrived", time.Since(arrived[neri]).Round(100*time.Millisecond))
	t.Logf("%s; vault %d kB; %d reviews", memoryOf(r.cmd.Process.Pid), fileSize(t, s.vaultPath())>>10, len(s.reviews()))
	r.stop()
}

// memoryOf is what the kernel says of a process's memory.
func memoryOf(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	var words []string
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "VmHWM") || strings.HasPrefix(line, "VmRSS") {
			words = append(words, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(words, ", ")
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestChaosMemory makes a first pass over a full inbox, large messages among
// the others, with the runtime held to 56 MiB, a limit that it may pass by a
// little: the process stays below 64, and everything is read. What the kernel maps of the vault's file is not counted.
func TestChaosMemory(t *testing.T) {
	t.Parallel()
	program, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	s := newStudio(t, studioOptions{})
	n := 1_000
	if chaosLong() {
		n = 20_000
	}
	flood(s, n, func(raw []byte) { s.imap.Deliver(studioPEC, "INBOX", raw, time.Now()) })
	large := s.letter(neri, 3, "Documenti per la password", "In allegato i documenti.\n")
	large.Letter.Attachments = []pectest.Attachment{{Name: "documenti.pdf", Type: "application/pdf", Data: bytes.Repeat([]byte("0123456789"), 65_000)}}
	for range 20 {
		s.deliver(large)
	}
	s.deliver(s.submission(rossi, 1, passwords[rossi]))
	cmd := exec.Command(program, "--config", s.configPath(), "once")
	cmd.Env = append(os.Environ(), "GOMEMLIMIT=56MiB")
	var log lockedBuffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	peak, tick := 0, time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for running := true; running; {
		select {
		case err := <-ended:
			running = false
			if err != nil {
				t.Fatalf("%v\n%s", err, &log)
			}
		case <-tick.C:
			peak = max(peak, anonymous(cmd.Process.Pid))
		}
	}
	t.Logf("%d messages: at most %d MiB", n+21, peak>>10)
	if peak > 64<<10 || peak == 0 {
		t.Errorf("the pass took %d MiB, want 64 at most", peak>>10)
	}
	s.wantGet(rossi, passwords[rossi])
}

// anonymous is a process's own memory in kB.
func anonymous(pid int) (kB int) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(b), "RssAnon:")
	_, _ = fmt.Sscan(rest, &kB)
	return kB
}
