package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/vault"
)

// fill puts so many bytes of other things than passwords into the vault.
func (s *studio) fill(size int) {
	s.t.Helper()
	const piece = 400 << 10
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			s.t.Fatal(err)
		}
		return b
	}
	v, err := vault.Open(vault.Options{Path: s.vaultPath(), Recipients: read("recipients.txt"), Identity: read("identity.txt")})
	if err != nil {
		s.t.Fatal(err)
	}
	for n := 1; size > 0; n++ {
		b := make([]byte, piece)
		_, _ = rand.Read(b)
		err := v.Update(s.t.Context(), func(tx *vault.Tx) error {
			return tx.PutBlob(vault.Blob{SubmissionID: "filler", File: 1, Piece: n, Sealed: b, Label: vault.Label{Mailbox: rossi}})
		})
		if err != nil {
			s.t.Fatal(err)
		}
		size -= piece * 4 / 3
	}
	if err := v.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// A vault of any size goes over the socket, and neither side holds it in
// memory.
func TestBackupOfALargeVault(t *testing.T) {
	t.Parallel()
	s := bareStudio(t, "")
	s.ok("client", "add", rossi)
	if r := s.runWith("Xk7pQ2\n", "set", rossi); r.code != exitOK {
		t.Fatal(r)
	}
	const size = 140 << 20
	s.fill(size)
	service := s.start()
	before, _ := memory(service.cmd.Process.Pid, "RssAnon:")
	file := filepath.Join(t.TempDir(), "b", "copy.db")
	program, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command(program, "--config", s.configPath(), "backup", file)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	used, err := waitPeak(cmd)
	if err != nil || !strings.Contains(out.String(), "checked") {
		t.Fatalf("backup: got %v\n%s", err, out.String())
	}
	info, err := os.Stat(file)
	if err != nil || info.Size() < size || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup: got %v, %v, want more than %d bytes, 0600", info, err, size)
	}
	if sum, err := vault.VerifyFile(file); err != nil || sum.Versions != 1 {
		t.Errorf("the backup: got %+v, %v", sum, err)
	}
	t.Logf("memory of the command: %d MiB", used>>20)
	if limit := 80 << 20; used > limit || used == 0 { // of them the program itself about 40
		t.Errorf("memory of the command: got %d MiB, want %d at most", used>>20, limit>>20)
	}
	after, err := memory(service.cmd.Process.Pid, "RssAnon:")
	if err != nil || after-before > 32<<20 {
		t.Errorf("memory of the service: grew by %d MiB, %v, want 32 at most", (after-before)>>20, err)
	}
}

// waitPeak waits for a command that was started, and tells the most memory in
// bytes that it had, looked at until it ends. (Its rusage begins with that of
// the process it was started by.)
func waitPeak(cmd *exec.Cmd) (most int, err error) {
	peak := make(chan int)
	go func() {
		last := 0
		for {
			now, err := memory(cmd.Process.Pid, "VmHWM:")
			if err != nil {
				peak <- last
				return
			}
			last = now
			time.Sleep(5 * time.Millisecond)
		}
	}()
	err = cmd.Wait()
	return <-peak, err
}

// memory reads one line of a process's status, in bytes.
func memory(pid int, name string) (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(b), name)
	if !ok {
		return 0, fmt.Errorf("no %s: the process has ended", name)
	}
	var kilobytes int
	_, err = fmt.Sscan(rest, &kilobytes)
	return kilobytes << 10, err
}

// A backup whose stream is cut, wherever that happens, leaves no file.
func TestBackupCut(t *testing.T) {
	t.Parallel()
	s := bareStudio(t, "")
	s.ok("client", "add", rossi)
	if r := s.runWith("Xk7pQ2\n", "set", rossi); r.code != exitOK {
		t.Fatal(r)
	}
	s.fill(4 << 20)
	s.start()
	text, err := os.ReadFile(s.configPath())
	if err != nil {
		t.Fatal(err)
	}
	top := filepath.Dir(s.dir)
	s.write("cut.toml", strings.Replace(string(text), filepath.Join(top, "sock"), filepath.Join(top, "cut"), 1), 0o600)
	whole := 0
	through := func(limit int) (result, []os.DirEntry) {
		stop := cutAfter(t, filepath.Join(top, "cut"), filepath.Join(top, "sock"), limit, &whole)
		defer stop()
		dir := filepath.Join(t.TempDir(), "b")
		r := runCommand(t.Context(), "", "--config", filepath.Join(s.dir, "cut.toml"), "backup", filepath.Join(dir, "copy.db"))
		left, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return r, left
	}
	if r, left := through(1 << 30); r.code != exitOK || len(left) != 1 {
		t.Fatalf("not cut: got %s\nfiles: %v", r, left)
	}
	all := whole
	// The last bytes are the answer to what follows: "the backup is good".
	for _, limit := range []int{0, 10, 200, 5000, all / 3, all / 2, all - 100_000, all - 300} {
		r, left := through(limit)
		if r.code != exitFailed || len(left) != 0 || !strings.Contains(r.stderr, "hint: ") {
			t.Errorf("cut after %d of %d bytes: got %s\nfiles: %v", limit, all, r, left)
		}
	}
	s.wantGet(rossi, "Xk7pQ2")
}

// cutAfter listens at path and lets through what goes to and fro the socket
// to, until limit bytes of answers have passed: then it cuts. whole gets how
// many passed.
func cutAfter(t *testing.T, path, to string, limit int, whole *int) (stop func()) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		*whole = 0
		for {
			front, err := l.Accept()
			if err != nil {
				return
			}
			// A command that waits for long looks for a sign of life, too: its
			// bytes are none of the backup's.
			request := bufio.NewReader(front)
			if begin, _ := request.Peek(len("POST /v1/daemon")); string(begin) == "POST /v1/daemon" {
				front.Close()
				continue
			}
			back, err := net.Dial("unix", to)
			if err != nil {
				front.Close()
				return
			}
			go func() { _, _ = io.Copy(back, request); back.Close() }()
			n, _ := io.CopyN(front, back, int64(limit-*whole))
			*whole += int(n)
			front.Close()
			back.Close()
		}
	}()
	return func() {
		l.Close()
		<-done
	}
}
