package ingest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/notify"
	"pec-ingest/internal/probe"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// span is some days of a service under one clock: from and to in days after
// 1 January 2000, as that clock shows them.
type span struct {
	from, to float64
	away     bool // the servers' certificates are not valid at that time
}

// live runs the service through the spans, on one vault, and lists the mail
// sent to the client, "kind day" by the right clock's days.
func live(t *testing.T, spans ...span) (sent []string) {
	t.Helper()
	dir := t.TempDir()
	layBubble(t, dir, smtpConfig)
	// Hundreds of polls a day would prove nothing more.
	path := filepath.Join(dir, "config.toml")
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(strings.Replace(string(text), "[inbox]\n", "[inbox]\npoll = \"6h\"\n", 1)), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "smtp-password"), []byte("prima\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, sp := range spans {
		synctest.Test(t, func(t *testing.T) {
			b := openBubble(t, dir)
			defer b.close()
			b.service.Login = func(context.Context, probe.Target, string, secret.Secret) probe.Result {
				if sp.away {
					return probe.Result{Outcome: probe.TLS}
				}
				return probe.Result{Outcome: probe.Accepted}
			}
			b.service.Send = func(_ context.Context, _ notify.SMTPConfig, m notify.Mail, beforeDot func() error) (notify.Receipt, error) {
				if sp.away {
					return notify.Receipt{}, &notify.SendError{Temporary: true, ForAll: true, Stage: notify.StageTLS}
				}
				if err := beforeDot(); err != nil {
					return notify.Receipt{}, err
				}
				if m.To == "ditta@pec.gestore.example" {
					sent = append(sent, fmt.Sprintf("%s: %.60s", time.Now().Format("01-02"), m.Subject))
				}
				return notify.Receipt{}, nil
			}
			if sp.away {
				b.setFail(inbox.ErrTLS)
			}
			if i == 0 {
				b.storePassword("ditta@pec.gestore.example", "aruba-pec")
			}
			time.Sleep(time.Until(b.born.Add(time.Duration(sp.from*24) * time.Hour)))
			b.run(func() { time.Sleep(time.Duration((sp.to-sp.from)*24) * time.Hour) })
		})
	}
	return sent
}

// A clock that is wrong for a while, backwards or forwards, loses no warning
// and sends none twice, and nobody is told what only it believes.
func TestChaosClock(t *testing.T) {
	want := live(t, span{78, 94, false})
	if len(want) < 5 {
		t.Fatalf("an undisturbed fortnight: %v", want)
	}
	for _, c := range []struct {
		name  string
		spans []span
	}{
		{"back a day", []span{{78, 81.5, false}, {80.5, 94, false}}},
		{"back half a day, twice", []span{{78, 83.5, false}, {83, 88.5, false}, {88, 94, false}}},
		{"forward a year for a day, then right again", []span{{78, 81.5, false}, {446, 447, true}, {82, 94, false}}},
		{"forward a year before the first warning", []span{{78, 78.5, false}, {443, 444, true}, {79, 94, false}}},
	} {
		got := live(t, c.spans...)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got\n  %s\nwant\n  %s", c.name, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
	}
}

// Members of a cluster whose clocks differ lead in turn, each for a day: one
// vault under two clocks. No warning is given twice; what is due on a day that
// neither clock shows is told with the next, and whether a password counts as
// expired may depend on who leads on that day.
func TestChaosClockSkew(t *testing.T) {
	want := count(live(t, span{78, 94, false}))
	skews := []float64{1} // days
	if os.Getenv("PEC_INGEST_CHAOS") == "long" {
		skews = []float64{1.0 / 24, 5.0 / 24, 1, -1}
	}
	for _, skew := range skews {
		var spans []span
		for day := 78.0; day < 94; day += 2 {
			spans = append(spans, span{day, day + 1, false}, span{day + 1 + skew, day + 2 + skew, false})
		}
		got := count(live(t, spans...))
		for subject, n := range want {
			if got[subject] > n || got[subject] < n-1 { // a day that no clock shows has no warning of its own
				t.Errorf("clocks that differ by %v h: %q %d times, want %d", 24*skew, subject, got[subject], n)
			}
		}
		for subject, n := range got {
			if want[subject] == 0 && n > 1 {
				t.Errorf("clocks that differ by %v h: %q %d times, want once", 24*skew, subject, n)
			}
		}
	}
}

// count tells how often each subject was sent.
func count(sent []string) map[string]int {
	n := map[string]int{}
	for _, s := range sent {
		_, subject, _ := strings.Cut(s, ": ")
		n[subject]++
	}
	return n
}

// Pauses that a wrong clock wrote end when it is right again.
func TestChaosClockPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSendingBubble(t, "")
		defer b.close()
		logins, sent := 0, 0
		b.service.Login = func(context.Context, probe.Target, string, secret.Secret) probe.Result {
			logins++
			return probe.Result{Outcome: probe.Accepted}
		}
		b.service.Send = func(_ context.Context, _ notify.SMTPConfig, _ notify.Mail, beforeDot func() error) (notify.Receipt, error) {
			sent++
			return notify.Receipt{}, beforeDot()
		}
		const mailbox = "ditta@pec.gestore.example"
		b.storePassword(mailbox, "aruba-pec")
		year := time.Now().AddDate(1, 0, 0)
		b.update(func(tx *vault.Tx) error {
			cred, _, err := tx.Credential(mailbox, mailbox)
			if err != nil {
				return err
			}
			cred.LastCheck = vault.Check{At: year, Result: string(probe.Network), TroubleSince: year, NextAt: year.Add(time.Hour)}
			if err := tx.PutCredential(cred); err != nil {
				return err
			}
			all := []vault.Outgoing{{State: vault.OutQueued, NextAt: year, Tries: 2}, {State: vault.OutInDoubt, SentAt: year}}
			for range 6 { // as many as may leave in a minute
				all = append(all, vault.Outgoing{State: vault.OutSent, SentAt: year})
			}
			for i, o := range all {
				o.Kind, o.To, o.QueuedAt, o.Data = string(notify.KindStudioInbox), "capo@studio.example", time.Now(), []byte("{}")
				o.Cause, o.MessageID = fmt.Sprint("test/", i), fmt.Sprintf("<%d@studio.example>", i)
				if _, _, err := tx.Queue(o); err != nil {
					return err
				}
			}
			return nil
		})
		b.run(func() { time.Sleep(3 * time.Hour) })
		if logins == 0 {
			t.Error("the password waits a year for its check")
		}
		if sent == 0 {
			t.Error("the message waits a year to be sent")
		}
		rows, err := b.service.Outbox(context.Background(), true)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if r.State == vault.OutInDoubt && r.SentAt != nil && r.SentAt.After(time.Now()) {
				t.Errorf("message %d is in doubt since %v", r.N, r.SentAt)
			}
		}
	})
}
