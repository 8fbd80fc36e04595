// Package deploy_test checks what the service is installed with: unit,
// account, folders, alert rules.
package deploy_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pec-ingest/internal/servertest"
)

const unit = "systemd/pec-ingest.service"

// maxExposure is the most that `systemd-analyze security` may find.
const maxExposure = 1.2

// unitCopy is the unit with a program that exists on this machine, in a
// folder of its own: verify asks for the program.
func unitCopy(t *testing.T, change func(string) string) string {
	t.Helper()
	b, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(b), "ExecStart=/usr/bin/ingest ", "ExecStart=/bin/true ", 1)
	if text == string(b) {
		t.Fatal("the unit does not start /usr/bin/ingest")
	}
	if change != nil {
		text = change(text)
	}
	path := filepath.Join(t.TempDir(), "pec-ingest.service")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func verify(t *testing.T, path string) (stderr string, err error) {
	t.Helper()
	cmd := exec.Command(servertest.Require(t, "systemd-analyze"), "verify", "--man=no", path)
	var b bytes.Buffer
	cmd.Stderr = &b
	err = cmd.Run()
	return b.String(), err
}

// verify exits 0 on keys and values that it ignores: its stderr is the verdict.
func TestUnitVerifies(t *testing.T) {
	stderr, err := verify(t, unitCopy(t, nil))
	if err != nil || stderr != "" {
		t.Errorf("got %v, %q, want silence", err, stderr)
	}
	// The check can fail.
	if stderr, _ = verify(t, unitCopy(t, func(s string) string { return strings.Replace(s, "Type=notify", "Type=notfy", 1) })); stderr == "" {
		t.Error("a wrong Type= went unseen")
	}
}

func TestUnitExposure(t *testing.T) {
	out, err := exec.Command(servertest.Require(t, "systemd-analyze"), "security", "--offline=true", "--no-pager", unitCopy(t, nil)).CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-analyze: %v\n%s", err, out)
	}
	m := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("no verdict in:\n%s", out)
	}
	got, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil || got > maxExposure {
		t.Errorf("got an exposure of %s, want at most %v\n%s", m[1], maxExposure, out)
	}
}

// What the daemon and the commands rely on.
func TestUnitSettings(t *testing.T) {
	b, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"Type=notify", "ExecReload=/bin/sh -c 'kill -HUP $MAINPID'", "Restart=on-failure", "StartLimitIntervalSec=0", "RestartPreventExitStatus=6", "User=pec-ingest",
		"StateDirectory=pec-ingest", "StateDirectoryMode=0700", "RuntimeDirectory=pec-ingest",
		"ExecStart=/usr/bin/ingest --log-format journal run", "MemorySwapMax=0", "LimitCORE=0",
		"LoadCredential=identity.txt:/etc/pec-ingest/private/identity.txt",
		"LoadCredential=inbox-password:/etc/pec-ingest/private/inbox-password",
		"LoadCredential=otp-identity.txt:/etc/pec-ingest/private/otp-identity.txt",
	} {
		if !strings.Contains(string(b), "\n"+line+"\n") {
			t.Errorf("the unit has no line %q", line)
		}
	}
	if regexp.MustCompile(`(?m)^PrivateUsers=yes`).Match(b) {
		t.Error("PrivateUsers= hides who calls the socket")
	}
	if !regexp.MustCompile(`(?m)^WatchdogSec=`).Match(b) {
		t.Error("the unit has no watchdog")
	}
}

// The account and the folders, made below an empty root.
func TestAccountAndFolders(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("went without root, which alone makes accounts")
	}
	servertest.Require(t, "systemd-analyze")
	root := t.TempDir()
	for dir, file := range map[string]string{"sysusers.d": "sysusers.d/pec-ingest.conf", "tmpfiles.d": "tmpfiles.d/pec-ingest.conf"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(root, "usr/lib", dir)
		if err := os.MkdirAll(to, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, "pec-ingest.conf"), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"systemd-sysusers", "--root=" + root, "pec-ingest.conf"},
		{"systemd-tmpfiles", "--root=" + root, "--create", "pec-ingest.conf"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	passwd, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	if err != nil || !strings.Contains(string(passwd), "pec-ingest:") || !strings.Contains(string(passwd), ":/usr/sbin/nologin") {
		t.Errorf("got %q, %v, want the account without a shell", passwd, err)
	}
	for dir, want := range map[string]os.FileMode{"var/lib/pec-ingest": 0o700, "etc/pec-ingest": 0o755, "etc/pec-ingest/private": 0o700} {
		info, err := os.Stat(filepath.Join(root, dir))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: got %v, %v, want %04o", dir, info, err, want)
		}
	}
}
