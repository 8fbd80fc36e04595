// Package servertest starts the real servers that tests talk to: Debian's
// Dovecot and Postfix, on 127.0.0.1, on free ports, in a folder of their own
// under the temporary directory, with a certificate authority made for the
// test. Everything that is started ends with the test, and nothing else is
// ever touched.
//
// It imports nothing of this module, so that what a test proves about a
// package is not proved with that package's own code.
package servertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// RealEnv is the environment variable under which a missing component fails
// the test instead of skipping it. `make test` sets it to 1.
const RealEnv = "PEC_INGEST_REAL"

// packages names, for each component, the Debian package that brings it.
var packages = map[string]string{
	"dovecot": "dovecot-imapd",
	"postfix": "postfix",
	"openssl": "openssl",
	"python3": "python3",
	"strace":  "strace",
	"etcd":    "etcd-server",

	"mbsync":    "isync",
	"msmtp":     "msmtp",
	"fetchmail": "fetchmail",
	"getmail":   "getmail6",

	"systemd-analyze": "systemd",
	"promtool":        "prometheus",
	"mandoc":          "mandoc",
	"zsh":             "zsh",
	"chromium":        "chromium",
	"nginx":           "nginx-light",
	"fish":            "fish",
}

// patience is how long servers are waited for on a machine that is very busy
// with other things.
const patience = 2 * time.Minute

// Require ends the test when component, the name of a program, is not
// installed: with a failure if RealEnv is 1, else by skipping it and saying
// what the test went without. It returns the program's path.
func Require(tb testing.TB, component string) string {
	tb.Helper()
	path, err := lookPath(component)
	if err == nil {
		return path
	}
	hint := ""
	if p := packages[component]; p != "" {
		hint = fmt.Sprintf(" (Debian package %s; scripts/install-test-deps.sh installs it)", p)
	}
	missing(tb, component+" is not installed"+hint)
	return ""
}

// missing fails or skips, as RealEnv says.
func missing(tb testing.TB, what string) {
	tb.Helper()
	if os.Getenv(RealEnv) == "1" {
		tb.Fatalf("%s, and %s=1 asks for the real component", what, RealEnv)
	}
	tb.Skipf("went without a real component: %s", what)
}

// lookPath is exec.LookPath that also looks where Debian keeps daemons, which
// is not on an ordinary user's PATH.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		p := filepath.Join(dir, name)
		if st, serr := os.Stat(p); serr == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", err
}

// tempDir makes a folder that ends with the test. t.TempDir won't do: it is
// 0700 in the end, so that a server under another account can't enter it, and
// its length (the test's name is in it) breaks the 108 bytes of a unix
// socket's path.
func tempDir(tb testing.TB, prefix string) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", prefix)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		// A child that outlived its server may write a last file: Postfix
		// gives a delivery agent a session of its own.
		deadline := time.Now().Add(patience)
		for {
			err := os.RemoveAll(dir)
			if err == nil {
				return
			}
			if time.Now().After(deadline) {
				tb.Errorf("removing the server's folder: %v", err)
				return
			}
			time.Sleep(20 * time.Millisecond) // nobody tells of its end
		}
	})
	return dir
}

// tail returns the last n lines of a log file, for a failure message.
func tail(path string, n int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}
