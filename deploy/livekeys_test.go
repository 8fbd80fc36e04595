package deploy_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"filippo.io/age"
)

// The pauses between restarts that a newer systemd can make longer.
func liveSteps(t *testing.T, l *live) {
	var version int
	if _, err := fmt.Sscanf(l.must(t, "systemctl", "--version"), "systemd %d", &version); err != nil {
		t.Fatal(err)
	}
	if version < 254 {
		t.Skipf("went without RestartSteps=: systemd %d has none", version)
	}
	l.sh(t, document(t, "systemd.md", "mkdir -p /etc/systemd/system/pec-ingest.service.d"))
	if got := l.show(t, "RestartSteps"); got != "6" {
		t.Errorf("RestartSteps: got %q, want 6", got)
	}
	if out := l.must(t, "systemd-analyze", "verify", "pec-ingest.service"); out != "" {
		t.Errorf("systemd-analyze verify is not silent:\n%s", out)
	}
	l.sh(t, "rm /etc/systemd/system/pec-ingest.service.d/restart-steps.conf; systemctl daemon-reload")
}

// docs/recovery.md as it stands there, with the service that it stops and starts.
func liveRecovery(t *testing.T, l *live) {
	working := func() {
		t.Helper()
		l.status(t, "watching the inbox")
		if out := l.must(t, "ingest", "get", client); out != secondPW+"\n" {
			t.Errorf("got %q", out)
		}
	}
	l.waits(t, "the scheduled backup", func() bool { return len(l.events(t, "backup.made")) > 0 })
	// By hand it goes wherever root may write, though the service can't.
	l.sh(t, document(t, "recovery.md", "ingest backup /media/usb/pec-ingest/"))
	l.exits(t, 0, l.recovery+"\n", "bash", "-ec", document(t, "recovery.md", "install -m 0600 /dev/stdin /root/recovery.key"))

	const stop = "systemctl stop pec-ingest\n"
	l.sh(t, stop+document(t, "recovery.md", "mv /var/lib/pec-ingest/vault.db /root/vault-damaged.db"))
	working()
	l.sh(t, "shred -u /etc/pec-ingest/private/identity.txt")
	l.exits(t, 0, l.recovery+"\n", "bash", "-ec", stop+document(t, "recovery.md", "install -m 0600 /dev/stdin /etc/pec-ingest/private/identity.txt"))
	working()
	l.sh(t, stop+document(t, "recovery.md", "ingest init --keys /root/new"))
	working()
}

// docs/systemd.md, "Secrets": the key encrypted by systemd, then a key under a
// passphrase that systemd keeps.
func liveEncrypted(t *testing.T, l *live) {
	const private = "/etc/pec-ingest/private/"
	block := document(t, "systemd.md", "systemd-creds encrypt --name=identity.txt")
	commands, _, _ := strings.Cut(block, "systemctl edit")
	l.sh(t, hostKey(commands))
	_, settings, _ := strings.Cut(block, "[Service]\n")
	if !strings.Contains(settings, "LoadCredentialEncrypted=identity.txt:") {
		t.Fatalf("docs/systemd.md gives no settings:\n%s", block)
	}
	identity := l.read(t, private+"identity.txt")
	l.sh(t, "shred -u "+private+"identity.txt")
	l.dropIn(t, "override", "RestartSec=1s\n"+settings)
	l.must(t, "systemctl", "restart", "pec-ingest")
	l.status(t, "watching the inbox")
	l.letter(t, thirdPW)
	l.arrives(t, thirdPW)
	if out := l.must(t, "ingest", "check"); !strings.Contains(out, "a credential of systemd") {
		t.Errorf("the service does not have its key from systemd:\n%s", out)
	}

	r, err := age.NewScryptRecipient("una frase lunga")
	if err != nil {
		t.Fatal(err)
	}
	r.SetWorkFactor(12)
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, r)
	if err == nil {
		_, err = w.Write([]byte(identity))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	l.write(t, private+"identity.txt", sealed.String(), 0o600)
	l.edit(t, [2]string{"\nidentity_passphrase_file = \"\"", "\nidentity_passphrase_file = \"identity-passphrase\""})
	block = document(t, "systemd.md", "systemd-ask-password -n | systemd-creds encrypt --name=identity-passphrase -")
	commands, _, _ = strings.Cut(block, "systemctl edit")
	l.sh(t, hostKey(strings.Replace(commands, "systemd-ask-password -n", "printf 'una frase lunga'", 1)))
	_, settings, _ = strings.Cut(block, "[Service]\n")
	l.dropIn(t, "override", "RestartSec=1s\n"+settings)
	l.must(t, "systemctl", "restart", "pec-ingest")
	l.status(t, "watching the inbox")
	if out := l.must(t, "ingest", "get", client); out != thirdPW+"\n" {
		t.Errorf("with the key under a passphrase: got %q", out)
	}
	if out := l.must(t, "ingest", "check"); !strings.Contains(out, "protected by the passphrase in /run/credentials/") {
		t.Errorf("check does not know where the passphrase comes from:\n%s", out)
	}
	for _, path := range []string{"identity.txt", "identity.cred", "identity-passphrase.cred"} {
		if strings.Contains(l.read(t, private+path), "AGE-SECRET-KEY-") {
			t.Errorf("%s holds the key in clear", path)
		}
	}
}

// hostKey names the key that systemd-creds takes by itself where there is no
// TPM. By itself it takes none from a disk in memory, where this Debian lies.
func hostKey(commands string) string {
	return strings.ReplaceAll(commands, "systemd-creds encrypt ", "systemd-creds encrypt --with-key=host ")
}

// An upgrade restarts a service that runs, and no other; remove stops it.
func liveLeave(t *testing.T, l *live) {
	l.sh(t, `dpkg-deb -R /root/pec-ingest.deb /root/newer
		sed -i 's/^Version: .*/Version: 9999/' /root/newer/DEBIAN/control
		dpkg-deb --root-owner-group -Zgzip -z1 -b /root/newer /root/newer.deb >/dev/null; rm -r /root/newer`)
	pid := l.show(t, "MainPID")
	out := l.must(t, "apt-get", "install", "-y", "-q", "/root/newer.deb")
	if strings.Contains(out, "Next, as root") {
		t.Error("an upgrade prints the first steps")
	}
	if got := l.show(t, "MainPID"); got == pid || l.show(t, "ActiveState") != "active" {
		t.Errorf("the upgrade did not restart the service: %s, was %s", got, pid)
	}
	if out := l.must(t, "ingest", "get", client); out != thirdPW+"\n" {
		t.Errorf("after the upgrade: got %q", out)
	}
	l.must(t, "apt-get", "remove", "-y", "-q", "pec-ingest")
	if out, _, _ := l.run(t, "", "pgrep", "-x", "ingest"); out != "" {
		t.Errorf("after remove the service runs as %s", out)
	}
	l.must(t, "apt-get", "purge", "-y", "-q", "pec-ingest")
	for _, path := range []string{"/var/lib/pec-ingest", "/etc/pec-ingest", "/run/pec-ingest", "/etc/systemd/system/pec-ingest.service.d",
		"/etc/systemd/system/multi-user.target.wants/pec-ingest.service"} {
		if _, err := os.Lstat(l.path(path)); err == nil {
			t.Errorf("purge left %s", path)
		}
	}
	if out, _, _ := l.run(t, "", "systemctl", "--failed", "--no-legend", "--plain"); out != "" {
		t.Errorf("units failed:\n%s", out)
	}
}
