package deploy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Passwords that the client sends one after another.
const (
	secondPW = "Bq4mR9ww"
	thirdPW  = "Tz8nLkk3"
)

// README, "Install", with the edits that a test needs: another server, another
// anchor. enable --now returns when the service is ready.
func liveInstall(t *testing.T, l *live) {
	out := l.must(t, "apt-get", "install", "-y", "-q", "/root/pec-ingest.deb")
	if !strings.Contains(out, "systemctl enable --now pec-ingest") {
		t.Errorf("the installation does not print the next steps:\n%s", out)
	}
	if got := l.show(t, "ActiveState"); got != "inactive" {
		t.Errorf("after the installation the service is %s, want inactive", got)
	}
	l.recovery = regexp.MustCompile("AGE-SECRET-KEY-[0-9A-Z]+").FindString(l.must(t, "ingest", "init", "--keys", "/etc/pec-ingest"))
	l.write(t, "/etc/pec-ingest/pec.pem", string(l.authority.RootPEM()), 0o644)
	l.write(t, "/etc/pec-ingest/tls.pem", string(l.dovecot.CA().PEM()), 0o644)
	l.write(t, "/etc/pec-ingest/config.toml", configured(t, l.read(t, "/etc/pec-ingest/config.toml"), l.dovecot, l.page), 0o644)
	l.exits(t, 0, inboxPW+"\n", "install", "-m", "0600", "/dev/stdin", "/etc/pec-ingest/private/inbox-password")
	l.must(t, "ingest", "check")
	l.must(t, "systemctl", "enable", "--now", "pec-ingest")
	l.exits(t, 0, "mailbox;name\n"+client+";Mario Rossi\n", "ingest", "client", "import", "/dev/stdin")
	if out := l.must(t, "ingest", "status"); !strings.Contains(out, client) {
		t.Errorf("status does not know the client:\n%s", out)
	}
	for property, want := range map[string]string{"ActiveState": "active", "SubState": "running", "NRestarts": "0", "Type": "notify",
		"User": "pec-ingest", "UnitFileState": "enabled"} {
		if got := l.show(t, property); got != want {
			t.Errorf("%s: got %q, want %q", property, got, want)
		}
	}
	l.status(t, "watching the inbox")
	if out := l.must(t, "ingest", "check"); !strings.Contains(out, "a credential of systemd") {
		t.Errorf("the service does not have its key from systemd:\n%s", out)
	}
}

// status waits until `systemctl status` shows this.
func (l *live) status(t *testing.T, want string) {
	t.Helper()
	l.waits(t, "STATUS="+want, func() bool {
		out, _, _ := l.run(t, "", "systemctl", "status", "--no-pager", "-l", "-n", "0", "pec-ingest")
		m := regexp.MustCompile(`(?m)^ *Status: "(.*)"$`).FindStringSubmatch(out)
		return m != nil && strings.Contains(m[1], want)
	})
}

// What systemd makes of the unit, as the running process has it.
func liveSandbox(t *testing.T, l *live) {
	out := l.must(t, "systemd-analyze", "security", "--no-pager", "pec-ingest.service")
	m := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no verdict in:\n%s", out)
	}
	if got, err := strconv.ParseFloat(m[1], 64); err != nil || got > maxExposure {
		t.Errorf("exposure: got %s, want at most %v\n%s", m[1], maxExposure, out)
	}
	for path, want := range map[string]string{
		"/var/lib/pec-ingest": "700 pec-ingest:pec-ingest", "/var/lib/pec-ingest/vault.db": "600 pec-ingest:pec-ingest",
		"/run/pec-ingest": "755 pec-ingest:pec-ingest", "/run/pec-ingest/ingest.sock": "660 pec-ingest:pec-ingest"} {
		if got := l.stat(t, path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	// The key, by mode or by ACL, is the account's alone.
	const key = "/run/credentials/pec-ingest.service/identity.txt"
	l.exits(t, 0, "", as("pec-ingest", "cat", key)...)
	l.exits(t, 1, "", as("www-data", "cat", key)...)
	process := l.read(t, "/proc/"+l.show(t, "MainPID")+"/status")
	for _, want := range []string{"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "Umask:\t0077"} {
		if !strings.Contains(process, "\n"+want+"\n") {
			t.Errorf("the process has no %q:\n%s", want, process)
		}
	}
	if strings.Contains(l.log(t), "systemd[1]: /") {
		t.Errorf("systemd complains about the unit:\n%s", l.log(t))
	}
}

// document is an indented block of a document from this line on, about the
// test's client.
func document(t *testing.T, file, first string) string {
	t.Helper()
	b, err := os.ReadFile("../docs/" + file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "\n    "+first)
	if !ok {
		t.Fatalf("docs/%s has no line %q", file, first)
	}
	block := first
	for line := range strings.Lines(rest) {
		text, indented := strings.CutPrefix(line, "    ")
		if !indented && line != "\n" && block != first {
			break
		}
		block += text
	}
	return strings.ReplaceAll(block, "rossi@pec.it", client)
}

// whereItIsNoon is a time zone: no job runs between two and three at night.
func whereItIsNoon() string { return fmt.Sprintf("Etc/GMT%+d", time.Now().UTC().Hour()-12) }

// Everything that leaves the sandbox: touched files and the .path unit that
// the documentation gives, backups, heartbeat, alert, journal.
func liveTraces(t *testing.T, l *live) {
	// Backups by schedule go to another disk.
	l.sh(t, "mkdir -m 0755 -p /media/usb; install -d -m 0700 -o pec-ingest -g pec-ingest /media/usb/scheduled")
	_, settings, _ := strings.Cut(document(t, "systemd.md", "install -d -m 0700 -o pec-ingest"), "[Service]\n")
	l.dropIn(t, "backups", settings)
	l.edit(t, [2]string{"\ntouch_dir = \"\"", "\ntouch_dir = \"/var/lib/pec-ingest/changed\""},
		[2]string{"\nbackup_dir = \"\"", "\nbackup_dir = \"/media/usb/scheduled\""},
		[2]string{"\nbackup_schedule = \"30 1 * * *\"", "\nbackup_schedule = \"* 3-23 * * *\""},
		[2]string{"\ntimezone = \"Europe/Rome\"", "\ntimezone = \"" + whereItIsNoon() + "\""},
		[2]string{"\ncommand = []", "\ncommand = [\"/usr/local/bin/call-admin\"]"},
		[2]string{"\nheartbeat_file = \"\"", "\nheartbeat_file = \"/run/pec-ingest/alive\""},
		[2]string{"\nheartbeat_command = []", "\nheartbeat_command = [\"/usr/local/bin/alive\", \"one\"]"})
	l.write(t, "/usr/local/bin/call-admin", "#!/bin/sh\ncat >>/var/lib/pec-ingest/alerts\nlogger -t call-admin 'the admin is called'\n", 0o755)
	l.write(t, "/usr/local/bin/alive", "#!/bin/sh\ndate >\"/run/pec-ingest/alive-$1\"\n", 0o755)
	// A program with the password, for the documented units to reload.
	l.write(t, "/etc/systemd/system/dovecot.service",
		"[Service]\nExecStart=/bin/sleep infinity\nExecReload=/bin/sh -c 'echo reloaded >>/run/dovecot-reloads'\n", 0o644)
	units := strings.Split(document(t, "systemd.md", "# /etc/systemd/system/rossi-password.path"), "# /etc/systemd/system/")
	for _, unit := range units[1:] {
		name, text, _ := strings.Cut(unit, "\n")
		l.write(t, "/etc/systemd/system/"+name, text, 0o644)
	}
	l.must(t, "systemctl", "daemon-reload")
	l.must(t, "systemctl", "start", "dovecot")
	l.must(t, "systemctl", "restart", "pec-ingest")
	l.must(t, "systemctl", "enable", "--now", "rossi-password.path")

	l.letter(t, clientPW)
	l.arrives(t, clientPW)
	entries := l.events(t, "credential.accepted")
	if len(entries) != 1 || entries[0]["INGEST_MAILBOX"] != client || entries[0]["PRIORITY"] != "6" || entries[0]["SYSLOG_IDENTIFIER"] != "pec-ingest" {
		t.Errorf("journal fields: got %v", entries)
	}
	l.waits(t, "the .path unit reloads the program", func() bool {
		b, _ := os.ReadFile(l.path("/run/dovecot-reloads"))
		return string(b) == "reloaded\n"
	})
	if got := l.read(t, "/var/lib/pec-ingest/changed/"+client); got != client+" 1\n" {
		t.Errorf("the touched file: got %q", got)
	}
	l.letter(t, secondPW)
	l.arrives(t, secondPW)
	l.waits(t, "it is reloaded for the second password", func() bool {
		b, _ := os.ReadFile(l.path("/run/dovecot-reloads"))
		return string(b) == "reloaded\nreloaded\n"
	})

	for _, file := range []string{"/run/pec-ingest/alive", "/run/pec-ingest/alive-one"} {
		l.waits(t, "the heartbeat "+file, func() bool { _, err := os.Stat(l.path(file)); return err == nil })
	}
	if bad := l.events(t, "heartbeat.error"); len(bad) > 0 {
		t.Errorf("heartbeat: %v", bad)
	}
	// The network is cut; then the inbox refuses the password, and takes a new one.
	l.dovecot.Stop()
	l.status(t, "inbox not reachable")
	l.dovecot.Start()
	l.status(t, "watching the inbox")
	l.waits(t, "inbox.back", func() bool { return len(l.events(t, "inbox.back")) == 1 })
	l.dovecot.SetPassword(studio, inboxPW+"-new")
	l.dovecot.Kick(studio)
	l.status(t, "the inbox refuses the password")
	l.waits(t, "the alert command, and what it says to syslog", func() bool {
		b, _ := os.ReadFile(l.path("/var/lib/pec-ingest/alerts"))
		out, _, _ := l.run(t, "", "journalctl", "--no-pager", "-t", "call-admin")
		return strings.Contains(string(b), `"event":"inbox.refused"`) && strings.Contains(out, "the admin is called")
	})
	l.exits(t, 0, inboxPW+"-new\n", "ingest", "set", "--inbox")
	l.status(t, "watching the inbox")
}

// Groups and accounts of this machine, on the socket and on the page's.
func liveCallers(t *testing.T, l *live) {
	l.sh(t, `groupadd studio; groupadd studio-it
		useradd -m -G studio anna; useradd -m -G studio-it bruno; useradd -m carlo`)
	l.edit(t, [2]string{"\nreaders = []                    # unix groups that may get", "\nreaders = [\"studio\"] # unix groups that may get"},
		[2]string{"\nadmins = []", "\nadmins = [\"studio-it\"]"},
		[2]string{"\npage_socket = \"\"", "\npage_socket = \"/run/pec-ingest/page.sock\""},
		[2]string{"\npage_url = \"\"", "\npage_url = \"https://pec.studio.example\""},
		[2]string{"\nproxy_uid = \"\"", "\nproxy_uid = \"www-data\""},
		[2]string{"\ndeciders = []", "\ndeciders = [\"anna\"]"})
	l.must(t, "systemctl", "reload", "pec-ingest")
	l.waits(t, "config.restart_needed", func() bool { return len(l.events(t, "config.restart_needed")) == 1 })
	l.waits(t, "a reader gets the password", func() bool {
		out, _, _ := l.run(t, "", as("anna", "ingest", "get", client)...)
		return out == secondPW+"\n"
	})
	l.exits(t, 1, "x\n", as("anna", "ingest", "set", client)...)
	l.exits(t, 0, "", as("bruno", "ingest", "client", "list")...)
	if out := l.exits(t, 1, "", as("carlo", "ingest", "get", client)...); strings.Contains(out, secondPW) {
		t.Errorf("a stranger got the password: %s", out)
	}
	l.waits(t, "refusals in the journal", func() bool { return len(l.events(t, "socket.refused")) >= 2 })
	if out := l.must(t, "ingest", "audit"); !strings.Contains(out, "carlo") {
		t.Errorf("the audit log does not name who was refused:\n%s", out)
	}
	l.must(t, "systemctl", "restart", "pec-ingest")
	if got := l.stat(t, "/run/pec-ingest/page.sock"); got != "666 pec-ingest:pec-ingest" {
		t.Errorf("the page's socket: got %s", got)
	}
	if got := l.stat(t, "/run/pec-ingest/ingest.sock"); got != "666 pec-ingest:pec-ingest" {
		t.Errorf("the socket: got %s", got)
	}
	const ask = `exec 3<>/dev/null; printf 'GET / HTTP/1.1\r\nHost: pec.studio.example\r\nX-Remote-User: anna\r\nConnection: close\r\n\r\n' |
		perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new(Peer => "/run/pec-ingest/page.sock") or die; print $s <STDIN>; print <$s>'`
	if out := l.exits(t, 0, "", as("www-data", "sh", "-c", ask)...); !strings.HasPrefix(out, "HTTP/1.1 200 ") || !strings.Contains(out, client) {
		t.Errorf("the proxy's account on the page's socket: got %.300s", out)
	}
	if out, _, _ := l.run(t, "", as("carlo", "sh", "-c", ask)...); strings.Contains(out, client) {
		t.Errorf("another account sees the page as the proxy does: %.300s", out)
	}
	res, err := http.Get("http://" + l.page + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("/readyz: got %d", res.StatusCode)
	}
}

// A configuration that is wrong between two reloads.
func liveReload(t *testing.T, l *live) {
	good := l.read(t, "/etc/pec-ingest/config.toml")
	pid := l.show(t, "MainPID")
	l.write(t, "/etc/pec-ingest/config.toml", good+"\n[warnings]\nschedul = \"x\"\n", 0o644)
	l.must(t, "systemctl", "reload", "pec-ingest")
	l.waits(t, "config.refused", func() bool { return len(l.events(t, "config.refused")) == 1 })
	if e := l.events(t, "config.refused")[0]; e["PRIORITY"] != "3" || e["INGEST_HINT"] == "" || e["INGEST_ERR"] == "" {
		t.Errorf("config.refused: got %v", e)
	}
	l.status(t, "watching the inbox")
	l.write(t, "/etc/pec-ingest/config.toml", good, 0o644)
	before := len(l.events(t, "config.reloaded"))
	l.must(t, "systemctl", "reload", "pec-ingest")
	l.waits(t, "config.reloaded", func() bool { return len(l.events(t, "config.reloaded")) == before+1 })
	if got := l.show(t, "MainPID"); got != pid {
		t.Errorf("a reload changed the process: %s, was %s", got, pid)
	}
	l.must(t, "systemctl", "stop", "pec-ingest")
	if got := l.show(t, "Result"); got != "success" {
		t.Errorf("stopped with the result %q", got)
	}
	if _, err := os.Stat(l.path("/run/pec-ingest")); err == nil {
		t.Error("the runtime folder is still there after a stop")
	}
	// Root's commands open the vault themselves now.
	if out := l.must(t, "ingest", "get", client); out != secondPW+"\n" {
		t.Errorf("root without the service: got %q", out)
	}
	l.must(t, "systemctl", "start", "pec-ingest")
}

// restarted waits until systemd has restarted the service n times by itself
// since the last start by hand.
func (l *live) restarted(t *testing.T, n int) {
	t.Helper()
	l.waits(t, "restarted by systemd", func() bool {
		return l.show(t, "NRestarts") == strconv.Itoa(n) && l.show(t, "ActiveState") == "active"
	})
}

// Restart=on-failure and RestartSec= of the unit as it is.
func liveKilled(t *testing.T, l *live) {
	l.must(t, "systemctl", "kill", "-s", "KILL", "pec-ingest")
	l.restarted(t, 1)
	if out := l.must(t, "ingest", "get", client); out != secondPW+"\n" {
		t.Errorf("after the kill: got %q", out)
	}
}

// The watchdog: the time between two signs of life is made short here.
func liveHung(t *testing.T, l *live) {
	l.dropIn(t, "override", "WatchdogSec=10s\nRestartSec=1s\n")
	l.must(t, "systemctl", "restart", "pec-ingest")
	time.Sleep(12 * time.Second) // longer than the watchdog waits: it must be fed
	if got := l.show(t, "NRestarts"); got != "0" {
		t.Errorf("the watchdog is not fed: %s restarts\n%s", got, l.log(t))
	}
	l.must(t, "systemctl", "kill", "-s", "STOP", "pec-ingest")
	l.restarted(t, 1)
	if !strings.Contains(l.log(t), "Watchdog timeout") {
		t.Errorf("restarted, but not by the watchdog:\n%s", l.log(t))
	}
	l.dropIn(t, "override", "RestartSec=1s\n")
}

// What stands in the way of a start is said in one line, with what to do; it
// is tried again where that helps.
func liveWrong(t *testing.T, l *live) {
	good := l.read(t, "/etc/pec-ingest/config.toml")
	l.write(t, "/etc/pec-ingest/config.toml", good+"\n[nonsense]\n", 0o644)
	l.exits(t, 1, "", "systemctl", "restart", "pec-ingest")
	time.Sleep(3 * time.Second)
	for property, want := range map[string]string{"ActiveState": "failed", "ExecMainStatus": "6", "NRestarts": "0"} {
		if got := l.show(t, property); got != want {
			t.Errorf("a wrong configuration: %s: got %q, want %q", property, got, want)
		}
	}
	l.failed(t, "nonsense")
	l.write(t, "/etc/pec-ingest/config.toml", good, 0o644)

	// No key: it waits for one.
	l.sh(t, "mv /etc/pec-ingest/private/identity.txt /root/identity.txt")
	l.exits(t, 1, "", "systemctl", "restart", "pec-ingest")
	l.waits(t, "tried again", func() bool { n, _ := strconv.Atoi(l.show(t, "NRestarts")); return n > 0 })
	if !strings.Contains(l.log(t), "code=exited, status=5/") {
		t.Errorf("without the key: no exit 5 in the journal:\n%s", l.log(t))
	}
	l.failed(t, "identity")
	l.sh(t, "mv /root/identity.txt /etc/pec-ingest/private/identity.txt")
	l.waits(t, "it starts by itself once the key is there", func() bool { return l.show(t, "ActiveState") == "active" })

	// No password for the inbox: it runs, and waits. The one that was typed in
	// is in the vault; another address has none yet.
	l.sh(t, "mv /etc/pec-ingest/private/inbox-password /root/inbox-password")
	l.edit(t, [2]string{"\nusername = \"" + studio + "\"", "\nusername = \"altro@pec.studio.example\""})
	l.must(t, "systemctl", "restart", "pec-ingest")
	l.status(t, "waiting for the inbox's password")
	l.sh(t, "mv /root/inbox-password /etc/pec-ingest/private/inbox-password")
	l.write(t, "/etc/pec-ingest/config.toml", good, 0o644)
	l.must(t, "systemctl", "restart", "pec-ingest")
	l.status(t, "watching the inbox")
}

// failed looks at what a failed start left: an error in the journal, in one
// entry with a hint, and STATUS=.
func (l *live) failed(t *testing.T, about string) {
	t.Helper()
	entries := l.events(t, "service.failed")
	if len(entries) == 0 {
		t.Fatalf("no event service.failed:\n%s", l.log(t))
	}
	e := entries[len(entries)-1]
	text, _ := json.Marshal(e)
	if e["PRIORITY"] != "3" || e["INGEST_HINT"] == nil || !strings.Contains(string(text), about) {
		t.Errorf("service.failed: got %s", text)
	}
	l.status(t, about)
}
