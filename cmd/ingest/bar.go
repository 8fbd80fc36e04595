package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// bar shows on a terminal how far a long pass is.
type bar struct {
	out   io.Writer
	begun time.Time
	drawn time.Time
}

// Shorter passes need no bar; a terminal need not be drawn on more often.
const (
	barAfter = time.Second
	barEvery = 200 * time.Millisecond
	barWidth = 30
)

// show draws the bar anew, where it is time to. It ends its line at the last
// message.
func (b *bar) show(done, total int) {
	now := time.Now()
	if b.begun.IsZero() {
		b.begun = now
	}
	last := done == total && !b.drawn.IsZero()
	if !last && (now.Sub(b.begun) < barAfter || now.Sub(b.drawn) < barEvery) {
		return
	}
	b.drawn = now
	full := barWidth * done / max(total, 1)
	fmt.Fprintf(b.out, "\r[%s%s] %d of %d messages", strings.Repeat("#", full), strings.Repeat(" ", barWidth-full), done, total)
	if last {
		fmt.Fprintln(b.out)
		*b = bar{out: b.out}
	}
}
