package bench

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/servertest"
)

const inboxPassword = "parola-dello-studio"

// box is a Dovecot with a generated inbox, the program built from the sources,
// and a configuration for it.
type box struct {
	tb    testing.TB
	imap  *servertest.Dovecot
	dir   string
	plan  inboxPlan
	bytes int64 // of all messages
	exe   string
	proxy *proxy // what the program speaks to; nil: the server itself
}

// newBox starts a server and fills the inbox.
func newBox(tb testing.TB, plan inboxPlan) *box {
	tb.Helper()
	b := &box{tb: tb, plan: plan, dir: tb.TempDir(), exe: program(tb)}
	if err := os.Chmod(b.dir, 0o700); err != nil {
		tb.Fatal(err)
	}
	b.imap = servertest.StartDovecot(tb, servertest.DovecotOptions{Users: []servertest.User{{Name: studio, Password: inboxPassword}}})
	plan.each(func(m mail) {
		b.bytes += int64(len(m.raw))
		b.imap.Deliver(studio, "INBOX", m.raw, m.received)
	})
	b.write("tls.pem", string(b.imap.CA().PEM()))
	b.write("pec.pem", string(authority().RootPEM()))
	b.write("inbox-password", inboxPassword+"\n")
	b.write("password", inboxPassword+"\n")
	var csv strings.Builder
	csv.WriteString("mailbox,name\n")
	for i := range plan.clients() {
		fmt.Fprintf(&csv, "%s,Ditta %d\n", clientAddress(i), i)
	}
	b.write("clients.csv", csv.String())
	return b
}

func (b *box) write(name, text string) {
	b.tb.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
		b.tb.Fatal(err)
	}
}

func (b *box) path(name string) string { return filepath.Join(b.dir, name) }

// addr is where the program finds the inbox.
func (b *box) addr() string {
	if b.proxy != nil {
		return b.proxy.addr()
	}
	return b.imap.Addr()
}

// freshVault makes a configuration with an empty vault that knows the clients,
// and returns the configuration's path.
func (b *box) freshVault(probe bool) string {
	b.tb.Helper()
	dir, err := os.MkdirTemp(b.dir, "etc")
	if err != nil {
		b.tb.Fatal(err)
	}
	b.command("init", dir+"/c")
	host, port, _ := net.SplitHostPort(b.addr())
	config := fmt.Sprintf(`[studio]
name = "Studio Prova"
[inbox]
host = %q
port = %s
username = %q
password_file = "%[4]s/inbox-password"
tls_ca_file = "%[4]s/tls.pem"
after = "keep"
[trust]
anchors = ["%[4]s/pec.pem"]
builtin = false
[vault]
url = "bbolt://%[5]s/vault/vault.db"
identity_file = "identity.txt"
[probe]
enabled = %[6]v
[web]
listen = ""
socket = "%[5]s/sock"
[[provider]]
id = "prova"
signer = %[7]q
imap = %[8]q
tls_ca_file = "%[4]s/tls.pem"
validity = "90d"
`, host, port, studio, b.dir, dir+"/c", probe, signer, b.imap.Addr())
	path := dir + "/c/config.toml"
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		b.tb.Fatal(err)
	}
	b.command("--config", path, "client", "import", b.path("clients.csv"))
	return path
}

// spent is what a process took.
type spent struct {
	wall, cpu time.Duration
	peakRSS   int64 // bytes
	stdout    string
}

// command runs the program, which must succeed.
func (b *box) command(args ...string) spent {
	b.tb.Helper()
	return run(b.tb, b.exe, args...)
}

// run runs a program that must succeed within 20 minutes.
func run(tb testing.TB, exe string, args ...string) spent {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err := cmd.Start()
	var peak func() int64
	if err == nil {
		peak = watchPeak(cmd.Process.Pid)
		err = cmd.Wait()
	}
	wall := time.Since(start)
	if err != nil {
		text := stderr.String()
		tb.Fatalf("%s %s: %v\n%s", filepath.Base(exe), strings.Join(args, " "), err, text[max(0, len(text)-4000):])
	}
	return spent{wall, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), peak(), stdout.String()}
}

// watchPeak looks at a process's peak memory, in bytes, until it ends. What
// wait4 says would be the larger of this and the parent's own at the fork.
func watchPeak(pid int) func() int64 {
	stop, result := make(chan struct{}), make(chan int64)
	go func() {
		var last int64
		for {
			if n := procField(pid, "VmHWM:"); n > 0 {
				last = n
			}
			select {
			case <-stop:
				result <- last
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() int64 { close(stop); return <-result }
}

// procField reads a size from /proc/PID/status; 0 when the process is gone.
func procField(pid int, name string) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, name); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}

var built = map[string]string{}

// program builds the program once a test run.
func program(tb testing.TB) string {
	tb.Helper()
	if exe := built["ingest"]; exe != "" {
		return exe
	}
	dir, err := os.MkdirTemp("", "pec-ingest-bench")
	if err != nil {
		tb.Fatal(err)
	}
	exe := filepath.Join(dir, "ingest")
	cmd := exec.Command("go", "build", "-o", exe, "pec-ingest/cmd/ingest")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("building the program: %v\n%s", err, out)
	}
	built["ingest"] = exe
	return exe
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if err := printTable(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if exe := built["ingest"]; exe != "" {
		_ = os.RemoveAll(filepath.Dir(exe))
	}
	os.Exit(code)
}
