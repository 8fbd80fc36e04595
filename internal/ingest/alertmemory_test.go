package ingest_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/notify"
	"pec-ingest/internal/vault"
)

// alerted is a bubble with another account for alerts.
type alerted struct {
	*bubble
	mu   sync.Mutex
	sent []notify.Mail
	at   []time.Time
	fail error // what the server for alerts answers with
}

func newAlerted(t *testing.T) *alerted {
	t.Helper()
	a := &alerted{bubble: newBubble(t, `[alert]
smtp = "altro"
[[smtp_account]]
name = "altro"
host = "smtp.example"
port = 465
username = "avvisi@altro.example"
password_file = "alert-password"
from = "avvisi@altro.example"
`)}
	a.password("altra")
	a.service.Send = func(_ context.Context, c notify.SMTPConfig, m notify.Mail, _ func() error) (notify.Receipt, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if c.Username != "avvisi@altro.example" {
			t.Errorf("sent by %q, want the account for alerts", c.Username)
		}
		a.sent, a.at = append(a.sent, m), append(a.at, time.Now())
		return notify.Receipt{}, a.fail
	}
	return a
}

func (a *alerted) password(text string) {
	a.t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, "alert-password"), []byte(text+"\n"), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *alerted) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.sent)
}

// breakVault overwrites all but bbolt's own pages of the open file.
func (a *alerted) breakVault() {
	a.t.Helper()
	f, err := os.OpenFile(a.vaultFile(), os.O_WRONLY, 0)
	if err != nil {
		a.t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		a.t.Fatal(err)
	}
	const meta = 2 * 4096
	if _, err := f.WriteAt(slices.Repeat([]byte{0xa5}, int(info.Size())-meta), meta); err != nil {
		a.t.Fatal(err)
	}
}

func (a *alerted) vaultFile() string { return filepath.Join(a.dir, "vault", "vault.db") }

// When the vault breaks under the service, people are told by mail, once a
// day, although nothing can be recorded.
func TestAlertWithoutVault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlerted(t)
		defer a.close()
		a.run(func() {
			a.breakVault()
			time.Sleep(60 * time.Hour) // till 3 January, noon
		})
		var days []int
		for _, at := range a.at {
			days = append(days, at.In(roma()).Day())
		}
		if want := []int{1, 2, 3}; !slices.Equal(days, want) {
			t.Errorf("got mails on the days %v of January, want %v", days, want)
		}
		if len(a.at) > 0 && a.at[0].Sub(a.born) < 2*time.Hour {
			t.Errorf("the first came after %v, want two hours", a.at[0].Sub(a.born))
		}
	})
}

// Without the vault, too, a refused password is not tried again; with the vault
// back in its place the refusal is recorded there.
func TestAlertRefusedWithoutVault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlerted(t)
		defer a.close()
		a.fail = &notify.SendError{Refused: true, ForAll: true, Stage: notify.StageAuth, Code: 535, Detail: "no"}
		alert := func(event string) int {
			before := a.count()
			a.service.Alert(t.Context(), ingest.Event{Event: event, At: time.Now(), Msg: event})
			return a.count() - before
		}
		move(t, a.vaultFile(), a.vaultFile()+".away")
		if got := alert("one"); got != 1 {
			t.Fatalf("the first: got %d tries, want 1", got)
		}
		if got := alert("two"); got != 0 {
			t.Errorf("with the refused password: got %d tries, want none", got)
		}
		a.password("nuova")
		if got := alert("three"); got != 1 {
			t.Errorf("with another one: got %d tries, want 1", got)
		}
		move(t, a.vaultFile()+".away", a.vaultFile())
		if err := a.service.RememberAlerts(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := alert("four"); got != 0 {
			t.Errorf("with the vault back: got %d tries, want none", got)
		}
		err := a.service.Vault().View(t.Context(), func(tx *vault.Tx) error {
			if acc, ok, err := tx.Account(ingest.AccountAlert); err != nil || !ok || acc.RefusedAt.IsZero() || len(acc.Mark) == 0 {
				t.Errorf("in the vault: got refused at %v, %v, %v", acc.RefusedAt, ok, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// What the vault knew of the account before it was lost counts.
func TestAlertRefusedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlerted(t)
		defer a.close()
		a.fail = &notify.SendError{Refused: true, ForAll: true, Stage: notify.StageAuth, Code: 535, Detail: "no"}
		a.service.Alert(t.Context(), ingest.Event{Event: "one", At: time.Now(), Msg: "one"})
		if err := a.service.RememberAlerts(t.Context()); err != nil { // as after each pass
			t.Fatal(err)
		}
		a.breakVault()
		a.service.Alert(t.Context(), ingest.Event{Event: "two", At: time.Now(), Msg: "two"})
		if got := a.count(); got != 1 {
			t.Errorf("got %d logins, want 1", got)
		}
	})
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// An etcd that is away is told after two hours, then once a day, and once when
// it is back; a short absence is not.
func TestClusterOutage(t *testing.T) {
	for _, lost := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			a := newAlerted(t)
			defer a.close()
			if lost {
				a.breakVault()
			}
			o := &ingest.Outage{}
			away := errors.New("away")
			look := func(hours int, err error) (subjects []string) {
				from := a.count()
				for range hours * 60 {
					a.service.ClusterAnswers(t.Context(), o, time.Now(), err)
					time.Sleep(time.Minute)
				}
				for _, m := range a.sent[from:] {
					subjects = append(subjects, m.Subject)
				}
				return subjects
			}
			const gone, back = "serve un intervento", "risponde di nuovo"
			for _, tt := range []struct {
				hours int
				err   error
				want  []string
			}{ // begins at 1 in Rome
				{1, nil, nil}, {2, away, nil}, {1, nil, nil}, {3, away, []string{gone}}, {24, away, []string{gone}}, {5, nil, []string{back}},
			} {
				got := look(tt.hours, tt.err)
				if !slices.EqualFunc(got, tt.want, strings.Contains) {
					t.Errorf("lost %t: in %d hours of %v: got %q, want %q", lost, tt.hours, tt.err, got, tt.want)
				}
			}
		})
	}
}
