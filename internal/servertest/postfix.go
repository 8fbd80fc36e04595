package servertest

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// PostfixOptions says how a Postfix is set up.
type PostfixOptions struct {
	// Dovecot checks the passwords of senders and holds the mailboxes: what
	// is sent to any address at all is found there, in the INBOX of a user of
	// that name.
	Dovecot *Dovecot
	// Reject answers a recipient with a line of its own, as
	// "550 5.1.1 no such user" or "450 4.2.0 try again later".
	Reject map[string]string
	// MaxSize of a message in bytes; 0 is Postfix's own limit of 10 MB.
	MaxSize int
	// Leaf is the server's certificate, signed by the Dovecot's authority.
	Leaf Leaf
	// Extra lines for main.cf.
	Extra string
}

// Postfix is a running server.
type Postfix struct {
	tb    testing.TB
	o     PostfixOptions
	dir   string
	ports []int // implicit TLS, STARTTLS
	proc  *process
}

// StartPostfix starts a Postfix that ends with the test. It takes mail only
// from those who log in, over TLS. Postfix can run as root alone, so without
// root the test goes without it, as if it were not installed.
func StartPostfix(tb testing.TB, o PostfixOptions) *Postfix {
	tb.Helper()
	program := Require(tb, "postfix")
	if os.Geteuid() != 0 {
		missing(tb, "postfix needs root")
	}
	p := &Postfix{tb: tb, o: o, dir: tempDir(tb, "pfx")}
	for _, sub := range []string{"conf", "spool", "data"} {
		if err := os.Mkdir(filepath.Join(p.dir, sub), 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	if out, err := exec.Command("chown", "postfix", filepath.Join(p.dir, "data")).CombinedOutput(); err != nil {
		tb.Fatalf("preparing postfix: %v\n%s", err, out)
	}
	certPEM, keyPEM := o.Dovecot.ca.Issue(tb, o.Leaf)
	p.write("tls.pem", string(keyPEM)+string(certPEM))
	var rejects strings.Builder
	for address, answer := range o.Reject {
		fmt.Fprintf(&rejects, "%s %s\n", address, answer)
	}
	p.write("reject", rejects.String())
	p.write("all", "/./ yes\n")
	tb.Cleanup(p.Stop)
	const attempts = 5
	for i := range attempts {
		p.ports = freePorts(tb, 2)
		p.write("main.cf", p.mainCF())
		p.write("master.cf", p.masterCF())
		err := p.start(program)
		if err == nil {
			return p
		}
		if i == attempts-1 || !strings.Contains(tail(p.logPath(), 20), "Address already in use") {
			tb.Fatalf("starting postfix: %v\n%s", err, tail(p.logPath(), 20))
		}
	}
	return p
}

func (p *Postfix) start(program string) error {
	conf := filepath.Join(p.dir, "conf")
	env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	check := exec.Command(program, "-c", conf, "check") // makes the queue's folders
	check.Env = env
	if out, err := check.CombinedOutput(); err != nil {
		return fmt.Errorf("postfix check: %w: %s", err, out)
	}
	// The master process itself, not by way of "postfix start-fg": so it ends
	// with the test, however that ends. -s makes it lead a process group.
	cmd := exec.Command("/usr/lib/postfix/sbin/master", "-c", conf, "-s")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.Env = env
	out, err := os.Create(filepath.Join(p.dir, "out"))
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	proc, err := start(cmd)
	if err != nil {
		return err
	}
	deadline := time.Now().Add(patience)
	for !p.greets() {
		select {
		case <-proc.exited:
			return fmt.Errorf("postfix ended: %s", tail(out.Name(), 10))
		default:
		}
		if time.Now().After(deadline) {
			proc.stop()
			return fmt.Errorf("no greeting within %v: %s", patience, tail(out.Name(), 10))
		}
		time.Sleep(20 * time.Millisecond) // a server's start can't be waited for otherwise
	}
	p.proc = proc
	return nil
}

func (p *Postfix) greets() bool {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", p.Addr(),
		&tls.Config{InsecureSkipVerify: true}) // readiness only
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	b := make([]byte, 3)
	_, err = c.Read(b)
	return err == nil && string(b) == "220"
}

// Stop ends the server.
func (p *Postfix) Stop() {
	if p.proc == nil {
		return
	}
	p.proc.stop()
	p.proc = nil
}

// Addr is host:port with TLS from the first byte, as port 465.
func (p *Postfix) Addr() string { return fmt.Sprintf("127.0.0.1:%d", p.ports[0]) }

// StartTLSAddr is host:port where TLS begins with STARTTLS, as port 587.
func (p *Postfix) StartTLSAddr() string { return fmt.Sprintf("127.0.0.1:%d", p.ports[1]) }

// Log is the server's log so far.
func (p *Postfix) Log() string {
	p.tb.Helper()
	b, err := os.ReadFile(p.logPath())
	if err != nil {
		p.tb.Fatal(err)
	}
	return string(b)
}

// Await waits until n messages are in an address's mailbox and returns them.
func (p *Postfix) Await(address string, n int) []Stored {
	p.tb.Helper()
	deadline := time.Now().Add(patience)
	for {
		list := p.o.Dovecot.Messages(address, "INBOX")
		if len(list) >= n {
			return list
		}
		if time.Now().After(deadline) {
			p.tb.Fatalf("%d messages for %s after %v, want %d\n%s", len(list), address, patience, n, tail(p.logPath(), 20))
		}
		time.Sleep(20 * time.Millisecond) // delivery is another process's work
	}
}

// Drain waits until nothing is in the queue: what was taken is delivered.
func (p *Postfix) Drain() {
	p.tb.Helper()
	deadline := time.Now().Add(patience)
	for p.queued() {
		if time.Now().After(deadline) {
			p.tb.Fatalf("postfix has not delivered everything after %v\n%s", patience, tail(p.logPath(), 20))
		}
		time.Sleep(20 * time.Millisecond) // delivery is another process's work
	}
}

// queued tells whether a message lies in the queue. Files there are named by
// their queue IDs, in folders that may be hashed.
func (p *Postfix) queued() (any bool) {
	for _, queue := range []string{"incoming", "active", "deferred"} {
		_ = filepath.WalkDir(filepath.Join(p.dir, "spool", queue), func(_ string, e os.DirEntry, err error) error {
			any = any || err == nil && e.Type().IsRegular()
			return nil
		})
	}
	return any
}

func (p *Postfix) logPath() string { return filepath.Join(p.dir, "log") }

func (p *Postfix) write(name, content string) {
	p.tb.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, "conf", name), []byte(content), 0o644); err != nil {
		p.tb.Fatal(err)
	}
}

func (p *Postfix) mainCF() string {
	size := ""
	if p.o.MaxSize > 0 {
		size = fmt.Sprintf("message_size_limit = %d\n", p.o.MaxSize)
	}
	d := p.o.Dovecot
	return strings.NewReplacer(
		"@DIR@", p.dir, "@AUTH@", filepath.Join(d.dir, "run", "auth-smtp"), "@NAME@", ServerName,
	).Replace(postfixMain) + size + p.o.Extra + "\n"
}

func (p *Postfix) masterCF() string {
	return fmt.Sprintf(`127.0.0.1:%d inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
127.0.0.1:%d inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
dovecot unix - n n - - pipe
  flags=R user=%s argv=/usr/lib/dovecot/dovecot-lda -c %s -d ${recipient}
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
`, p.ports[0], p.ports[1], p.o.Dovecot.acc.name, filepath.Join(p.o.Dovecot.dir, "dovecot.conf"))
}

// postfixMain: every address is given to Dovecot's delivery agent; nothing is
// ever sent to another machine.
const postfixMain = `compatibility_level = 3.6
queue_directory = @DIR@/spool
data_directory = @DIR@/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = @DIR@/log
maillog_file_prefixes = @DIR@
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = @NAME@
mydestination =
alias_maps =
local_recipient_maps =
local_transport = error:nothing is local
default_transport = error:nothing leaves the test
virtual_mailbox_domains = regexp:@DIR@/conf/all
virtual_transport = dovecot
dovecot_destination_recipient_limit = 1
smtpd_tls_chain_files = @DIR@/conf/tls.pem
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = @AUTH@
smtpd_sasl_security_options = noanonymous
smtpd_client_restrictions = permit_sasl_authenticated, reject
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = check_recipient_access texthash:@DIR@/conf/reject, permit_sasl_authenticated, reject
smtpd_delay_reject = yes
smtpd_error_sleep_time = 0
smtp_tls_security_level = none
`
