package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// alone runs the program as a process without a terminal, with more in its
// environment.
func (s *studio) alone(env []string, args ...string) result {
	s.t.Helper()
	return s.process(&syscall.SysProcAttr{Setsid: true}, nil, env, args...)
}

func (s *studio) process(attr *syscall.SysProcAttr, tty *os.File, env []string, args ...string) result {
	s.t.Helper()
	program, err := buildOnce()
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append([]string{"--config", s.configPath()}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = &stdout, &stderr, attr
	cmd.Env = append(os.Environ(), env...)
	if tty != nil {
		cmd.ExtraFiles = []*os.File{tty}
		attr.Ctty = 3
	}
	if err := cmd.Run(); cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// wantHint compares how a command ended, and what it says.
func wantHint(t *testing.T, what string, r result, code int, words ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("%s: got %v, want exit %d", what, r, code)
	}
	for _, w := range words {
		if !strings.Contains(r.stdout+r.stderr, w) {
			t.Errorf("%s: got %v, want %q in it", what, r, w)
		}
	}
}

const passphrase = "quattro parole, un punto."

func (s *studio) withPassword() {
	s.t.Helper()
	s.deliver(s.submission(rossi, 60, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
}

// An identity under a passphrase: from a file, from systemd's credentials, and
// what is said where it is missing or wrong.
func TestProtectedIdentity(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	s.withPassword()
	plain := s.read("identity.txt")
	s.protect("identity.txt", passphrase)
	locked := s.read("identity.txt")

	wantHint(t, "nobody to ask", s.alone(nil, "get", rossi), exitVault, "protected by a passphrase", "vault.identity_passphrase_file")
	wantHint(t, "check without it", s.alone(nil, "check"), exitFailed, "asked for on the terminal")

	s.edit("[vault]\n", "[vault]\nidentity_passphrase_file = \"passphrase\"\n")
	wantHint(t, "no such file", s.alone(nil, "get", rossi), exitVault, "vault.identity_passphrase_file", "$CREDENTIALS_DIRECTORY (not set", s.dir)
	s.write("passphrase", "un'altra\n", 0o600)
	wantHint(t, "the wrong passphrase", s.run("get", rossi), exitVault, "does not open it", "recovery key")
	s.write("passphrase", passphrase+"\n", 0o600)
	chmod(t, filepath.Join(s.dir, "passphrase"), 0o644)
	wantHint(t, "a passphrase for all", s.run("get", rossi), exitVault, "mode 0600")
	chmod(t, filepath.Join(s.dir, "passphrase"), 0o600)
	s.wantGet(rossi, passwords[rossi])
	wantHint(t, "check with the file beside it", s.run("check"), exitOK, "protected by the passphrase", "protects nothing")
	s.write("identity.txt", locked[:len(locked)-40], 0o600)
	wantHint(t, "a damaged identity", s.run("get", rossi), exitVault, "opening the protected identity")

	// As systemd hands them to a service: readable for the group, in a folder
	// of its own.
	credentials := t.TempDir()
	for name, text := range map[string]string{"identity.txt": locked, "passphrase": passphrase} {
		if err := os.WriteFile(filepath.Join(credentials, name), []byte(text), 0o440); err != nil {
			t.Fatal(err)
		}
		remove(t, filepath.Join(s.dir, name))
	}
	env := []string{"CREDENTIALS_DIRECTORY=" + credentials}
	if r := s.alone(env, "get", rossi); r.code != exitOK || r.stdout != passwords[rossi]+"\n" {
		t.Errorf("from credentials: got %v", r)
	}
	wantHint(t, "check with credentials", s.alone(env, "check"), exitOK, "a credential of systemd", credentials)
	wantHint(t, "without credentials", s.alone(nil, "get", rossi), exitVault, "vault.identity_file", "$CREDENTIALS_DIRECTORY (not set", s.dir, "LoadCredential=identity.txt:")
	remove(t, filepath.Join(credentials, "identity.txt"))
	wantHint(t, "one credential is missing", s.alone(env, "get", rossi), exitVault, "$CREDENTIALS_DIRECTORY ("+credentials+")", s.dir)
	if err := os.WriteFile(filepath.Join(credentials, "identity.txt"), []byte("\n"), 0o400); err != nil {
		t.Fatal(err)
	}
	wantHint(t, "an empty credential", s.alone(env, "get", rossi), exitVault, "empty", "LoadCredential=identity.txt")
	if err := os.WriteFile(filepath.Join(credentials, "identity.txt"), []byte(plain), 0o400); err != nil {
		t.Fatal(err)
	}
	if r := s.alone(env, "get", rossi); r.code != exitOK {
		t.Errorf("a plain identity from credentials: got %v", r)
	}
}

// The service starts by itself with both as credentials.
func TestServiceWithProtectedIdentity(t *testing.T) {
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	s.withPassword()
	s.edit("[vault]\n", "[vault]\nidentity_passphrase_file = \"passphrase\"\n")
	s.protect("identity.txt", passphrase)
	credentials := t.TempDir()
	for name, text := range map[string]string{"identity.txt": s.read("identity.txt"), "passphrase": passphrase} {
		if err := os.WriteFile(filepath.Join(credentials, name), []byte(text), 0o440); err != nil {
			t.Fatal(err)
		}
	}
	remove(t, filepath.Join(s.dir, "identity.txt"))
	t.Setenv("CREDENTIALS_DIRECTORY", credentials)
	s.start()
	s.wantGet(rossi, passwords[rossi])
	wantHint(t, "check through the service", s.run("check"), exitOK, "a credential of systemd", "protected by the passphrase")
}

// Each missing password of the studio's own names the places looked at.
func TestMissingPasswordFile(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	remove(t, filepath.Join(s.dir, "inbox-password"))
	credentials := t.TempDir()
	wantHint(t, "check", s.alone([]string{"CREDENTIALS_DIRECTORY=" + credentials}, "check"), exitFailed,
		"inbox.password_file", "("+credentials+")", s.dir, "LoadCredential=inbox-password:", "set --inbox")
	wantHint(t, "once", s.alone([]string{"CREDENTIALS_DIRECTORY="}, "once"), exitFailed, "inbox.password_file", "not set", s.dir)
	// What the unit's default gives where root's file is missing.
	if err := os.WriteFile(filepath.Join(credentials, "inbox-password"), []byte("\n"), 0o440); err != nil {
		t.Fatal(err)
	}
	wantHint(t, "an empty credential", s.alone([]string{"CREDENTIALS_DIRECTORY=" + credentials}, "check"), exitFailed,
		"inbox.password_file", "empty", "LoadCredential=inbox-password", filepath.Join(s.dir, "private", "inbox-password"))
	if err := os.Mkdir(filepath.Join(s.dir, "private"), 0o700); err != nil {
		t.Fatal(err)
	}
	wantHint(t, "with a private folder", s.alone(nil, "check"), exitFailed, s.dir+" and "+filepath.Join(s.dir, "private"))
	s.edit(`"inbox-password"`, `"/nowhere/inbox-password"`)
	if r := s.alone(nil, "check"); strings.Contains(r.stdout, "CREDENTIALS") || !strings.Contains(r.stdout, "/nowhere/inbox-password") {
		t.Errorf("a path that is no plain name: %s", r.stdout)
	}
}

// A service without the inbox's password says so, and goes on by itself once
// it is there.
func TestServiceWaitsForPassword(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	remove(t, filepath.Join(s.dir, "inbox-password"))
	s.start()
	s.within(patience, "the status that says so", func() bool {
		out := s.run("status").stdout
		return strings.Contains(out, "waiting for the inbox's password") && strings.Contains(out, "inbox.password_file")
	})
	wantHint(t, "check", s.run("check"), exitFailed, "$CREDENTIALS_DIRECTORY (not set", s.dir)
	s.deliver(s.submission(rossi, 60, passwords[rossi]))
	s.write("inbox-password", inboxPass+"\n", 0o600)
	s.within(patience, "the password, once the inbox's is there", s.has(rossi, "valid", 1.0))
}

// terminal is a pseudo terminal: what the program shows, and what is typed.
type terminal struct {
	*os.File
	tty   *os.File
	shown *lockedBuffer
}

func openTerminal(t *testing.T) *terminal {
	t.Helper()
	p, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	if err := unix.IoctlSetPointerInt(int(p.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(p.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	term := &terminal{p, tty, &lockedBuffer{}}
	go func() { _, _ = io.Copy(term.shown, p) }()
	return term
}

// typeWhenAsked types once the program asks, or ends with ctx.
func (term *terminal) typeWhenAsked(ctx context.Context, text string) {
	for ; ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		attr, err := unix.IoctlGetTermios(int(term.tty.Fd()), unix.TCGETS)
		if err == nil && attr.Lflag&unix.ECHO == 0 && strings.Contains(term.shown.String(), "Passphrase of") {
			_, _ = io.WriteString(term.File, text)
			return
		}
	}
}

// On a terminal the passphrase is asked for, and what is typed is not shown.
// Standard input stays the command's own.
func TestPassphraseOnTerminal(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	s.withPassword()
	s.protect("identity.txt", passphrase)
	for typed, want := range map[string]result{
		passphrase + "\n": {exitOK, passwords[rossi] + "\n", ""},
		"un'altra\n":      {exitVault, "", "does not open it"},
		"\n":              {exitVault, "", "does not open it"},
		"qua\x03":         {exitVault, "", "interrupted"},
	} {
		term := openTerminal(t)
		ctx, ended := context.WithCancel(t.Context())
		go term.typeWhenAsked(ctx, typed)
		r := s.process(&syscall.SysProcAttr{Setsid: true, Setctty: true}, term.tty, nil, "get", rossi)
		ended()
		if r.code != want.code || r.stdout != want.stdout || !strings.Contains(r.stderr, want.stderr) {
			t.Errorf("typed %q: got %v, want %v\nshown: %s", typed, r, want, term.shown)
		}
		if strings.Contains(term.shown.String(), "quattro") || strings.Contains(term.shown.String(), "qua\x03") {
			t.Errorf("typed %q: the terminal shows it: %q", typed, term.shown)
		}
		attr, err := unix.IoctlGetTermios(int(term.tty.Fd()), unix.TCGETS)
		if err != nil || attr.Lflag&unix.ECHO == 0 {
			t.Errorf("typed %q: the terminal is left without echo (%v)", typed, err)
		}
	}
}

// procOwner is who owns what a running process shows of itself: root, when it
// can't be dumped or traced by its own user (proc(5)).
func procOwner(pid int) (uint32, error) {
	info, err := os.Stat(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return 0, err
	}
	// What has ended and was not waited for is root's, too.
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err == nil && strings.Contains(string(status), "State:\tZ") {
		err = errors.New("it has ended")
	}
	return info.Sys().(*syscall.Stat_t).Uid, err
}

// No command can be dumped or traced by the user who runs it.
func TestNotDumpable(t *testing.T) {
	t.Parallel()
	program, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	// Root owns everything anyway: then the commands run as somebody else.
	uid := uint32(os.Getuid())
	attr := &syscall.SysProcAttr{}
	if uid == 0 {
		uid = 65534
		attr.Credential = &syscall.Credential{Uid: uid, Gid: uid}
	}
	dir, err := os.MkdirTemp("", "dump")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	chmod(t, dir, 0o755)
	// A service that takes every call and never answers holds each command.
	socket := filepath.Join(dir, "s")
	listener := silent(t, socket)
	mute, err := net.Listen("tcp", "127.0.0.1:0") // and a sign-in server that says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	config := fmt.Sprintf("[inbox]\nhost = \"127.0.0.1\"\nusername = \"a@pec.example\"\n[web]\nlisten = \"\"\nsocket = %q\n"+
		"[[oauth]]\nid = \"x\"\nclient_id = \"c\"\ndevice_url = \"https://%s/d\"\ntoken_url = \"https://%s/t\"\n", socket, mute.Addr(), mute.Addr())
	if err := os.WriteFile(filepath.Join(dir, "config.toml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	kept := filepath.Join(dir, "kept") // where backups may be written
	if err := errors.Join(os.Mkdir(kept, 0o700), os.Chown(kept, int(uid), -1)); err != nil {
		t.Fatal(err)
	}

	sleeper := exec.Command("sleep", "600")
	sleeper.SysProcAttr = attr
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() }()
	if owner, err := procOwner(sleeper.Process.Pid); err != nil || owner != uid {
		t.Skipf("went without this proof: another process of user %d shows owner %d, %v", uid, owner, err)
	}
	for _, args := range []string{"get a@b.example", "get a@b.example --wait", "set a@b.example", "set --inbox", "otp get a@b.example", "otp add a@b.example",
		"review show 1 --reveal", "review approve 1", "use a@b.example 1", "rekey", "backup kept/copy.db", "once", "check", "status", "client export a@b.example", "read --reveal -", "login x"} {
		cmd := exec.Command(program, append([]string{"--config", filepath.Join(dir, "config.toml")}, strings.Fields(args)...)...)
		stdin, err := cmd.StdinPipe() // stays open: what reads it waits
		if err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		cmd.Stderr, cmd.SysProcAttr = &stderr, attr
		cmd.Dir = dir
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		owner := uid
		for deadline := time.Now().Add(patience); owner != 0 && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			if owner, err = procOwner(cmd.Process.Pid); err != nil {
				break
			}
		}
		if err != nil || owner != 0 {
			t.Errorf("ingest %s: owner %d, %v, want root: it can be dumped\n%s", args, owner, err, stderr.String())
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = stdin.Close()
		if t.Failed() {
			return // each of the others would wait as long
		}
	}
}

// silent listens, accepts and says nothing.
func silent(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	chmod(t, path, 0o666)
	go func() {
		var held []net.Conn // unused ones would be closed
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			held = append(held, c)
		}
		for _, c := range held {
			_ = c.Close()
		}
	}()
	return l
}
