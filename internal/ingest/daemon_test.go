package ingest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/probe"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// The server takes IDLE and announces nothing: the poll sees to it.
func TestRunPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "")
		defer b.close()
		b.run(func() {
			time.Sleep(time.Hour + time.Minute)
			synctest.Wait()
			if got := b.state(); got.Passes != 13 || got.Phase != ingest.PhaseWatching || got.LastError != "" {
				t.Errorf("after an hour: got %d passes, %s, %q, want 13 passes (one at once, one every five minutes)", got.Passes, got.Phase, got.LastError)
			}
			if n := b.dialCount(); n != 1 {
				t.Errorf("got %d logins, want 1: the session is kept", n)
			}
		})
	})
}

// A cut connection is opened again within seconds. A server that is gone for
// two days is asked with growing pauses, and its first answer brings
// everything back.
func TestRunReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "")
		defer b.close()
		b.run(func() {
			b.cut()
			time.Sleep(3 * time.Second)
			synctest.Wait()
			if got := b.state(); got.Passes != 2 || got.Reconnects != 1 || got.LastError != "" {
				t.Errorf("3 s after the cut: got %d passes, %d reconnects, %q, want 2, 1 and no error", got.Passes, got.Reconnects, got.LastError)
			}
			b.setFail(fmt.Errorf("connecting: %w", inbox.ErrNetwork))
			b.cut()
			before := b.dialCount()
			time.Sleep(48 * time.Hour)
			synctest.Wait()
			got := b.state()
			if got.Phase != ingest.PhaseWaiting || got.FailingSince == nil || time.Since(*got.FailingSince) < 47*time.Hour || got.NextTryAt == nil {
				t.Errorf("after two days without the server: got %+v", got)
			}
			if !strings.Contains(got.Line(), "not reachable since") {
				t.Errorf("the status line does not say it: %q", got.Line())
			}
			// Pauses of 2.5 to 5 minutes: 576 to 1152 tries.
			if n := b.dialCount() - before; n < 500 || n > 1200 {
				t.Errorf("asked %d times in two days", n)
			}
			b.setFail(nil)
			time.Sleep(6 * time.Minute)
			synctest.Wait()
			if got := b.state(); got.Phase != ingest.PhaseWatching || got.LastError != "" || got.FailingSince != nil {
				t.Errorf("the server is back: got %+v", got)
			}
		})
	})
}

// A refused password is tried once in two days and two starts; another one
// within seconds.
func TestRunRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "")
		defer b.close()
		b.setFail(fmt.Errorf("logging in: %w", inbox.ErrRefused))
		for range 2 {
			b.run(func() {
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				if got := b.state(); got.Phase != ingest.PhaseRefused {
					t.Errorf("got phase %s, want refused", got.Phase)
				}
				_, err := b.service.Once(context.Background(), ingest.RunOptions{PassOptions: ingest.PassOptions{Asked: true}})
				if !errors.Is(err, ingest.ErrClosedSecret) {
					t.Errorf("a pass asked for: got %v, want ErrClosedSecret", err)
				}
			})
		}
		if n := b.dialCount(); n != 1 {
			t.Errorf("the refused password was tried %d times, want once", n)
		}
		b.run(func() {
			b.setFail(nil)
			if err := os.WriteFile(filepath.Join(b.dir, "inbox-password"), []byte("giusta2\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			user := imapmemserver.NewUser(studioUser, "giusta2")
			if err := user.Create("INBOX", nil); err != nil {
				t.Fatal(err)
			}
			b.mu.Lock()
			b.user = user
			b.mu.Unlock()
			time.Sleep(6 * time.Second)
			synctest.Wait()
			if got := b.state(); got.Phase != ingest.PhaseWatching || got.Passes != 1 {
				t.Errorf("after the password changed: got %s, %d passes", got.Phase, got.Passes)
			}
		})
	})
}

// A no that is not about the password: once an hour at most.
func TestRunDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "")
		defer b.close()
		b.setFail(fmt.Errorf("%w: %w", inbox.ErrDenied, inbox.ErrUnavailable))
		b.run(func() {
			time.Sleep(24*time.Hour + time.Minute)
			synctest.Wait()
			if got := b.state(); got.NextTryAt == nil || time.Until(*got.NextTryAt) < 50*time.Minute {
				t.Errorf("got next try %v, want in most of an hour", got.NextTryAt)
			}
			if n := b.dialCount(); n != 25 {
				t.Errorf("asked %d times in a day, want 25: at once and every hour", n)
			}
			b.mu.Lock()
			dials := slices.Clone(b.dials)
			b.mu.Unlock()
			for i, at := range dials[1:] {
				if d := at.Sub(dials[i]); d < time.Hour {
					t.Errorf("try %d came %v after the one before", i+2, d)
				}
			}
		})
	})
}

// The server accepts the connection and never says a word: stopping does not
// wait for it.
func TestRunStopsWithSilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "")
		defer b.close()
		b.hang = true // before anything runs
		b.run(func() {
			if got := b.state(); got.LastError == "" {
				t.Error("a silent server is no error")
			}
			before := b.dialCount()
			time.Sleep(5 * time.Second) // into the next try, which waits for an answer
			if b.dialCount() == before {
				t.Error("no try is under way")
			}
		})
	})
}

// Passes asked for by many at once, while others run by themselves, never
// overlap: a second one at the same time would be refused with ErrBusy.
func TestRunNoOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "")
		defer b.close()
		b.run(func() {
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					if _, err := b.service.Once(context.Background(), ingest.RunOptions{}); err != nil {
						t.Errorf("got %v", err)
					}
				})
			}
			wg.Wait()
			if got := b.state(); got.Passes != 21 {
				t.Errorf("got %d passes, want the first and 20 asked for", got.Passes)
			}
		})
		// Without the daemon the service makes the pass itself.
		if _, err := b.service.Once(context.Background(), ingest.RunOptions{}); err != nil {
			t.Errorf("after the daemon: %v", err)
		}
	})
}

// heldLog holds who logs an event until it is released.
type heldLog struct {
	slog.Handler
	event            string
	reached, release chan struct{}
}

func (l *heldLog) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "event" && a.Value.String() == l.event {
			close(l.reached)
			<-l.release
		}
		return true
	})
	return nil
}

// Who asked for a pass that fails is answered when the state says so, and how
// it stands until the next try.
func TestRunAnswersFailureAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "")
		defer b.close()
		b.user = imapmemserver.NewUser(studioUser, "giusta") // without an INBOX
		ctx, stop := context.WithCancel(context.Background())
		reached, release := make(chan struct{}), make(chan struct{})
		var mu sync.Mutex
		armed := false
		var at *time.Time
		changed := func(st ingest.DaemonState) { // holds the change that notes the failure
			mu.Lock()
			hold := armed && st.LastErrorAt != at
			at, armed = st.LastErrorAt, armed && !hold
			mu.Unlock()
			if hold {
				close(reached)
				<-release
			}
		}
		ended := make(chan error, 1)
		go func() { ended <- b.service.Run(ctx, ingest.Hooks{Changed: changed}) }()
		synctest.Wait()
		if got := b.state(); got.LastError == "" || got.Phase == ingest.PhasePassing {
			t.Fatalf("the first pass: got %+v, want that it failed", got)
		}
		mu.Lock()
		armed = true
		mu.Unlock()
		answered := make(chan error, 1)
		go func() {
			_, err := b.service.Once(context.Background(), ingest.RunOptions{})
			if got := b.state(); got.Phase == ingest.PhasePassing || got.NextTryAt == nil {
				t.Errorf("after the answer: got phase %s, next try %v", got.Phase, got.NextTryAt)
			}
			answered <- err
		}()
		<-reached
		synctest.Wait()
		if len(answered) > 0 {
			t.Error("answered before the state says what came of the pass")
		}
		close(release)
		if err := <-answered; !errors.Is(err, inbox.ErrNoFolder) {
			t.Errorf("got %v, want that there is no folder", err)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		b.cut()
	})
}

// Who asked for a pass is answered when the service has taken note of it: a
// status asked for next tells of it.
func TestRunAnswersAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		layBubble(t, dir, "")
		log := &heldLog{slog.NewTextHandler(io.Discard, nil), "inbox.back", make(chan struct{}), make(chan struct{})}
		b := openLogging(t, dir, log)
		defer b.close()
		b.setFail(fmt.Errorf("connecting: %w", inbox.ErrNetwork))
		b.run(func() {
			b.setFail(nil)
			done := make(chan error, 1)
			go func() {
				_, err := b.service.Once(context.Background(), ingest.RunOptions{})
				done <- err
			}()
			<-log.reached
			synctest.Wait()
			if len(done) > 0 {
				t.Error("answered while the service was still taking note")
			}
			close(log.release)
			if err := <-done; err != nil {
				t.Error(err)
			}
			if got := b.state(); got.Passes != 1 || got.Phase != ingest.PhaseWatching || got.LastError != "" {
				t.Errorf("after the answer: got %d passes, %s, %q", got.Passes, got.Phase, got.LastError)
			}
		})
	})
}

// The heartbeat follows good passes and stops with them; the alert command
// gets the event as JSON, once a day while the trouble lasts.
func TestRunHeartbeatAndAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := filepath.Join(t.TempDir(), "events")
		b := newBubble(t, fmt.Sprintf("[alert]\ncommand = [\"/bin/sh\", \"-c\", \"cat >> %s\"]\nheartbeat_file = \"beat\"\n", out))
		defer b.close()
		beat := func() time.Time {
			info, err := os.Stat(filepath.Join(b.dir, "beat"))
			if err != nil {
				t.Fatal(err)
			}
			return info.ModTime()
		}
		b.run(func() {
			time.Sleep(16 * time.Minute)
			synctest.Wait()
			first := beat()
			if d := time.Since(first); d > 5*time.Minute || d < 0 {
				t.Errorf("the heartbeat is %v old", d)
			}
			b.setFail(fmt.Errorf("connecting: %w", inbox.ErrNetwork))
			b.cut()
			time.Sleep(50 * time.Hour)
			synctest.Wait()
			if !beat().Equal(first) {
				t.Error("the heartbeat goes on without passes")
			}
		})
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		if len(lines) != 3 {
			t.Errorf("got %d alerts in 50 hours, want one on each of three days:\n%s", len(lines), text)
		}
		var e ingest.Event
		if err := json.Unmarshal([]byte(lines[0]), &e); err != nil || e.Event != "inbox.outage" || e.Msg == "" || e.Hint == "" {
			t.Errorf("got event %+v, %v", e, err)
		}
	})
}

// The jobs run at their hour in the studio's zone, and at once after a start
// that missed them.
func TestRunJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "") // 1 January 2000, a Saturday, 00:00 UTC
		defer b.close()
		b.run(func() {
			time.Sleep(2*24*time.Hour + 7*time.Hour + 59*time.Minute) // Monday 08:59 in Rome
			synctest.Wait()
			before := b.lastRun(ingest.JobWarnings)
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if got := b.lastRun(ingest.JobWarnings); !got.After(before) || got.UTC().Format("15:04") != "08:00" {
				t.Errorf("warnings ran at %v, want Monday 08:00 UTC, which is 9 in Rome", got)
			}
			if got := b.lastRun(ingest.JobProbe); got.UTC().Format("Mon 15:04") != "Mon 05:00" {
				t.Errorf("checks ran at %v, want Monday 05:00 UTC, which is 6 in Rome", got)
			}
		})
		time.Sleep(3 * 24 * time.Hour) // off until Thursday
		b.run(func() {
			if got := b.lastRun(ingest.JobWarnings); time.Since(got) > time.Minute {
				t.Errorf("after three days off: warnings last ran %v ago, want at once", time.Since(got))
			}
		})
	})
}

// A clock behind what the vault knows is a state that can be read; three
// refused envelopes that claim a client make one alert a day.
func TestRunClockAndClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := filepath.Join(t.TempDir(), "events")
		b := newBubble(t, fmt.Sprintf("[alert]\ncommand = [\"/bin/sh\", \"-c\", \"cat >> %s\"]\n", out))
		defer b.close()
		b.update(func(tx *vault.Tx) error {
			for i := range 4 {
				r := vault.Refused{At: time.Now(), Reason: "bad-signature", ClaimedSender: "rossi@pec.example", UID: uint32(i + 1), Listed: i > 0}
				if err := tx.AddRefused(r); err != nil {
					return err
				}
			}
			return tx.PutClient(vault.Client{Mailbox: "rossi@pec.example", AddedAt: time.Now().AddDate(1, 0, 0)})
		})
		b.run(func() {
			time.Sleep(time.Hour)
			synctest.Wait()
			if got := b.state(); !strings.Contains(got.ClockError, "2001") || !strings.Contains(got.Line(), "clock") {
				t.Errorf("got clock error %q, line %q", got.ClockError, got.Line())
			}
		})
		text, err := os.ReadFile(out)
		if err != nil || strings.Count(string(text), "claims.refused") != 1 || !strings.Contains(string(text), "3 messages") {
			t.Errorf("got alerts %s, %v, want one about 3 messages", text, err)
		}
	})
}

// The daily checks take an hour together, providers in turn; what a stop
// breaks off has its refusals committed, so that none is tried again.
func TestRunSpreadsChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "[[provider]]\nid = \"a\"\nsigner = \"a@a.example\"\nimap = \"a.example:993\"\n[[provider]]\nid = \"b\"\nsigner = \"b@b.example\"\nimap = \"b.example:993\"\n")
		defer b.close()
		const each = 60
		for i := range 2 * each {
			p := string("ab"[i/each])
			b.storePassword(fmt.Sprintf("c%03d@%s.example", i, p), p)
		}
		type try struct {
			at   time.Time
			addr string
		}
		var mu sync.Mutex
		var tries []try
		b.service.Login = func(_ context.Context, target probe.Target, login string, _ secret.Secret) probe.Result {
			mu.Lock()
			defer mu.Unlock()
			tries = append(tries, try{time.Now(), target.Addr})
			if login == "c000@a.example" {
				return probe.Result{Outcome: probe.Refused}
			}
			return probe.Result{Outcome: probe.Accepted}
		}
		b.run(func() {
			time.Sleep(5*time.Hour + 30*time.Minute) // half of the hour after 6 in Rome
			synctest.Wait()
		})
		mu.Lock()
		half := slices.Clone(tries)
		tries = nil
		mu.Unlock()
		if len(half) < each/2 || len(half) > 2*each-each/2 {
			t.Fatalf("after half an hour: got %d of %d logins", len(half), 2*each)
		}
		for i := 1; i < len(half); i++ {
			if half[i].addr == half[i-1].addr {
				t.Fatalf("logins %d and %d are at the same provider", i, i+1)
			}
		}
		b.run(func() { // the rest of the day's checks is made up for
			time.Sleep(time.Minute)
			synctest.Wait()
		})
		if want := 2*each - len(half); len(tries) != want {
			t.Errorf("after the restart: got %d logins, want the %d that had not been made", len(tries), want)
		}
	})
}
