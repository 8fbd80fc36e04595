package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pec-ingest/internal/safetext"
	"pec-ingest/internal/vault"
	"pec-ingest/internal/web"
)

// bareStudio is an installation without mail servers and without probes, for
// what only vault and service have to do with. It lies below a folder that
// every user may enter.
func bareStudio(t *testing.T, config string) *studio {
	t.Helper()
	top, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	if err := os.Chmod(top, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &studio{t: t, dir: filepath.Join(top, "etc"), vaultDir: filepath.Join(top, "vault")}
	s.ok("init", s.dir)
	text := `[inbox]
host = "127.0.0.1"
port = 9
username = "studio@pec.studio.example"
[probe]
enabled = false
[vault]
url = "bbolt://` + s.vaultPath() + `"
identity_file = "identity.txt"
[web]
listen = ""
socket = "` + filepath.Join(top, "sock") + `"
` + config
	s.write("config.toml", text, 0o644)
	s.write("../config.toml", text, 0o644)
	return s
}

// program runs the built program with the studio's configuration, as a user.
func (s *studio) program(uid int, args ...string) result {
	s.t.Helper()
	return s.built(buildOnce, uid, args...)
}

// built is program with one of the programs: buildOnce, buildFront.
func (s *studio) built(build func() (string, error), uid int, args ...string) result {
	s.t.Helper()
	program, err := build()
	if err != nil {
		s.t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(s.t.Context(), program, args...)
	config := s.configPath()
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if uid != 0 {
		config = filepath.Join(filepath.Dir(s.dir), "config.toml") // s.dir is the owner's, for the keys in it
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	cmd.Env = append(os.Environ(), "PEC_INGEST_CONFIG="+config)
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// slowly is a flag that changes nothing but makes `get` go the way of all
// commands.
const slowly = "--log-level=info"

// quickPatience is how long a service may take before `get` goes the way of
// all commands after all, as may happen on a very busy machine.
const quickPatience = 5 * time.Second

// `get` answers the same, to the byte, whether it does so before the rest of
// the program has begun or goes the way of all commands.
func TestQuickGetSaysTheSame(t *testing.T) {
	t.Parallel()
	s := bareStudio(t, "")
	for _, mailbox := range []string{rossi, bianchi, verdi, neri} {
		s.ok("client", "add", mailbox)
	}
	set := func(mailbox, password string, flags ...string) {
		t.Helper()
		if r := s.runWith(password+"\n", append([]string{"set", mailbox}, flags...)...); r.code != exitOK {
			t.Fatalf("set %s: got %s", mailbox, r)
		}
	}
	set(rossi, `X "k7\p`+"\t€ ")
	set(bianchi, "first", "--login", "M1")
	set(bianchi, "second", "--login", "M2")
	set(neri, "past", "--expires", date(1, "2006-01-02"))
	lines := []struct {
		args []string
		code int
	}{
		{[]string{"get", rossi}, exitOK},
		{[]string{"get", strings.ToUpper(rossi)}, exitOK},
		{[]string{"get", "--config", s.configPath(), rossi}, exitOK},
		{[]string{"get", rossi, "--config=" + s.configPath()}, exitOK},
		{[]string{"get", bianchi, "--login", "M1"}, exitOK},
		{[]string{"get", bianchi, "--login=M2"}, exitOK},
		{[]string{"get", bianchi}, exitNeedsPerson},
		{[]string{"get", bianchi, "--login", "M3"}, exitNotFound},
		{[]string{"get", neri}, exitOK},
		{[]string{"get", verdi}, exitNotFound},
		{[]string{"get", "nessuno@pec.example"}, exitNotFound},
		{[]string{"get", "perché@pec.example"}, exitNotFound},
		{[]string{"get", `a"b\c@pec.example`}, exitNotFound},
		{[]string{"get", rossi, "--nonsense"}, exitUsage},
		{[]string{"get", rossi, bianchi}, exitUsage},
		{[]string{"get"}, exitUsage},
		{[]string{"get", rossi, "--login"}, exitUsage},
		{[]string{"get", rossi, "--config", "nessuno.toml"}, exitConfig},
		{[]string{"get", rossi, "--config="}, exitConfig},
	}
	compare := func(when string) {
		t.Helper()
		for _, l := range lines {
			slow := s.program(0, append([]string{slowly}, l.args...)...)
			if slow.code != l.code {
				t.Errorf("%s, ingest %q: got %v, want exit %d", when, l.args, slow, l.code)
			}
			if quick := s.program(0, l.args...); quick != slow {
				t.Errorf("%s, ingest %q: got %v\nwant what the long way gives: %v", when, l.args, quick, slow)
			}
			if front := s.built(buildFront, 0, l.args...); front != slow {
				t.Errorf("%s, the front of ingest %q: got %v\nwant what the long way gives: %v", when, l.args, front, slow)
			}
		}
	}
	compare("without a service")
	service := s.start()
	compare("with a service")
	if got := s.program(0, "get", rossi); got.stdout != `X "k7\p`+"\t€ \n" {
		t.Errorf("get: got %q", got.stdout)
	}
	s.mayRead(t)
	service.stop()
	compare("after the service")
}

// mayRead looks at a user without rights, and at the audit log after.
func (s *studio) mayRead(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Log("not root: other users were left out")
		return
	}
	const nobody = 65534
	// Without groups in web.readers the socket is for root and the service.
	if r := s.program(nobody, "get", rossi); r.code != exitFailed || r.stdout != "" || !strings.Contains(r.stderr, "not for this user") {
		t.Errorf("get as nobody: got %s", r)
	}
}

// A user without rights gets nothing, is told why, and stands in the audit log
// once, though two ways lead to the service.
func TestQuickGetRefused(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	s := bareStudio(t, "readers = [\"root\"]\n")
	s.ok("client", "add", rossi)
	if r := s.runWith("Xk7pQ2\n", "set", rossi); r.code != exitOK {
		t.Fatal(r)
	}
	service := s.start()
	const nobody = 65534
	impatient := false
	want := result{exitFailed, "", "ingest: error: not permitted\n" +
		"ingest: hint: ask the administrator to add your group to web.readers or web.admins\n"}
	for _, build := range []func() (string, error){buildOnce, buildFront} {
		begun := time.Now()
		r := s.built(build, nobody, "get", rossi)
		impatient = impatient || time.Since(begun) > quickPatience
		if r != want {
			t.Errorf("got %s\nwant %s", r, want)
		}
	}
	service.stop() // tells what is left to be told
	rows := s.rows("audit", "--json")
	refused := 0 // several are one entry with a count
	for _, row := range rows {
		if row["event"] == "socket.refused" {
			n := 0
			if _, err := fmt.Sscanf(row["detail"].(string), "asked for get, %d times", &n); err != nil {
				t.Error(err)
			}
			refused += n
		}
		if row["event"] == "secret.read" {
			t.Errorf("the audit log has a read: %v", row)
		}
	}
	if refused != 2 && !impatient {
		t.Errorf("refusals in the audit log: got %d, want one of each program: %v", refused, rows)
	}
}

// What runs before a plain `get` is answered is counted: the packages that
// Go initializes, and what they allocate.
func TestQuickGetStart(t *testing.T) {
	t.Parallel()
	s := bareStudio(t, "")
	s.ok("client", "add", rossi)
	if r := s.runWith("Xk7pQ2\n", "set", rossi); r.code != exitOK {
		t.Fatal(r)
	}
	s.start()
	program, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	trace := func(args ...string) (packages []string, bytes int) {
		cmd := exec.Command(program, append([]string{"--config", s.configPath()}, args...)...)
		cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if out, err := cmd.Output(); err != nil || string(out) != "Xk7pQ2\n" {
			t.Fatalf("get: got %q, %v\n%s", out, err, stderr.String())
		}
		for _, m := range regexp.MustCompile(`(?m)^init (\S+) .* (\d+) bytes`).FindAllStringSubmatch(stderr.String(), -1) {
			packages = append(packages, m[1])
			n := 0
			for _, d := range m[2] {
				n = 10*n + int(d-'0')
			}
			bytes += n
		}
		return packages, bytes
	}
	var packages []string
	var allocated int
	for impatient := true; impatient; { // a get that lost its patience went on to the rest
		begun := time.Now()
		packages, allocated = trace("get", rossi)
		impatient = time.Since(begun) > quickPatience
	}
	all, allAllocated := trace(slowly, "get", rossi)
	t.Logf("%d packages with %d bytes before the answer, %d with %d before the other way begins", len(packages), allocated, len(all), allAllocated)
	// 16 and 20 kB when this was written.
	if len(packages) > 30 || allocated > 64<<10 || len(all) < 2*len(packages) {
		t.Errorf("before the answer: %d packages, %d bytes; want at most 30, 64 kB: %v", len(packages), allocated, packages)
	}
	for _, p := range packages {
		switch p {
		case "os", "net", "net/http", "regexp", "encoding/json", "github.com/alecthomas/kong", "pec-ingest/internal/config", "main":
			t.Errorf("%s is initialized before a plain get is answered", p)
		}
	}
}

// A service that hangs keeps no mail program for ever.
func TestGetFromSilentService(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path) // the kernel takes connections, nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := web.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := &remote{client: c, patience: 20 * time.Millisecond}
	_, err = r.Get(t.Context(), "", rossi, "", time.Time{})
	if err == nil || exitCode(err) != exitFailed || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("got %v, want that the service does not answer", err)
	}
}

// What was typed is quoted in errors, and does nothing in a terminal.
func TestErrorsAreText(t *testing.T) {
	t.Parallel()
	s := bareStudio(t, "")
	for _, args := range [][]string{{"get", "x\x1b[31m\u202ey"}, {"--\x1b]0;x\x07"}, {"status", "\r\x1b[2Jy"}} {
		if r := s.run(args...); r.code == exitOK || r.stderr != safetext.Text(r.stderr) {
			t.Errorf("%q: got %q", args, r.stderr)
		}
	}
}

// A record that does not open hands out nothing; the audit log has the read
// that was begun, and that it gave nothing.
func TestGetUnreadable(t *testing.T) {
	t.Parallel()
	s := bareStudio(t, "")
	for _, mailbox := range []string{rossi, bianchi} {
		s.ok("client", "add", mailbox)
		if r := s.runWith("Xk7pQ2\n", "set", mailbox); r.code != exitOK {
			t.Fatal(r)
		}
	}
	v, err := vault.Open(vault.Options{Path: s.vaultPath(), Recipients: []byte(s.read("recipients.txt")), Identity: []byte(s.read("identity.txt"))})
	if err != nil {
		t.Fatal(err)
	}
	err = v.Update(t.Context(), func(tx *vault.Tx) error { // one password under the other's name
		first := func(mailbox string) (v vault.Version, err error) {
			list, err := tx.CredentialsOf(mailbox)
			if err == nil {
				v, _, err = tx.Version(mailbox, list[0].Login, 1)
			}
			return v, err
		}
		own, err1 := first(rossi)
		other, err2 := first(bianchi)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		own.Sealed = other.Sealed
		return tx.PutVersion(own)
	})
	if err := errors.Join(err, v.Close()); err != nil {
		t.Fatal(err)
	}
	if r := s.exits(exitVault, "get", rossi); r.stdout != "" {
		t.Errorf("get: got %q", r.stdout)
	}
	s.ok("get", bianchi)
	var events []string
	for _, row := range s.rows("audit", "--json") {
		if e := row["event"].(string); row["mailbox"] == rossi && e != "client.added" && e != "credential.set" {
			events = append(events, e)
		}
	}
	if want := []string{vault.EventRead, "credential.unreadable"}; !slices.Equal(events, want) {
		t.Errorf("got %v, want %v", events, want)
	}
	s.ok("audit", "--verify")
}
