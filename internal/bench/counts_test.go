package bench

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/servertest"
	"pec-ingest/internal/submission"
)

// What is counted here does not depend on how fast or how busy the machine is:
// bytes on the wire, fsyncs, allocations. The bounds are a tenth above what
// was counted when they were set. More than a bound is a step back, or has a
// reason that belongs into docs/performance.md with the new one.

// counted is the inbox of the counts.
var counted = inboxPlan{seed: 6, messages: 300}

func TestCountFirstPass(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server")
	}
	plan := counted
	plan.now = time.Now()
	b := newBox(t, plan)
	b.proxy = startProxy(t, b.imap.Addr())
	cfg := b.freshVault(false)

	syncs, took := b.countSyncs(cfg, "once", "--json")
	in, out := b.proxy.take()
	atMost(t, "bytes taken, in thousandths of the inbox", int(1000*in/b.bytes), 190)
	atMost(t, "bytes sent", int(out), 4_800)
	// 24 submissions of 12 clients, and little else.
	if syncs == 0 {
		t.Error("strace saw no fsync at all")
	}
	// A long pass commits what it has and moves its cursor every two seconds: two
	// commits more, each with two fsyncs.
	atMost(t, "fsyncs of a first pass", syncs, 20+4*int(took/(2*time.Second)))

	syncs, _ = b.countSyncs(cfg, "once", "--json")
	in, out = b.proxy.take()
	atMost(t, "fsyncs of a run without news", syncs, 0)
	atMost(t, "bytes of a run without news", int(in+out), 4_950)

	atMost(t, "bytes of a poll that a service was asked for", b.pollBytes(cfg), 420)
}

// pollBytes is what a poll without news takes by a service that was asked for
// it: the fewest of several, since the service may say a word of its own.
func (b *box) pollBytes(cfg string) int {
	b.tb.Helper()
	s := b.service(cfg, slog.DiscardHandler)
	running(b.tb, s)
	var counts []int
	for range 10 {
		b.proxy.take()
		if _, err := s.Once(b.tb.Context(), ingest.RunOptions{}); err != nil {
			b.tb.Fatal(err)
		}
		in, out := b.proxy.take()
		counts = append(counts, int(in+out))
	}
	return slices.Min(counts)
}

// countSyncs runs the program under strace and counts the fsyncs; it tells how
// long that took.
func (b *box) countSyncs(cfg string, args ...string) (n int, took time.Duration) {
	b.tb.Helper()
	trace := filepath.Join(b.dir, "trace")
	cmd := exec.Command(servertest.Require(b.tb, "strace"), append([]string{"-f", "-qq", "-e", "trace=fsync,fdatasync", "-e", "signal=none", "-o", trace,
		b.exe, "--config", cfg, "--log-level", "error"}, args...)...)
	begun := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.tb.Fatalf("strace: %v\n%s", err, out)
	}
	took = time.Since(begun)
	text, err := os.ReadFile(trace)
	if err != nil {
		b.tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "sync(") { // and not the end of one that was interrupted
			n++
		}
	}
	return n, took
}

// Allocations of the steps that each message goes through.
func TestCountAllocations(t *testing.T) {
	plan := counted
	plan.now = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	m := newMaker(plan)
	var letter, large []byte
	for i, kind := range m.kinds {
		if kind == 's' && letter == nil {
			letter = m.message(i).raw
		}
		if kind == 'c' && large == nil {
			if raw := m.message(i).raw; len(raw) > 40<<10 {
				large = raw
			}
		}
	}
	trust, err := pec.NewTrust(pec.TrustOptions{PEM: [][]byte{authority().RootPEM()}})
	if err != nil {
		t.Fatal(err)
	}
	o := pec.Options{Trust: trust, Recipients: []string{studio}, ReceivedAt: plan.now}
	head := letter[:bytes.Index(letter, []byte("\r\n\r\n"))+4]
	msg := pec.Judge(letter, o).Message
	if msg == nil {
		t.Fatal("the letter is not certified")
	}
	atMost(t, "allocations of triage by the header", allocs(func() { pec.Triage(head) }), 4)
	atMost(t, "allocations of judging", allocs(func() { pec.Judge(letter, o) }), 156)
	atMost(t, "allocations of finding the password", allocs(func() { submission.Find(msg, submission.Options{}).Wipe() }), 236)
	atMost(t, "allocations of a look at 16 KiB of a large message", allocs(func() {
		g, ok := pec.Glimpse(large[:16<<10])
		if !ok {
			t.Fatal("no glimpse")
		}
		outline, ok := submission.NewOutline(g.Original)
		if !ok || !outline.Useless(g.Subject, g.Sender) {
			t.Fatal("it is no longer told by its beginning")
		}
	}), 417)
}

func allocs(fn func()) int { return int(testing.AllocsPerRun(20, fn)) }

func atMost(t *testing.T, what string, got, most int) {
	t.Helper()
	if got > most {
		t.Errorf("%s: got %d, want at most %d", what, got, most)
	}
	t.Logf("%s: %d of %d", what, got, most)
}
