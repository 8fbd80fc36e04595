package bench

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/servertest"
)

// messages is the size of the inbox; PEC_INGEST_BENCH_MESSAGES makes it
// another one, for a quick look.
func messages(def int) int {
	if n, err := strconv.Atoi(os.Getenv("PEC_INGEST_BENCH_MESSAGES")); err == nil {
		return n * def / 10_000
	}
	return def
}

// summary is the summary of `once --json`.
type summary struct{ Seen, Accepted, Superseded, Extended, Review, Rejected, Ignored, Receipts, Errors int }

// firstPass makes a first pass with an empty vault and checks that it did its
// job: every client has its newer password.
func (b *box) firstPass() spent {
	b.tb.Helper()
	cfg := b.freshVault(false)
	defer os.RemoveAll(filepath.Dir(filepath.Dir(cfg)))
	s := b.command("--config", cfg, "--log-level", "warn", "once", "--json")
	var sum summary
	if err := json.Unmarshal([]byte(s.stdout), &sum); err != nil {
		b.tb.Fatalf("%v\n%s", err, s.stdout)
	}
	n := b.plan.clients()
	want := summary{Seen: b.plan.messages, Accepted: n, Superseded: n, Ignored: sum.Ignored, Receipts: b.plan.messages * receiptShare / 100}
	if sum != want {
		b.tb.Fatalf("first pass: got %+v, want %+v", sum, want)
	}
	got := run(b.tb, b.exe, "--config", cfg, "get", clientAddress(0)).stdout
	if got != password(0, 1)+"\n" {
		b.tb.Fatal("first pass: the first client's password is not the newer one it sent")
	}
	return s
}

// The first pass over a studio's inbox beside mbsync and a script.
func TestFirstPass(t *testing.T) {
	long(t)
	b := newBox(t, inboxPlan{seed: 1, messages: messages(10_000), now: time.Now(), large: 3})
	t.Logf("%d messages, %d MB", b.plan.messages, b.bytes/1e6)
	cold := b.firstPass()
	m := alternate(5, func() time.Duration { return b.firstPass().wall }, func() time.Duration { return b.mbsync().wall })
	note(t, figure{"first pass : `mbsync` to a Maildir without fsync", ratio(m[0], m[1]), 0.5,
		fmt.Sprintf("%s : %s, medians of 5, alternating; the server's very first pass %s", ms(m[0]), ms(m[1]), ms(cold.wall))})

	script := b.script()
	m = alternate(1, func() time.Duration { return b.firstPass().wall }, func() time.Duration { return script })
	note(t, figure{"first pass : python3 imaplib and `openssl cms -verify`", ratio(m[0], m[1]), 0.05,
		fmt.Sprintf("%s : %s, one run each", ms(m[0]), ms(m[1]))})

	b.proxy = startProxy(t, b.imap.Addr())
	b.firstPass()
	in, out := b.proxy.take()
	note(t, figure{"bytes taken from the server : size of the inbox", float64(in) / float64(b.bytes), 0.35,
		fmt.Sprintf("%.1f MB of %.1f MB, TLS included; sent %d kB", float64(in)/1e6, float64(b.bytes)/1e6, out/1000)})
}

// mbsync pulls the inbox into a Maildir with fsync off.
func (b *box) mbsync() spent {
	b.tb.Helper()
	dir, err := os.MkdirTemp(b.dir, "mbsync")
	if err != nil {
		b.tb.Fatal(err)
	}
	defer os.RemoveAll(dir)
	_, port, _ := strings.Cut(b.addr(), ":")
	b.write("mbsyncrc", fmt.Sprintf(`FSync no
IMAPStore far
Host localhost
Port %s
User %s
PassCmd "cat %s"
SSLType IMAPS
CertificateFile %s
PipelineDepth 50

MaildirStore near
Path %[5]s/
Inbox %[5]s/INBOX

Channel inbox
Far :far:INBOX
Near :near:INBOX
Sync Pull
Create Near
SyncState *
`, port, studio, b.path("password"), b.path("tls.pem"), dir))
	s := run(b.tb, servertest.Require(b.tb, "mbsync"), "-q", "-c", b.path("mbsyncrc"), "inbox")
	fresh, err := os.ReadDir(dir + "/INBOX/new")
	read, err2 := os.ReadDir(dir + "/INBOX/cur")
	if err != nil || err2 != nil || len(fresh)+len(read) != b.plan.messages {
		b.tb.Fatalf("mbsync: got %d messages, want %d (%v, %v)", len(fresh)+len(read), b.plan.messages, err, err2)
	}
	return s
}

// script does the same job as a first pass, in the way of a short script.
func (b *box) script() time.Duration {
	b.tb.Helper()
	_, port, _ := strings.Cut(b.addr(), ":")
	s := run(b.tb, servertest.Require(b.tb, "python3"), "../../scripts/bench-script.py", "127.0.0.1", port, studio, b.path("password"),
		b.path("tls.pem"), b.path("pec.pem"), b.dir)
	if want := fmt.Sprintf("%d passwords\n", b.plan.clients()); s.stdout != want {
		b.tb.Fatalf("script: got %q, want %q", s.stdout, want)
	}
	return s.wall
}

// BenchmarkPass is a first pass in this process, over 1,000 messages: for
// profiles and benchstat.
func BenchmarkPass(b *testing.B) {
	box := newBox(b, inboxPlan{seed: 1, messages: 1_000, now: time.Now()})
	b.SetBytes(box.bytes)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		s := box.service(box.freshVault(false), slog.DiscardHandler)
		b.StartTimer()
		sum, err := s.Pass(b.Context(), ingest.PassOptions{})
		b.StopTimer()
		if err != nil || sum.Accepted != box.plan.clients() {
			b.Fatalf("%+v, %v", sum, err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
