package inbox_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/servertest"
)

// Headers of parts come for those that are there, empty for those that are
// not, and a malformed message spoils nothing for the others.
func TestPartHeads(t *testing.T) {
	d := studioServer(t, servertest.DovecotOptions{})
	part := func(kind string) string { return "Content-Type: " + kind + "\r\n\r\nx\r\n" }
	whole := "From: a@b.example\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n" + part("text/plain") +
		"--o\r\nContent-Type: message/rfc822\r\n\r\nFrom: c@d.example\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n" + part("text/html") +
		"--i\r\n" + part("application/pdf; name=\"a\\\"b.pdf\"") + "--i\r\n\r\nno header\r\n--i--\r\n\r\n--o--\r\n"
	messages := []string{
		whole,
		"From: a@b.example\r\n\r\nno parts\r\n",
		"From: a@b.example\r\nContent-Type: multipart/mixed; boundary=\"\r\n\r\n--\r\n\r\n(\"broken\" NIL {5}\r\n",
		strings.Replace(whole, "application/pdf", "application/pdf; x=\""+strings.Repeat("y", 10_000)+"\"", 1),
	}
	for _, m := range messages {
		d.Deliver(studio, "INBOX", []byte(m), time.Now())
	}
	s := dial(t, config(d))
	got := map[uint32]string{}
	sections := [][]int{{2, 1}, {2, 2}, {2, 3}, {2, 4}, {3}}
	missing, err := s.PartHeads(t.Context(), []uint32{1, 2, 3, 4, 99}, sections, func(uid uint32, heads [][]byte, over bool) error {
		var words []string
		for _, h := range heads {
			kind, _, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(string(h), "Content-Type: ")), ";")
			words = append(words, kind)
		}
		got[uid] = fmt.Sprint(strings.Join(words, ","), " ", over)
		return nil
	})
	if err != nil || !slices.Equal(missing, []uint32{99}) {
		t.Fatalf("missing %v, %v; want 99", missing, err)
	}
	want := map[uint32]string{1: "text/html,application/pdf,,, false", 2: ",,,, false", 3: ",,,, false", 4: "text/html,,,, true"}
	for uid, w := range want {
		if got[uid] != w {
			t.Errorf("message %d: got %q, want %q", uid, got[uid], w)
		}
	}
	for _, m := range d.Messages(studio, "INBOX") {
		if m.Seen() {
			t.Errorf("message %d is marked read", m.UID)
		}
	}
}

// A look into a message goes on where the first one ended.
func TestPeekFrom(t *testing.T) {
	d := studioServer(t, servertest.DovecotOptions{})
	raw := mail("m1", 5000)
	d.Deliver(studio, "INBOX", raw, time.Now())
	s := dial(t, config(d))
	var got []byte
	for _, n := range []int64{1000, 2500, 100_000} {
		_, err := s.Peek(t.Context(), []uint32{1}, int64(len(got)), n, func(m inbox.Message) error {
			got = append(got, m.Raw...)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if string(got) != string(raw) {
		t.Errorf("put together: got %d bytes, not the %d that were delivered", len(got), len(raw))
	}
}
