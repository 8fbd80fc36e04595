package servertest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
)

// Ports for servers that must be told theirs are taken from below those that
// the kernel gives to connections and to listeners on port 0: between the
// choice and the server's start, and while a server is stopped and started
// again, thousands of such connections may be made, and one of them would
// have the port. No port is given twice: each is marked as taken, for this
// process and for others, by a name in the abstract namespace of unix sockets,
// which goes with the process. Processes begin at places of their own.
const (
	lowestPort = 12_000
	portSpan   = 20_000 // below 32768, where Linux begins to give them out
)

var ports struct {
	mu    sync.Mutex
	next  int         // 0: none was given yet
	marks []io.Closer // held as long as the process lives
}

// FreePort is a port of 127.0.0.1 that nobody listens on, and that nobody but
// the caller is given.
func FreePort(tb testing.TB) int {
	tb.Helper()
	ports.mu.Lock()
	defer ports.mu.Unlock()
	if ports.next == 0 {
		ports.next = lowestPort + rand.N(portSpan)
	}
	for range portSpan {
		port := ports.next
		if ports.next++; ports.next == lowestPort+portSpan {
			ports.next = lowestPort
		}
		if kernelGives(port) {
			break
		}
		mark, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: fmt.Sprintf("@pec-ingest-port-%d", port), Net: "unixgram"})
		if err != nil {
			continue
		}
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			_ = l.Close()
			ports.marks = append(ports.marks, mark)
			return port
		}
		_ = mark.Close()
	}
	// A machine that is set up otherwise: any port at all.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// freePorts are n ports; see FreePort.
func freePorts(tb testing.TB, n int) []int {
	tb.Helper()
	var list []int
	for range n {
		list = append(list, FreePort(tb))
	}
	return list
}

// kernelGives tells whether the kernel gives a port to whoever asks for any.
// Source: ip(7), ip_local_port_range.
func kernelGives(port int) bool {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return false
	}
	first, last := 0, 0
	if _, err := fmt.Sscan(string(b), &first, &last); err != nil {
		return false
	}
	return first <= port && port <= last
}
