package pec_test

import (
	"bytes"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/pectest"
	"pec-ingest/internal/pectest/corpus"
)

// Whatever is done to a genuine message on its way, it is either refused or
// says exactly what it said before: each byte changed, removed or doubled, each
// line removed, doubled, swapped or moved to another place.
func TestNothingElseIsEverCertified(t *testing.T) {
	o, err := corpus.Options()
	if err != nil {
		t.Fatal(err)
	}
	for _, style := range []pectest.Style{pectest.Aruba2026, pectest.Poste, pectest.LFStyle} {
		t.Run(style.Name, func(t *testing.T) {
			e := corpus.Envelope()
			e.Style = style
			raw := e.Bytes()
			want := pec.Judge(raw, o)
			if !want.Certified() {
				t.Fatal(want.Err)
			}
			certified, total := judgeAll(t, raw, o, want.Message)
			t.Logf("%d of %d changed messages are still certified, all for the same data", certified, total)
			if certified == 0 || certified == total {
				t.Error("the changes don't test anything")
			}
		})
	}
}

// judgeAll judges every changed message on all processors.
func judgeAll(t *testing.T, raw []byte, o pec.Options, want *pec.Message) (certified, total int) {
	changes := make(chan func() (string, []byte), 64)
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for change := range changes {
				what, changed := change()
				j := pec.Judge(changed, o)
				mu.Lock()
				total++
				if j.Certified() {
					certified++
					if !reflect.DeepEqual(j.Message, want) {
						t.Errorf("%s: certified, but says something else: %+v", what, j.Message)
					}
				}
				mu.Unlock()
			}
		})
	}
	changeBytes(raw, changes)
	changeLines(raw, changes)
	close(changes)
	workers.Wait()
	return certified, total
}

func changeBytes(raw []byte, changes chan<- func() (string, []byte)) {
	for i := range raw {
		for _, mask := range []byte{0x01, 0x20, 0x80} {
			changes <- func() (string, []byte) {
				b := bytes.Clone(raw)
				b[i] ^= mask
				return fmt.Sprintf("byte %d changed by %#x", i, mask), b
			}
		}
		changes <- func() (string, []byte) {
			return fmt.Sprintf("byte %d removed", i), slices.Concat(raw[:i], raw[i+1:])
		}
		changes <- func() (string, []byte) {
			return fmt.Sprintf("byte %d doubled", i), slices.Concat(raw[:i], raw[i:i+1], raw[i:])
		}
	}
}

func changeLines(raw []byte, changes chan<- func() (string, []byte)) {
	lines := bytes.SplitAfter(raw, []byte("\n"))
	join := func(parts ...[][]byte) []byte { return bytes.Join(slices.Concat(parts...), nil) }
	for i := range lines {
		changes <- func() (string, []byte) {
			return fmt.Sprintf("line %d removed", i), join(lines[:i], lines[i+1:])
		}
		changes <- func() (string, []byte) {
			return fmt.Sprintf("line %d doubled", i), join(lines[:i+1], lines[i:])
		}
		for _, to := range []int{0, 1, i + 1, len(lines) / 4, len(lines) / 2, len(lines) - 2} {
			if to < len(lines) {
				changes <- func() (string, []byte) {
					rest := slices.Delete(slices.Clone(lines), i, i+1)
					to = min(to, len(rest))
					return fmt.Sprintf("line %d moved to %d", i, to), join(rest[:to], lines[i:i+1], rest[to:])
				}
			}
		}
	}
}
