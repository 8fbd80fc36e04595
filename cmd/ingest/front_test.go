package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What the Debian package installs as `ingest` is the whole program to
// everybody: the service keeps its process, commands their answers, and what is
// written into other programs' settings names the front.
func TestFront(t *testing.T) {
	t.Parallel()
	s := bareStudio(t, "")
	s.ok("client", "add", rossi)
	if r := s.runWith("Xk7pQ2\n", "set", rossi); r.code != exitOK {
		t.Fatal(r)
	}
	front, err := buildFront()
	if err != nil {
		t.Fatal(err)
	}
	program, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	service := s.startWith(buildFront) // and waits for what it tells the manager
	started := fmt.Sprintf("/proc/%d/", service.cmd.Process.Pid)
	if exe, err := os.Readlink(started + "exe"); err != nil || exe != program {
		t.Errorf("the process that was started is %q, %v, want %q", exe, err, program)
	}
	for _, args := range [][]string{{"version"}, {}, {"get", "--help"}, {"client", "nonsense"}, {"status", "--json"}, {"completion", "bash"}} {
		if got, want := s.built(buildFront, 0, args...), s.program(0, args...); got != want {
			t.Errorf("ingest %q: got %v\nwant %v", args, got, want)
		}
	}
	if r := s.built(buildFront, 0, "profile", rossi, "--for", "json"); r.code != exitOK || !strings.Contains(r.stdout, front) {
		t.Errorf("profile: got %s\nwant it to name %s", r, front)
	}
	service.stop()
}

// A front without its program says what to do.
func TestFrontAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ingest")
	missing := path + ".missing"
	if out, err := exec.Command("go", "build", "-ldflags", "-X main.program="+missing, "-o", path, "./front").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(path, "version")
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != exitFailed || !strings.Contains(string(out), missing+": no such file") || !strings.Contains(string(out), "\ningest: hint: ") {
		t.Errorf("got %v, %q", err, out)
	}
}
