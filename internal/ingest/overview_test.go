package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/notify"
	"pec-ingest/internal/probe"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

const anna = "anna@pec.example"

// waits puts an item with one candidate into the review queue.
func (b *bubble) waits(mailbox, candidate string) {
	b.t.Helper()
	label := vault.Label{Mailbox: mailbox, Login: mailbox, Source: "opec1@pec.example"}
	sealed, err := b.service.Vault().Seal(label, secret.FromString(candidate))
	if err != nil {
		b.t.Fatal(err)
	}
	b.update(func(tx *vault.Tx) error {
		return errors.Join(
			tx.PutClient(vault.Client{Mailbox: mailbox, IMAPAddr: "imap.example:993", AddedAt: time.Now()}),
			tx.PutSubmission(vault.Submission{ID: "opec1@pec.example", Mailbox: mailbox, Login: mailbox, SentAt: time.Now().Add(-time.Hour), Find: "ambiguous",
				Stage: vault.StageSettled, Outcome: ingest.OutcomeReview, ReviewN: 1, Candidates: []vault.Candidate{{Where: "text/plain:1", Length: len(candidate), Sealed: sealed, Label: label}}}),
			tx.PutReview(vault.Review{N: 1, SubmissionID: "opec1@pec.example", Mailbox: mailbox, Login: mailbox, Reason: ingest.ReviewAmbiguous, OpenedAt: time.Now()}))
	})
}

// Of two people who decide at the same moment one decides: the other one's
// password is neither tried nor stored, and he is told who was first.
func TestDecideAtOnce(t *testing.T) {
	b := newBubble(t, "")
	defer b.close()
	b.waits(anna, "Xk9mQ2pL")
	var logins atomic.Int32
	trying, go1 := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(go1) })
	b.service.Login = func(context.Context, probe.Target, string, secret.Secret) probe.Result {
		if logins.Add(1) == 1 {
			close(trying)
			<-go1
		} else {
			release() // the second one got here: what the test is about
		}
		return probe.Result{Outcome: probe.Accepted}
	}
	approve := func(actor string, typed secret.Secret) error {
		_, err := b.service.ReviewApprove(t.Context(), ingest.Approval{Actor: actor, N: 1, Typed: typed}, time.Now())
		return err
	}
	first, others := make(chan error, 1), make(chan error, 2)
	go func() { first <- approve("uid:1(carla)", secret.Secret{}) }()
	<-trying
	go func() { others <- approve("uid:2(dario)", secret.FromString("Altra88xx")) }()
	go func() { others <- b.service.ReviewReject(t.Context(), "uid:3(elena)", 1, "no", false, time.Now()) }()
	// Neither may get past the first one; that they had the time to try is all
	// that this wait is for.
	time.AfterFunc(300*time.Millisecond, release)
	if err := <-first; err != nil {
		t.Errorf("the first: got %v", err)
	}
	for range 2 {
		if err := <-others; ingest.CodeOf(err) != ingest.CodeDecided || !strings.Contains(err.Error(), "carla") {
			t.Errorf("another: got %v, want to be told of carla", err)
		}
	}
	if n := logins.Load(); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
	rows, err := b.service.History(t.Context(), anna)
	if err != nil || len(rows) != 1 {
		t.Errorf("got %d versions, %v, want 1", len(rows), err)
	}
}

// A password that a person enters is confirmed to the client where that was
// asked for, once it is proven.
func TestConfirm(t *testing.T) {
	b := newSendingBubble(t, "")
	defer b.close()
	b.update(func(tx *vault.Tx) error {
		return tx.PutClient(vault.Client{Mailbox: anna, IMAPAddr: "imap.example:993", AddedAt: time.Now()})
	})
	outcome := probe.Accepted
	b.service.Login = func(context.Context, probe.Target, string, secret.Secret) probe.Result {
		return probe.Result{Outcome: outcome}
	}
	for i, step := range []struct {
		password string
		confirm  bool
		outcome  probe.Outcome
		want     int // confirmations so far
	}{{"prima111", false, probe.Accepted, 0}, {"seconda2", true, probe.Accepted, 1}, {"seconda2", true, probe.Accepted, 2}, {"terza333", true, probe.Network, 2}, {"quarta44", true, probe.Refused, 2}} {
		outcome = step.outcome
		now := time.Now().Add(time.Duration(i) * time.Minute)
		res, err := b.service.Set(t.Context(), ingest.SetRequest{Actor: "page:anna", Mailbox: anna, Source: "telefono", Confirm: step.confirm, Secret: secret.FromString(step.password)}, now)
		if (err != nil) != (step.outcome == probe.Refused) {
			t.Fatalf("%s: got %v", step.password, err)
		}
		if got := b.kinds()[string(notify.KindAccepted)]; got != step.want || res.Confirmed && got == 0 {
			t.Errorf("%s: %d confirmations, said %v; want %d", step.password, got, res.Confirmed, step.want)
		}
		if step.outcome == probe.Refused && ingest.CodeOf(err) != ingest.CodeRefused {
			t.Errorf("got code %q", ingest.CodeOf(err))
		}
	}
}

// The log is read from its end, page by page, and each filter holds.
func TestAuditSlice(t *testing.T) {
	b := newBubble(t, "")
	defer b.close()
	for i := range 60 {
		b.update(func(tx *vault.Tx) error {
			e := vault.AuditEntry{Actor: "service", Event: "probe.accepted", Mailbox: anna}
			if i%3 == 0 {
				e = vault.AuditEntry{Actor: "uid:7(Berta)", Event: "review.decided", Mailbox: "b@pec.example"}
			}
			return tx.Audit(e)
		})
	}
	all, _, err := b.service.AuditSlice(t.Context(), ingest.AuditFilter{Limit: 1000})
	if err != nil || len(all) != 60 {
		t.Fatalf("got %d entries, %v, want 60", len(all), err)
	}
	for _, tt := range []struct {
		name string
		f    ingest.AuditFilter
		want int
	}{
		{"all", ingest.AuditFilter{}, 60},
		{"mailbox", ingest.AuditFilter{Mailbox: strings.ToUpper(anna)}, 40},
		{"actor", ingest.AuditFilter{Actor: "berta"}, 20},
		{"event", ingest.AuditFilter{Event: "review."}, 20},
		{"event and actor", ingest.AuditFilter{Event: "review.", Actor: "service"}, 0},
		{"from later", ingest.AuditFilter{From: time.Now().Add(time.Hour)}, 0},
		{"up to before", ingest.AuditFilter{To: time.Now().Add(-time.Hour)}, 0},
		{"today", ingest.AuditFilter{From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour)}, 60},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.f.Limit = 7
			got, last := 0, 1<<30
			for pages := 0; ; pages++ {
				rows, next, err := b.service.AuditSlice(t.Context(), tt.f)
				if err != nil || len(rows) > 7 || pages > 20 {
					t.Fatalf("page %d: %d rows, %v", pages, len(rows), err)
				}
				for _, r := range rows {
					if r.Seq >= last {
						t.Fatalf("entry %d after %d", r.Seq, last)
					}
					last = r.Seq
				}
				got += len(rows)
				if tt.f.Before = next; next == 0 {
					break
				}
			}
			if got != tt.want {
				t.Errorf("got %d entries, want %d", got, tt.want)
			}
		})
	}
}

func TestStandingAndOverview(t *testing.T) {
	b := newSendingBubble(t, "")
	defer b.close()
	b.storePassword(anna, "aruba-pec")
	st, err := b.service.Standing(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if st.Daemon != nil || st.InboxUser != studioUser || st.SMTPHost != "smtp.example" || st.Recipients != 1 || !st.Identity || !st.ProbeOn || st.VaultBytes == 0 || len(st.Anchors) == 0 || st.NextChecks.IsZero() {
		t.Errorf("got %+v", st)
	}
	rows, err := b.service.Overview(t.Context(), "", time.Now())
	if err != nil || len(rows) != 1 {
		t.Fatalf("got %d rows, %v", len(rows), err)
	}
	if r := rows[0]; r.RenewOn.Sub(r.Issued) != 80*24*time.Hour || r.Mailbox != anna {
		t.Errorf("got renewal %v after %v", r.RenewOn, r.Issued)
	}
	if _, err := b.service.Overview(t.Context(), "x@pec.example", time.Now()); ingest.CodeOf(err) != ingest.CodeNotListed {
		t.Errorf("got %v", err)
	}
}

// What the list of a thousand mailboxes takes before it is drawn.
func BenchmarkOverview(b *testing.B) {
	bb := newBubble(b, "")
	defer bb.close()
	for i := range 1000 {
		bb.storePassword(fmt.Sprintf("cliente%04d@pec.example", i), "aruba-pec")
	}
	for b.Loop() {
		if rows, err := bb.service.Overview(b.Context(), "", time.Now()); err != nil || len(rows) != 1000 {
			b.Fatal(len(rows), err)
		}
	}
}
