package deploy_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pec-ingest/internal/pectest"
	"pec-ingest/internal/servertest"
)

// rootEnv names a fresh Debian with the package installed, as
// scripts/test-package.sh makes it.
const rootEnv = "PEC_INGEST_ROOT"

const (
	studio   = "studio@pec.studio.example"
	client   = "rossi@pec.gestore.example"
	signer   = "posta-certificata@pec.gestore.example"
	inboxPW  = "Studio-Pass-1"
	clientPW = "Xk7pQ2"
)

// chroot runs a command inside, as root, and returns what it printed.
func chroot(t *testing.T, root, stdin string, args ...string) (stdout string, code int) {
	t.Helper()
	cmd := exec.Command("chroot", append([]string{root}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"}
	cmd.Stdin = strings.NewReader(stdin)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatalf("%v: %v", args, err)
	}
	if code = cmd.ProcessState.ExitCode(); code != 0 {
		t.Logf("%v: exit %d\n%s%s", args, code, out.String(), stderr.String())
	}
	return out.String(), code
}

// journal collects what the service logs.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// eventually waits until fn is true.
func eventually(t *testing.T, what string, j *journal, fn func() bool) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if fn() {
			return
		}
	}
	t.Fatalf("waited in vain: %s\njournal:\n%s", what, j)
}

// A new administrator's day: README's steps on the installed package, against
// a real Dovecot; a client's letter, an outage, a stop. There is no init in
// the chroot: the test starts the service as the unit would, with the account,
// the credentials and the notification socket.
func TestInstalled(t *testing.T) {
	root := os.Getenv(rootEnv)
	if root == "" {
		t.Skipf("went without an installed package: %s names none (scripts/test-package.sh does)", rootEnv)
	}
	dovecot := servertest.StartDovecot(t, servertest.DovecotOptions{Users: []servertest.User{
		{Name: studio, Password: inboxPW}, {Name: client, Password: clientPW}}})
	authority := pectest.NewAuthority("pec")
	page := freePort(t)
	in := func(path string) string { return filepath.Join(root, path) }
	write := func(path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(in(path), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	must := func(stdin string, args ...string) string {
		t.Helper()
		out, code := chroot(t, root, stdin, args...)
		if code != 0 {
			t.Fatalf("%v: exit %d", args, code)
		}
		return out
	}

	must("", "ingest", "init", "--keys", "/etc/pec-ingest")
	write("etc/pec-ingest/pec.pem", string(authority.RootPEM()), 0o644)
	write("etc/pec-ingest/tls.pem", string(dovecot.CA().PEM()), 0o644)
	b, err := os.ReadFile(in("etc/pec-ingest/config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	config := configured(t, string(b), dovecot, page)
	write("etc/pec-ingest/config.toml", config, 0o644)
	must(inboxPW+"\n", "install", "-m", "0600", "/dev/stdin", "/etc/pec-ingest/private/inbox-password")
	if out, code := chroot(t, root, "", "ingest", "check"); code != 0 {
		t.Fatalf("check: exit %d\n%s", code, out)
	}

	// What the unit does.
	must("", "sh", "-c", `set -e
		install -d -o pec-ingest -g pec-ingest -m 0755 /run/pec-ingest
		install -d -o pec-ingest -g pec-ingest -m 0500 /run/credentials-pec-ingest
		for f in identity.txt inbox-password; do
			install -o pec-ingest -m 0400 /etc/pec-ingest/private/$f /run/credentials-pec-ingest/$f
		done`)
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: in("run/pec-ingest/notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()
	if err := os.Chmod(in("run/pec-ingest/notify"), 0o666); err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 1000)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := notify.Read(buf)
			if err != nil {
				return
			}
			select {
			case told <- string(buf[:n]):
			default:
			}
		}
	}()
	log := &journal{}
	argv := []string{"--userspec=pec-ingest:pec-ingest", root, "/usr/bin/ingest", "--log-format", "journal", "run"}
	name := "chroot"
	if trace := os.Getenv("PEC_INGEST_STRACE"); trace != "" { // which system calls does it make?
		name, argv = "strace", append([]string{"-f", "-qq", "-o", trace, "/usr/sbin/chroot"}, argv...)
	}
	service := exec.Command(name, argv...)
	service.Env = []string{"PATH=/usr/bin:/bin", "CREDENTIALS_DIRECTORY=/run/credentials-pec-ingest", "NOTIFY_SOCKET=/run/pec-ingest/notify"}
	service.Stdout, service.Stderr = log, log
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- service.Wait() }()
	defer func() { _ = service.Process.Kill() }()

	eventually(t, "READY=1", log, func() bool {
		for {
			select {
			case line := <-told:
				if strings.Contains(line, "READY=1") {
					return true
				}
			default:
				return false
			}
		}
	})
	readyz := func(want int) func() bool {
		return func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+page+"/readyz", nil)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				return false
			}
			defer res.Body.Close()
			_, _ = io.Copy(io.Discard, res.Body)
			return res.StatusCode == want
		}
	}
	eventually(t, "/readyz says ok", log, readyz(200))
	write("tmp/clients.csv", "mailbox;name\n"+client+";Mario Rossi\n", 0o644)
	must("", "ingest", "client", "import", "/tmp/clients.csv")

	at := time.Now().Add(-time.Minute).Truncate(time.Second)
	dovecot.Deliver(studio, "INBOX", letterWith(authority, clientPW, 1, at), at)
	arrived := time.Now()
	eventually(t, "the client's password", log, func() bool {
		out, _ := chroot(t, root, "", "ingest", "get", client)
		return out == clientPW+"\n"
	})
	t.Logf("from the letter to the password: %v", time.Since(arrived).Round(100*time.Millisecond))
	if out, code := chroot(t, root, "", "ingest", "status", "--exit-code"); code != 0 || !strings.HasPrefix(out, "OK: 1 valid") {
		t.Errorf("status --exit-code: got %d %q, want 0 and OK", code, out)
	}
	if out := must("", "ingest", "metrics"); !strings.Contains(out, `pec_ingest_credential_state{login="`+client) || !strings.Contains(out, `pec_ingest_probes_total{result="accepted"} 1`) {
		t.Errorf("the metrics lack the client or the login:\n%s", out)
	}
	// The small program answers alone, even while the other is not there; what
	// is no password is told by the other, as ever.
	whole := in("usr/lib/pec-ingest/ingest")
	if err := os.Rename(whole, whole+".away"); err != nil {
		t.Fatal(err)
	}
	if out, code := chroot(t, root, "", "ingest", "get", client); code != 0 || out != clientPW+"\n" {
		t.Errorf("get without the large program: got %d, %q", code, out)
	}
	if _, code := chroot(t, root, "", "ingest", "version"); code != 1 {
		t.Errorf("version without the large program: got exit %d, want 1", code)
	}
	if err := os.Rename(whole+".away", whole); err != nil {
		t.Fatal(err)
	}
	if out, code := chroot(t, root, "", "ingest", "get", "nessuno@pec.example"); code != 3 || out != "" {
		t.Errorf("get of a mailbox that is none: got %d, %q, want 3 and nothing", code, out)
	}
	if out := must("", "ingest", "profile", client, "--for", "isync"); !strings.Contains(out, "ingest get ") || strings.Contains(out, "usr/lib") {
		t.Errorf("the settings for isync do not name the small program:\n%s", out)
	}
	// Somebody else on the machine.
	cmd := exec.Command("chroot", "--userspec=65534:65534", root, "/usr/bin/ingest", "get", client)
	if out, err := cmd.Output(); err == nil || len(out) > 0 {
		t.Errorf("nobody may get a password: got %q, %v", out, err)
	}

	dovecot.Stop()
	eventually(t, "/readyz says no during the outage", log, readyz(503))
	if _, code := chroot(t, root, "", "ingest", "status", "--exit-code"); code != 1 {
		t.Errorf("status --exit-code during the outage: got %d, want 1", code)
	}
	dovecot.Start()
	eventually(t, "/readyz says ok again", log, readyz(200))

	pid := service.Process.Pid
	if name == "strace" {
		out, err := exec.Command("pgrep", "-P", fmt.Sprint(pid)).Output()
		if _, serr := fmt.Sscan(string(out), &pid); err != nil || serr != nil {
			t.Fatalf("the traced process: %v, %v", err, serr)
		}
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the service ended with %v\n%s", err, log)
		}
	case <-time.After(8 * time.Second):
		t.Errorf("the service did not end within 8 s of SIGTERM\n%s", log)
	}
	for _, secret := range []string{inboxPW, clientPW} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("a password is in the journal")
		}
	}
	// Without a journal its form is lines with a priority; events are fields there.
	for _, line := range []string{"<6>the service has started", "<6>submission settled", "<4>the studio's inbox can't be reached", "<6>the service has stopped"} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the journal has no line %q:\n%s", line, log)
		}
	}
}

// configured is the package's configuration as an administrator edits it:
// inbox, trust and provider are the test's.
func configured(t *testing.T, config string, dovecot *servertest.Dovecot, page string) string {
	t.Helper()
	host, port, _ := net.SplitHostPort(dovecot.Addr())
	for _, change := range [][2]string{ // the first of each is in [inbox]
		{"\nhost = \"\"", "\nhost = \"" + host + "\""}, {"\nport = 993", "\nport = " + port},
		{"\nusername = \"\"", "\nusername = \"" + studio + "\""}, {"\ntls_ca_file = \"\"", "\ntls_ca_file = \"tls.pem\""},
		{"\nanchors = []", "\nanchors = [\"pec.pem\"]"}, {"\nbuiltin = true", "\nbuiltin = false"},
		{"\nlisten = \"127.0.0.1:8470\"", "\nlisten = \"" + page + "\""},
	} {
		config = changed(t, config, change[0], change[1])
	}
	return config + fmt.Sprintf("\n[[provider]]\nid = \"prova\"\nsigner = %q\nimap = %q\ntls_ca_file = \"tls.pem\"\nvalidity = \"90d\"\n", signer, dovecot.Addr())
}

// changed is the text with one part replaced, which must be in it.
func changed(t *testing.T, text, from, to string) string {
	t.Helper()
	if !strings.Contains(text, from) {
		t.Fatalf("the package's configuration has no line %q", from)
	}
	return strings.Replace(text, from, to, 1)
}

// letterWith is what the client sends: a certified letter with a password.
func letterWith(authority *pectest.Authority, password string, n int, at time.Time) []byte {
	e := pectest.Envelope{Provider: authority.Provider(signer, "GESTORE DI PROVA S.p.A."), Sender: client, Recipients: []string{studio},
		Subject: "Nuova password", SentAt: at, MsgID: fmt.Sprintf("<%d@client.example>", n),
		Letter: pectest.Letter{From: client, To: studio, Subject: "Nuova password", Date: at,
			Text: "Buongiorno,\r\n\r\nPassword per programmi di posta: " + password + "\r\n\r\nCordiali saluti\r\n"}}
	return e.Bytes()
}

func freePort(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", servertest.FreePort(t))
}
