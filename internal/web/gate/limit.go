package gate

import (
	"fmt"
	"sync"
	"time"
)

// How many wrong tokens are answered as such in a minute: from one address,
// and in all. Those beyond are told to wait.
const (
	failuresOfOne = 10
	failuresOfAll = 60
	failureWindow = time.Minute
)

// maxAddresses bounds the memory of where wrong tokens came from.
const maxAddresses = 1024

// failures counts wrong tokens. It is no defence by itself, a token has 256
// bits: it keeps noise short, and people informed.
type failures struct {
	tell func(count int) // what came since it was told last

	mu    sync.Mutex
	since time.Time
	all   int
	of    map[string]int
	told  int // of all, in this window
}

// add counts one and tells whether it is within the limits. The first of a
// minute is told at once, the others together when the next one comes after it.
func (f *failures) add(address string, now time.Time) (within bool) {
	f.mu.Lock()
	count := 0
	if now.Sub(f.since) >= failureWindow {
		count = f.all - f.told
		f.since, f.all, f.told = now, 0, 0
		f.of = map[string]int{}
	}
	f.all++
	if len(f.of) < maxAddresses || f.of[address] > 0 {
		f.of[address]++
	}
	within = f.all <= failuresOfAll && f.of[address] <= failuresOfOne
	if f.all == 1 {
		count++
		f.told = 1
	}
	f.mu.Unlock()
	if count > 0 && f.tell != nil {
		f.tell(count)
	}
	return within
}

// rest tells what was not told yet, when the service ends.
func (f *failures) rest() {
	f.mu.Lock()
	count := f.all - f.told
	f.told = f.all
	f.mu.Unlock()
	if count > 0 && f.tell != nil {
		f.tell(count)
	}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
