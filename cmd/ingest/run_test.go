package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

var builtIn string // buildOnce's folder, removed by TestMain

var buildOnce = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "ingest-run")
	if err != nil {
		return "", err
	}
	builtIn = dir
	if err := os.Chmod(dir, 0o755); err != nil { // for tests that are another user
		return "", err
	}
	path := filepath.Join(dir, "ingest")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		os.Stderr.Write(out)
	}
	return path, err
})

// buildFront builds the program that the Debian package puts before ingest.
var buildFront = sync.OnceValues(func() (string, error) {
	program, err := buildOnce()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(program), "front", "ingest") // the name that the usage line shows
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-ldflags", "-X main.program="+program, "-o", path, "./front").CombinedOutput()
	if err != nil {
		os.Stderr.Write(out)
	}
	return path, err
})

// service is an `ingest run` as a process of its own.
type service struct {
	s      *studio
	cmd    *exec.Cmd
	log    *lockedBuffer
	notify *net.UnixConn // what it tells the service manager
	said   chan string   // the same, without the watchdog's
	barks  atomic.Int64  // of the watchdog
	ended  chan struct{}
	err    error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start begins `ingest run` and waits until it says that it is ready.
func (s *studio) start() *service {
	s.t.Helper()
	return s.startWith(buildOnce)
}

// startWith is start with one of the programs: buildOnce, buildFront.
func (s *studio) startWith(build func() (string, error)) *service {
	s.t.Helper()
	program, err := build()
	if err != nil {
		s.t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "n")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { os.RemoveAll(dir) })
	addr := filepath.Join(dir, "n")
	r := &service{s: s, log: &lockedBuffer{}, ended: make(chan struct{}), said: make(chan string, 10_000)}
	if r.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: addr, Net: "unixgram"}); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { r.notify.Close() })
	go r.listen()
	r.cmd = exec.Command(program, "--config", s.configPath(), "run")
	r.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+addr, "WATCHDOG_USEC=400000")
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	if err := r.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		defer close(r.ended)
		r.err = r.cmd.Wait()
	}()
	s.t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		<-r.ended
		if s.t.Failed() {
			s.t.Logf("the service's log:\n%s", r.log)
		}
	})
	r.told("READY=1")
	return r
}

// listen takes what the service manager is told, as it comes: the service
// waits for nobody who does not read, and its word would be lost.
func (r *service) listen() {
	buf := make([]byte, 4096)
	for {
		n, err := r.notify.Read(buf)
		if err != nil {
			close(r.said)
			return
		}
		if word := string(buf[:n]); word != "WATCHDOG=1" {
			r.said <- word
		} else {
			r.barks.Add(1)
		}
	}
}

// told waits until the service manager is told something.
func (r *service) told(want string) {
	r.s.t.Helper()
	for end := time.After(patience); ; {
		select {
		case word, ok := <-r.said:
			if ok && strings.Contains(word, want) {
				return
			} else if ok {
				continue
			}
		case <-end:
		}
		r.s.t.Fatalf("the service manager was never told %q\n%s", want, r.log)
	}
}

// stop ends the service as the service manager does.
func (r *service) stop() {
	r.s.t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		r.s.t.Fatal(err)
	}
	// That it takes five seconds at most is proved where time is simulated
	// (package ingest); here a service that could not end says so by its exit.
	select {
	case <-r.ended:
	case <-time.After(patience):
		r.s.t.Fatalf("still runs %v after SIGTERM\n%s", patience, r.log)
	}
	if r.err != nil {
		r.s.t.Errorf("after SIGTERM: got %v, want exit 0\n%s", r.err, r.log)
	}
}

// patience is how long a test waits for what takes a second when nothing else
// goes on: what is slow on a busy machine is no fault, what never comes is.
const patience = 3 * time.Minute

// within waits for a condition that a service brings about by itself.
func (s *studio) within(d time.Duration, what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(d); !ok(); {
		if time.Now().After(end) {
			s.t.Fatalf("not within %v: %s", d, what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (s *studio) has(mailbox, state string, version any) func() bool {
	return func() bool {
		row := s.status(mailbox)
		return row["state"] == state && row["version"] == version
	}
}

// A message arrives and is accepted within seconds; the server is stopped and
// comes back; SIGTERM ends it cleanly; the next start goes on.
func TestRun(t *testing.T) {
	s := newStudio(t, studioOptions{smtp: true, apart: true})
	r := s.start()
	s.deliver(s.submission(rossi, 1, passwords[rossi]))
	s.within(patience, "rossi accepted", s.has(rossi, "valid", 1.0))
	s.wantGet(rossi, passwords[rossi])
	s.within(patience, "the answer sent", func() bool { return len(s.sink.received()) == 1 })
	barks := r.barks.Load()
	s.within(patience, "the watchdog told", func() bool { return r.barks.Load() > barks })

	// A pass on request, by the daemon.
	s.once(sum{})
	// It may be at the next one already, if the server has said a word.
	s.within(patience, "status says how the service stands", func() bool { return strings.Contains(s.ok("status"), "watching the inbox") })
	if out := s.ok("check"); !strings.Contains(out, "service") {
		t.Errorf("check does not say that a service runs:\n%s", out)
	}
	// A second one is refused, the vault stays with the first.
	if got := s.exits(exitVault, "run"); !strings.Contains(got.stderr, "runs on this vault already") {
		t.Errorf("second service: got %s", got)
	}

	s.imap.Stop()
	s.within(patience, "status says that the inbox is gone", func() bool {
		return strings.Contains(s.ok("status"), "not reachable")
	})
	s.imap.Start()
	s.deliver(s.submission(bianchi, 1, passwords[bianchi]))
	s.within(patience, "bianchi accepted after the server came back", s.has(bianchi, "valid", 1.0))

	r.stop()
	if _, err := os.Lstat(filepath.Join(s.dir, "sock")); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
	s.wantState(bianchi, "valid", 1.0) // without the service
	s.deliver(s.submission(verdi, 1, passwords[verdi]))
	again := s.start()
	s.within(patience, "verdi accepted after the restart", s.has(verdi, "valid", 1.0))
	again.stop()
	s.wantLogins(rossi, 1, 0)
	for _, secret := range []string{passwords[rossi], passwords[bianchi], inboxPass} {
		if strings.Contains(r.log.String(), secret) {
			t.Error("a password is in the log")
		}
	}
}

// The inbox's password changes under the service: one refused login, no more,
// until another password is there, by file or by `set --inbox`.
func TestRunInboxRefused(t *testing.T) {
	s := newStudio(t, studioOptions{apart: true})
	r := s.start()
	s.within(patience, "signed in", func() bool { return strings.Contains(s.ok("status"), "watching the inbox") })
	before := s.imap.Logins(studioPEC)

	s.imap.SetPassword(studioPEC, "Nuova-1")
	s.imap.Kick(studioPEC)
	s.within(patience, "status says refused", func() bool {
		return strings.Contains(s.ok("status"), "refuses the password")
	})
	if got := s.exits(exitFailed, "once"); !strings.Contains(got.stderr, "not tried") {
		t.Errorf("a pass asked for meanwhile: got %s", got)
	}
	// Neither a restart nor a command by itself tries it again.
	r.stop()
	s.exits(exitFailed, "once")
	r = s.start()
	if got := s.imap.Logins(studioPEC).Refused - before.Refused; got != 1 {
		t.Errorf("the refused password was tried %d times, want once", got)
	}
	// A wrong one is not stored, the right one works within seconds.
	if got := s.runWith("Sbagliata\n", "set", "--inbox"); got.code != exitFailed || !strings.Contains(got.stderr, "not stored") {
		t.Errorf("wrong password: got %s", got)
	}
	if got := s.runWith("Nuova-1\n", "set", "--inbox"); got.code != exitOK || !strings.Contains(got.stdout, "valid until") {
		t.Fatalf("right password: got %s", got)
	}
	s.deliver(s.submission(rossi, 1, passwords[rossi]))
	s.within(patience, "accepted after set --inbox", s.has(rossi, "valid", 1.0))

	// Changed once more, now by the file.
	s.imap.SetPassword(studioPEC, "Nuova-2")
	s.imap.Kick(studioPEC)
	s.within(patience, "status says refused", func() bool {
		return strings.Contains(s.ok("status"), "refuses the password")
	})
	s.write("inbox-password", "Nuova-2\n", 0o600)
	s.deliver(s.submission(bianchi, 1, passwords[bianchi]))
	s.within(patience, "accepted after the file changed", s.has(bianchi, "valid", 1.0))
	if got := s.imap.Logins(studioPEC).Refused - before.Refused; got != 3 {
		t.Errorf("got %d refused logins, want 3: two closed passwords and one typed wrong", got)
	}
	r.stop()
}

// A broken configuration is not taken over; a good one is.
func TestRunReload(t *testing.T) {
	s := newStudio(t, studioOptions{apart: true})
	r := s.start()
	good, err := os.ReadFile(s.configPath())
	if err != nil {
		t.Fatal(err)
	}
	hangup := func() {
		t.Helper()
		if err := r.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		r.told("RELOADING=1")
		r.told("READY=1")
	}
	for _, bad := range []string{"[inbox\n", "\n[studio2]\nx = 1\n", strings.Replace(string(good), `socket = `, "readers = [\"no-such-group-here\"]\nsocket = ", 1),
		strings.Replace(string(good), "vault.db", "other.db", 1)} {
		if strings.HasPrefix(bad, "\n") || strings.HasPrefix(bad, "[inbox\n") {
			bad = string(good) + bad
		}
		s.write("config.toml", bad, 0o644)
		refused := func() int { return strings.Count(r.log.String(), "event=config.refused") }
		before := refused()
		hangup()
		s.within(patience, "a line in the log about the bad configuration", func() bool { return refused() == before+1 })
	}
	better := strings.Replace(string(good), `name = "Studio Prova"`, `name = "Studio Nuovo"`, 1)
	s.write("config.toml", strings.Replace(better, "[vault]\n", "[vault]\ntouch_dir = \"changed\"\n", 1), 0o644)
	hangup()
	s.within(patience, "the new configuration in use", func() bool { return strings.Contains(r.log.String(), "event=config.reloaded") })
	s.deliver(s.submission(rossi, 1, passwords[rossi]))
	s.within(patience, "accepted after the reload", s.has(rossi, "valid", 1.0))
	s.within(patience, "the new touch_dir in use", func() bool {
		_, err := os.Stat(filepath.Join(s.dir, "changed", rossi))
		return err == nil
	})
	r.stop()
}

// A start that fails is one entry of the journal, with what to do, and STATUS=.
func TestRunFails(t *testing.T) {
	program, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(config, []byte("[inbox]\nhots = \"a\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "@pec-ingest-" + filepath.Base(dir) + strconv.Itoa(os.Getpid()), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()
	for format, want := range map[string]string{"journal": "<3>the service can't go on: ", "text": "ingest: error: "} {
		cmd := exec.Command(program, "--config", config, "--log-format", format, "run")
		cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+notify.LocalAddr().String())
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if _ = cmd.Run(); cmd.ProcessState.ExitCode() != exitConfig {
			t.Errorf("%s: got exit %d, want %d", format, cmd.ProcessState.ExitCode(), exitConfig)
		}
		if !strings.HasPrefix(stderr.String(), want) || !strings.Contains(stderr.String(), "hots") || strings.Count(stderr.String(), "hots") != 1 {
			t.Errorf("%s: got %q, want it once, after %q", format, stderr.String(), want)
		}
		buf := make([]byte, 4096)
		_ = notify.SetReadDeadline(time.Now().Add(patience))
		n, err := notify.Read(buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), "STATUS=") || !strings.Contains(string(buf[:n]), "hots") {
			t.Errorf("%s: the service manager was told %q, %v", format, buf[:n], err)
		}
	}
}
