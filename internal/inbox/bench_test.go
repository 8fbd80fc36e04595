package inbox_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/servertest"
)

// A first pass over a large inbox: search, all headers, one message in ten
// whole. It reports messages a second, the bytes on the wire for a message,
// and the peak of the heap.
func BenchmarkFirstPass(b *testing.B) {
	const n = 2000
	d := studioServer(b, servertest.DovecotOptions{})
	for i := range n {
		d.Deliver(studio, "INBOX", mail(fmt.Sprint(i), 20_000), time.Time{})
	}
	d.Messages(studio, "INBOX") // the server's index is warm
	var wire int64
	var peak uint64
	for b.Loop() {
		s, err := inbox.Dial(b.Context(), config(d))
		if err != nil {
			b.Fatal(err)
		}
		uids, err := s.Search(b.Context(), 1, time.Time{})
		if err != nil || len(uids) != n {
			b.Fatalf("found %d, %v", len(uids), err)
		}
		headers := 0
		if _, err := s.Headers(b.Context(), uids, func(inbox.Header) error { headers++; return nil }); err != nil || headers != n {
			b.Fatalf("%d headers, %v", headers, err)
		}
		var m runtime.MemStats
		if _, err := s.Fetch(b.Context(), uids[:n/10], func(inbox.Message) error {
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapInuse)
			return nil
		}); err != nil {
			b.Fatal(err)
		}
		wire, _ = s.Traffic()
		s.Close()
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	b.ReportMetric(float64(wire)/n, "wire-B/message")
	b.ReportMetric(float64(peak)/(1<<20), "peak-MiB")
}
