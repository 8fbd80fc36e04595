package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
)

// journalSocket is where systemd's journal takes entries with fields.
// Source: systemd.journal-fields(7), "Native Journal Protocol".
const journalSocket = "/run/systemd/journal/socket"

// journalHandler writes log records as journal entries: MESSAGE and PRIORITY,
// and each attribute as a field of its own, INGEST_EVENT and so on. Where the
// journal can't be reached they go to w, one line each, with the level in the
// form that systemd reads there (sd-daemon(3)).
type journalHandler struct {
	level slog.Level
	attrs []slog.Attr
	out   *journalOut
}

type journalOut struct {
	mu   sync.Mutex
	conn io.Writer // nil: not there
	w    io.Writer
}

func newJournalHandler(socket string, w io.Writer, level slog.Level) *journalHandler {
	out := &journalOut{w: w}
	if conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"}); err == nil {
		out.conn = conn
	}
	return &journalHandler{level: level, out: out}
}

func (h *journalHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	n := *h
	n.attrs = append(append([]slog.Attr(nil), h.attrs...), attrs...)
	return &n
}

// WithGroup keeps the names as they are: nothing here uses groups.
func (h *journalHandler) WithGroup(string) slog.Handler { return h }

// maxField keeps an entry within a datagram.
const maxField = 4 << 10

func (h *journalHandler) Handle(_ context.Context, r slog.Record) error {
	attrs := append([]slog.Attr(nil), h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, a)
		return true
	})
	message := r.Message
	var entry bytes.Buffer
	var line strings.Builder
	for _, a := range attrs {
		value := fmt.Sprint(a.Value.Resolve().Any())
		value = value[:min(len(value), maxField)]
		switch a.Key {
		case "err":
			message += ": " + value
		case "hint":
			if value != "" {
				message += " (" + value + ")"
			}
		case "event":
		default:
			fmt.Fprintf(&line, " %s=%q", a.Key, value)
		}
		field(&entry, "INGEST_"+fieldName(a.Key), value)
	}
	field(&entry, "MESSAGE", message+line.String())
	field(&entry, "PRIORITY", priority(r.Level))
	field(&entry, "SYSLOG_IDENTIFIER", "pec-ingest")
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	if h.out.conn != nil {
		if _, err := h.out.conn.Write(entry.Bytes()); err == nil {
			return nil
		}
	}
	_, err := fmt.Fprintf(h.out.w, "<%s>%s%s\n", priority(r.Level), strings.ReplaceAll(message, "\n", " "), line.String())
	return err
}

// field writes one field; a value with line breaks goes with its length.
func field(b *bytes.Buffer, name, value string) {
	b.WriteString(name)
	if !strings.Contains(value, "\n") {
		b.WriteString("=" + value + "\n")
		return
	}
	b.WriteByte('\n')
	_ = binary.Write(b, binary.LittleEndian, uint64(len(value)))
	b.WriteString(value + "\n")
}

// fieldName is a key as the journal allows it: capitals, digits, underscores.
func fieldName(key string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, key)
}

// priority is syslog's number of a level.
func priority(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "3"
	case l >= slog.LevelWarn:
		return "4"
	case l >= slog.LevelInfo:
		return "6"
	}
	return "7"
}
