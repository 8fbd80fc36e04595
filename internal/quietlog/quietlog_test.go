package quietlog_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pec-ingest/internal/quietlog"
)

// An inbox that is away for two days fills four dozen lines, not thousands.
func TestDeadInbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(quietlog.Handler(slog.NewTextHandler(&out, nil)))
		for i := range 2 * 24 * 60 {
			log.Warn("can't be reached", "event", "inbox.unreachable", "err", fmt.Errorf("dial tcp 127.0.0.1:%d: refused", 30000+i), "next", time.Now())
			time.Sleep(time.Minute)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if want := quietlog.Burst + 47; len(lines) != want {
			t.Errorf("got %d lines, want %d", len(lines), want)
		}
		if !strings.Contains(lines[quietlog.Burst], "repeated=57") || !strings.Contains(lines[len(lines)-1], "repeated=59") {
			t.Errorf("the lines don't tell how many were held back:\n%s\n%s", lines[quietlog.Burst], lines[len(lines)-1])
		}
	})
}

func TestWhatIsNotARepeat(t *testing.T) {
	log := func(out *bytes.Buffer) *slog.Logger { return slog.New(quietlog.Handler(slog.NewTextHandler(out, nil))) }
	tests := []struct {
		name string
		say  func(l *slog.Logger, i int)
		want int // of 10 lines
	}{
		{"the same", func(l *slog.Logger, i int) { l.Error("x", "event", "a", "mailbox", "r@pec.it") }, quietlog.Burst},
		{"the same, event from With", func(l *slog.Logger, i int) { l.With("event", "a").Error("x") }, quietlog.Burst},
		{"only passing attributes differ", func(l *slog.Logger, i int) { l.Warn("x", "event", "a", "uid", i, "tries", i) }, quietlog.Burst},
		{"another mailbox", func(l *slog.Logger, i int) { l.Error("x", "event", "a", "mailbox", i) }, 10},
		{"another mailbox, from With", func(l *slog.Logger, i int) { l.With("mailbox", i).Error("x", "event", "a") }, 10},
		{"another error", func(l *slog.Logger, i int) {
			l.Error("x", "event", "a", "err", errors.New(strings.Repeat("e", i)))
		}, 10},
		{"information", func(l *slog.Logger, i int) { l.Info("x", "event", "a") }, 10},
		{"no event", func(l *slog.Logger, i int) { l.Error("x") }, 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			l := log(&out)
			for i := range 10 {
				tt.say(l, i)
			}
			if got := strings.Count(out.String(), "\n"); got != tt.want {
				t.Errorf("got %d lines, want %d:\n%s", got, tt.want, out.String())
			}
		})
	}
}
