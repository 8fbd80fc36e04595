package servertest

import (
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// account is who the servers run as: the test's own user, or, when the tests
// run as root, nobody (Dovecot refuses to keep mail as root). One set-up
// serves both, and no server under test ever has root's rights.
type account struct {
	name, group string
	uid, gid    int
	root        bool // the test runs as root: files must be handed over
}

func serverAccount(tb testing.TB) account {
	tb.Helper()
	name := "nobody"
	root := os.Geteuid() == 0
	if !root {
		name = strconv.Itoa(os.Geteuid())
	}
	var (
		u   *user.User
		err error
	)
	if root {
		u, err = user.Lookup(name)
	} else {
		u, err = user.LookupId(name)
	}
	if err != nil {
		tb.Fatalf("looking up the servers' account: %v", err)
	}
	g, err := user.LookupGroupId(u.Gid)
	if err != nil {
		tb.Fatalf("looking up the servers' group: %v", err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return account{name: u.Username, group: g.Name, uid: uid, gid: gid, root: root}
}

// own hands path to the account.
func (a account) own(path string) error {
	if !a.root {
		return nil
	}
	return os.Lchown(path, a.uid, a.gid)
}

// attr makes a child run as the account, in a process group of its own (so
// that it can be ended whole), and end with the test process.
func (a account) attr() *syscall.SysProcAttr {
	at := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if a.root {
		at.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return at
}

// process is a running server.
type process struct {
	pid    int
	exited chan struct{}
}

// start runs cmd. The goroutine stays on its thread as long as the server
// lives: the kernel sends Pdeathsig when the *thread* that started it ends.
func start(cmd *exec.Cmd) (*process, error) {
	p := &process{exited: make(chan struct{})}
	errc := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			errc <- err
			close(p.exited)
			return
		}
		p.pid = cmd.Process.Pid
		errc <- nil
		_ = cmd.Wait()
		close(p.exited)
	}()
	return p, <-errc
}

// stop ends the server and its children: politely, and after five seconds
// not.
func (p *process) stop() {
	_ = syscall.Kill(-p.pid, syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(5 * time.Second):
	}
	// What is left of the group: children that outlived their master.
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	<-p.exited
}
