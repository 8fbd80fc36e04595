package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/notify"
	"pec-ingest/internal/vault"
)

// The digest comes once a working day and only with content, and what happens
// between two of them stands in the second, also when warnings ran in between.
func TestDigestDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "") // without [smtp]: digests stay in the outbox
		defer b.close()
		forged := func(who string) {
			b.update(func(tx *vault.Tx) error {
				return tx.AddRefused(vault.Refused{At: time.Now(), Reason: "bad-signature", ClaimedSender: who, UID: 1, Listed: true})
			})
		}
		at := func(day, hour int) { // of January 2000
			time.Sleep(time.Until(time.Date(2000, 1, day, hour, 0, 0, 0, time.UTC)))
			if err := b.service.Warn(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		want := func(what string, senders ...string) {
			t.Helper()
			rows, err := b.service.Outbox(t.Context(), true)
			if err != nil {
				t.Fatal(err)
			}
			if len(rows) != len(senders) {
				t.Fatalf("%s: got %d digests, want %d", what, len(rows), len(senders))
			}
			for i, who := range senders {
				_, _, text, err := b.service.OutboxMessage(t.Context(), rows[i].N)
				if err != nil || strings.Count(text, "@cliente.example") != 1 || !strings.Contains(text, who) {
					t.Errorf("%s: digest %d names another than %s (%v):\n%s", what, i+1, who, err, text)
				}
			}
		}
		forged("uno@cliente.example")
		at(1, 9)
		want("Saturday")
		at(3, 9)
		want("Monday", "uno@cliente.example")
		forged("due@cliente.example")
		at(3, 15)
		want("Monday, once more", "uno@cliente.example")
		at(4, 9)
		want("Tuesday", "uno@cliente.example", "due@cliente.example")
		at(5, 9)
		want("Wednesday, nothing new", "uno@cliente.example", "due@cliente.example")
		forged("tre@cliente.example")
		at(6, 9)
		want("Epiphany", "uno@cliente.example", "due@cliente.example")
		at(7, 9)
		want("Friday", "uno@cliente.example", "due@cliente.example", "tre@cliente.example")
	})
}

// A message in doubt is sent again after an hour without a receipt, where
// receipts are read; some times and no more; and elsewhere never.
func TestDoubt(t *testing.T) {
	for _, c := range []struct {
		name, from string
		sends      int
		next       string
	}{
		{"receipts come back", "studio@pec.studio.example", 4, "no receipt came"},
		{"no receipts", "altro@posta.example", 1, "is not sent again by itself"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, strings.Replace(smtpConfig, "studio@pec.studio.example>", c.from+">", 1))
				b.smtpPassword("prima")
				defer b.close()
				var ids []string
				var when []time.Duration
				start := time.Now()
				b.service.Send = func(_ context.Context, _ notify.SMTPConfig, m notify.Mail, beforeDot func() error) (notify.Receipt, error) {
					ids, when = append(ids, m.MessageID), append(when, time.Since(start))
					if err := beforeDot(); err != nil {
						return notify.Receipt{}, err
					}
					return notify.Receipt{}, &notify.SendError{Temporary: true, ForAll: true, Stage: notify.StageDot, Detail: "no answer"}
				}
				b.update(func(tx *vault.Tx) error {
					_, _, err := tx.Queue(vault.Outgoing{Cause: "test", Kind: "studio-inbox", To: "capo@studio.example",
						MessageID: "<uno@studio.example>", Data: []byte(`{"Reason":"expiring","Mailbox":"studio@pec.studio.example"}`), QueuedAt: time.Now()})
					return err
				})
				for range 60 { // ten hours
					if _, err := b.service.Once(t.Context(), ingest.RunOptions{}); err != nil {
						t.Fatal(err)
					}
					time.Sleep(10 * time.Minute)
				}
				slices.Sort(ids)
				if len(ids) != c.sends || len(slices.Compact(ids)) != 1 {
					t.Fatalf("got %d sendings %v, want %d of one Message-ID", len(ids), ids, c.sends)
				}
				for i := 1; i < len(when); i++ {
					if gap := when[i] - when[i-1]; gap < time.Hour {
						t.Errorf("sent again after %v, want an hour at least", gap)
					}
				}
				rows, err := b.service.Outbox(t.Context(), false)
				if err != nil || len(rows) != 1 || rows[0].State != vault.OutInDoubt || !strings.Contains(rows[0].Next, c.next) {
					t.Errorf("got %+v (%v), want one message in doubt, next %q", rows, err, c.next)
				}
				// A person decides.
				b.service.Send = func(_ context.Context, _ notify.SMTPConfig, _ notify.Mail, beforeDot func() error) (notify.Receipt, error) {
					return notify.Receipt{}, beforeDot()
				}
				if err := b.service.OutboxRetry(t.Context(), "test", 1); err != nil {
					t.Fatal(err)
				}
				if err := b.service.Deliver(t.Context()); err != nil {
					t.Fatal(err)
				}
				rows, err = b.service.Outbox(t.Context(), true)
				if err != nil || rows[0].State != vault.OutSent {
					t.Errorf("after retry: got %+v (%v), want it sent", rows, err)
				}
			})
		})
	}
}

// Replies go before warnings, and no more a minute than the provider takes;
// one recipient's trouble is tried again later and later, then given up.
func TestPaceAndPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, smtpConfig+"max_per_minute = 2\n")
		b.smtpPassword("prima")
		defer b.close()
		start := time.Now()
		var sent []string
		tries := 0
		b.service.Send = func(_ context.Context, _ notify.SMTPConfig, m notify.Mail, beforeDot func() error) (notify.Receipt, error) {
			if m.To == "lento@cliente.example" {
				tries++
				return notify.Receipt{}, &notify.SendError{Temporary: true, Stage: notify.StageTo, Code: 450, Detail: "greylisted"}
			}
			sent = append(sent, fmt.Sprintf("%s %.0f", m.To, time.Since(start).Minutes()))
			return notify.Receipt{}, beforeDot()
		}
		queue := func(to string, priority int) {
			b.update(func(tx *vault.Tx) error {
				_, _, err := tx.Queue(vault.Outgoing{Cause: to, Kind: "alert", To: to, MessageID: "<" + to + ">", Data: []byte(`{}`),
					QueuedAt: time.Now(), Priority: priority})
				return err
			})
		}
		for i := range 3 {
			queue(fmt.Sprintf("avviso%d@cliente.example", i), 1)
		}
		queue("risposta@cliente.example", 0)
		if err := b.service.Deliver(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []string{"risposta@cliente.example 0", "avviso0@cliente.example 0", "avviso1@cliente.example 1", "avviso2@cliente.example 1"}
		if !slices.Equal(sent, want) {
			t.Errorf("got %q, want %q", sent, want)
		}
		queue("lento@cliente.example", 0)
		for range 7 * 24 * 4 {
			if err := b.service.Deliver(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(15 * time.Minute)
		}
		rows, err := b.service.Outbox(t.Context(), false)
		if err != nil || len(rows) != 1 || rows[0].State != vault.OutFailed || !strings.Contains(rows[0].Next, "needs a person") {
			t.Errorf("got %+v (%v), want it given up after five days", rows, err)
		}
		if tries < 15 || tries > 35 {
			t.Errorf("tried %d times in five days, want some 25", tries)
		}
	})
}

// sentLog calls fn at the log's word that a message was sent.
type sentLog struct {
	slog.Handler
	fn func()
}

func (l sentLog) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "event" && a.Value.String() == "outbox.sent" {
			l.fn()
		}
		return true
	})
	return nil
}

// The server's yes to a message is committed before anything else is done, since
// whoever is killed meanwhile leaves a message in doubt; and it is committed
// also when the program was told to end while the server said it.
func TestSentFirstOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		layBubble(t, dir, smtpConfig)
		var b *bubble
		seen := false
		ctx, end := context.WithCancel(t.Context())
		defer end()
		b = openLogging(t, dir, sentLog{slog.NewTextHandler(io.Discard, nil), func() {
			seen = true
			b.update(func(tx *vault.Tx) error {
				o, _, err := tx.Outgoing(1)
				_, noted, err2 := tx.Account(ingest.AccountSMTP)
				if o.State != vault.OutSent || noted {
					t.Errorf("after the yes: the message is %s, the login noted %t, want sent and not yet", o.State, noted)
				}
				return errors.Join(err, err2)
			})
		}})
		defer b.close()
		b.smtpPassword("prima")
		b.service.Send = func(_ context.Context, _ notify.SMTPConfig, _ notify.Mail, beforeDot func() error) (notify.Receipt, error) {
			defer end()
			return notify.Receipt{}, beforeDot()
		}
		b.update(func(tx *vault.Tx) error {
			_, _, err := tx.Queue(vault.Outgoing{Cause: "test", Kind: "studio-inbox", To: "capo@studio.example",
				MessageID: "<uno@studio.example>", Data: []byte(`{"Reason":"expiring","Mailbox":"studio@pec.studio.example"}`), QueuedAt: time.Now()})
			return err
		})
		if err := b.service.Deliver(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if !seen {
			t.Error("nothing was sent")
		}
	})
}
