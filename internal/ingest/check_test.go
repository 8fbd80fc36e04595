package ingest_test

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/probe"
	"pec-ingest/internal/secret"
)

// A program that is ended in the middle of each daily check comes to its end
// all the same, after as many days' runs as it takes, with one login each and
// one more for each end; the next day all are tried again.
func TestCheckGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "[[provider]]\nid = \"gestore\"\nsigner = \"s@gestore.example\"\nimap = \"gestore.example:993\"\nvalidity = \"90d\"\n")
		const clients = 6
		for i := range clients {
			b.storePassword(fmt.Sprintf("c%d@pec.gestore.example", i), "gestore")
		}
		logins := map[string]int{}
		left := 0 // logins of this run before its end; 0 = all
		var end context.CancelFunc
		b.service.Login = func(_ context.Context, _ probe.Target, login string, _ secret.Secret) probe.Result {
			logins[login]++
			if left--; left == 0 {
				end()
				return probe.Result{Outcome: probe.Network}
			}
			return probe.Result{Outcome: probe.Accepted, Sent: true}
		}
		run := func(n int) error {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			left, end = n, cancel
			_, err := b.service.Once(ctx, ingest.RunOptions{})
			b.cut()
			return err
		}
		if err := run(0); err != nil {
			t.Fatal(err)
		}
		for day := range 2 {
			time.Sleep(24 * time.Hour)
			clear(logins)
			for i := range 2 {
				if err := run(3); err == nil {
					t.Fatalf("run %d of day %d was not ended", i, day)
				}
			}
			if err := run(0); err != nil {
				t.Fatal(err)
			}
			want := map[string]int{}
			for i := range clients {
				want[fmt.Sprintf("c%d@pec.gestore.example", i)] = 1
			}
			want["c2@pec.gestore.example"], want["c4@pec.gestore.example"] = 2, 2
			if !maps.Equal(logins, want) {
				t.Errorf("day %d: got logins %v, want %v", day, logins, want)
			}
		}
		b.close()
	})
}

// What goes wrong in reading the vault, as a reload that ends the look at it,
// says nothing about the clock.
func TestCheckWithoutVault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "")
		defer b.close()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, l := range b.service.SelfCheck(ctx, time.Now()) {
			if l.Name == "clock" {
				t.Errorf("got %s %s: %s, want no line about the clock", l.Level, l.Name, l.Msg)
			}
		}
	})
}
