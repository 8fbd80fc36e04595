package ingest_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/vault"
)

// After an end that was none the first scan is on trial: what comes of it is
// the same, nothing is left of the notes, and the next scan is as ever. A lost
// connection is no fault of the message that was on trial.
func TestTrial(t *testing.T) {
	for _, large := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newFaulty(t, "")
			defer f.close()
			f.update(func(tx *vault.Tx) error { return tx.PutJob("reading", time.Now()) })
			f.deliver(large)
			f.append([]byte("From: a@pec.example\r\nTo: " + studioUser + "\r\nX-Trasporto: posta-certificata\r\nMessage-ID: <x@y.example>\r\nSubject: altro\r\n\r\nciao\r\n"))
			f.setFail(inbox.ErrNetwork)
			f.run(func() {
				time.Sleep(10 * time.Second)
				f.setFail(nil)
				time.Sleep(time.Hour)
				if got := f.stored(); !slices.Equal(got, faultyClients) {
					t.Errorf("stored: got %q, want all\n%s", got, f.log)
				}
				f.deliver(large) // no more on trial, and the same passwords again
				time.Sleep(time.Hour)
			})
			f.update(func(tx *vault.Tx) error {
				holes, err := tx.Holes("INBOX")
				if len(holes) > 0 {
					t.Errorf("notes are left: %+v", holes)
				}
				at, known, _ := tx.Job("reading")
				if !known || !at.IsZero() {
					t.Errorf("the end is not noted: %v, %v", at, known)
				}
				return err
			})
			if n := strings.Count(f.log.String(), "event=service.unclean"); n != 1 {
				t.Errorf("said %d times that it did not end by itself, want once", n)
			}
			if log := f.log.String(); strings.Contains(log, "message.unread") {
				t.Errorf("a message counts as unreadable:\n%s", log)
			}
			// The next one ended well before it.
			f.run(func() { time.Sleep(time.Minute) })
			if n := strings.Count(f.log.String(), "event=service.unclean"); n != 1 {
				t.Errorf("said %d times that it did not end by itself, want once", n)
			}
		})
	}
}

// A dry run notes nothing of what it reads: the pass behind it is on trial as if
// there had been none.
func TestTrialAfterDryRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t, "")
		defer f.close()
		f.update(func(tx *vault.Tx) error { return tx.PutJob("reading", time.Now()) })
		f.deliver(false)
		var noted, judged atomic.Int64
		real := f.service.Reader.Judge
		f.service.Reader.Judge = func(raw []byte, o pec.Options) *pec.Judgement {
			judged.Add(1)
			f.update(func(tx *vault.Tx) error {
				holes, err := tx.Holes("INBOX")
				noted.Add(int64(len(holes)))
				return err
			})
			return real(raw, o)
		}
		f.setFail(inbox.ErrNetwork)
		f.run(func() {
			f.setFail(nil)
			if sum, err := f.once(ingest.PassOptions{DryRun: true}); err != nil || sum.Seen != 3 {
				t.Fatalf("dry run: got %+v, %v", sum, err)
			}
			if j, n := judged.Swap(0), noted.Swap(0); j != 3 || n != 0 {
				t.Errorf("dry run: %d judged, %d of them noted; want 3 and none", j, n)
			}
			time.Sleep(time.Hour)
		})
		if j, n := judged.Load(), noted.Load(); j != 3 || n != 3 {
			t.Errorf("the pass behind it: %d judged, %d of them noted; want 3 and all", j, n)
		}
	})
}
