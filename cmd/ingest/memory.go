package main

import (
	"os"
	"runtime/debug"
)

// keepSmall sets how a process that may read a whole inbox uses memory: little
// of it lives long, so that the heap may grow well beyond what is live before
// it is cleaned, up to heapLimit. The environment variables of Go's runtime
// have the last word.
func keepSmall() {
	const heapLimit = 32 << 20
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(heapLimit)
	}
}
