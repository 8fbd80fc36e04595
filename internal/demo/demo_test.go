package demo_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/demo"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/secret"
)

// The demo runs the real pipeline: what it tells must be so.
func TestStory(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var out bytes.Buffer
	printed := 0
	d, err := demo.Run(context.Background(), demo.Options{Out: &out, Summary: func(_ io.Writer, rows []ingest.StatusRow) error {
		printed = len(rows)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	story := out.String()
	for title, want := range map[string]string{
		"password and date in a letter":                           "accepted",
		"an older password of the same client, delivered later":   "superseded",
		"HTML only, Aruba's style of 2026":                        "accepted",
		"nothing but the password, SHA-1 signature as Namirial's": "accepted",
		"the webmail's password instead of the right one":         "rejected",
		"a picture of the password":                               "review",
		"certified, but about an invoice":                         "ignored",
		"signed by somebody else's authority":                     "refused",
		"one word changed under the signature":                    "refused",
		"ordinary mail in an anomaly envelope":                    "refused",
		"acceptance receipt":                                      "receipt",
		"ordinary mail\n":                                         "ignored",
	} {
		_, after, ok := strings.Cut(story, ". "+title)
		if !ok {
			t.Errorf("the story lacks %q:\n%s", title, story)
			continue
		}
		if got := strings.Fields(after)[0]; got != want {
			t.Errorf("%s: got %s, want %s", strings.TrimSpace(title), got, want)
		}
	}
	if printed != 6 {
		t.Errorf("status table has %d rows, want 6", printed)
	}
	if strings.Contains(story, "\x1b") {
		t.Error("colour although the output is no terminal")
	}
	for _, secret := range []string{"Xk7pQ2", "h7%Kd-29qT", "Rq4w$Zb8", "vecch1a9", "quellaDelSito1"} {
		if strings.Contains(story, secret) {
			t.Errorf("the story shows the password %s", secret)
		}
	}

	// The provider's receipts came back: every message sent is proven
	// delivered, and its receipt is kept.
	rows, err := d.Service.Outbox(context.Background(), true)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 5 {
		t.Errorf("outbox holds %d messages, want 5", len(rows))
	}
	for _, r := range rows {
		if r.State != "delivered" {
			t.Errorf("message %d to %s is %s, want delivered", r.N, r.To, r.State)
		}
		raw, err := d.Service.OutboxReceipt(context.Background(), r.N)
		if err != nil || !bytes.Contains(raw, []byte("X-Ricevuta: avvenuta-consegna")) {
			t.Errorf("message %d: delivery receipt of %d bytes, error %v", r.N, len(raw), err)
		}
	}

	// A further pass finds nothing to do: the receipts were filed away.
	sum, err := d.Service.Once(context.Background(), ingest.RunOptions{})
	if err != nil || sum != (ingest.Summary{}) {
		t.Errorf("a pass without news: %+v, %v", sum, err)
	}
	p, err := d.Service.Get(context.Background(), "test", "rossi@pec.gestore.example", "", time.Now())
	if err != nil || p.Secret.RevealString() != "Xk7pQ2" {
		t.Errorf("get gives the wrong password (error %v)", err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	if err != nil || len(left) != 0 {
		t.Errorf("the demo left %d files behind (%v)", len(left), err)
	}
}

// patience is for a machine that is very busy with other things.
const patience = 2 * time.Minute

// The page's studio: more clients whose passwords the real pipeline took, a
// Monday on which many expire, letters that wait, and a provider that answers
// what a decision sends.
func TestPopulate(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	d, err := demo.Run(ctx, demo.Options{Out: io.Discard, Summary: func(io.Writer, []ingest.StatusRow) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Populate(ctx); err != nil {
		t.Fatal(err)
	}
	rows, err := d.Service.Status(ctx, "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	states, days := map[string]int{}, map[string]int{}
	for _, r := range rows {
		states[r.State]++
		if r.ExpiresAt != nil {
			days[*r.ExpiresAt]++
		}
	}
	for _, want := range []string{"valid", "due", "expired", "missing"} {
		if states[want] == 0 {
			t.Errorf("no password is %s: %v", want, states)
		}
	}
	heavy := 0
	for day, n := range days {
		if at, err := time.Parse(time.DateOnly, day); err == nil && n > heavy && at.Weekday() == time.Monday {
			heavy = n
		}
	}
	if heavy < 5 {
		t.Errorf("at most %d expire on a Monday", heavy)
	}
	waiting, err := d.Service.Reviews(ctx, false)
	if err != nil || len(waiting) != 3 {
		t.Fatalf("%d letters wait, %v, want 3", len(waiting), err)
	}
	if info, data, err := d.Service.ReviewFile(ctx, "test", waiting[0].N, 1); err != nil || info.Type != "image/png" || len(data) < 500 {
		t.Errorf("the picture: got %v, %d bytes, %v", info, len(data), err)
	}
	sent, err := d.Service.Outbox(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	before := len(sent)
	served := make(chan error, 1)
	go func() { served <- d.Serve(ctx) }()
	if _, err := d.Service.ReviewApprove(ctx, ingest.Approval{Actor: "test", N: waiting[0].N, Typed: secret.FromString("Pw93kLd2")}, time.Now()); err != nil {
		t.Fatal(err)
	}
	d.Service.OutboxChanged()
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		open, err := d.Service.Outbox(ctx, true)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(open[before:], func(r ingest.OutboxRow) bool { return r.Kind == "accepted" && r.State == "delivered" }) {
			break
		}
		if time.Since(start) > patience {
			t.Fatal("the answer to a decision is not delivered")
		}
	}
	stop()
	if err := <-served; err != nil {
		t.Errorf("serving: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
}
