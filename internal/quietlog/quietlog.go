// Package quietlog keeps a log readable while something stays broken: a line
// that says the same as one before is held back for a while, and the next one
// that is written tells how many there were.
package quietlog

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// Every is how often the same line is written.
	Every = time.Hour
	// Burst is how many are written before the first is held back: two
	// clients may well have the same trouble in one minute.
	Burst = 3
	// maxKnown bounds the memory of lines.
	maxKnown = 1024
)

// Handler wraps a handler; only warnings and errors are held back, and lines
// without an event never. A line is the same if its event and all of its
// attributes are, those of changing apart: see passing.
func Handler(next slog.Handler) slog.Handler {
	return &handler{next: next, memory: &memory{known: map[string]*line{}}}
}

type handler struct {
	next   slog.Handler
	memory *memory
	attrs  string // of WithAttrs, as part of a key
	event  bool
}

type memory struct {
	mu    sync.Mutex
	known map[string]*line
}

type line struct {
	since  time.Time // of the first in this hour
	count  int       // in this hour
	missed int       // held back since one was written
}

// passing are attributes that differ each time and make no new line.
var passing = map[string]bool{"next": true, "tries": true, "attempt": true, "wait": true, "pause": true, "seconds": true, "since": true,
	"port": true, "duration": true, "uid": true}

func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	event := h.event
	var key strings.Builder
	key.WriteString(strconv.Itoa(int(r.Level)) + "\x00" + r.Message + h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		event = event || a.Key == "event"
		write(&key, a)
		return true
	})
	if r.Level < slog.LevelWarn || !event {
		return h.next.Handle(ctx, r)
	}
	write, missed := h.memory.pass(key.String(), r.Time)
	if !write {
		return nil
	}
	if missed > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("repeated", missed))
	}
	return h.next.Handle(ctx, r)
}

// pass tells whether a line is written, and how many like it were not.
func (m *memory) pass(key string, now time.Time) (write bool, missed int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.known[key]
	if l == nil {
		if len(m.known) >= maxKnown {
			clear(m.known)
		}
		l = &line{since: now}
		m.known[key] = l
	}
	if now.Sub(l.since) >= Every || now.Before(l.since) {
		l.since, l.count = now, Burst-1 // known trouble: one line an hour
	}
	if l.count >= Burst {
		l.missed++
		return false, 0
	}
	l.count++
	missed, l.missed = l.missed, 0
	return true, missed
}

func write(b *strings.Builder, a slog.Attr) {
	if passing[a.Key] {
		return
	}
	value := a.Value.String()
	if a.Key == "err" {
		value = strings.Map(withoutDigits, value) // ports, and times of the network's errors
	}
	b.WriteString("\x00" + a.Key + "=" + value)
}

func withoutDigits(r rune) rune {
	if r >= '0' && r <= '9' {
		return -1
	}
	return r
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	event := h.event
	for _, a := range attrs {
		event = event || a.Key == "event"
		write(&b, a)
	}
	return &handler{next: h.next.WithAttrs(attrs), memory: h.memory, attrs: h.attrs + b.String(), event: event}
}

func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{next: h.next.WithGroup(name), memory: h.memory, attrs: h.attrs + "\x00" + name, event: h.event}
}
