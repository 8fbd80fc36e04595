package servertest

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// User is one mailbox of a test server.
type User struct {
	Name     string // what it logs in with, mostly an address
	Password string // any bytes but NUL, CR and LF
	Disabled bool   // the password is right and the answer still no
}

// DovecotOptions says how a Dovecot is set up. The zero value is Aruba's way:
// separator ".", every folder below "INBOX.", no delay after a refusal.
type DovecotOptions struct {
	Users []User
	// Prefix of the namespace; "" means "INBOX.", "-" means none.
	Prefix string
	// Separator between folder names; "" means ".".
	Separator string
	// Capability, when not empty, replaces what the server says it can do
	// after the login, to see what a program does without MOVE or UIDPLUS.
	Capability string
	// Delay is how long a refused login is kept waiting, in whole seconds;
	// with 0 it is still up to half a second, which Dovecot has built in.
	Delay time.Duration
	// CA signs the server's certificate; nil makes one.
	CA *CA
	// Leaf is the server's certificate.
	Leaf Leaf
	// Extra lines for dovecot.conf.
	Extra string
}

// Dovecot is a running server. Its methods end the test when they fail; those
// that change something may be called from several goroutines.
type Dovecot struct {
	tb      testing.TB
	o       DovecotOptions
	acc     account
	program string
	doveadm string
	dir     string
	ca      *CA
	ports   []int // STARTTLS, implicit TLS

	mu      sync.Mutex
	writes  int // of the users file
	users   []User
	proc    *process
	marks   int
	deliver int
}

// StartDovecot starts a Dovecot that ends with the test.
func StartDovecot(tb testing.TB, o DovecotOptions) *Dovecot {
	tb.Helper()
	d := &Dovecot{
		tb: tb, o: o, acc: serverAccount(tb),
		program: Require(tb, "dovecot"), doveadm: Require(tb, "doveadm"),
		ca: o.CA, users: slices.Clone(o.Users),
	}
	if d.ca == nil {
		d.ca = NewCA(tb)
	}
	d.dir = tempDir(tb, "dct")
	for _, sub := range []string{"run", "state", "mail"} {
		path := filepath.Join(d.dir, sub)
		if err := os.Mkdir(path, 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := d.acc.own(path); err != nil {
			tb.Fatal(err)
		}
	}
	certPEM, keyPEM := d.ca.Issue(tb, o.Leaf)
	d.write("cert.pem", certPEM)
	d.write("key.pem", keyPEM)
	d.write("log", nil)
	d.writeUsers()
	tb.Cleanup(d.Stop)
	d.Start()
	return d
}

// Start starts the server again after Stop, on the same ports: what is left of
// the one before may hold them for a moment yet.
func (d *Dovecot) Start() {
	d.tb.Helper()
	known := d.ports != nil // to the test's clients
	deadline := time.Now().Add(patience)
	for {
		if d.ports == nil {
			d.ports = freePorts(d.tb, 2)
			d.write("dovecot.conf", []byte(d.config()))
		}
		err := d.startOnce()
		if err == nil {
			return
		}
		if time.Now().After(deadline) || !strings.Contains(tail(d.logPath(), 20), "Address already in use") {
			d.tb.Fatalf("starting dovecot: %v\n%s", err, tail(d.logPath(), 20))
		}
		if !known {
			d.ports = nil
		}
		time.Sleep(20 * time.Millisecond) // its end can't be waited for otherwise
	}
}

func (d *Dovecot) startOnce() error {
	cmd := exec.Command(d.program, "-F", "-c", filepath.Join(d.dir, "dovecot.conf"))
	cmd.SysProcAttr = d.acc.attr()
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Dir = d.dir
	// A file and no pipe: Wait would wait for every child that holds a pipe.
	out, err := os.Create(filepath.Join(d.dir, "out"))
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	p, err := start(cmd)
	if err != nil {
		return err
	}
	deadline := time.Now().Add(patience)
	for {
		select {
		case <-p.exited:
			return fmt.Errorf("dovecot ended: %s", tail(out.Name(), 10))
		default:
		}
		if d.greets() {
			d.mu.Lock()
			d.proc = p
			d.mu.Unlock()
			return nil
		}
		if time.Now().After(deadline) {
			p.stop()
			return fmt.Errorf("no greeting within %v", patience)
		}
		time.Sleep(20 * time.Millisecond) // a server's start can't be waited for otherwise
	}
}

// greets tells whether the TLS port answers.
func (d *Dovecot) greets() bool {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", d.Addr(),
		&tls.Config{InsecureSkipVerify: true}) // readiness only; the tests' clients verify
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	b := make([]byte, 4)
	_, err = c.Read(b)
	return err == nil && string(b) == "* OK"
}

// Stop ends the server: its connections are cut. The mail stays.
func (d *Dovecot) Stop() {
	d.mu.Lock()
	p := d.proc
	d.proc = nil
	d.mu.Unlock()
	if p != nil {
		p.stop()
	}
}

// Restart is Stop and Start.
func (d *Dovecot) Restart() {
	d.tb.Helper()
	d.Stop()
	d.Start()
}

// Addr is host:port with TLS from the first byte.
func (d *Dovecot) Addr() string { return fmt.Sprintf("127.0.0.1:%d", d.ports[1]) }

// StartTLSAddr is host:port where TLS begins with STARTTLS, and where logins
// without it are refused.
func (d *Dovecot) StartTLSAddr() string { return fmt.Sprintf("127.0.0.1:%d", d.ports[0]) }

// CA is the authority behind the server's certificate.
func (d *Dovecot) CA() *CA { return d.ca }

// ClientTLS is a TLS configuration that trusts the server.
func (d *Dovecot) ClientTLS() *tls.Config { return &tls.Config{RootCAs: d.ca.Pool()} }

// AddUser adds a mailbox while the server runs.
func (d *Dovecot) AddUser(u User) {
	d.tb.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users = append(d.users, u)
	d.writeUsers()
}

// SetPassword changes a password while the server runs; sessions stay.
func (d *Dovecot) SetPassword(name, password string) {
	d.tb.Helper()
	d.change(name, func(u *User) { u.Password = password })
}

// SetDisabled disables a user, or enables it again.
func (d *Dovecot) SetDisabled(name string, disabled bool) {
	d.tb.Helper()
	d.change(name, func(u *User) { u.Disabled = disabled })
}

func (d *Dovecot) change(name string, fn func(*User)) {
	d.tb.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.users {
		if d.users[i].Name == name {
			fn(&d.users[i])
			d.writeUsers()
			return
		}
	}
	d.tb.Fatalf("the test server has no user %q", name)
}

// writeUsers writes the password file anew. Dovecot looks whether it has
// changed, but once in a second of the clock at most, so a running server
// gets the change only in the next one.
func (d *Dovecot) writeUsers() {
	d.tb.Helper()
	var b strings.Builder
	for _, u := range d.users {
		pw := base64.StdEncoding.EncodeToString([]byte(u.Password))
		fmt.Fprintf(&b, "%s:{PLAIN.b64}%s::::::", u.Name, pw)
		if u.Disabled {
			b.WriteString("nologin=y")
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%s:{PLAIN}-::::::\n", marker)
	// Dovecot reads the file again when its size or its whole second has
	// changed: a comment makes every size a new one.
	d.writes++
	b.WriteString("#" + strings.Repeat("-", d.writes) + "\n")
	d.write("users", []byte(b.String()))
	if d.proc != nil {
		now := time.Now()
		time.Sleep(now.Truncate(time.Second).Add(time.Second + 5*time.Millisecond).Sub(now))
	}
}

// write replaces a file of the server's folder in one step.
func (d *Dovecot) write(name string, content []byte) {
	d.tb.Helper()
	path := filepath.Join(d.dir, name)
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		d.tb.Fatal(err)
	}
	if err := d.acc.own(path + ".new"); err != nil {
		d.tb.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		d.tb.Fatal(err)
	}
}

func (d *Dovecot) logPath() string { return filepath.Join(d.dir, "log") }

func (d *Dovecot) prefix() string {
	switch d.o.Prefix {
	case "":
		return "INBOX" + d.separator()
	case "-":
		return ""
	}
	return d.o.Prefix
}

func (d *Dovecot) separator() string {
	if d.o.Separator == "" {
		return "."
	}
	return d.o.Separator
}

func (d *Dovecot) config() string {
	capability := ""
	if d.o.Capability != "" {
		capability = "protocol imap {\n  imap_capability = " + d.o.Capability + "\n}"
	}
	return strings.NewReplacer(
		"@DIR@", d.dir, "@USER@", d.acc.name, "@GROUP@", d.acc.group,
		"@PLAIN@", fmt.Sprint(d.ports[0]), "@TLS@", fmt.Sprint(d.ports[1]),
		"@PREFIX@", d.prefix(), "@SEPARATOR@", d.separator(),
		"@DELAY@", fmt.Sprint(int(d.o.Delay.Seconds())),
		"@CAPABILITY@", capability, "@EXTRA@", d.o.Extra,
	).Replace(dovecotConf)
}

// dovecotConf: one imap-login process for all connections, so that its log
// lines come in order (Logins depends on it); passwords in a file that is
// read anew when it changes; user names as they come; no penalty, which is a
// growing delay, for addresses that were refused before.
const dovecotConf = `base_dir = @DIR@/run
state_dir = @DIR@/state
log_path = @DIR@/log
protocols = imap
listen = 127.0.0.1
default_internal_user = @USER@
default_internal_group = @GROUP@
default_login_user = @USER@
first_valid_uid = 1
first_valid_gid = 1
mail_uid = @USER@
mail_gid = @GROUP@
auth_verbose = yes
auth_failure_delay = @DELAY@ secs
auth_cache_size = 0
auth_username_chars =
ssl = required
ssl_cert = <@DIR@/cert.pem
ssl_key = <@DIR@/key.pem
mail_location = maildir:@DIR@/mail/%u
mail_max_userip_connections = 100
mail_fsync = never
@CAPABILITY@
service anvil {
  chroot =
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service stats {
  chroot =
}
service auth {
  unix_listener auth-smtp {
    mode = 0666
  }
}
service imap-login {
  chroot =
  service_count = 0
  process_limit = 1
  process_min_avail = 1
  client_limit = 1000
  inet_listener imap {
    port = @PLAIN@
  }
  inet_listener imaps {
    port = @TLS@
    ssl = yes
  }
}
passdb {
  driver = passwd-file
  args = username_format=%u @DIR@/users
}
userdb {
  driver = static
  args = uid=@USER@ gid=@GROUP@ home=@DIR@/mail/%u allow_all_users=yes
}
namespace inbox {
  inbox = yes
  separator = @SEPARATOR@
  prefix = @PREFIX@
}
@EXTRA@
`
