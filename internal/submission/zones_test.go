package submission_test

import (
	"testing"

	"pec-ingest/internal/submission"
)

// A mark without a word stands before the last word of a line, and that word is
// one which heads a quoted message.
func TestMarkBeforeMailHead(t *testing.T) {
	const sender = "rossi@pec.example"
	for _, line := range []string{";;; a", "; da", "* oggetto", ";;; a;isword"} {
		raw := []byte("From: " + sender + "\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + line + "\r\nLa password: Kq7!mZ2x-Rt9w\r\n")
		if r := submission.FindRaw(raw, "password", sender, defaultSent); r.State == submission.None {
			t.Errorf("%q before a password: got %s, want it seen", line, r.State)
		}
		submission.FindRaw(raw, line, sender, defaultSent)
	}
}
