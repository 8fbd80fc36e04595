package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/vault"
)

// places lists "place version open" of what `used` shows.
func (s *studio) places(args ...string) string {
	s.t.Helper()
	var list []string
	for _, r := range s.rows(append([]string{"used", "--json"}, args...)...) {
		open := "open"
		if r["open"] != true {
			open = "done"
		}
		list = append(list, strings.Join([]string{r["place"].(string), version(r["version"]), open}, " "))
	}
	return strings.Join(list, ", ")
}

func version(v any) string { return string(rune('0' + int(v.(float64)))) }

// A place opens with each new version, closes when somebody says so, and
// stands in the digest until then.
func TestUsedPlaces(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}, smtp: true, config: func(c string) string {
		return c + "[warnings]\nto_studio = [\"amministrazione@studio.example\"]\n"
	}})
	s.ok("client", "add", rossi, "--provider", "prova", "--used-in", "Nuvola", "--used-in", "Outlook di Anna")
	if got := s.places(); got != "" {
		t.Errorf("without a password: got %q, want no place", got)
	}
	s.exits(exitNotFound, "used", rossi, "nuvola", "--done")
	s.deliver(s.submission(rossi, 60, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	if got, want := s.places(), "Nuvola 1 open, Outlook di Anna 1 open"; got != want {
		t.Errorf("after the first version: got %q, want %q", got, want)
	}
	s.ok("used", rossi, "nuvola", "--done")
	s.ok("used", rossi, "nuvola", "--done") // changes nothing
	if got, want := s.places(rossi), "Outlook di Anna 1 open"; got != want {
		t.Errorf("after --done: got %q, want %q", got, want)
	}
	if got, want := s.places("--all"), "Nuvola 1 done, Outlook di Anna 1 open"; got != want {
		t.Errorf("used --all: got %q, want %q", got, want)
	}
	if got := strings.Count(s.ok("audit"), "place.updated"); got != 1 {
		t.Errorf("audit entries: got %d, want 1", got)
	}
	s.once(sum{}, "--warn")
	if worksToday() {
		if digest := s.digest(); !strings.Contains(digest, "Outlook di Anna") || strings.Contains(digest, "Nuvola") {
			t.Errorf("the digest names the wrong places:\n%s", digest)
		}
	}

	s.clients.SetPassword(rossi, "nuova77Kx")
	s.deliver(s.submission(rossi, 1, "nuova77Kx"))
	s.once(sum{Seen: 1, Accepted: 1})
	if got, want := s.places(), "Nuvola 2 open, Outlook di Anna 2 open"; got != want {
		t.Errorf("after the second version: got %q, want %q", got, want)
	}

	r := s.exits(exitNotFound, "used", rossi, "Passweb", "--done")
	if !strings.Contains(r.stderr, "Outlook di Anna") {
		t.Errorf("the hint names no places: %s", r.stderr)
	}
	s.exits(exitUsage, "used", rossi, "Nuvola")
	s.exits(exitUsage, "used", rossi, "--done")
	s.exits(exitNotFound, "used", bianchi)
}

// digest is the text of the last digest sent.
func (s *studio) digest() string {
	s.t.Helper()
	for _, m := range s.rows("outbox", "list", "--all", "--json") {
		if m["kind"] == "digest" {
			return s.ok("outbox", "show", version(m["n"]))
		}
	}
	s.t.Fatal("no digest was made")
	return ""
}

// A program's file changes with the password that the program would get, and
// only then; it never holds one.
func TestTouchDir(t *testing.T) {
	t.Parallel()
	touch := filepath.Join(t.TempDir(), "touch")
	s := newStudio(t, studioOptions{clients: []string{rossi, bianchi}, config: func(c string) string {
		return strings.Replace(c, "[vault]\n", "[vault]\ntouch_dir = \""+touch+"\"\n", 1)
	}})
	want := func(text string) os.FileInfo {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(touch, rossi))
		if err != nil || string(b) != text {
			t.Errorf("touched file: got %q, %v, want %q", b, err, text)
		}
		info, _ := os.Stat(filepath.Join(touch, rossi))
		return info
	}
	s.deliver(s.submission(rossi, 60, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	first := want(rossi + " 1\n")
	if err := os.Chtimes(filepath.Join(touch, rossi), time.Time{}, time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	s.once(sum{})
	if info := want(rossi + " 1\n"); info == nil || !info.ModTime().Equal(time.Unix(1e9, 0)) {
		t.Errorf("the file was written again without a change (%v, %v)", first, info)
	}
	s.clients.SetPassword(rossi, "nuova77Kx")
	s.deliver(s.submission(rossi, 1, "nuova77Kx"))
	s.once(sum{Seen: 1, Accepted: 1})
	want(rossi + " 2\n")
	s.clients.SetPassword(rossi, "terza88Kx")
	if r := s.runWith("terza88Kx\n", "set", rossi); r.code != exitOK {
		t.Fatal(r)
	}
	want(rossi + " 3\n")
	s.clients.SetPassword(rossi, "nuova77Kx")
	s.ok("use", rossi, "2")
	want(rossi + " 2\n")
	if entries, err := os.ReadDir(touch); err != nil || len(entries) != 1 {
		t.Errorf("files: got %v, %v, want one", entries, err)
	}
}

// Scheduled backups: made when their time has come, checked, and only so many
// kept; other files in the folder stay.
func TestScheduledBackups(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}, config: func(c string) string {
		return strings.Replace(c, "[vault]\n", "[vault]\nbackup_dir = \"backups\"\nbackup_keep = 2\n", 1)
	}})
	dir := filepath.Join(s.dir, "backups")
	s.once(sum{}) // the fresh vault: noted, not yet
	if _, err := os.Stat(dir); err == nil {
		t.Error("a backup was made before its time")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"vault-20260101T000000Z.db", "vault-20260102T000000Z.db", "mine.db"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.inVault(func(tx *vault.Tx) error { return tx.PutJob("backups", time.Now().Add(-25*time.Hour)) })
	s.once(sum{})
	s.once(sum{}) // not twice
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 3 {
		t.Fatalf("files: got %v, %v, want mine.db and two backups", names, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "vault-20260101T000000Z.db")); err == nil {
		t.Error("the oldest backup is still there")
	}
	sum, err := vault.VerifyFile(names[2])
	if err != nil || sum.Clients != 1 {
		t.Errorf("the new backup %s: got %+v, %v", names[2], sum, err)
	}

	// A damaged vault is noticed, and the good one of the backups named.
	if err := os.Truncate(s.vaultPath(), 20000); err != nil {
		t.Fatal(err)
	}
	if r := s.exits(exitVault, "status"); !strings.Contains(r.stderr, names[2]) {
		t.Errorf("damaged vault: the hint does not name %s: %s", names[2], r.stderr)
	}
}

// backup, then a loss, then restore: nothing is overwritten on the way, a
// wrong file or key leaves everything as it was, and what waited to be sent
// is held.
func TestBackupRestore(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	s.deliver(s.submission(rossi, 60, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	s.inVault(func(tx *vault.Tx) error {
		_, _, err := tx.Queue(vault.Outgoing{Cause: "prova", Kind: "accepted", To: rossi, Mailbox: rossi, MessageID: "<1@x>", Data: []byte("{}"), QueuedAt: time.Now()})
		return err
	})
	file := filepath.Join(t.TempDir(), "b", "copy.db")
	if out := s.ok("backup", file); !strings.Contains(out, "checked") {
		t.Errorf("backup: got %q", out)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("backup file: %v, %v, want mode 0600", info, err)
	}
	if b, err := os.ReadFile(file); err != nil || bytes.Contains(b, []byte(passwords[rossi])) {
		t.Errorf("the backup holds a password in clear (%v)", err)
	}
	s.exits(exitFailed, "backup", file) // never overwrites
	if r := s.exits(exitFailed, "restore", file); !strings.Contains(r.stderr, "mv ") {
		t.Errorf("restore over a vault: no hint how to move it: %s", r.stderr)
	}
	s.wantGet(rossi, passwords[rossi])

	lost := s.vaultPath() + ".lost"
	if err := os.Rename(s.vaultPath(), lost); err != nil {
		t.Fatal(err)
	}
	s.exits(exitVault, "get", rossi)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad.db")
	for name, damage := range map[string][]byte{"truncated": b[:len(b)/2], "flipped": flipped(b, len(b)/2), "foreign": []byte("no vault"), "empty": {}} {
		if err := os.WriteFile(bad, damage, 0o600); err != nil {
			t.Fatal(err)
		}
		if r := s.run("restore", bad); r.code != exitVault {
			t.Errorf("restore of a %s file: got %v, want exit 5", name, r)
		} else if !strings.Contains(r.stderr, "nothing was changed") {
			t.Errorf("restore of a %s file: the hint is about something else: %s", name, r.stderr)
		}
		s.wantNoVault("a " + name + " file")
	}
	s.exits(exitVault, "restore", filepath.Join(t.TempDir(), "none.db"))

	// A backup of another installation, or the wrong key, leaves no vault.
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	identity, err := os.ReadFile(filepath.Join(s.dir, "identity.txt"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("identity.txt", other.String()+"\n", 0o600)
	s.exits(exitVault, "restore", file)
	s.wantNoVault("the wrong key")
	s.write("identity.txt", string(identity), 0o600)

	var r ingest.RestoreResult
	decode(t, s.ok("restore", "--json", file), &r)
	if r.Clients != 1 || r.Versions != 1 || r.Held != 1 || time.Since(r.AsOf) > time.Hour {
		t.Errorf("restore: got %+v", r)
	}
	s.wantGet(rossi, passwords[rossi])
	rows := s.rows("outbox", "list", "--json")
	if last := rows[len(rows)-1]; last["message_id"] != "<1@x>" || last["state"] != vault.OutInDoubt {
		t.Errorf("outbox: got %v, want the queued message in doubt", rows)
	}
	if audit := s.ok("audit"); !strings.Contains(audit, "vault.backup") || !strings.Contains(audit, "vault.restored") {
		t.Errorf("audit log:\n%s", audit)
	}
	s.ok("audit", "--verify")
}

func flipped(b []byte, at int) []byte {
	c := bytes.Clone(b)
	c[at] ^= 0x40
	return c
}

func (s *studio) wantNoVault(after string) {
	s.t.Helper()
	for _, suffix := range []string{"", ".new"} {
		if _, err := os.Lstat(s.vaultPath() + suffix); err == nil {
			s.t.Errorf("restore of %s left %s", after, s.vaultPath()+suffix)
		}
	}
}

// Secrets of replaced versions end; what is current never does.
func TestDestroyAfter(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	s.deliver(s.submission(rossi, 60, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	s.clients.SetPassword(rossi, "nuova77Kx")
	s.deliver(s.submission(rossi, 1, "nuova77Kx"))
	s.once(sum{Seen: 1, Accepted: 1})
	secrets := func() (has []bool) {
		for _, r := range s.rows("history", "--json", rossi) {
			has = append(has, r["has_secret"].(bool))
		}
		return has
	}
	if got := secrets(); len(got) != 2 || !got[0] || !got[1] {
		t.Fatalf("secrets before: got %v, want both", got)
	}
	long := time.Now().Add(-201 * 24 * time.Hour)
	s.inVault(func(tx *vault.Tx) error {
		for n := 1; n <= 2; n++ {
			v, _, err := tx.Version(rossi, rossi, n)
			if err != nil {
				return err
			}
			v.StoredAt, v.ProvenAt, v.ReceivedAt = long, long, long
			if n == 1 {
				v.EndedAt = long
			}
			if err := tx.PutVersion(v); err != nil {
				return err
			}
		}
		return nil
	})
	s.once(sum{})
	if got := secrets(); got[0] || !got[1] {
		t.Errorf("secrets after: got %v, want the second alone", got)
	}
	s.wantGet(rossi, "nuova77Kx")
	if got, want := s.history(rossi), "1 superseded, 2 proven*"; got != want {
		t.Errorf("history: got %q, want %q", got, want)
	}
}

// After the recipients changed, rekey makes the new key read everything and
// keeps the removed one from what is sealed from then on.
func TestRekey(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	s.deliver(s.submission(rossi, 60, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	recovery, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(s.dir, "recipients.txt"))
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "recovery.txt")
	if err := os.WriteFile(key, []byte(recovery.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.write("recipients.txt", string(text)+recovery.Recipient().String()+"\n", 0o644)
	s.ok("rekey")
	s.wantGet(rossi, passwords[rossi])
	identity, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(vault.Options{Path: s.vaultPath(), Identity: identity, ReadOnly: true})
	if err != nil {
		t.Fatalf("the recovery key does not open the vault: %v", err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if audit := s.ok("audit"); !strings.Contains(audit, "vault.rekeyed") {
		t.Errorf("audit log:\n%s", audit)
	}
}

// The same commands while the daemon runs: the bytes of a backup come over the
// socket, the caller writes and checks the file.
func TestCareThroughTheDaemon(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{clients: []string{rossi}})
	s.ok("client", "add", rossi, "--provider", "prova", "--used-in", "Nuvola")
	s.deliver(s.submission(rossi, 60, passwords[rossi]))
	s.once(sum{Seen: 1, Accepted: 1})
	s.start()
	if got, want := s.places(), "Nuvola 1 open"; got != want {
		t.Errorf("used: got %q, want %q", got, want)
	}
	s.ok("used", rossi, "Nuvola", "--done")
	if got := s.places(); got != "" {
		t.Errorf("used: got %q, want nothing open", got)
	}
	file := filepath.Join(t.TempDir(), "b", "copy.db")
	s.ok("backup", file)
	if sum, err := vault.VerifyFile(file); err != nil || sum.Versions != 1 {
		t.Errorf("backup: got %+v, %v", sum, err)
	}
	s.ok("rekey")
	s.ok("audit", "--verify")
	if out := s.ok("profile", rossi, "--for", "isync"); !strings.Contains(out, "PassCmd") {
		t.Errorf("profile: got %q", out)
	}
	if out := s.ok("check", "--recovery", filepath.Join(s.dir, "identity.txt")); !strings.Contains(out, "opens all 1 passwords") {
		t.Errorf("check --recovery: got %s", out)
	}
	s.wantGet(rossi, passwords[rossi])

	// New recipients take a restart: a rekey that does nothing would be
	// believed.
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(s.dir, "recipients.txt"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("recipients.txt", string(text)+other.Recipient().String()+"\n", 0o644)
	if r := s.exits(exitFailed, "rekey"); !strings.Contains(r.stderr, "restart") {
		t.Errorf("rekey with new recipients: %s", r.stderr)
	}
	// A restore while the daemon has the vault touches nothing.
	s.exits(exitFailed, "restore", file)
	s.wantGet(rossi, passwords[rossi])
}
