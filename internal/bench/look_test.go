package bench

import (
	"testing"
	"time"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/submission"
)

// BenchmarkLook is the look at the beginnings of large letters that are about
// something else: some 50 of them, each a little different.
func BenchmarkLook(b *testing.B) {
	plan := counted
	plan.now = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	m := newMaker(plan)
	look := func(first []byte) bool {
		g, ok := pec.Glimpse(first)
		if !ok {
			return false
		}
		o, ok := submission.NewOutline(g.Original)
		return ok && o.Useless(g.Subject, g.Sender)
	}
	var firsts [][]byte
	for i, kind := range m.kinds {
		if kind == 'c' && len(firsts) < 50 {
			if raw := m.message(i).raw; len(raw) > 24<<10 && look(raw[:16<<10]) {
				firsts = append(firsts, raw[:16<<10])
			}
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if !look(firsts[i%len(firsts)]) {
			b.Fatal("it is no longer told by its beginning")
		}
		i++
	}
}
