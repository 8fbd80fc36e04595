package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A long pass is shown on one line that ends with it; a short one not at all.
func TestBar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		b := &bar{out: &out}
		for i := range 100 {
			b.show(i+1, 100)
		}
		if out.Len() > 0 {
			t.Errorf("a pass that took no time is shown: %q", out.String())
		}
		b = &bar{out: &out}
		for i := range 100 {
			b.show(i+1, 100)
			time.Sleep(50 * time.Millisecond)
		}
		lines := strings.Split(out.String(), "\r")
		if n := len(lines) - 1; n < 15 || n > 22 {
			t.Errorf("drawn %d times in five seconds, want about 20", n)
		}
		if got, want := lines[len(lines)-1], "["+strings.Repeat("#", barWidth)+"] 100 of 100 messages\n"; got != want {
			t.Errorf("the last line is %q, want %q", got, want)
		}
	})
}
