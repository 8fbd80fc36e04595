package bench

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The long measurements run only when asked for; `make bench` does.
const benchEnv = "PEC_INGEST_BENCH"

var update = flag.Bool("update", false, "write the table into docs/performance.md")

const performanceDoc = "../../docs/performance.md"

// figure is one line of the table.
type figure struct {
	what   string
	got    float64
	most   float64 // what is aimed at
	detail string
}

func (f figure) row() string {
	verdict := "reached"
	if f.got > f.most {
		verdict = fmt.Sprintf("**missed** by %.0f %%", 100*(f.got/f.most-1))
	}
	return fmt.Sprintf("| %s | %s | ≤ %s | %s | %s |", f.what, short(f.got), short(f.most), verdict, f.detail)
}

func short(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.3f", v), "0"), ".")
}

// figures are those of this run, in the order of the tests.
var figures struct {
	mu   sync.Mutex
	list []figure
}

func note(t *testing.T, f figure) {
	t.Helper()
	figures.mu.Lock()
	defer figures.mu.Unlock()
	figures.list = append(figures.list, f)
	t.Log(f.row())
}

func long(t *testing.T) {
	t.Helper()
	if os.Getenv(benchEnv) == "" {
		t.Skipf("a long measurement: `make bench`, or %s=1", benchEnv)
	}
}

const (
	tableBegin = "<!-- table: made by `make bench` -->\n"
	tableEnd   = "<!-- end of table -->"
)

// printTable prints what was measured, and writes it into the document where
// asked to.
func printTable() error {
	if len(figures.list) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString("| figure | measured | aim | | |\n|---|---|---|---|---|\n")
	for _, f := range figures.list {
		b.WriteString(f.row() + "\n")
	}
	fmt.Print(b.String())
	if !*update {
		return nil
	}
	doc, err := os.ReadFile(performanceDoc)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(doc), tableBegin)
	_, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no table", performanceDoc)
	}
	return os.WriteFile(performanceDoc, []byte(before+tableBegin+b.String()+tableEnd+after), 0o644)
}

// alternate runs each of several things in turn, so that whatever else the
// machine does falls on all of them, and returns their medians.
func alternate(rounds int, fns ...func() time.Duration) []time.Duration {
	all := make([][]time.Duration, len(fns))
	for range rounds {
		for i, fn := range fns {
			all[i] = append(all[i], fn())
		}
	}
	medians := make([]time.Duration, len(fns))
	for i, list := range all {
		medians[i] = median(list)
	}
	return medians
}

func median(list []time.Duration) time.Duration {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

func ms(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}
