package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"
	bolt "go.etcd.io/bbolt"

	"pec-ingest/internal/servertest"
	"pec-ingest/internal/vault"
)

// A fault of the configuration ends with 6 and names file, line and key.
func TestConfigFaults(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "etc")
	if r := runCommand(t.Context(), "", "init", dir); r.code != exitOK {
		t.Fatalf("init: %s", r)
	}
	const good = "[inbox]\nhost = \"imap.studio.example\"\nusername = \"studio@pec.example\"\n[vault]\nurl = \"bbolt:///nowhere/vault.db\"\nidentity_file = \"identity.txt\"\n"
	path := filepath.Join(dir, "config.toml")
	tests := []struct{ name, config, want string }{
		{"unknown key", good + "[probe]\nenabeld = true\n", "config.toml:8: probe.enabeld"},
		{"wrong type", good + "[probe]\nmax_logins = \"drei\"\n", "config.toml:8: probe.max_logins"},
		{"out of range", good + "[probe]\nmax_logins = 99\n", "config.toml:8: probe.max_logins"},
		{"cron", good + "[probe]\nevery = \"ogni giorno\"\n", "config.toml:8: probe.every"},
		{"zone", good + "[policy]\ntimezone = \"Roma\"\n", "config.toml:8: policy.timezone"},
		{"choice", good + "[policy]\nunlisted = \"maybe\"\n", "config.toml:8: policy.unlisted"},
		{"password in the file", good + "[smtp]\npassword = \"x\"\n", "config.toml:8: smtp.password"},
		{"nothing at all", "", "inbox.username"},
		{"no TOML", "[inbox\n", "config.toml:1"},
		{"store of a later version", strings.Replace(good, "bbolt:///nowhere/vault.db", "redis://x", 1), "vault.url"},
		{"unknown provider", strings.Replace(good, "host = \"imap.studio.example\"", "provider = \"nessuno\"", 1), "config.toml:2: inbox.provider"},
		{"anchor is no certificate", good + "[trust]\nanchors = [\"config.toml\"]\n", "config.toml:7: trust"},
		{"anchor is missing", good + "[trust]\nanchors = [\"nessuno.pem\"]\n", "config.toml:8: trust.anchors"},
		{"revocation list is missing", "\ufeff" + good + "[trust]\r\ncrl = [\"nessuno.crl\"]\r\n", "config.toml:8: trust.crl"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(tt.config), 0o644); err != nil {
				t.Fatal(err)
			}
			for _, command := range []string{"status", "once"} {
				r := runCommand(t.Context(), "", "--config", path, command)
				if r.code != exitConfig || !strings.Contains(r.stderr, tt.want) || r.stdout != "" {
					t.Errorf("%s: got %s, want exit 6 and %q", command, r, tt.want)
				}
			}
		})
	}
	if r := runCommand(t.Context(), "", "--config", filepath.Join(dir, "none.toml"), "status"); r.code != exitConfig {
		t.Errorf("no configuration at all: got %s, want exit 6", r)
	}
}

// What keeps the vault from being opened ends with 5, says what to do, and
// leaves every file as it was.
func TestVaultFaults(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	s.deliver(s.submission(rossi, 3, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	good, err := os.ReadFile(s.vaultPath())
	if err != nil {
		t.Fatal(err)
	}
	identity, err := os.ReadFile(filepath.Join(s.dir, "identity.txt"))
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	put := func(b []byte) func() {
		return func() { s.writeVault(b) }
	}
	tests := []struct {
		name, want string
		do         func()
	}{
		{"missing", "vault", func() { remove(t, s.vaultPath()) }},
		{"wrong identity", "identity", func() { s.write("identity.txt", stranger.String()+"\n", 0o600) }},
		{"identity missing", "identity", func() { remove(t, filepath.Join(s.dir, "identity.txt")) }},
		{"identity for all to read", "chmod", func() { chmod(t, filepath.Join(s.dir, "identity.txt"), 0o644) }},
		{"vault for all to read", "chmod", func() { chmod(t, s.vaultPath(), 0o640) }},
		{"recipients missing", "recipients", func() { remove(t, filepath.Join(s.dir, "recipients.txt")) }},
		{"newer format", "newer version", func() { s.newerFormat() }},
		{"not a vault", "vault", put([]byte("Questo non è un vault.\n"))},
		{"empty file", "vault", put(nil)},
		{"cut off", "vault", put(good[:12<<10])},
		{"both meta pages gone", "vault", put(append(make([]byte, 8192), good[8192:]...))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.do()
			before := files(t, s.dir)
			commands := [][]string{{"get", rossi}, {"status"}, {"once"}}
			if tt.name == "missing" {
				commands = [][]string{{"get", rossi}, {"status"}, {"audit"}, {"review"}} // `once` makes one
			}
			for _, c := range commands {
				r := s.run(c...)
				if r.code != exitVault || r.stdout != "" || !strings.Contains(r.stderr, tt.want) || !strings.Contains(r.stderr, "ingest: hint: ") {
					t.Errorf("%v: got %s\nwant exit 5, %q and a hint", c, r, tt.want)
				}
			}
			if after := files(t, s.dir); after != before {
				t.Errorf("something was written:\n%s\nbefore:\n%s", after, before)
			}
			// Mended, it is as good as before.
			s.writeVault(good)
			s.write("identity.txt", string(identity), 0o600)
			chmod(t, filepath.Join(s.dir, "identity.txt"), 0o600)
			if _, err := os.Stat(filepath.Join(s.dir, "recipients.txt")); err != nil {
				id, err := age.ParseX25519Identity("AGE-SECRET-KEY-" + strings.TrimSpace(between(string(identity), "AGE-SECRET-KEY-", "\n")))
				if err != nil {
					t.Fatal(err)
				}
				s.write("recipients.txt", id.Recipient().String()+"\n", 0o644)
			}
			s.wantGet(rossi, passwords[rossi])
			s.writeVault(good)
		})
	}
	s.wantLogins(rossi, 1, 0)
}

// A vault that another process holds is waited for, not for ever.
func TestVaultLocked(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	holder, err := vault.Open(vault.Options{Path: s.vaultPath(), Recipients: []byte(s.read("recipients.txt")), Identity: []byte(s.read("identity.txt"))})
	if err != nil {
		t.Fatal(err)
	}
	before := files(t, s.dir)
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		r := runCommand(t.Context(), "", "--config", s.configPath(), "get", rossi)
		if r.code != exitVault || !strings.Contains(r.stderr, "locked") || !strings.Contains(r.stderr, "ingest: hint: ") {
			t.Errorf("got %s, want exit 5, locked, and a hint", r)
		}
		if took := time.Since(begun); took < busyWait || took > 2*busyWait {
			t.Errorf("waited %v, want some %v: others may make a pass", took, busyWait)
		}
	})
	if after := files(t, s.dir); after != before {
		t.Errorf("something was written:\n%s\nbefore:\n%s", after, before)
	}
	if err := holder.Close(); err != nil {
		t.Fatal(err)
	}
	s.ok("status")
}

func (s *studio) read(name string) string {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

func (s *studio) writeVault(b []byte) {
	s.t.Helper()
	remove(s.t, s.vaultPath())
	if err := os.WriteFile(s.vaultPath(), b, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// newerFormat makes the vault one of a version to come.
func (s *studio) newerFormat() {
	s.t.Helper()
	db, err := bolt.Open(s.vaultPath(), 0o600, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	changed := false
	err = db.Update(func(tx *bolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bolt.Bucket) error {
			old := b.Get([]byte("meta/format"))
			mark := fmt.Appendf(nil, `"format":%d`, vault.Format)
			changed = bytes.Contains(old, mark)
			return b.Put([]byte("meta/format"), bytes.Replace(old, mark, fmt.Appendf(nil, `"format":%d`, vault.Format+1), 1))
		})
	})
	if err := errors.Join(err, db.Close()); err != nil || !changed {
		s.t.Fatalf("making a newer vault: changed %v, %v", changed, err)
	}
}

// files lists every file below dir with its mode and a hash of what it holds.
func files(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		fmt.Fprintf(&b, "%s %v %x\n", rel, info.Mode(), sha256.Sum256(content))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A wrong password for the studio's inbox: one try, one clear error.
func TestInboxRefused(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	s.deliver(s.submission(rossi, 3, passwords[rossi]))
	s.write("inbox-password", "vecchiaPassword1\n", 0o600)
	r := s.exits(exitFailed, "once", "--json")
	if got, want := s.imap.Logins(studioPEC), (servertest.LoginCount{Refused: 1}); got != want {
		t.Errorf("logins: got %+v, want %+v", got, want)
	}
	if n := strings.Count(r.stderr, "ingest: error: "); n != 1 || !strings.Contains(r.stderr, "ingest: hint: ") {
		t.Errorf("got %d errors, want one with a hint:\n%s", n, r.stderr)
	}
	// The same password is not tried again by any later run: the next
	// refusal might lock the studio out.
	if r := s.exits(exitFailed, "once"); !strings.Contains(r.stderr, "ingest: hint: ") {
		t.Errorf("a second pass: got %s, want a hint", r)
	}
	if got, want := s.imap.Logins(studioPEC), (servertest.LoginCount{Refused: 1}); got != want {
		t.Errorf("logins after a second pass: got %+v, want %+v", got, want)
	}
	if strings.Contains(r.stderr, "vecchiaPassword1") {
		t.Errorf("the password is in the error:\n%s", r.stderr)
	}
	s.write("inbox-password", inboxPass+"\n", 0o600)
	chmod(t, filepath.Join(s.dir, "inbox-password"), 0o644)
	if r := s.exits(exitFailed, "once"); !strings.Contains(r.stderr, "chmod") {
		t.Errorf("a password file for all to read: got %s, want the chmod that mends it", r)
	}
	chmod(t, filepath.Join(s.dir, "inbox-password"), 0o600)
	s.once(sum{Seen: 1, Accepted: 1})

	s.imap.Stop()
	if r := s.exits(exitFailed, "once"); !strings.Contains(r.stderr, "ingest: hint: ") {
		t.Errorf("the inbox is not there: got %s", r)
	}
	s.imap.Start()
	// A certificate that nobody vouches for: no password is sent.
	s.edit("tls_ca_file = \"tls.pem\"", "tls_ca_file = \"\"")
	before := s.imap.Logins(studioPEC)
	s.exits(exitFailed, "once")
	if got := s.imap.Logins(studioPEC); got != before {
		t.Errorf("the password was sent to a server without a trusted certificate: %+v, before %+v", got, before)
	}
}

// The disk is full when the first commit is made: the pass ends with an
// error, nothing is moved, and the next one reads the messages again.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=3m,mode=0700"); err != nil {
		t.Skipf("a small file system can't be mounted here (%v)", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	s := newStudio(t, studioOptions{vault: dir})
	for i := range 12 {
		s.deliver(s.letter(rossi, float64(40-i), "password posta", strings.Repeat("Buongiorno, come state? Qui tutto bene. ", 500)+
			"\nPassword per programmi di posta: vecch1a"+strconv.Itoa(i)+"\n"))
	}
	s.deliver(s.submission(rossi, 3, passwords[rossi]))
	fill(t, filepath.Join(dir, "ballast"))
	before := s.snapshot("INBOX")
	r := s.exits(exitFailed, "once", "--json")
	if !strings.Contains(r.stderr, "ingest: hint: ") {
		t.Errorf("a full disk: got %s, want a hint", r)
	}
	if got := s.snapshot("INBOX"); got != before {
		t.Error("the inbox was touched although nothing could be stored")
	}
	s.wantLogins(rossi, 0, 0)
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	r = s.exits(exitOK, "once", "--json")
	if !strings.Contains(r.stdout, `"seen":13,"accepted":1,"superseded":12`) {
		t.Errorf("with room again: got %s", r.stdout)
	}
	s.wantGet(rossi, passwords[rossi])
	s.wantLogins(rossi, 1, 0)
}

// fill writes a file until there is no room.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 16, 1 << 12, 1} {
		for {
			if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
}
