package ingest_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/notify"
	"pec-ingest/internal/secret"
)

// smtpConfig lets the bubble send, with a password of its own.
const smtpConfig = `[smtp]
host = "smtp.example"
username = "invio@pec.studio.example"
password_file = "smtp-password"
from = "Studio <studio@pec.studio.example>"
`

func newSendingBubble(t *testing.T, extra string) *bubble {
	t.Helper()
	b := newBubble(t, smtpConfig+extra)
	b.smtpPassword("prima")
	return b
}

func (b *bubble) smtpPassword(p string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, "smtp-password"), []byte(p+"\n"), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// kinds counts the messages of the outbox by kind.
func (b *bubble) kinds() map[string]int {
	b.t.Helper()
	rows, err := b.service.Outbox(context.Background(), true)
	if err != nil {
		b.t.Fatal(err)
	}
	n := map[string]int{}
	for _, r := range rows {
		n[r.Kind]++
	}
	return n
}

// The studio's own password expires like the others': it is warned of in
// time, each time once.
func TestInboxExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSendingBubble(t, "")
		defer b.close()
		b.service.Send = func(_ context.Context, _ notify.SMTPConfig, _ notify.Mail, beforeDot func() error) (notify.Receipt, error) {
			return notify.Receipt{}, beforeDot()
		}
		at := func(day int) {
			time.Sleep(time.Until(b.born.UTC().AddDate(0, 0, day).Add(10 * time.Hour)))
			if _, err := b.service.Once(context.Background(), ingest.RunOptions{}); err != nil {
				t.Fatalf("day %d: %v", day, err)
			}
		}
		warned := func() int { return b.kinds()[string(notify.KindStudioInbox)] }
		var days []int
		for day := range 94 {
			before := warned()
			at(day)
			if warned() > before {
				days = append(days, day)
			}
		}
		// First seen on 1 January 2000, so valid until 31 March, a Friday: day
		// 90. Ten days before is a Tuesday, five a Sunday (told on Friday), two
		// a Wednesday; the day after is a Saturday. On Monday a login has worked
		// three days after the date, which moves it.
		if want := []int{80, 83, 88, 89, 90}; !slices.Equal(days, want) {
			t.Errorf("warned on days %v, want %v", days, want)
		}
	})
}

// A refused SMTP password is tried once; what waits is sent when it changes.
func TestSMTPRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSendingBubble(t, "")
		defer b.close()
		tries := map[string]int{}
		b.service.Send = func(_ context.Context, c notify.SMTPConfig, _ notify.Mail, beforeDot func() error) (notify.Receipt, error) {
			p := c.Password.RevealString()
			tries[p]++
			if p == "prima" {
				return notify.Receipt{}, &notify.SendError{Refused: true, ForAll: true, Stage: notify.StageAuth, Code: 535, Detail: "no"}
			}
			return notify.Receipt{}, beforeDot()
		}
		// Something to send: the warning about a refused inbox.
		b.setFail(inbox.ErrRefused)
		b.run(func() {
			time.Sleep(2 * time.Hour)
			synctest.Wait()
			if tries["prima"] != 1 {
				t.Errorf("the refused password was tried %d times, want once", tries["prima"])
			}
			if got := b.state(); got.SendError == "" {
				t.Error("the state does not say that nothing is sent")
			}
			b.smtpPassword("seconda")
			time.Sleep(2 * time.Minute) // the message's own pause
			synctest.Wait()
			if tries["seconda"] != 1 {
				t.Errorf("with the new password: tried %d times, want once", tries["seconda"])
			}
		})
	})
}

// A password that the server refuses is not kept, one that it can't judge now
// is, and none of it touches the one in use.
func TestSetInbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "")
		defer b.close()
		set := func(p string, expires time.Time) (ingest.SetInboxResult, error) {
			s := secret.FromString(p)
			defer s.Wipe()
			return b.service.SetInbox(context.Background(), ingest.SetInboxRequest{Actor: "uid:0(root)", Secret: s, Expires: expires}, time.Now())
		}
		b.setFail(inbox.ErrRefused)
		if _, err := set("falsa", time.Time{}); !errors.Is(err, inbox.ErrRefused) {
			t.Errorf("refused: got %v", err)
		}
		b.setFail(nil)
		if _, err := b.service.Once(context.Background(), ingest.RunOptions{}); err != nil {
			t.Errorf("the password in use after a refused one: %v", err)
		}
		b.setFail(inbox.ErrNetwork)
		if got, err := set("giusta", time.Time{}); err != nil || got.State != "unverified" || got.ExpiresAt != "2000-03-31" {
			t.Errorf("no answer: got %+v, %v, want unverified until 2000-03-31", got, err)
		}
		b.setFail(nil)
		if got, err := set("giusta", time.Date(2000, 5, 1, 0, 0, 0, 0, time.UTC)); err != nil || got.State != "valid" || got.ExpiresAt != "2000-05-01" {
			t.Errorf("answered: got %+v, %v, want valid until 2000-05-01", got, err)
		}
		if _, err := set("giusta", time.Date(1999, 5, 1, 0, 0, 0, 0, time.UTC)); ingest.ClassOf(err) != ingest.Usage {
			t.Errorf("a past date: got %v", err)
		}
		if _, err := set("", time.Time{}); ingest.ClassOf(err) != ingest.Usage {
			t.Errorf("no password: got %v", err)
		}
		rows, err := b.service.Status(context.Background(), "", time.Now())
		if err != nil || len(rows) != 0 {
			t.Errorf("the studio stands among the clients: %v, %v", rows, err)
		}
	})
}
