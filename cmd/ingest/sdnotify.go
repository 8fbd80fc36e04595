package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// manager is the service manager that started this process, where there is
// one. Source: sd_notify(3).
type manager struct {
	addr string // "" = none

	mu     sync.Mutex
	status string // as last told
}

func newManager() *manager {
	addr := os.Getenv("NOTIFY_SOCKET")
	os.Unsetenv("NOTIFY_SOCKET") // not for the commands that [alert] runs
	if strings.HasPrefix(addr, "@") {
		addr = "\x00" + addr[1:]
	}
	return &manager{addr: addr}
}

// tell sends one state; nobody waits for it, and a manager that is gone is no
// trouble of ours.
func (m *manager) tell(state string) {
	if m.addr == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.addr, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = conn.Write([]byte(state))
}

// setStatus tells the line for `systemctl status` when it has changed.
func (m *manager) setStatus(line string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if line == m.status {
		return
	}
	m.status = line
	m.tell("STATUS=" + strings.ReplaceAll(line, "\n", " "))
}

// reloading must carry the time of the monotonic clock.
func (m *manager) reloading() {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) == nil {
		m.tell(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", ts.Nano()/1000))
	}
}

// watchdog tells twice in the interval asked for that the service lives, as
// long as alive says so, until ctx ends.
func (m *manager) watchdog(ctx context.Context, alive func(context.Context) bool) {
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 || m.addr == "" {
		return
	}
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return
	}
	every := time.Duration(usec) * time.Microsecond / 2
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		look, cancel := context.WithTimeout(ctx, every/2)
		if alive(look) {
			m.tell("WATCHDOG=1")
		}
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
