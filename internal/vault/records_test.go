package vault_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pec-ingest/internal/vault"
)

const rossi = "rossi@pec.example"

var later = now.Add(36 * time.Hour)
var someDay = time.Date(2027, 2, 20, 0, 0, 0, 0, time.UTC)

// Each record comes back as it was put, field by field.
func TestRecordsComeBack(t *testing.T) {
	label := vault.Label{Mailbox: rossi, Login: rossi, Version: 3, Source: "opec1@pec.example"}
	client := vault.Client{Mailbox: rossi, Name: "Rossi & C.", Provider: "aruba-pec", Login: rossi,
		Email: "m@example.it", Phone: "051", Lang: "it", UsedIn: []string{"nuvola"},
		Senders: []string{"altra@pec.example"}, IMAPAddr: "127.0.0.1:993", Signer: "s@pec.example",
		AddedAt: now, RemovedAt: later}
	check := vault.Check{At: now, Result: "accepted", TroubleSince: later, NextAt: later}
	cred := vault.Credential{Mailbox: rossi, Login: rossi, Last: 3, Current: 3, Proven: 2, OrderAt: now,
		OrderID: "opec1", LastCheck: check, Refused: true, Signer: "s@pec.example", GoodLogins: 2,
		GoodLoginDay: "2026-11-22"}
	version := vault.Version{Mailbox: rossi, Login: rossi, N: 3, Source: "opec1", Label: label,
		Sealed: []byte{0, 1, 255}, ReceivedAt: now, StoredAt: now, ProvenAt: later, Expires: someDay,
		Claimed: someDay.AddDate(0, 3, 0), ExpiresFrom: "stated", ValidityDays: 90,
		Addr: "127.0.0.1:993", State: "proven", EndedAt: later, Ended: "superseded by 4"}
	sub := vault.Submission{ID: "opec1@pec.example", Mailbox: rossi, Login: rossi, Signer: "s@pec.example",
		MsgID: "<a@b>", SentAt: now, ReceivedAt: later, JudgedAt: later, Find: "found",
		Candidates: []vault.Candidate{{Where: "text/plain:3", Length: 9, Sealed: []byte{7}, Label: label, Refused: true}},
		Stated:     someDay, Masked: "password ••••", HoldsMore: true, Stage: vault.StageJudged,
		Outcome: "review", Version: 3, Reason: "r", ReviewN: 1,
		Intent:   &vault.Intent{At: now, Candidate: 1, Tries: 2},
		Location: vault.Location{Folder: "INBOX", UIDValidity: 7, UID: 12, MessageID: "opec1"},
		Filed:    "moved", NoReply: true}
	seen := vault.Seen{ID: "opec1", At: now, Verdict: "accepted", Folder: "INBOX", UIDValidity: 1, UID: 2}
	cursor := vault.Cursor{Folder: "INBOX", UIDValidity: 1, NextUID: 9, At: now, FirstPassDone: true, Since: now}
	hole := vault.Hole{Folder: "INBOX", UIDValidity: 1, UID: 5, Tries: 2, NextAt: later, Reason: "network"}
	attempts := vault.Attempts{Mailbox: rossi, Day: "2026-11-22", Refusals: 2}
	refused := vault.Refused{At: now, Reason: "bad-signature", ClaimedID: "x", ClaimedSender: rossi,
		UIDValidity: 1, UID: 4, Listed: true}
	review := vault.Review{N: 1, SubmissionID: "opec1", Mailbox: rossi, Login: rossi, Reason: "ambiguous",
		OpenedAt: now, DecidedAt: later, DecidedBy: "uid 0", Decision: "approved", Letter: []byte{9},
		LetterLabel: label}
	out := vault.Outgoing{N: 1, Cause: "reply/opec1", Kind: "accepted", To: rossi, Mailbox: rossi, Lang: "it",
		State: vault.OutQueued, MessageID: "<1@x>", Data: json.RawMessage(`{"a":1}`), QueuedAt: now,
		NextAt: later, SentAt: later, Tries: 1, LastError: "451", Priority: 1, StateAt: now}

	onStores(t, func(t *testing.T, v *vault.Vault) {
		update(t, v, func(tx *vault.Tx) error {
			_, reviewErr := tx.AddReview(review)
			_, _, queueErr := tx.Queue(out)
			return errors.Join(tx.PutClient(client), tx.PutCredential(cred), tx.PutVersion(version),
				tx.PutSubmission(sub), tx.PutSeen(seen), tx.PutCursor(cursor), tx.PutHole(hole),
				tx.PutAttempts(attempts), tx.AddRefused(refused), reviewErr, queueErr,
				tx.PutJob("probe", now))
		})
		view(t, v, func(tx *vault.Tx) error {
			same(t, client)(tx.Client(rossi))
			same(t, cred)(tx.Credential(rossi, rossi))
			same(t, version)(tx.Version(rossi, rossi, 3))
			same(t, sub)(tx.Submission("opec1@pec.example"))
			same(t, seen)(tx.Seen("opec1"))
			same(t, cursor)(tx.Cursor("INBOX"))
			same(t, attempts)(tx.Attempts(rossi))
			same(t, review)(tx.Review(1))
			same(t, out)(tx.Outgoing(1))
			same(t, out)(tx.OutgoingByID("<1@x>"))
			same(t, now)(tx.Job("probe"))
			sameList(t, []vault.Hole{hole})(tx.Holes("INBOX"))
			sameList(t, []vault.Refused{refused})(tx.RefusedSince(now))
			sameList(t, []vault.Refused(nil))(tx.RefusedSince(later))
			sameList(t, []vault.Credential{cred})(tx.CredentialsOf(rossi))
			sameList(t, []vault.Version{version})(tx.Versions(rossi, rossi))
			return nil
		})
	})
}

func same[T any](t *testing.T, want T) func(T, bool, error) {
	return func(got T, ok bool, err error) {
		t.Helper()
		if err != nil || !ok {
			t.Errorf("%T: ok = %t, error %v, want the record", want, ok, err)
			return
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%T differs (-want +got):\n%s", want, d)
		}
	}
}

func sameList[T any](t *testing.T, want []T) func([]T, error) {
	return func(got []T, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%T: %v", want, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%T differs (-want +got):\n%s", want, d)
		}
	}
}

func TestAbsentRecords(t *testing.T) {
	onStores(t, func(t *testing.T, v *vault.Vault) {
		view(t, v, func(tx *vault.Tx) error {
			absent(tx.Client(rossi))(t)
			absent(tx.Credential(rossi, rossi))(t)
			absent(tx.Version(rossi, rossi, 1))(t)
			absent(tx.Submission("x"))(t)
			absent(tx.Seen("x"))(t)
			absent(tx.Cursor("INBOX"))(t)
			absent(tx.Attempts(rossi))(t)
			absent(tx.Review(1))(t)
			absent(tx.Outgoing(1))(t)
			absent(tx.OutgoingByID("<x>"))(t)
			absent(tx.Job("probe"))(t)
			return nil
		})
	})
}

// absent(tx.Client(m))(t) demands that there is no such record.
func absent[R any](rec R, ok bool, err error) func(t *testing.T) {
	return func(t *testing.T) {
		t.Helper()
		if ok || err != nil {
			t.Errorf("got %v, %t, %v, want no record and no error", rec, ok, err)
		}
	}
}

// Times come back in UTC and whole seconds, days as the date they show.
func TestTimesAreNormal(t *testing.T) {
	rome := time.FixedZone("CET", 3600)
	onStores(t, func(t *testing.T, v *vault.Vault) {
		update(t, v, func(tx *vault.Tx) error {
			return tx.PutVersion(vault.Version{Mailbox: rossi, Login: rossi, N: 1,
				ReceivedAt: time.Date(2026, 3, 1, 0, 30, 1, 999, rome),
				Expires:    time.Date(2026, 3, 1, 0, 30, 0, 0, rome)})
		})
		view(t, v, func(tx *vault.Tx) error {
			got, _, err := tx.Version(rossi, rossi, 1)
			if want := time.Date(2026, 2, 28, 23, 30, 1, 0, time.UTC); got.ReceivedAt != want {
				t.Errorf("received at %v, want %v", got.ReceivedAt, want)
			}
			if want := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC); got.Expires != want {
				t.Errorf("expires %v, want %v", got.Expires, want)
			}
			return err
		})
	})
}

func TestWorkList(t *testing.T) {
	steps := []struct {
		stage, filed string
		open         bool
	}{
		{vault.StageJudged, "", true},
		{vault.StageJudged, "stays", true},
		{vault.StageSettled, "", true},
		{vault.StageSettled, "moved", false},
		{vault.StageSettled, "", true},
		{vault.StageSettled, "kept", false},
	}
	onStores(t, func(t *testing.T, v *vault.Vault) {
		for i, s := range steps {
			update(t, v, func(tx *vault.Tx) error {
				return tx.PutSubmission(vault.Submission{ID: "a", Mailbox: rossi, Stage: s.stage, Filed: s.filed})
			})
			view(t, v, func(tx *vault.Tx) error {
				subs, err := tx.OpenSubmissions()
				if got := len(subs) == 1; got != s.open {
					t.Errorf("step %d: open = %t, want %t", i, got, s.open)
				}
				return err
			})
		}
	})
}

func TestQueueOncePerCause(t *testing.T) {
	onStores(t, func(t *testing.T, v *vault.Vault) {
		queue := func(cause string) (n int, queued bool) {
			update(t, v, func(tx *vault.Tx) (err error) {
				n, queued, err = tx.Queue(vault.Outgoing{Cause: cause, To: rossi})
				return err
			})
			return n, queued
		}
		if n, ok := queue("reply/a"); n != 1 || !ok {
			t.Fatalf("first: %d, %t, want 1, true", n, ok)
		}
		// Sent and done: the cause stays marked.
		update(t, v, func(tx *vault.Tx) error {
			o, _, err := tx.Outgoing(1)
			if err != nil {
				return err
			}
			o.State = vault.OutDelivered
			return tx.PutOutgoing(o)
		})
		if n, ok := queue("reply/a"); n != 0 || ok {
			t.Errorf("again: %d, %t, want 0, false", n, ok)
		}
		if n, ok := queue("reply/b"); n != 2 || !ok {
			t.Errorf("another cause: %d, %t, want 2, true", n, ok)
		}
		view(t, v, func(tx *vault.Tx) error {
			open, err := tx.OpenOutgoing()
			if len(open) != 1 || open[0].N != 2 {
				t.Errorf("open messages %v, want number 2 alone", open)
			}
			return err
		})
	})
}

// Names that resemble each other must not meet in one key.
func TestKeysStayApart(t *testing.T) {
	onStores(t, func(t *testing.T, v *vault.Vault) {
		long := strings.Repeat("x", 500)
		update(t, v, func(tx *vault.Tx) error {
			return errors.Join(
				tx.PutCredential(vault.Credential{Mailbox: "a@x", Login: "b", Last: 1}),
				tx.PutCredential(vault.Credential{Mailbox: "a@x.it", Login: "b", Last: 2}),
				tx.PutHole(vault.Hole{Folder: "INBOX", UID: 1}),
				tx.PutHole(vault.Hole{Folder: "INBOX/Sub", UID: 2}),
				tx.PutSeen(vault.Seen{ID: long + "1", Verdict: "one"}),
				tx.PutSeen(vault.Seen{ID: long + "2", Verdict: "two"}),
				tx.PutSeen(vault.Seen{ID: "a\x00b", Verdict: "nul"}),
			)
		})
		view(t, v, func(tx *vault.Tx) error {
			creds, err := tx.CredentialsOf("a@x")
			if len(creds) != 1 || creds[0].Last != 1 {
				t.Errorf("credentials of a@x: %v, want one", creds)
			}
			holes, err2 := tx.Holes("INBOX")
			if len(holes) != 1 || holes[0].UID != 1 {
				t.Errorf("holes of INBOX: %v, want UID 1", holes)
			}
			for id, want := range map[string]string{long + "1": "one", long + "2": "two", "a\x00b": "nul"} {
				if s, _, err := tx.Seen(id); s.Verdict != want || err != nil {
					t.Errorf("seen %.5q…: %q, %v, want %q", id, s.Verdict, err, want)
				}
			}
			return errors.Join(err, err2)
		})
	})
}

func TestInvalidNames(t *testing.T) {
	puts := map[string]func(tx *vault.Tx) error{
		"client without mailbox":  func(tx *vault.Tx) error { return tx.PutClient(vault.Client{}) },
		"login with NUL":          func(tx *vault.Tx) error { return tx.PutCredential(vault.Credential{Mailbox: rossi, Login: "a\x00b"}) },
		"version zero":            func(tx *vault.Tx) error { return tx.PutVersion(vault.Version{Mailbox: rossi, Login: rossi}) },
		"submission without id":   func(tx *vault.Tx) error { return tx.PutSubmission(vault.Submission{}) },
		"review zero":             func(tx *vault.Tx) error { return tx.PutReview(vault.Review{}) },
		"outgoing without number": func(tx *vault.Tx) error { return tx.PutOutgoing(vault.Outgoing{}) },
		"queue without cause":     func(tx *vault.Tx) error { _, _, err := tx.Queue(vault.Outgoing{}); return err },
		"refused without time":    func(tx *vault.Tx) error { return tx.AddRefused(vault.Refused{}) },
		"audit without actor":     func(tx *vault.Tx) error { return tx.Audit(vault.AuditEntry{Event: "x"}) },
		"read by nobody":          func(tx *vault.Tx) error { return tx.AuditRead("", rossi, rossi, 1) },
	}
	onStores(t, func(t *testing.T, v *vault.Vault) {
		for name, put := range puts {
			err := v.Update(context.Background(), put)
			if !errors.Is(err, vault.ErrInvalid) {
				t.Errorf("%s: error %v, want ErrInvalid", name, err)
			}
			if err != nil && strings.Contains(err.Error(), rossi) {
				t.Errorf("%s: the error holds an address: %v", name, err)
			}
		}
	})
}

func TestLimits(t *testing.T) {
	fill := func(n, size int) func(tx *vault.Tx) error {
		return func(tx *vault.Tx) error {
			for i := range n {
				s := vault.Seen{ID: fmt.Sprintf("m%d", i), Verdict: strings.Repeat("v", size)}
				// A closure that overlooks an error must not commit either.
				_ = tx.PutSeen(s)
			}
			return nil
		}
	}
	tests := []struct {
		name    string
		n, size int
		err     error
	}{
		{"as many keys as may be", vault.MaxKeys - 3, 10, nil},
		{"one key more", vault.MaxKeys - 2, 10, vault.ErrTooLarge},
		{"as many bytes as may be", 1, vault.MaxBytes - 100, nil},
		{"more bytes", 1, vault.MaxBytes, vault.ErrTooLarge},
		{"more bytes in many keys", 100, vault.MaxBytes / 99, vault.ErrTooLarge},
	}
	onStores(t, func(t *testing.T, v *vault.Vault) {
		for _, test := range tests {
			err := v.Update(context.Background(), fill(test.n, test.size))
			if !errors.Is(err, test.err) {
				t.Errorf("%s: error %v, want %v", test.name, err, test.err)
			}
		}
		// The same key again costs no more.
		update(t, v, func(tx *vault.Tx) error {
			for range 3 * vault.MaxKeys {
				if err := tx.PutSeen(vault.Seen{ID: "one"}); err != nil {
					return err
				}
			}
			return nil
		})
		// Reading in a View has no limit.
		view(t, v, func(tx *vault.Tx) error {
			for i := range 3 * vault.MaxKeys {
				if _, _, err := tx.Seen(fmt.Sprintf("x%d", i)); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// A transaction that goes by Room gets as large as the engine lets it, and no
// larger: what it writes is there, all of it.
func TestFill(t *testing.T) {
	onStores(t, func(t *testing.T, v *vault.Vault) {
		const all = 3000
		written, largest := 0, 0
		for written < all {
			n := 0
			err := v.Fill(context.Background(), func(tx *vault.Tx) error {
				for n = 0; written+n < all; n++ {
					if keys, bytes := tx.Room(); keys < 1 || bytes < 1000 {
						return nil
					}
					if err := tx.PutSeen(vault.Seen{ID: fmt.Sprintf("m%d", written+n)}); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatalf("after %d: %v", written, err)
			}
			written, largest = written+n, max(largest, n)
		}
		want := vault.MaxKeys - 3
		if strings.HasSuffix(t.Name(), "plain") {
			want = 1024 - 3 // the file
		}
		if largest != want {
			t.Errorf("got %d records in one transaction, want %d", largest, want)
		}
		view(t, v, func(tx *vault.Tx) error {
			for _, i := range []int{0, want - 1, want, all - 1} {
				if _, ok, err := tx.Seen(fmt.Sprintf("m%d", i)); err != nil || !ok {
					t.Errorf("record %d: got %t, %v", i, ok, err)
				}
			}
			return nil
		})
		err := v.Fill(context.Background(), func(tx *vault.Tx) error {
			for i := range 1024 {
				_ = tx.PutSeen(vault.Seen{ID: fmt.Sprintf("x%d", i)}) // one that does not ask
			}
			return nil
		})
		if !errors.Is(err, vault.ErrTooLarge) {
			t.Errorf("beyond its room: got %v, want ErrTooLarge", err)
		}
	})
}

func TestFailedUpdateChangesNothing(t *testing.T) {
	oops := errors.New("oops")
	onStores(t, func(t *testing.T, v *vault.Vault) {
		err := v.Update(context.Background(), func(tx *vault.Tx) error {
			if err := tx.PutClient(vault.Client{Mailbox: rossi}); err != nil {
				return err
			}
			return oops
		})
		if !errors.Is(err, oops) {
			t.Fatalf("error %v, want %v", err, oops)
		}
		view(t, v, func(tx *vault.Tx) error {
			absent(tx.Client(rossi))(t)
			return nil
		})
	})
}

func TestNoWritingInView(t *testing.T) {
	onStores(t, func(t *testing.T, v *vault.Vault) {
		err := v.View(context.Background(), func(tx *vault.Tx) error {
			return tx.PutClient(vault.Client{Mailbox: rossi})
		})
		if !errors.Is(err, vault.ErrReadOnly) {
			t.Errorf("error %v, want ErrReadOnly", err)
		}
	})
}

// A list may be changed while it is walked.
func TestChangeWhileListing(t *testing.T) {
	onStores(t, func(t *testing.T, v *vault.Vault) {
		const n = 40
		update(t, v, func(tx *vault.Tx) error {
			for i := range n {
				if err := tx.PutHole(vault.Hole{Folder: "INBOX", UID: uint32(i + 1)}); err != nil {
					return err
				}
			}
			return nil
		})
		update(t, v, func(tx *vault.Tx) error {
			holes, err := tx.Holes("INBOX")
			if err != nil {
				return err
			}
			for _, h := range holes {
				if err := tx.DeleteHole("INBOX", h.UID); err != nil {
					return err
				}
				if err := tx.PutHole(vault.Hole{Folder: "INBOX", UID: h.UID + 1000}); err != nil {
					return err
				}
			}
			return nil
		})
		view(t, v, func(tx *vault.Tx) error {
			holes, err := tx.Holes("INBOX")
			if len(holes) != n || holes[0].UID != 1001 {
				t.Errorf("%d holes, want %d, all moved", len(holes), n)
			}
			return err
		})
	})
}

func TestLists(t *testing.T) {
	onStores(t, func(t *testing.T, v *vault.Vault) {
		long := "warning/" + strings.Repeat("x", 300)
		update(t, v, func(tx *vault.Tx) error {
			_, _, err := tx.Queue(vault.Outgoing{Cause: "reply/1", State: vault.OutSent})
			return errors.Join(err,
				tx.PutCredential(vault.Credential{Mailbox: "b@x", Login: "b@x"}),
				tx.PutCredential(vault.Credential{Mailbox: "a@x", Login: "2"}),
				tx.PutCredential(vault.Credential{Mailbox: "a@x", Login: "1"}),
				tx.PutSubmission(vault.Submission{ID: "2", Stage: vault.StageSettled, Filed: "kept"}),
				tx.PutSubmission(vault.Submission{ID: "1"}),
				tx.MarkCause("warning/b", ""), tx.MarkCause("warning/a", ""), tx.MarkCause(long, ""),
				tx.MarkCause("other", ""), tx.MarkCause("sha256:x", ""))
		})
		view(t, v, func(tx *vault.Tx) error {
			var got []string
			note := func(s string) error { got = append(got, s); return nil }
			err := errors.Join(
				tx.Credentials(func(c vault.Credential) error { return note(c.Mailbox + " " + c.Login) }),
				tx.Submissions(func(s vault.Submission) error { return note(s.ID) }),
				tx.AllOutgoing(func(o vault.Outgoing) error { return note(o.Cause + " " + o.State) }),
				tx.Causes("warning/", note),
				note("all:"), tx.Causes("", note))
			want := []string{"a@x 1", "a@x 2", "b@x b@x", "1", "2", "reply/1 queued", "warning/a", "warning/b", long,
				"all:", "other", "reply/1"}
			if len(got) != len(want)+4 || !cmp.Equal(got[:len(want)], want) {
				t.Errorf("got  %q\nwant %q and four causes more", got, want)
			}
			return err
		})
	})
}

// An outbox may be longer than a transaction: reading it whole is no harm.
func TestUpdateReadsMuch(t *testing.T) {
	onStores(t, func(t *testing.T, v *vault.Vault) {
		const n = 2 * vault.MaxKeys
		for i := range n {
			update(t, v, func(tx *vault.Tx) error {
				_, _, err := tx.Queue(vault.Outgoing{Cause: fmt.Sprint(i), QueuedAt: now})
				return err
			})
		}
		update(t, v, func(tx *vault.Tx) error {
			open, err := tx.OpenOutgoing()
			if len(open) != n {
				t.Errorf("got %d messages, want %d", len(open), n)
			}
			return err
		})
	})
}
