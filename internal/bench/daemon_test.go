package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"pec-ingest/internal/config"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/pectest"
	"pec-ingest/internal/servertest"
)

// process is a running `ingest run`.
type process struct {
	tb    testing.TB
	cmd   *exec.Cmd
	peak  func() int64
	lines chan map[string]any
}

// startDaemon starts the daemon. It is ended by stop, or with the test.
func (b *box) startDaemon(cfg string) *process {
	b.tb.Helper()
	p := &process{tb: b.tb, lines: make(chan map[string]any, 10_000)}
	p.cmd = exec.Command(b.exe, "--config", cfg, "--log-format", "json", "run")
	p.cmd.Stderr = &lineWriter{to: p.lines}
	if err := p.cmd.Start(); err != nil {
		b.tb.Fatal(err)
	}
	p.peak = watchPeak(p.cmd.Process.Pid)
	b.tb.Cleanup(func() { _ = p.cmd.Process.Kill(); _ = p.cmd.Wait() })
	return p
}

// waitFor waits for a line of the log.
func (p *process) waitFor(event string) map[string]any {
	p.tb.Helper()
	deadline := time.After(20 * time.Minute)
	for {
		select {
		case line := <-p.lines:
			if line["event"] == event {
				return line
			}
		case <-deadline:
			p.tb.Fatalf("the daemon did not log %s", event)
		}
	}
}

// stop ends the daemon and returns its peak memory.
func (p *process) stop() int64 {
	p.tb.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.tb.Fatal(err)
	}
	peak := p.peak()
	if err := p.cmd.Wait(); err != nil {
		p.tb.Fatal(err)
	}
	return peak
}

// cpu is what the process has used so far.
func (p *process) cpu() time.Duration {
	p.tb.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		p.tb.Fatal(err)
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	var ticks int64
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			p.tb.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond // 100 a second, always
}

// lineWriter takes JSON lines apart; what is not read is dropped.
type lineWriter struct {
	to   chan map[string]any
	rest []byte
}

func (w *lineWriter) Write(b []byte) (int, error) {
	w.rest = append(w.rest, b...)
	for {
		line, rest, ok := bytes.Cut(w.rest, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		w.rest = rest
		var fields map[string]any
		if json.Unmarshal(line, &fields) == nil {
			select {
			case w.to <- fields:
			default:
			}
		}
	}
}

// Peak memory of the daemon when messages come that must be read whole and are
// as large as may be: three passwords beside a document of 18 MB, and six whose
// document of 6 MB is kept for review.
func TestMemoryLargeMessages(t *testing.T) {
	long(t)
	for _, c := range []struct {
		what, text  string
		number, doc int
	}{
		{"three messages of 24 MB", "Buongiorno,\n\nPassword per programmi di posta: K7qabcdEF23\n\nCordiali saluti\n", 3, 17_600_000},
		{"six of 8 MB for review", "Buongiorno,\n\nla password per programmi di posta e' nel documento allegato.\n\nCordiali saluti\n", 6, 5_800_000},
	} {
		plan := inboxPlan{seed: 3, messages: 300, now: time.Now()}
		b := newBox(t, plan)
		m := newMaker(plan)
		r := rand.New(rand.NewPCG(plan.seed, 4))
		for i := range c.number {
			at, from := plan.now.Add(-time.Duration(60-i)*time.Minute), clientAddress(i)
			const subject = "Password per programmi di posta"
			e := pectest.Envelope{Provider: m.provider, SentAt: at, Style: pectest.Aruba2026, Sender: from, Recipients: []string{studio}, Subject: subject,
				Letter: pectest.Letter{From: from, To: studio, Subject: subject, Date: at, Text: c.text,
					Attachments: []pectest.Attachment{{Name: "scansione.pdf", Type: "application/pdf", Data: noise(r, c.doc)}}}}
			b.imap.Deliver(studio, "INBOX", e.Bytes(), at.Add(time.Minute))
		}
		d := b.startDaemon(b.freshVault(false))
		end := d.waitFor("pass.finished")
		if want := float64(plan.messages + c.number); end["seen"] != want || end["errors"] != 0.0 {
			t.Errorf("%s: got %v seen and %v errors, want %v and none", c.what, end["seen"], end["errors"], want)
		}
		note(t, figure{"peak memory of the daemon, " + c.what + ", MiB", float64(d.stop()) / (1 << 20), 64, "VmHWM, of which about 20 MiB are the program's own pages"})
	}
}

// Peak memory of the daemon in its first pass, and what it takes while nothing
// happens.
func TestMemoryAndIdle(t *testing.T) {
	long(t)
	var peaks []int64
	for _, n := range []int{1_000, messages(50_000)} {
		b := newBox(t, inboxPlan{seed: 2, messages: n, now: time.Now(), large: 3})
		d := b.startDaemon(b.freshVault(false))
		d.waitFor("pass.finished")
		if n == 1_000 {
			idle(t, d)
		}
		peak := d.stop()
		peaks = append(peaks, peak)
		note(t, figure{fmt.Sprintf("peak memory of the daemon, first pass over %d messages, MiB", n), float64(peak) / (1 << 20), 64, "VmHWM, of which about 20 MiB are the program's own pages"})
	}
	t.Logf("peaks: %d", peaks)
}

// idle notes what a daemon takes that watches an inbox where nothing happens.
func idle(t *testing.T, d *process) {
	t.Helper()
	time.Sleep(5 * time.Second) // what follows the first pass
	const watched = 90 * time.Second
	before := d.cpu()
	time.Sleep(watched)
	used := d.cpu() - before
	note(t, figure{"idle daemon, % of a CPU", 100 * float64(used) / float64(watched), 0.1, fmt.Sprintf("%v in %v, in steps of 10 ms", used, watched)})
	note(t, figure{"idle daemon, MiB", float64(procField(d.cmd.Process.Pid, "VmRSS:")) / (1 << 20), 40, "VmRSS, after a first pass over 1000 messages"})
}

// service opens the configuration in this process.
func (b *box) service(cfg string, log slog.Handler) *ingest.Service {
	b.tb.Helper()
	c, err := config.Load(cfg)
	if err != nil {
		b.tb.Fatal(err)
	}
	s, err := ingest.Open(c, ingest.Writing, slog.New(log))
	if err != nil {
		b.tb.Fatal(err)
	}
	return s
}

// running runs the daemon's loop in this process until the test ends.
func running(tb testing.TB, s *ingest.Service) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Run(ctx, ingest.Hooks{}) })
	tb.Cleanup(func() { cancel(); wg.Wait(); _ = s.Close() })
	for { // its first pass
		state, err := s.Daemon(tb.Context())
		if err != nil {
			tb.Fatal(err)
		}
		if state != nil && state.Passes > 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// A poll without news costs the same however much the inbox holds: by the
// command alone, where no service runs, and by a service that was asked for it.
func TestPoll(t *testing.T) {
	long(t)
	// The clients are the same few: what is compared is the inbox.
	type side struct {
		b     *box
		cfg   string
		s     *ingest.Service
		bytes int64 // of the last poll
	}
	var sides []*side
	for _, n := range []int{500, messages(50_000)} {
		b := newBox(t, inboxPlan{seed: 3, messages: n, now: time.Now(), most: 20})
		b.proxy = startProxy(t, b.imap.Addr())
		one := &side{b: b, cfg: b.freshVault(false)}
		b.command("--config", one.cfg, "--log-level", "error", "once")
		sides = append(sides, one)
	}
	small, large := sides[0], sides[1]
	counted := func(one *side, poll func()) time.Duration {
		one.b.proxy.take()
		start := time.Now()
		poll()
		took := time.Since(start)
		in, out := one.b.proxy.take()
		one.bytes = in + out
		return took
	}
	alone := func(one *side) func() time.Duration {
		return func() time.Duration {
			return counted(one, func() { one.b.command("--config", one.cfg, "--log-level", "error", "once") })
		}
	}
	compare := func(what string, rounds int, poll func(*side) func() time.Duration, detail string) {
		m := alternate(rounds, poll(small), poll(large))
		note(t, figure{what + ", time", ratio(m[1], m[0]), 1.2, fmt.Sprintf("%s : %s, medians of %d, alternating%s", ms(m[1]), ms(m[0]), rounds, detail)})
		note(t, figure{what + ", bytes", float64(large.bytes) / float64(small.bytes), 1.2, fmt.Sprintf("%d : %d", large.bytes, small.bytes)})
	}
	alternate(3, alone(small), alone(large))
	compare("a poll without news, a hundredfold inbox, by the command alone", 31, alone, "; from the process's start to its end")

	for _, one := range sides {
		one.s = one.b.service(one.cfg, slog.DiscardHandler)
		running(t, one.s)
		// From its first announced message on, a server is asked for news in
		// the open folder, also by the polls of the clock.
		m := newMaker(one.b.plan).message(0)
		one.b.imap.Deliver(studio, "INBOX", m.raw, time.Now())
		for state, err := one.s.Daemon(t.Context()); state.Passes < 2; state, err = one.s.Daemon(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	asked := func(rest time.Duration) func(*side) func() time.Duration {
		return func(one *side) func() time.Duration {
			return func() time.Duration {
				time.Sleep(rest)
				return counted(one, func() {
					if sum, err := one.s.Once(t.Context(), ingest.RunOptions{}); err != nil || sum.Seen > 0 {
						t.Fatalf("poll: %+v, %v", sum, err)
					}
				})
			}
		}
	}
	alternate(3, asked(0)(small), asked(0)(large))
	compare("the same by the service, one right behind the other", 51, asked(0), "; with all that `once` does")
	compare("the same by the service, from rest", 51, asked(500*time.Millisecond), "")
}

// outcomeClock notes when an outcome was committed.
type outcomeClock struct {
	slog.Handler
	at chan time.Time
}

func (c outcomeClock) Enabled(context.Context, slog.Level) bool { return true }

func (c outcomeClock) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "event" && strings.HasPrefix(a.Value.String(), "credential.") {
			select {
			case c.at <- time.Now():
			default:
			}
		}
		return true
	})
	return nil
}

func (c outcomeClock) WithAttrs([]slog.Attr) slog.Handler { return c }
func (c outcomeClock) WithGroup(string) slog.Handler      { return c }

// From the server's announcement of a submission to its committed outcome,
// the login to the client's mailbox included, beside a login and a fetch that
// do nothing else.
func TestReaction(t *testing.T) {
	long(t)
	for _, n := range []int{messages(10_000), 500} {
		reaction(t, n)
	}
}

func reaction(t *testing.T, n int) {
	b := newBox(t, inboxPlan{seed: 4, messages: n, now: time.Now(), most: 20})
	const rounds = 15
	for i := range b.plan.clients() {
		b.imap.AddUser(servertest.User{Name: clientAddress(i), Password: password(i, 10+i)})
	}
	b.proxy = startProxy(t, b.imap.Addr())
	clock := outcomeClock{slog.DiscardHandler, make(chan time.Time, 1)}
	cfg := b.freshVault(false)
	b.command("--config", cfg, "once") // what is there already is settled
	text, err := os.ReadFile(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cfg, bytes.Replace(text, []byte("enabled = false"), []byte("enabled = true"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	s := b.service(cfg, clock)
	running(t, s)
	for len(clock.at) > 0 {
		<-clock.at
	}
	m := newMaker(b.plan)
	var reactions, bare []time.Duration
	for i := range min(rounds, b.plan.clients()) {
		at := time.Now().Truncate(time.Second)
		from := clientAddress(i)
		e := pectest.Envelope{Provider: m.provider, Style: pectest.Aruba2026, Sender: from, Recipients: []string{studio}, SentAt: at,
			MsgID: fmt.Sprintf("<new%d@client.example>", i), Subject: "Password per programmi di posta",
			Letter: pectest.Letter{From: from, To: studio, Date: at, Subject: "Password per programmi di posta",
				Text: "Buongiorno,\n\nPassword per programmi di posta: " + password(i, 10+i) + "\n\nCordiali saluti\n"}}
		time.Sleep(700 * time.Millisecond) // the daemon is back in IDLE
		b.proxy.mark()
		b.imap.Deliver(studio, "INBOX", e.Bytes(), at)
		var committed time.Time
		select {
		case committed = <-clock.at:
		case <-time.After(30 * time.Second):
			t.Fatal("no outcome")
		}
		reactions = append(reactions, committed.Sub(b.proxy.firstAfterMark()))
		bare = append(bare, loginAndFetch(t, b.imap))
	}
	note(t, figure{fmt.Sprintf("EXISTS to the committed outcome, probe included : a bare login and fetch, inbox of %d", n), ratio(median(reactions), median(bare)), 3,
		fmt.Sprintf("%s : %s, medians of %d, alternating", ms(median(reactions)), ms(median(bare)), len(bare))})
	slices.Sort(reactions)
	t.Log(reactions, bare)
}

// loginAndFetch signs in and fetches the newest message.
func loginAndFetch(t *testing.T, d *servertest.Dovecot) time.Duration {
	t.Helper()
	start := time.Now()
	conn, err := tls.Dial("tcp", d.Addr(), &tls.Config{RootCAs: d.CA().Pool(), ServerName: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := imapclient.New(conn, nil)
	if err := c.Login(studio, inboxPassword).Wait(); err != nil {
		t.Fatal(err)
	}
	box, err := c.Select("INBOX", &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Fetch(imap.SeqSetNum(box.NumMessages), &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{{Peek: true}}}).Collect()
	if err != nil || len(got) != 1 || len(got[0].BodySection) != 1 {
		t.Fatalf("fetch: %v", err)
	}
	return time.Since(start)
}
