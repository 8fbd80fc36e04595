package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/config"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/web"
)

// benchMailboxes is how many passwords each of the compared programs keeps.
const benchMailboxes = 1000

func benchMailbox(n int) string  { return fmt.Sprintf("m%d@pec.example", n) }
func benchPassword(n int) string { return fmt.Sprintf("pw-%d-%x", n, n*7919) }

// BenchmarkGet compares `ingest get` through the socket with `pass show` and
// `gopass show`, each as a mail program would start it, with a thousand
// passwords each: as the Debian package installs it, and the whole program
// alone. They take turns, the one that begins changing every time; the medians
// and their ratios are reported. pass and gopass have a key without a
// passphrase and a running gpg-agent. See scripts/bench-get.sh.
func BenchmarkGet(b *testing.B) {
	dir, err := os.MkdirTemp("", "b") // short: gpg-agent's socket lies below
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	env := append(os.Environ(), "HOME="+dir, "GNUPGHOME="+filepath.Join(dir, "gnupg"),
		"PASSWORD_STORE_DIR="+filepath.Join(dir, "store"), "PEC_INGEST_CONFIG="+filepath.Join(dir, "etc", "config.toml"))
	do := func(name string, args ...string) string {
		cmd := exec.Command(name, args...)
		cmd.Env, cmd.Dir = env, dir
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			b.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, stderr.String())
		}
		return string(out)
	}
	type contestant struct {
		name  string
		args  func(n int) []string
		times []time.Duration
	}
	front, whole := benchService(b, dir, env)
	ours := []*contestant{
		{name: "ingest", args: func(n int) []string { return []string{front, "get", benchMailbox(n)} }},
		{name: "whole", args: func(n int) []string { return []string{whole, "get", benchMailbox(n)} }},
	}
	var theirs, list []*contestant // in list neither of ours comes right after the other, who has woken the service
	for i, name := range []string{"pass", "gopass"} {
		list = append(list, ours[i])
		path, err := exec.LookPath(name)
		if err != nil {
			b.Logf("%s is not installed (scripts/install-test-deps.sh bench) and is left out", name)
			continue
		}
		theirs = append(theirs, &contestant{name: name, args: func(n int) []string { return []string{path, "show", benchMailbox(n)} }})
		list = append(list, theirs[len(theirs)-1])
	}
	if len(theirs) > 0 {
		benchStore(b, dir, do)
	}

	n := 0
	for b.Loop() {
		for i := range list {
			c := list[(n+i)%len(list)]
			args := c.args(n % benchMailboxes)
			begun := time.Now()
			out := do(args[0], args[1:]...)
			c.times = append(c.times, time.Since(begun))
			if want := benchPassword(n%benchMailboxes) + "\n"; out != want {
				b.Fatalf("%s: got %q, want %q", c.name, out, want)
			}
		}
		n++
	}
	median := func(c *contestant) float64 {
		slices.Sort(c.times)
		return float64(c.times[len(c.times)/2]) / float64(time.Millisecond)
	}
	for _, c := range list {
		b.ReportMetric(median(c), c.name+"-ms")
	}
	for _, their := range theirs {
		for _, our := range ours {
			b.ReportMetric(median(our)/median(their), our.name+"/"+their.name)
		}
	}
}

// benchService builds the two programs as scripts/build-deb.sh does, starts the
// service and stores the passwords.
func benchService(b *testing.B, dir string, env []string) (front, whole string) {
	b.Helper()
	front, whole = filepath.Join(dir, "front"), filepath.Join(dir, "ingest")
	for path, from := range map[string]string{front: "./front", whole: "."} {
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -buildid= -X main.program="+whole, "-o", path, from)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
	}
	etc := filepath.Join(dir, "etc")
	if r := runCommand(b.Context(), "", "init", etc); r.code != exitOK {
		b.Fatal(r)
	}
	path := filepath.Join(etc, "config.toml")
	text := fmt.Sprintf("[inbox]\nhost = \"127.0.0.1\"\nport = 9\nusername = \"studio@pec.example\"\n[probe]\nenabled = false\n"+
		"[vault]\nurl = \"bbolt://%s/vault/vault.db\"\nidentity_file = \"identity.txt\"\n[web]\nlisten = \"\"\nsocket = \"%[1]s/sock\"\n", dir)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	csv := strings.Builder{}
	csv.WriteString("mailbox\n")
	for n := range benchMailboxes {
		csv.WriteString(benchMailbox(n) + "\n")
	}
	if err := os.WriteFile(filepath.Join(dir, "clients.csv"), []byte(csv.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	if r := runCommand(b.Context(), "", "--config", path, "client", "import", filepath.Join(dir, "clients.csv")); r.code != exitOK {
		b.Fatal(r)
	}

	service := exec.Command(front, "run")
	service.Env = env
	if err := service.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = service.Process.Kill()
		_ = service.Wait()
	})
	cfg, err := config.Load(path)
	if err != nil {
		b.Fatal(err)
	}
	var r *remote
	for end := time.Now().Add(patience); r == nil; time.Sleep(50 * time.Millisecond) {
		if c, err := web.Dial(context.Background(), cfg.Web.Socket); err == nil {
			r = &remote{client: c}
		} else if time.Now().After(end) {
			b.Fatal("the service does not begin: ", err)
		}
	}
	defer r.close()
	for n := range benchMailboxes {
		q := ingest.SetRequest{Mailbox: benchMailbox(n), Secret: secret.FromString(benchPassword(n))}
		if _, err := r.Set(b.Context(), q, time.Time{}); err != nil {
			b.Fatal(err)
		}
	}
	return front, whole
}

// benchStore makes the store of pass, which gopass reads too.
func benchStore(b *testing.B, dir string, do func(string, ...string) string) {
	b.Helper()
	for _, d := range []string{"gnupg", "store", "plain"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			b.Fatal(err)
		}
	}
	const key = "%no-protection\nKey-Type: eddsa\nKey-Curve: ed25519\nSubkey-Type: ecdh\nSubkey-Curve: cv25519\n" +
		"Name-Email: bench@pec.example\nExpire-Date: 0\n%commit\n"
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte(key), 0o600); err != nil {
		b.Fatal(err)
	}
	do("gpg", "--batch", "--quiet", "--generate-key", filepath.Join(dir, "key"))
	b.Cleanup(func() { do("gpgconf", "--kill", "gpg-agent") })
	do("pass", "init", "bench@pec.example")
	args := []string{"--batch", "--quiet", "--recipient", "bench@pec.example", "--encrypt-files"}
	for n := range benchMailboxes {
		path := filepath.Join(dir, "plain", benchMailbox(n))
		if err := os.WriteFile(path, []byte(benchPassword(n)+"\n"), 0o600); err != nil {
			b.Fatal(err)
		}
		args = append(args, path)
	}
	do("gpg", args...)
	for n := range benchMailboxes {
		name := benchMailbox(n) + ".gpg"
		if err := os.Rename(filepath.Join(dir, "plain", name), filepath.Join(dir, "store", name)); err != nil {
			b.Fatal(err)
		}
	}
}
