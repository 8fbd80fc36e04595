package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-imap/v2"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/notify"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
	"pec-ingest/internal/probe"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/submission"
	"pec-ingest/internal/vault"
)

// faulty is a studio whose program has a fault: reading what the second of
// three clients writes makes it panic.
type faulty struct {
	*bubble
	log      *syncBuffer
	provider *pectest.Provider
	letters  int
}

var faultyClients = []string{"prima@pec.gestore.example", "seconda@pec.gestore.example", "terza@pec.gestore.example"}

const unlucky = "seconda@pec.gestore.example"

func newFaulty(t *testing.T, extra string) *faulty {
	t.Helper()
	time.Sleep(time.Until(time.Date(2026, 1, 7, 12, 0, 0, 0, time.UTC))) // certificates for PEC are not of the year 2000
	dir := t.TempDir()
	layBubble(t, dir, fmt.Sprintf("[trust]\nanchors = [\"pec.pem\"]\nbuiltin = false\n[[provider]]\nid = \"prova\"\nsigner = %q\nimap = \"imap.client.example:993\"\n%s", triageSigner, extra))
	if err := os.WriteFile(filepath.Join(dir, "pec.pem"), pectest.NewAuthority("pec").RootPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &faulty{log: &syncBuffer{}, provider: pectest.NewAuthority("pec").Provider(triageSigner, "GESTORE DI PROVA S.p.A.")}
	f.bubble = openLogging(t, dir, slog.NewTextHandler(f.log, nil))
	f.service.Login = func(context.Context, probe.Target, string, secret.Secret) probe.Result {
		return probe.Result{Outcome: probe.Accepted}
	}
	prova := "prova"
	for _, m := range faultyClients {
		if _, _, err := f.service.AddClient(t.Context(), "test", m, ingest.ClientFields{Provider: &prova}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

const faultyPassword = "Xk7pQ2mv9"

// deliver puts a letter with a password from each client into the inbox, with
// documents if it shall be large.
func (f *faulty) deliver(large bool) {
	f.t.Helper()
	var documents []pectest.Attachment
	if large {
		documents = []pectest.Attachment{{Name: "atto.pdf", Type: "application/pdf", Data: bytes.Repeat([]byte("%PDF-1.4 0123456789"), 3000)}}
	}
	for _, from := range faultyClients {
		f.append(f.letter(from, time.Now(), documents...))
	}
}

func (f *faulty) append(raw []byte) {
	f.t.Helper()
	f.appendAt(raw, time.Now())
}

// letter is a certified letter with a password, and documents.
func (f *faulty) letter(from string, at time.Time, documents ...pectest.Attachment) []byte {
	f.letters++
	at = at.Truncate(time.Second)
	l := pectest.Letter{From: from, To: studioUser, Subject: "Nuova password", Date: at, Attachments: documents,
		Text: "Buongiorno,\r\n\r\nPassword per programmi di posta: " + faultyPassword + "\r\n\r\nCordiali saluti\r\n"}
	e := pectest.Envelope{Provider: f.provider, Sender: from, Recipients: []string{studioUser}, Subject: l.Subject, SentAt: at,
		MsgID: fmt.Sprintf("<%d@client.example>", f.letters), Letter: l}
	return e.Bytes()
}

// appendAt puts a message into the inbox as one that came then.
func (f *faulty) appendAt(raw []byte, at time.Time) {
	f.t.Helper()
	if _, err := f.user.Append("INBOX", lifeLiteral{bytes.NewReader(raw), int64(len(raw))}, &imap.AppendOptions{Time: at}); err != nil {
		f.t.Fatal(err)
	}
}

// once makes a pass and tells its summary; o.Observe may be set.
func (f *faulty) once(o ingest.PassOptions) (ingest.Summary, error) {
	f.t.Helper()
	sum, err := f.service.Pass(f.t.Context(), o)
	f.cut()
	return sum, err
}

// stored lists whose password can be had.
func (f *faulty) stored() (list []string) {
	f.t.Helper()
	for _, m := range faultyClients {
		got, err := f.service.Get(f.t.Context(), "test", m, "", time.Now())
		if err == nil && got.Secret.RevealString() == faultyPassword {
			list = append(list, m)
		}
	}
	return list
}

func (f *faulty) refused() (reasons []string) {
	f.t.Helper()
	f.update(func(tx *vault.Tx) error {
		list, err := tx.RefusedSince(time.Now().AddDate(-1, 0, 0))
		reasons = nil
		for _, r := range list {
			reasons = append(reasons, r.Reason)
		}
		return err
	})
	return reasons
}

// wantLog looks for an event, and for what the log must not hold.
func (f *faulty) wantLog(event string) {
	f.t.Helper()
	log := f.log.String()
	if !strings.Contains(log, "event="+event) || !strings.Contains(log, "stack=") {
		f.t.Errorf("the log has no event=%s with a stack:\n%s", event, log)
	}
	for _, private := range []string{faultyPassword, "Cordiali", "Nuova password"} {
		if strings.Contains(log, private) {
			f.t.Errorf("the log holds %q of a message", private)
		}
	}
}

// faults are the places at which a message is read.
var faults = []struct {
	name  string
	large bool
	whole bool // read whole instead: nothing is lost by it
	put   func(r *ingest.Reader)
}{
	{name: "header", put: func(r *ingest.Reader) {
		real := r.Outer
		r.Outer = func(head []byte) pec.Outer { trip(head); return real(head) }
	}},
	{name: "judging", put: func(r *ingest.Reader) {
		real := r.Judge
		r.Judge = func(raw []byte, o pec.Options) *pec.Judgement { trip(raw); return real(raw, o) }
	}},
	{name: "finding", put: func(r *ingest.Reader) {
		real := r.Find
		r.Find = func(m *pec.Message, o submission.Options) *submission.Result {
			trip([]byte(m.Sender))
			return real(m, o)
		}
	}},
	{name: "looking into a large one", large: true, whole: true, put: func(r *ingest.Reader) {
		real := r.Glimpse
		r.Glimpse = func(first []byte) (pec.Glimpsed, bool) { trip(first); return real(first) }
	}},
	{name: "judging a large one", large: true, put: func(r *ingest.Reader) {
		real := r.Judge
		r.Judge = func(raw []byte, o pec.Options) *pec.Judgement { trip(raw); return real(raw, o) }
	}},
}

// trip fails on what the unlucky client wrote, with its bytes in the panic.
func trip(text []byte) {
	if bytes.Contains(text, []byte(unlucky)) {
		panic("tripped over " + string(text))
	}
}

// A message on which the program itself fails ends nothing: the others come
// through, it stays, is read once the program is mended, and no byte of it is
// in the log.
func TestFaultInReading(t *testing.T) {
	lucky := []string{faultyClients[0], faultyClients[2]}
	for _, c := range faults {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFaulty(t, "")
				defer f.close()
				sound := f.service.Reader
				c.put(&f.service.Reader)
				f.deliver(c.large)
				sum, err := f.once(ingest.PassOptions{})
				want := ingest.Summary{Seen: 2, Accepted: 2, Errors: 1}
				if c.whole {
					want = ingest.Summary{Seen: 3, Accepted: 3}
				}
				if err != nil || sum != want {
					t.Fatalf("got %+v, %v; want %+v\n%s", sum, err, want, f.log)
				}
				f.wantLog("message.panic")
				if c.whole {
					return
				}
				if got := f.stored(); !slices.Equal(got, lucky) {
					t.Errorf("stored: got %q, want %q", got, lucky)
				}
				if sum, err = f.once(ingest.PassOptions{}); err != nil || sum != (ingest.Summary{}) {
					t.Errorf("at once again: got %+v, %v", sum, err)
				}
				// The program is mended.
				f.service.Reader = sound
				time.Sleep(2 * time.Minute)
				if sum, err = f.once(ingest.PassOptions{}); err != nil || sum != (ingest.Summary{Seen: 1, Accepted: 1}) {
					t.Errorf("with a sound program: got %+v, %v", sum, err)
				}
				if got := f.stored(); !slices.Equal(got, faultyClients) {
					t.Errorf("stored: got %q, want all", got)
				}
			})
		})
	}
}

// What is never mended is given up, with one record for the people, and the
// daemon goes on with everything else meanwhile.
func TestFaultForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t, "")
		defer f.close()
		faults[1].put(&f.service.Reader)
		f.run(func() {
			f.deliver(false)
			time.Sleep(time.Hour)
			if got := f.state(); got.Phase != ingest.PhaseWatching || got.LastError != "" {
				t.Errorf("state: got %+v", got)
			}
			if got := f.stored(); len(got) != 2 {
				t.Errorf("stored after an hour: got %q, want two", got)
			}
			time.Sleep(7 * 24 * time.Hour)
			if got := f.refused(); !slices.Equal(got, []string{"unreadable"}) {
				t.Errorf("refused: got %q, want one record", got)
			}
		})
		if n := strings.Count(f.log.String(), "event=message.panic"); n != 6 {
			t.Errorf("read %d times, want 6", n)
		}
		if n := strings.Count(f.log.String(), "event=message.unreadable"); n != 1 {
			t.Errorf("given up %d times, want once", n)
		}
		sel, err := f.user.Status("INBOX", &imap.StatusOptions{NumMessages: true})
		if err != nil || *sel.NumMessages != 1 {
			t.Errorf("the inbox has %v messages, %v; want the one", sel.NumMessages, err)
		}
	})
}

// A receipt of ours on which the program fails is one message among others.
func TestFaultInReceipt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t, strings.Replace(smtpConfig, "studio@pec.studio.example>", studioUser+">", 1))
		defer f.close()
		f.smtpPassword("prima")
		var sent []string
		f.service.Send = func(_ context.Context, _ notify.SMTPConfig, m notify.Mail, beforeDot func() error) (notify.Receipt, error) {
			sent = append(sent, m.MessageID)
			return notify.Receipt{}, beforeDot()
		}
		f.deliver(false)
		if _, err := f.service.Once(t.Context(), ingest.RunOptions{}); err != nil || len(sent) != 3 {
			t.Fatalf("got %d answers, %v; want 3", len(sent), err)
		}
		f.cut()
		for i, id := range sent {
			e := pectest.Envelope{Provider: f.provider, Kind: pec.KindAcceptance, Sender: studioUser, Recipients: []string{faultyClients[i]},
				Subject: "ACCETTAZIONE", SentAt: time.Now().Truncate(time.Second), MsgID: id}
			f.append(e.Bytes())
		}
		real := f.service.Reader.Judge
		f.service.Reader.Judge = func(raw []byte, o pec.Options) *pec.Judgement {
			if bytes.Contains(raw, []byte(strings.Trim(sent[1], "<>"))) {
				var none []byte
				_ = none[len(raw)]
			}
			return real(raw, o)
		}
		sum, err := f.once(ingest.PassOptions{})
		if err != nil || sum != (ingest.Summary{Seen: 2, Receipts: 2, Errors: 1}) {
			t.Errorf("got %+v, %v\n%s", sum, err, f.log)
		}
		f.wantLog("message.panic")
		if !strings.Contains(f.log.String(), "index out of range") {
			t.Error("the log does not say what Go said")
		}
	})
}

// A fault elsewhere ends the step, the pass at most, and no goroutine waits for
// ever.
func TestFaultInStep(t *testing.T) {
	for _, c := range []struct {
		name string
		put  func(f *faulty, o *ingest.PassOptions)
		want ingest.Summary
		fail bool
	}{
		{"the pass itself", func(f *faulty, _ *ingest.PassOptions) {
			real := f.service.DialInbox
			f.service.DialInbox = func(ctx context.Context, c inbox.Config) (*inbox.Session, error) {
				f.service.DialInbox = real
				panic("x")
			}
		}, ingest.Summary{}, true},
		{"at the commits", func(_ *faulty, o *ingest.PassOptions) {
			o.Observe = func(ob ingest.Observation) {
				if ob.Outcome == "" {
					panic("x")
				}
			}
		}, ingest.Summary{Seen: 1}, true},
		{"settling one client's", func(_ *faulty, o *ingest.PassOptions) {
			o.Observe = func(ob ingest.Observation) {
				if ob.Outcome != "" && ob.Mailbox == unlucky {
					panic("x")
				}
			}
		}, ingest.Summary{Seen: 3, Accepted: 3, Errors: 1}, false},
		{"a server's answer", func(f *faulty, _ *ingest.PassOptions) {
			f.service.Login = func(_ context.Context, _ probe.Target, login string, _ secret.Secret) probe.Result {
				if login == unlucky {
					panic("x")
				}
				return probe.Result{Outcome: probe.Accepted}
			}
		}, ingest.Summary{Seen: 3, Accepted: 3}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFaulty(t, "")
				defer f.close()
				o := ingest.PassOptions{}
				c.put(f, &o)
				f.deliver(false)
				sum, err := f.once(o)
				if sum != c.want || (err != nil) != c.fail {
					t.Errorf("got %+v, %v; want %+v, an error: %v\n%s", sum, err, c.want, c.fail, f.log)
				}
				if c.fail && ingest.HintOf(err) == "" {
					t.Errorf("no hint: %v", err)
				}
				f.wantLog("service.panic")
				if _, err := f.once(ingest.PassOptions{}); err != nil {
					t.Errorf("the next pass: %v", err)
				}
				if got := f.stored(); !slices.Equal(got, faultyClients) {
					t.Errorf("stored: got %q, want all", got)
				}
			})
		})
	}
}

// A mail on which sending fails makes room for the others.
func TestFaultInSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t, smtpConfig)
		defer f.close()
		f.smtpPassword("prima")
		sent := map[string]int{}
		sound := false
		f.service.Send = func(_ context.Context, _ notify.SMTPConfig, m notify.Mail, beforeDot func() error) (notify.Receipt, error) {
			if m.To == unlucky && !sound {
				panic("x")
			}
			sent[m.To]++
			return notify.Receipt{}, beforeDot()
		}
		f.deliver(false)
		if _, err := f.service.Once(t.Context(), ingest.RunOptions{}); err != nil {
			t.Error(err)
		}
		f.cut()
		if len(sent) != 2 {
			t.Errorf("sent: got %v, want the two others\n%s", sent, f.log)
		}
		f.wantLog("service.panic")
		sound = true
		time.Sleep(time.Hour)
		if _, err := f.service.Once(t.Context(), ingest.RunOptions{}); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		f.cut()
		if len(sent) != 3 || sent[unlucky] != 1 {
			t.Errorf("sent: got %v, want each once", sent)
		}
	})
}
