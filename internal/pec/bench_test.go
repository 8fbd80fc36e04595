package pec_test

import (
	"testing"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest/corpus"
)

func BenchmarkJudge(b *testing.B) {
	o, _ := corpus.Options()
	e := corpus.Envelope()
	raw := e.Bytes()
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if j := pec.Judge(raw, o); !j.Certified() {
			b.Fatal(j.Err)
		}
	}
}
