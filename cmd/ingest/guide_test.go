package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pec-ingest/internal/servertest"
)

// guideBlock is one block of commands of docs/recovery.md, as it stands there.
type guideBlock struct {
	section string
	lines   []string
}

func readGuide(t *testing.T) (blocks []guideBlock) {
	t.Helper()
	b, err := os.ReadFile("../../docs/recovery.md")
	if err != nil {
		t.Fatal(err)
	}
	section, inside := "", false
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\n")
		command, indented := strings.CutPrefix(line, "    ")
		switch {
		case strings.HasPrefix(line, "## "):
			section, inside = line[3:], false
		case !indented:
			inside = false
		case inside:
			blocks[len(blocks)-1].lines = append(blocks[len(blocks)-1].lines, command)
		default:
			inside = true
			blocks = append(blocks, guideBlock{section, []string{command}})
		}
	}
	return blocks
}

// machine is a computer with the package installed, below a folder: its paths
// are the package's, its `ingest` the built one, and its `systemctl` starts
// that as the unit does, with credentials.
type machine struct {
	s        *studio
	root     string
	recovery string // the key that init printed last
	out      string // what the last block printed
}

const systemctlScript = `#!/bin/bash
# What the unit does, without systemd.
set -eu
root=@ROOT@
pid=$root/run/pid
stop() {
	[ -e $pid ] || return 0
	kill $(cat $pid)
	while kill -0 $(cat $pid) 2>/dev/null; do read -rt 0.05 <> <(:) || :; done
	rm $pid
}
start() {
	stop
	rm -rf $root/run/credentials && mkdir -m 0700 $root/run/credentials
	for name in identity.txt inbox-password; do
		cat $root/etc/pec-ingest/private/$name >$root/run/credentials/$name 2>/dev/null || echo >$root/run/credentials/$name
		chmod 0440 $root/run/credentials/$name
	done
	CREDENTIALS_DIRECTORY=$root/run/credentials setsid ingest run </dev/null >>$root/run/log 2>&1 &
	echo $! >$pid
	while ! ingest status >/dev/null 2>&1 || ! [ -S $root/run/pec-ingest/ingest.sock ]; do
		kill -0 $(cat $pid) || { cat $root/run/log; exit 1; }
		read -rt 0.05 <> <(:) || :
	done
}
case "$*" in
"start pec-ingest" | "restart pec-ingest" | "enable --now pec-ingest") start ;;
"stop pec-ingest" | "disable --now pec-ingest") stop ;;
*) echo "systemctl $*: unknown here" >&2; exit 1 ;;
esac
`

func (s *studio) newMachine() *machine {
	s.t.Helper()
	root, err := os.MkdirTemp("", "m") // short: a socket's path is
	if err != nil {
		s.t.Fatal(err)
	}
	m := &machine{s: s, root: root}
	s.t.Cleanup(func() {
		if b, err := os.ReadFile(filepath.Join(root, "run/pid")); err == nil {
			if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		os.RemoveAll(root)
	})
	program, err := buildOnce()
	if err != nil {
		s.t.Fatal(err)
	}
	for dir, mode := range map[string]os.FileMode{"etc/pec-ingest/private": 0o700, "var/lib/pec-ingest": 0o700, "run/pec-ingest": 0o755,
		"root": 0o700, "media/usb": 0o755, "bin": 0o755} {
		path := filepath.Join(root, dir)
		if err := os.MkdirAll(path, 0o755); err != nil {
			s.t.Fatal(err)
		}
		chmod(s.t, path, mode)
	}
	m.write("bin/systemctl", strings.ReplaceAll(systemctlScript, "@ROOT@", root), 0o755)
	m.write("bin/ingest", fmt.Sprintf("#!/bin/sh\nexec %s --config %s/etc/pec-ingest/config.toml \"$@\"\n", program, root), 0o755)
	for _, name := range []string{"pec.pem", "tls.pem"} { // as if these were public ones
		m.write("etc/pec-ingest/"+name, s.read(name), 0o644)
	}
	return m
}

// install is the first day of a machine.
func (m *machine) install() {
	m.s.t.Helper()
	config := strings.ReplaceAll(m.s.config(), m.s.vaultDir, m.root+"/var/lib/pec-ingest")
	config = strings.ReplaceAll(config, filepath.Join(m.s.dir, "sock"), m.root+"/run/pec-ingest/ingest.sock")
	m.write("etc/pec-ingest/config.toml", config, 0o644)
	m.write("etc/pec-ingest/private/inbox-password", inboxPass+"\n", 0o600)
	m.run(nil, "ingest init --keys /etc/pec-ingest")
	m.recovery = keyIn(m.s.t, m.out)
	m.run(nil, "ingest client add "+rossi+" --name 'Rossi & C.' --phone '051 1' --used-in nuvola", "ingest client add "+bianchi, "systemctl start pec-ingest")
}

func keyIn(t *testing.T, text string) string {
	t.Helper()
	i := strings.Index(text, "AGE-SECRET-KEY-1")
	if i < 0 {
		t.Fatalf("no recovery key was printed: %s", text)
	}
	return strings.Fields(text[i:])[0]
}

func (m *machine) write(name, text string, mode os.FileMode) {
	m.s.t.Helper()
	if err := os.WriteFile(filepath.Join(m.root, name), []byte(text), mode); err != nil {
		m.s.t.Fatal(err)
	}
}

// run runs commands one by one, as they stand but for the folder that the
// machine lies below. typed is what a person types into those that read it.
func (m *machine) run(typed []string, lines ...string) {
	m.s.t.Helper()
	m.out = ""
	for _, line := range lines {
		command := line
		for _, dir := range []string{"/etc", "/var/lib", "/root", "/media"} {
			for _, before := range []string{" ", "\""} {
				command = strings.ReplaceAll(command, before+dir+"/", before+m.root+dir+"/")
			}
		}
		cmd := exec.Command("bash", "-eu", "-c", command)
		cmd.Env = []string{"PATH=" + m.root + "/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + m.root + "/root", "LC_ALL=C.UTF-8", "TMPDIR=" + m.root}
		cmd.Dir = m.root
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal to ask on
		if strings.Contains(line, "/dev/stdin") || strings.Contains(line, "set --inbox") {
			if len(typed) == 0 {
				m.s.t.Fatalf("%s\nnobody said what to type", line)
			}
			cmd.Stdin = strings.NewReader(typed[0] + "\n")
			typed = typed[1:]
		}
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			m.s.t.Fatalf("%s\n%v\n%s", line, err, out.String())
		}
		m.out += out.String()
	}
	if len(typed) > 0 {
		m.s.t.Fatalf("nothing reads %d of the lines typed", len(typed))
	}
}

// serves waits until the running service gives these passwords.
func (m *machine) serves(want map[string]string) {
	m.s.t.Helper()
	program, _ := buildOnce()
	for mailbox, password := range want {
		var out []byte
		m.s.within(30*time.Second, "the password of "+mailbox, func() bool {
			out, _ = exec.Command(program, "--config", m.root+"/etc/pec-ingest/config.toml", "get", mailbox).Output()
			return string(out) == password+"\n"
		})
	}
}

// Each block of commands in docs/recovery.md is run as it stands, on machines
// that lose what the section is about. A section without a rehearsal fails.
func TestRecoveryGuide(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"bash", "shred", "setsid"} {
		if _, err := exec.LookPath(program); err != nil {
			servertest.Require(t, program)
		}
	}
	guide := readGuide(t)
	var sections []string
	for _, b := range guide {
		if !slices.Contains(sections, b.section) {
			sections = append(sections, b.section)
		}
	}
	rehearsed := map[string]func(*testing.T, *machine, [][]string){
		"Today, before anything happens":            rehearseToday,
		"The identity is lost, the vault is there":  rehearseIdentity,
		"Both keys are lost":                        rehearseBothKeys,
		"The disk is dead, or the vault is damaged": rehearseDisk,
		"Moving to another machine":                 rehearseMove,
		"A key is in wrong hands":                   rehearseWrongHands,
		"The studio's own password is refused":      rehearseRefused,
	}
	if len(sections) != len(rehearsed) {
		t.Errorf("sections with commands: got %q, want those rehearsed", sections)
	}
	for _, section := range sections {
		rehearse := rehearsed[section]
		if rehearse == nil {
			t.Errorf("%q is not rehearsed", section)
			continue
		}
		t.Run(section, func(t *testing.T) {
			t.Parallel()
			s := newStudio(t, studioOptions{clients: []string{rossi}})
			s.deliver(s.submission(rossi, 60, passwords[rossi]))
			m := s.newMachine()
			m.install()
			m.serves(map[string]string{rossi: passwords[rossi]})
			var blocks [][]string
			for _, b := range guide {
				if b.section == section {
					blocks = append(blocks, b.lines)
				}
			}
			rehearse(t, m, blocks)
		})
	}
}

// wantBlocks holds a section to the number of blocks that its rehearsal knows.
func wantBlocks(t *testing.T, blocks [][]string, want int) {
	t.Helper()
	if len(blocks) != want {
		t.Fatalf("got %d blocks of commands, want the %d that are rehearsed: %q", len(blocks), want, blocks)
	}
}

func (m *machine) backUp(t *testing.T) {
	t.Helper()
	for _, b := range readGuide(t) {
		if b.section == "Today, before anything happens" {
			m.run(nil, b.lines...)
			return
		}
	}
}

func rehearseToday(t *testing.T, m *machine, blocks [][]string) {
	wantBlocks(t, blocks, 2)
	m.run(nil, blocks[0]...)
	m.run([]string{m.recovery}, blocks[1]...)
	if !strings.Contains(m.out, "opens all 1 passwords") {
		t.Errorf("the recovery key was not proved: %s", m.out)
	}
	if got := files(t, filepath.Join(m.root, "root")); strings.Contains(got, "recovery.key") {
		t.Errorf("the key was left behind: %s", got)
	}
}

func rehearseIdentity(t *testing.T, m *machine, blocks [][]string) {
	wantBlocks(t, blocks, 1)
	m.run(nil, "systemctl stop pec-ingest", "rm /etc/pec-ingest/private/identity.txt")
	m.run([]string{m.recovery}, blocks[0]...)
	m.serves(map[string]string{rossi: passwords[rossi]})
}

func rehearseBothKeys(t *testing.T, m *machine, blocks [][]string) {
	wantBlocks(t, blocks, 2)
	before := m.clients()
	m.run(nil, "systemctl stop pec-ingest", "rm /etc/pec-ingest/private/identity.txt")
	m.run(nil, blocks[0]...)
	m.run(nil, blocks[1]...)
	if key := keyIn(t, m.out); key == m.recovery {
		t.Error("the recovery key is the old one")
	}
	if after := m.clients(); after != before || !strings.Contains(after, "Rossi & C.") || !strings.Contains(after, "nuvola") {
		t.Errorf("clients: got\n%s\nwant\n%s", after, before)
	}
	// What the person does in the webmail.
	m.s.imap.Doveadm("move", "-u", studioPEC, "INBOX", "mailbox", processed, "all")
	m.serves(map[string]string{rossi: passwords[rossi]})
}

// clients is the list, without the times.
func (m *machine) clients() string {
	m.s.t.Helper()
	m.run(nil, "ingest client list --csv")
	return m.out
}

func rehearseDisk(t *testing.T, m *machine, blocks [][]string) {
	wantBlocks(t, blocks, 3)
	m.backUp(t)
	m.s.deliver(m.s.submission(bianchi, 2, passwords[bianchi])) // after the backup
	both := map[string]string{rossi: passwords[rossi], bianchi: passwords[bianchi]}
	m.serves(both)
	m.run(nil, "systemctl stop pec-ingest")
	b, err := os.ReadFile(filepath.Join(m.root, "var/lib/pec-ingest/vault.db"))
	if err != nil {
		t.Fatal(err)
	}
	m.write("var/lib/pec-ingest/vault.db", string(b[:len(b)/2]), 0o600)
	m.run(nil, blocks[0]...)
	m.serves(both)
	m.run(nil, "systemctl stop pec-ingest")

	fresh := m.s.newMachine()
	fresh.run(nil, "cp -a "+m.root+"/media/usb/pec-ingest /media/usb/")
	// The paths in the configuration are those of every machine but a test's.
	config := strings.ReplaceAll(m.read("etc/pec-ingest/config.toml"), m.root, fresh.root)
	fresh.write("media/usb/pec-ingest/config.toml", config, 0o644)
	fresh.run([]string{m.recovery, inboxPass}, blocks[1]...)
	fresh.serves(both)
	fresh.run(nil, blocks[2]...)
}

func (m *machine) read(name string) string {
	m.s.t.Helper()
	b, err := os.ReadFile(filepath.Join(m.root, name))
	if err != nil {
		m.s.t.Fatal(err)
	}
	return string(b)
}

func rehearseMove(t *testing.T, m *machine, blocks [][]string) {
	wantBlocks(t, blocks, 2)
	m.run(nil, blocks[0]...)
	fresh := m.s.newMachine()
	fresh.run(nil, "cp -a "+m.root+"/root/move /root/")
	fresh.write("root/move/pec-ingest/config.toml", strings.ReplaceAll(m.read("etc/pec-ingest/config.toml"), m.root, fresh.root), 0o644)
	fresh.run(nil, blocks[1]...)
	fresh.serves(map[string]string{rossi: passwords[rossi]})
	m.run(nil, "ingest status --json")
	old := m.out
	if fresh.run(nil, "ingest status --json"); !sameStatus(t, old, fresh.out) {
		t.Errorf("status: got\n%s\nwant\n%s", fresh.out, old)
	}
}

// sameStatus compares without what depends on the moment.
func sameStatus(t *testing.T, a, b string) bool {
	t.Helper()
	var list [2][]map[string]any
	decode(t, a, &list[0])
	decode(t, b, &list[1])
	for _, rows := range list {
		for _, row := range rows {
			delete(row, "last_check")
		}
	}
	return fmt.Sprint(list[0]) == fmt.Sprint(list[1]) && len(list[0]) == 2
}

func rehearseWrongHands(t *testing.T, m *machine, blocks [][]string) {
	wantBlocks(t, blocks, 1)
	oldIdentity := m.read("etc/pec-ingest/private/identity.txt")
	m.run(nil, blocks[0]...)
	m.serves(map[string]string{rossi: passwords[rossi]})
	fresh := keyIn(t, m.out)
	// The new keys open it, each alone; the old ones do not.
	m.run(nil, "systemctl stop pec-ingest")
	identity := m.read("etc/pec-ingest/private/identity.txt")
	for name, c := range map[string]struct {
		key   string
		opens bool
	}{"new identity": {identity, true}, "new recovery key": {fresh, true}, "old identity": {oldIdentity, false}, "old recovery key": {m.recovery, false}} {
		m.write("etc/pec-ingest/private/identity.txt", c.key+"\n", 0o600)
		out, err := exec.Command(filepath.Join(m.root, "bin/ingest"), "get", rossi).Output()
		if opened := err == nil && string(out) == passwords[rossi]+"\n"; opened != c.opens {
			t.Errorf("the %s: opens %t (%v), want %t", name, opened, err, c.opens)
		}
	}
	if got := files(t, filepath.Join(m.root, "root")); strings.Contains(got, "identity.txt") {
		t.Errorf("the key was left behind: %s", got)
	}
}

func rehearseRefused(t *testing.T, m *machine, blocks [][]string) {
	wantBlocks(t, blocks, 1)
	const changed = "Nuova-Chiave-Studio-2"
	m.s.imap.SetPassword(studioPEC, changed)
	m.s.imap.Kick(studioPEC)
	m.run([]string{changed}, blocks[0]...)
	m.s.deliver(m.s.submission(bianchi, 2, passwords[bianchi]))
	m.serves(map[string]string{bianchi: passwords[bianchi]})
}
