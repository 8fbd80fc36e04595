package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"pec-ingest/internal/ingest"
)

// TestChaosKill kills the program with SIGKILL at moments chosen by chance:
// a pass, and the service. (Every named kill point: TestKill, TestLoopKilled.)
func TestChaosKill(t *testing.T) {
	t.Parallel()
	program, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name        string
		args        []string
		short, long int
	}{
		{"pass", []string{"once", "--warn"}, 14, 350},
		{"service", []string{"run"}, 11, 150},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			chance := chaosRand(t)
			n := c.short
			if chaosLong() {
				n = c.long
			}
			if v, err := strconv.Atoi(os.Getenv("PEC_INGEST_KILLS")); err == nil {
				n = v
			}
			s := newKillStudio(t, program, time.Now().Truncate(time.Second), n+1)
			begun := time.Now()
			before := s.prepare(0)
			s.inWeather(weather{}, func(svc *ingest.Service) {
				_, _ = svc.Once(t.Context(), ingest.RunOptions{Warn: true})
			})
			span := time.Since(begun) + 100*time.Millisecond // and the start of a process
			s.recover(0, before)
			want := s.ending(0, before)
			killed := 0
			for i := 1; i <= n; i++ {
				before := s.prepare(i)
				moment := time.Duration(chance.Int64N(int64(span)))
				cmd := exec.Command(program, append([]string{"--config", s.configPath()}, c.args...)...)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(moment)
				if cmd.Process.Kill() == nil {
					killed++
				}
				_ = cmd.Wait()
				s.recover(i, before)
				got := s.ending(i, before)
				what := fmt.Sprintf("%s killed after %v", c.name, moment)
				wantSame(t, what, want, got)
				if i%10 == 0 {
					t.Logf("%d of %d", i, n)
				}
				for mailbox, logins := range want.logins {
					if got.logins[mailbox] > logins+1 {
						t.Errorf("%s: %s saw %d logins, want %d or one more", what, mailbox, got.logins[mailbox], logins)
					}
				}
			}
			t.Logf("%d of %d killed within %v", killed, n, span)
		})
	}
}
