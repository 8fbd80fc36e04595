// Command cluster is `make cluster`: three members of etcd and two services on
// loopback, with the demo's servers around them, to be tried by hand. It ends
// with Ctrl-C, or after an hour, and with it everything it started.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"pec-ingest/internal/demo"
)

const longest = time.Hour

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: cluster INGEST-PROGRAM")
		os.Exit(2)
	}
	if err := run(ctx, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, program string) (err error) {
	studio, err := demo.Start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, studio.Close()) }()
	dir, err := os.MkdirTemp("", "ingest-cluster-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	all := &children{}
	defer all.end()
	endpoints, err := startEtcd(all, dir)
	if err != nil {
		return err
	}
	configs, err := configure(studio.Config, endpoints)
	if err != nil {
		return err
	}
	for _, c := range studio.Clients {
		cmd := exec.CommandContext(ctx, program, "--config", configs[0], "client", "add", c, "--provider", "gestore-di-prova")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("adding a client: %w\n%s", err, out)
		}
	}
	for i, c := range configs {
		pid, err := all.start(fmt.Sprintf("service-%d", i+1), os.Stdout, program, "--config", c, "run")
		if err != nil {
			return err
		}
		fmt.Printf("service-%d  pid %d  %s --config %s status\n", i+1, pid, program, c)
	}
	fmt.Printf(`
Try:  kill -9 PID, kill -STOP PID, kill -CONT PID of one, and look at the other with
      status, get MAILBOX, audit --verify. Letters come in every ten seconds.
      The data is in %s. Ctrl-C ends everything.

`, dir)
	letters := time.NewTicker(10 * time.Second)
	defer letters.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-letters.C:
			title, err := studio.Deliver()
			if err != nil {
				return err
			}
			if title != "" {
				fmt.Println("--- a letter comes in:", title)
			}
		}
	}
}

// startEtcd starts three members and waits until they answer.
func startEtcd(all *children, dir string) (endpoints []string, err error) {
	program, err := exec.LookPath("etcd")
	if err != nil {
		return nil, fmt.Errorf("%w (Debian package etcd-server; make deps installs it)", err)
	}
	var peers, initial []string
	for i := range 3 {
		for _, list := range []*[]string{&endpoints, &peers} {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return nil, err
			}
			defer l.Close()
			*list = append(*list, l.Addr().String())
			_ = l.Close()
		}
		initial = append(initial, fmt.Sprintf("m%d=http://%s", i+1, peers[i]))
	}
	for i := range 3 {
		name, client, peer := fmt.Sprintf("m%d", i+1), "http://"+endpoints[i], "http://"+peers[i]
		pid, err := all.start("etcd-"+name, io.Discard, program, "--name", name, "--data-dir", filepath.Join(dir, name),
			"--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--initial-cluster", strings.Join(initial, ","), "--initial-cluster-token", filepath.Base(dir),
			"--auto-compaction-mode", "periodic", "--auto-compaction-retention", "1h", "--logger", "zap")
		if err != nil {
			return nil, err
		}
		fmt.Printf("etcd-%s     pid %d  %s\n", name, pid, endpoints[i])
	}
	return endpoints, nil
}

// configure writes one configuration for each service.
func configure(path string, endpoints []string) (paths []string, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	before, rest, ok := strings.Cut(string(b), "url = \"bbolt://")
	_, after, ok2 := strings.Cut(rest, "\n")
	if !ok || !ok2 {
		return nil, errors.New("the demo's configuration has no vault.url")
	}
	for i := range 2 {
		name := fmt.Sprintf("service-%d", i+1)
		text := before + fmt.Sprintf("url = \"etcd://%s/studio\"\netcd_member = %q\n", strings.Join(endpoints, ","), name) + after +
			fmt.Sprintf("[web]\nlisten = \"\"\nsocket = %q\n", filepath.Join(filepath.Dir(path), name+".sock"))
		p := filepath.Join(filepath.Dir(path), name+".toml")
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			return nil, err
		}
		paths = append(paths, p)
	}
	return paths, nil
}

// children are the processes that were started here; no other is ever touched.
type children struct {
	list  []*exec.Cmd
	gone  []chan struct{} // closed when that one has ended
	ended sync.WaitGroup
}

// start starts one in a process group of its own, so that Ctrl-C reaches it by
// way of end alone, and shows what it says.
func (c *children) start(name string, out io.Writer, program string, args ...string) (pid int, err error) {
	cmd := exec.Command(program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("starting %s: %w", name, err)
	}
	c.list = append(c.list, cmd)
	c.ended.Go(func() {
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			fmt.Fprintf(out, "%s: %s\n", name, lines.Text())
		}
	})
	gone := make(chan struct{})
	c.gone = append(c.gone, gone)
	c.ended.Go(func() {
		err := cmd.Wait()
		close(gone)
		_ = w.Close()
		fmt.Printf("--- %s has ended (%v)\n", name, err)
	})
	return cmd.Process.Pid, nil
}

// end ends them, the last started first, so that no service sees its etcd go.
func (c *children) end() {
	for i := len(c.list) - 1; i >= 0; i-- {
		p := c.list[i].Process
		_ = p.Signal(syscall.SIGCONT)
		_ = p.Signal(syscall.SIGTERM)
		limit := time.AfterFunc(6*time.Second, func() { _ = p.Kill() })
		<-c.gone[i]
		limit.Stop()
	}
	c.ended.Wait()
}
