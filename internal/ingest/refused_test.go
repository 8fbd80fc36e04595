package ingest_test

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-imap/v2"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/vault"
)

// A pass that dies before its cursor moves leaves its messages to be judged
// again: what was refused then is kept, and told to people, once.
func TestRefusedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "")
		defer b.close()
		b.update(func(tx *vault.Tx) error {
			return tx.PutClient(vault.Client{Mailbox: "a@pec.example", Provider: "gestore", AddedAt: time.Now()})
		})
		deliver := func() {
			raw := []byte("From: a@pec.example\r\nTo: " + studioUser + "\r\nX-Trasporto: posta-certificata\r\nMessage-ID: <x@y.example>\r\nSubject: password\r\n\r\nciao\r\n")
			if _, err := b.user.Append("INBOX", bytes.NewReader(raw), &imap.AppendOptions{Time: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		pass := func(want int, what string) {
			t.Helper()
			if _, err := b.service.Once(t.Context(), ingest.RunOptions{}); err != nil {
				t.Fatal(err)
			}
			b.cut()
			n := 0
			b.update(func(tx *vault.Tx) error {
				list, err := tx.RefusedSince(time.Now().AddDate(-1, 0, 0))
				n = len(list)
				return err
			})
			if n != want {
				t.Errorf("%s: got %d records of refused messages, want %d", what, n, want)
			}
		}
		deliver()
		pass(1, "the first pass")
		var cursor vault.Cursor
		b.update(func(tx *vault.Tx) (err error) {
			if cursor, _, err = tx.Cursor("INBOX"); err != nil {
				return err
			}
			cursor.NextUID = 1
			return tx.PutCursor(cursor)
		})
		time.Sleep(time.Hour)
		pass(1, "once more")
		deliver()
		pass(2, "another message")
	})
}
