//go:build killpoints

package ingest

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// KillEnv names the kill point at which the process dies, "name" or
// "name:3" for the third time it is reached. With KillLogEnv each point that
// is reached is appended to that file, so that a test can list them all.
// With KillTextEnv the process dies when it reads a message with that text.
const (
	KillEnv     = "PEC_INGEST_KILL"
	KillLogEnv  = "PEC_INGEST_KILL_LOG"
	KillTextEnv = "PEC_INGEST_KILL_TEXT"
)

var (
	killMu    sync.Mutex
	killTimes = map[string]int{}
)

func killPoint(name string) {
	killMu.Lock()
	defer killMu.Unlock()
	killTimes[name]++
	if path := os.Getenv(KillLogEnv); path != "" {
		if f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
			fmt.Fprintln(f, name)
			f.Close()
		}
	}
	want, nth, counted := strings.Cut(os.Getenv(KillEnv), ":")
	n := 1
	if counted {
		n, _ = strconv.Atoi(nth)
	}
	if want == name && killTimes[name] == n {
		die()
	}
}

func killReading(raw []byte) {
	if text := os.Getenv(KillTextEnv); text != "" && bytes.Contains(raw, []byte(text)) {
		die()
	}
}

// die ends the process by SIGKILL, not os.Exit: no deferred call may tidy up.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
