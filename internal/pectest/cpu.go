package pectest

import (
	"runtime"
	"syscall"
	"time"
)

// CPU is how long fn keeps a processor busy, of what it does in its own
// goroutine: what else goes on on the machine does not count.
func CPU(fn func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadTime()
	fn()
	return threadTime() - before
}

// threadTime is what this thread has used. Source: getrusage(2).
func threadTime() time.Duration {
	const thread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	if err := syscall.Getrusage(thread, &u); err != nil {
		panic(err) // a kernel before 2.6.26
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
