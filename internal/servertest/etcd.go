package servertest

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// EtcdConfig says what an etcd cluster is like. The zero value is one member
// without encryption.
type EtcdConfig struct {
	Members int // 0: 1
	// Durable keeps the data on the temporary folder's disk, each commit
	// synced to it, as in earnest. Else it is in memory where that can be.
	Durable bool
	TLS     *CA   // clients must show a certificate of it; nil: none
	Quota   int64 // bytes after which the members take no more; 0: 2 GB
	// Peer gives the address by which the other members reach one, given the
	// address where it listens; nil: that itself. For faults between them.
	Peer func(member int, addr string) string
	Args []string // more of etcd's own
}

// Etcd is a running cluster.
type Etcd struct {
	Endpoints []string // host:port of each member, for clients
	Peers     []string // and for the other members

	tb      testing.TB
	cfg     EtcdConfig
	program string
	dir     string
	ca      string
	cert    string
	key     string

	mu      sync.Mutex
	members []*process // nil: not running
	args    [][]string
}

// StartEtcd starts a cluster of real members that ends with the test.
func StartEtcd(tb testing.TB, cfg EtcdConfig) *Etcd {
	tb.Helper()
	c := newEtcd(tb, cfg)
	tb.Cleanup(c.stop)
	return c
}

// One member that all tests of a package share; each takes a prefix of its
// own.
var (
	sharedMu sync.Mutex
	shared   *Etcd
)

// SharedEtcd gives the address of a member that StopEtcd ends, which TestMain
// must call.
func SharedEtcd(tb testing.TB) (endpoint string) {
	tb.Helper()
	sharedMu.Lock()
	defer sharedMu.Unlock()
	if shared == nil {
		shared = newEtcd(tb, EtcdConfig{})
	}
	return shared.Endpoints[0]
}

// StopEtcd ends the shared member, if there is one.
func StopEtcd() {
	sharedMu.Lock()
	defer sharedMu.Unlock()
	if shared != nil {
		shared.stop()
		shared = nil
	}
}

func newEtcd(tb testing.TB, cfg EtcdConfig) *Etcd {
	tb.Helper()
	program := Require(tb, "etcd")
	if cfg.Members == 0 {
		cfg.Members = 1
	}
	var err error
	for range 3 { // another program may take a free port first
		c := &Etcd{tb: tb, cfg: cfg, program: program}
		if c.dir, err = etcdDir(cfg.Durable); err == nil {
			if err = c.start(); err == nil {
				return c
			}
		}
		c.stop()
	}
	tb.Fatalf("starting etcd: %v", err)
	return nil
}

func etcdDir(durable bool) (string, error) {
	const memory = "/dev/shm"
	if st, err := os.Stat(memory); !durable && err == nil && st.IsDir() {
		if dir, err := os.MkdirTemp(memory, "pec-ingest-etcd"); err == nil {
			return dir, nil
		}
	}
	return os.MkdirTemp("", "pec-ingest-etcd")
}

func (c *Etcd) scheme() string {
	if c.cfg.TLS != nil {
		return "https"
	}
	return "http"
}

func (c *Etcd) start() error {
	n := c.cfg.Members
	ports := freePorts(c.tb, 2*n)
	if c.cfg.TLS != nil {
		c.ca, c.cert, c.key = c.cfg.TLS.Files(c.tb, c.dir)
	}
	var initial []string
	for i := range n {
		c.Endpoints = append(c.Endpoints, fmt.Sprintf("127.0.0.1:%d", ports[2*i]))
		peer := fmt.Sprintf("127.0.0.1:%d", ports[2*i+1])
		if c.cfg.Peer != nil {
			peer = c.cfg.Peer(i, peer)
		}
		c.Peers = append(c.Peers, peer)
		initial = append(initial, fmt.Sprintf("m%d=http://%s", i, peer))
	}
	c.members = make([]*process, n)
	for i := range n {
		c.args = append(c.args, c.arguments(i, fmt.Sprintf("http://127.0.0.1:%d", ports[2*i+1]), strings.Join(initial, ","), "new"))
		if err := c.launch(i); err != nil {
			return err
		}
	}
	for i := range n {
		if err := c.Await(i); err != nil {
			return err
		}
	}
	return nil
}

func (c *Etcd) arguments(i int, listen, initial, state string) []string {
	client := c.scheme() + "://" + c.Endpoints[i]
	args := []string{
		"--name", fmt.Sprintf("m%d", i),
		"--data-dir", filepath.Join(c.dir, fmt.Sprintf("m%d", i)),
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", listen, "--initial-advertise-peer-urls", "http://" + c.Peers[i],
		"--initial-cluster", initial, "--initial-cluster-state", state, "--initial-cluster-token", filepath.Base(c.dir),
		"--enable-v2=false", "--logger", "zap", "--log-level", "warn",
		"--log-outputs", filepath.Join(c.dir, fmt.Sprintf("m%d.log", i)),
	}
	if c.cfg.TLS != nil {
		args = append(args, "--client-cert-auth", "--trusted-ca-file", c.ca, "--cert-file", c.cert, "--key-file", c.key)
	}
	if c.cfg.Quota > 0 {
		args = append(args, "--quota-backend-bytes", fmt.Sprint(c.cfg.Quota))
	}
	return append(args, c.cfg.Args...)
}

func (c *Etcd) launch(i int) error {
	cmd := exec.Command(c.program, c.args[i]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p, err := start(cmd)
	if err != nil {
		return fmt.Errorf("member %d: %w", i, err)
	}
	c.mu.Lock()
	c.members[i] = p
	c.mu.Unlock()
	return nil
}

// Await waits until member i says that the cluster has a leader.
func (c *Etcd) Await(i int) error {
	client := &http.Client{Timeout: 2 * time.Second}
	if c.cfg.TLS != nil {
		pair, err := tls.LoadX509KeyPair(c.cert, c.key)
		if err != nil {
			return err
		}
		client.Transport = &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: c.cfg.TLS.Pool(), Certificates: []tls.Certificate{pair}}}
	}
	deadline := time.Now().Add(patience)
	for {
		resp, err := client.Get(c.scheme() + "://" + c.Endpoints[i] + "/health")
		if err == nil {
			body, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
			_ = resp.Body.Close()
			if strings.Contains(string(body), `"true"`) {
				return nil
			}
		}
		select {
		case <-c.process(i).exited:
			return fmt.Errorf("member %d ended: %s", i, tail(filepath.Join(c.dir, fmt.Sprintf("m%d.log", i)), 5))
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("member %d is not ready: %w", i, err)
		}
	}
}

func (c *Etcd) process(i int) *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.members[i]
}

// Kill ends member i at once, as a power cut does.
func (c *Etcd) Kill(i int) {
	p := c.process(i)
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	<-p.exited
}

// Restart starts a killed member again, with its data.
func (c *Etcd) Restart(i int) {
	c.tb.Helper()
	if err := c.launch(i); err != nil {
		c.tb.Fatal(err)
	}
}

// Replace starts a killed member anew, with nothing of what it had. The
// cluster must have been told: the old member removed, one with the address
// Peers[i] added.
func (c *Etcd) Replace(i int) {
	c.tb.Helper()
	if err := os.RemoveAll(filepath.Join(c.dir, fmt.Sprintf("m%d", i))); err != nil {
		c.tb.Fatal(err)
	}
	for k, a := range c.args[i] {
		if a == "--initial-cluster-state" {
			c.args[i][k+1] = "existing"
		}
	}
	c.Restart(i)
}

// Pause stops member i in its tracks; Resume lets it go on.
func (c *Etcd) Pause(i int) { _ = syscall.Kill(-c.process(i).pid, syscall.SIGSTOP) }

// Resume lets a paused member go on.
func (c *Etcd) Resume(i int) { _ = syscall.Kill(-c.process(i).pid, syscall.SIGCONT) }

func (c *Etcd) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.members {
		if p != nil {
			_ = syscall.Kill(-p.pid, syscall.SIGKILL)
			<-p.exited
		}
	}
	if c.dir != "" {
		_ = os.RemoveAll(c.dir)
	}
}
