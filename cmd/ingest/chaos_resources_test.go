package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pec-ingest/internal/servertest"
)

// What the disk says, by strace's fault injection: no library in between, the
// program itself gets the error, or waits.
var diskFaults = []struct {
	name, inject string
	slow         bool // nothing fails, it only takes long
}{
	{"the third sync fails", "fdatasync:error=EIO:when=3", false},
	{"every sync fails", "fdatasync:error=EIO", false},
	{"syncs fail from the ninth on", "fdatasync:error=EIO:when=9+", false},
	{"the fifth write fails", "pwrite64:error=EIO:when=5", false},
	{"every write says that the disk is full", "pwrite64:error=ENOSPC", false},
	{"writes say that the disk is full from the 30th on", "pwrite64:error=ENOSPC:when=30+", false},
	{"the quota is used up", "pwrite64:error=EDQUOT:when=12+", false},
	{"the disk is read-only suddenly", "pwrite64,fdatasync,ftruncate:error=EROFS:when=20+", false},
	{"each sync takes a second", "fdatasync:delay_enter=1000000", true},
	{"each write takes 20 ms", "pwrite64:delay_enter=20000", true},
}

// TestChaosDisk makes the disk fail below a pass, or slow, and compares the end
// with that of an undisturbed one.
func TestChaosDisk(t *testing.T) {
	t.Parallel()
	strace := servertest.Require(t, "strace")
	program, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	faults := some(diskFaults, 6)
	if !chaosLong() {
		faults = append(faults, diskFaults[len(diskFaults)-1])
	}
	// strace counts the calls of each thread by themselves, and how the program's
	// are spread among its threads is chance: a fault may not come at once.
	const tries = 5
	s := newKillStudio(t, program, time.Now().Truncate(time.Second), tries*len(faults)+1)
	want := s.undisturbed(weather{})
	played := 0
	// play tells whether the fault came.
	play := func(name, inject string, slow bool) bool {
		played++
		before := s.prepare(played)
		trace := filepath.Join(t.TempDir(), "trace")
		cmd := exec.Command(strace, "-f", "-qq", "-o", trace, "-e", "trace=pwrite64,fdatasync,ftruncate", "-e", "inject="+inject,
			program, "--config", s.configPath(), "once", "--warn")
		out, err := cmd.CombinedOutput()
		if bytes.Contains(out, []byte("ptrace")) {
			t.Skipf("strace may not trace here: %s", out)
		}
		calls := readText(t, trace)
		came := strings.Contains(calls, "(INJECTED)") || strings.Contains(calls, "(DELAYED)")
		switch fails := came && !slow; {
		case !fails && err != nil:
			t.Errorf("%s: %v\n%s", name, err, out)
		case fails && (err == nil || !bytes.Contains(out, []byte("ingest: error: "))):
			t.Errorf("%s: got %v, want an error\n%s", name, err, out)
		case bytes.Contains(out, []byte("goroutine ")):
			t.Errorf("%s: a panic\n%s", name, out)
		}
		s.recover(played, before)
		wantSame(t, name, want, s.ending(played, before))
		return came
	}
	for _, f := range faults {
		came := false
		for n := 0; n < tries && !came; n++ {
			came = play(f.name, f.inject, f.slow)
		}
		if !came {
			t.Errorf("%s: it never came", f.name)
		}
	}
}

// TestChaosReadOnly remounts the vault's file system read-only under a running
// service, and lets it be written again.
func TestChaosReadOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m,mode=0700"); err != nil {
		t.Skipf("a file system can't be mounted here (%v)", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	s := newStudio(t, studioOptions{vault: dir})
	s.ok("status")
	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|flags, "size=16m,mode=0700"); err != nil {
			t.Skipf("remounting: %v", err)
		}
	}
	remount(syscall.MS_RDONLY)
	s.deliver(s.submission(rossi, 1, passwords[rossi]))
	before := s.snapshot("INBOX")
	r := s.run("once")
	if r.code == exitOK || !strings.Contains(r.stderr, "ingest: hint: ") {
		t.Errorf("on a read-only disk: got %s, want an error with a hint", r)
	}
	if s.snapshot("INBOX") != before {
		t.Error("the inbox was touched although nothing could be stored")
	}
	s.wantLogins(rossi, 0, 0)
	remount(0)
	s.once(sum{Seen: 1, Accepted: 1})
	s.wantGet(rossi, passwords[rossi])
}

// TestChaosDescriptors lets the service have very few file descriptors: it
// goes on with what it has, and everything comes through in the end.
func TestChaosDescriptors(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{apart: true, smtp: true})
	r := s.start()
	s.deliver(s.submission(rossi, 1, passwords[rossi]))
	s.within(patience, "rossi accepted", s.has(rossi, "valid", 1.0))
	s.within(patience, "the answer sent", func() bool { return len(s.sink.received()) == 1 })
	s.within(patience, "watching again", func() bool { return strings.Contains(s.ok("status"), "watching the inbox") })
	used := descriptors(t, r.cmd.Process.Pid)
	limit := func(n int) {
		t.Helper()
		out, err := exec.Command("prlimit", "--pid", strconv.Itoa(r.cmd.Process.Pid), fmt.Sprintf("--nofile=%d:4096", n)).CombinedOutput()
		if err != nil {
			t.Skipf("prlimit: %v\n%s", err, out)
		}
	}
	// Not one more: no socket call, no probe, no mail. The limit is one on
	// numbers, and those below this one are taken for good; with that of the
	// moment there would be room for what was open for the moment.
	limit(3)
	s.deliver(s.submission(bianchi, 1, passwords[bianchi]))
	s.within(patience, "the message judged", func() bool { return strings.Contains(r.log.String(), "mailbox="+bianchi) })
	s.imap.Kick(studioPEC) // nor can it sign in again; it may have lost its session already
	s.within(patience, "the trouble in the log", func() bool { return noSession.MatchString(r.log.String()) })
	limit(4096)
	s.within(patience, "bianchi stored after descriptors are free again", func() bool {
		row := s.status(bianchi)
		return row["state"] == "valid" || row["state"] == "unverified"
	})
	s.deliver(s.submission(verdi, 1, passwords[verdi]))
	s.within(patience, "verdi accepted", s.has(verdi, "valid", 1.0))
	if now := descriptors(t, r.cmd.Process.Pid); now > used+8 {
		t.Errorf("%d descriptors are open, %d before", now, used)
	}
	r.stop()
}

// noSession is how the log says that there is no descriptor for a session with
// the inbox: be it for the connection or for the password's file.
var noSession = regexp.MustCompile(`event=inbox\.unreachable|inbox\.password_file: .*too many open files`)

// descriptors counts a process's open files.
func descriptors(t *testing.T, pid int) int {
	t.Helper()
	list, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "fd"))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
