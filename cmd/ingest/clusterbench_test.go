package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"pec-ingest/internal/config"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/servertest"
)

// TestClusterFigures measures the same work on a file and on three members of
// etcd that sync to the same disk, in turn: `make bench-cluster`.
func TestClusterFigures(t *testing.T) {
	if os.Getenv("PEC_INGEST_BENCH") != "1" {
		t.Skip("measures: make bench-cluster")
	}
	const clients, gets, rounds = 200, 400, 3
	etcd := servertest.StartEtcd(t, servertest.EtcdConfig{Members: 3, Durable: true})
	type figure struct{ accepted, get, getMany, status, history float64 } // a second
	var sums [2]figure
	for range rounds {
		for i, conf := range []func(string) string{func(s string) string { return s }, onCluster(etcd.Endpoints)} {
			c := newCrowd(t, clients, 0, func(text string) string {
				text, _, _ = strings.Cut(text, "[smtp]") // sending takes its own time
				return conf(text)
			})
			cfg, err := config.Load(c.configPath())
			if err != nil {
				t.Fatal(err)
			}
			s, err := ingest.Open(cfg, ingest.Serving, nil)
			if err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			ctx := context.Background()
			stop := func() {}
			if i == 1 { // only a leader makes passes
				run, cancel := context.WithCancel(ctx)
				ended := make(chan error, 1)
				go func() { ended <- s.Run(run, ingest.Hooks{}) }()
				stop = func() { cancel(); <-ended }
				for d, _ := s.Daemon(ctx); d == nil || !d.Leading; d, _ = s.Daemon(ctx) {
					time.Sleep(time.Millisecond)
				}
				begun = time.Now()
			}
			sum, err := s.Once(ctx, ingest.RunOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for d := (&ingest.DaemonState{}); i == 1 && d.Waiting.Open > 0; {
				d, _ = s.Daemon(ctx)
			}
			took := time.Since(begun)
			f := &sums[i]
			n := 0
			rows, err := s.Status(ctx, "", time.Now())
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows {
				if r.State == "valid" {
					n++
				}
			}
			f.accepted += float64(n) / took.Seconds()
			get := func(k int) {
				p, err := s.Get(ctx, "reader", fmt.Sprintf("cliente%04d@pec.gestore.example", k%9), "", time.Now())
				if err != nil {
					t.Error(err)
				}
				p.Secret.Wipe()
			}
			begun = time.Now()
			for k := range gets {
				get(k)
			}
			f.get += gets / time.Since(begun).Seconds()
			begun = time.Now()
			var wg sync.WaitGroup
			for w := range 8 {
				wg.Go(func() {
					for k := range gets / 8 {
						get(w + k)
					}
				})
			}
			wg.Wait()
			f.getMany += gets / time.Since(begun).Seconds()
			begun = time.Now()
			for range 50 {
				if _, err := s.Status(ctx, "", time.Now()); err != nil {
					t.Fatal(err)
				}
			}
			f.status += 50 / time.Since(begun).Seconds()
			begun = time.Now()
			for k := range gets {
				if _, err := s.History(ctx, fmt.Sprintf("cliente%04d@pec.gestore.example", k%9)); err != nil {
					t.Fatal(err)
				}
			}
			f.history += gets / time.Since(begun).Seconds()
			stop()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			t.Logf("engine %d: pass %v, accepted %d, %+v", i, took.Round(time.Millisecond), n, sum)
		}
	}
	row := func(what string, of func(figure) float64) {
		a, b := of(sums[0])/rounds, of(sums[1])/rounds
		fmt.Printf("%-34s %10.1f /s file %10.1f /s etcd   ratio %.2f\n", what, a, b, b/a)
	}
	row("submissions accepted", func(f figure) float64 { return f.accepted })
	row("get, one after the other", func(f figure) float64 { return f.get })
	row("get, eight at once", func(f figure) float64 { return f.getMany })
	row("history of one mailbox", func(f figure) float64 { return f.history })
	row("status of all", func(f figure) float64 { return f.status })
}
