package ingest

import "sync"

// itemLocks lets one person at a time decide on an item of the review queue.
// The zero value is ready.
type itemLocks struct {
	mu   sync.Mutex
	held map[int]*itemLock
}

type itemLock struct {
	sync.Mutex
	users int // that hold it or wait for it
}

// lock waits for the item and returns what lets it go.
func (l *itemLocks) lock(n int) (unlock func()) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[int]*itemLock{}
	}
	item := l.held[n]
	if item == nil {
		item = &itemLock{}
		l.held[n] = item
	}
	item.users++
	l.mu.Unlock()
	item.Lock()
	return func() {
		item.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if item.users--; item.users == 0 {
			delete(l.held, n)
		}
	}
}
