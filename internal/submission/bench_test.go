package submission_test

import (
	"testing"

	"pec-ingest/internal/submission"
)

// BenchmarkFind reads the whole corpus, a letter after the other.
func BenchmarkFind(b *testing.B) {
	all := corpus(b)
	raw := make([][]byte, len(all))
	for i, s := range all {
		raw[i] = s.message()
	}
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		s := all[i%len(all)]
		submission.FindRaw(raw[i%len(all)], s.subject, s.sender, s.sent)
	}
}
