package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pec-ingest/internal/config"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/pectest"
	"pec-ingest/internal/servertest"
)

// Several services on one vault in etcd.

var clusterPrefixes atomic.Int64

// onCluster edits a configuration: the vault on members of etcd, under a
// prefix of its own.
func onCluster(endpoints []string) func(string) string {
	url := fmt.Sprintf("etcd://%s/studio-%d", strings.Join(endpoints, ","), clusterPrefixes.Add(1))
	return func(text string) string {
		line := "url = \"" + between(text, "[vault]\nurl = \"", "\"") + "\""
		return strings.Replace(text, line, "url = \""+url+"\"", 1)
	}
}

// member is one `ingest run` of several.
type member struct {
	s      *studio
	name   string
	config string // its file
	cmd    *exec.Cmd
	log    *lockedBuffer
	ended  chan struct{}
}

// members writes the configurations of n members: the studio's own, each with
// another socket and name.
func (s *studio) members(n int) (list []*member) {
	s.t.Helper()
	b, err := os.ReadFile(s.configPath())
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range n {
		m := &member{s: s, name: fmt.Sprintf("member-%d", i), config: filepath.Join(s.dir, fmt.Sprintf("member-%d.toml", i)), log: &lockedBuffer{}}
		text := strings.Replace(string(b), filepath.Join(s.dir, "sock"), filepath.Join(s.dir, m.name), 1)
		text = strings.Replace(text, "[vault]\n", "[vault]\netcd_member = \""+m.name+"\"\n", 1)
		if err := os.WriteFile(m.config, []byte(text), 0o644); err != nil {
			s.t.Fatal(err)
		}
		list = append(list, m)
	}
	return list
}

func (m *member) start() {
	m.s.t.Helper()
	program, err := buildOnce()
	if err != nil {
		m.s.t.Fatal(err)
	}
	m.cmd = exec.Command(program, "--config", m.config, "run")
	m.cmd.Stdout, m.cmd.Stderr = m.log, m.log
	if err := m.cmd.Start(); err != nil {
		m.s.t.Fatal(err)
	}
	ended := make(chan struct{})
	cmd := m.cmd
	m.ended = ended
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	m.s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if m.s.t.Failed() {
			m.s.t.Logf("the log of %s:\n%s", m.name, m.log)
		}
	})
}

func (m *member) signal(sig syscall.Signal) {
	m.s.t.Helper()
	if err := m.cmd.Process.Signal(sig); err != nil {
		m.s.t.Fatal(err)
	}
	if sig == syscall.SIGKILL || sig == syscall.SIGTERM {
		<-m.ended
	}
}

// state asks the member how it stands; nil while it does not answer.
func (m *member) state() *ingest.DaemonState {
	cfg, err := config.Load(m.config)
	if err != nil {
		m.s.t.Fatal(err)
	}
	r, err := dialDaemon(cfg)
	if err != nil || r == nil {
		return nil
	}
	defer r.close()
	ctx, cancel := context.WithTimeout(m.s.t.Context(), 20*time.Second)
	defer cancel()
	d, err := r.Daemon(ctx)
	if err != nil {
		return nil
	}
	return d
}

func (m *member) leads() bool {
	d := m.state()
	return d != nil && d.Leading
}

// run runs a command by the member's socket.
func (m *member) run(stdin string, args ...string) result {
	return runCommand(m.s.t.Context(), stdin, append([]string{"--config", m.config}, args...)...)
}

// leader waits until one of them leads.
func leader(s *studio, list []*member) *member {
	s.t.Helper()
	var found *member
	s.within(patience, "a member leads", func() bool {
		for _, m := range list {
			if m.leads() {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

// Two services: one leads, both answer; what needs a login goes to the leader
// whoever is asked; the other takes over when it ends.
func TestCluster(t *testing.T) {
	t.Parallel()
	etcd := servertest.StartEtcd(t, servertest.EtcdConfig{Members: 3})
	s := newStudio(t, studioOptions{smtp: true, config: onCluster(etcd.Endpoints)})
	s.deliver(s.submission(rossi, 5, passwords[rossi]))
	for _, who := range []string{verdi, bianchi} {
		s.ok("client", "add", who, "--provider", "prova")
	}
	list := s.members(2)
	for _, m := range list {
		m.start()
	}
	first := leader(s, list)
	other := list[0]
	if first == other {
		other = list[1]
	}
	s.within(patience, "the submission is accepted", func() bool {
		return other.run("", "get", rossi).stdout == passwords[rossi]+"\n"
	})
	s.within(patience, "the other knows who leads", func() bool {
		d := other.state()
		return d != nil && d.Phase == ingest.PhaseStandby && d.Leader == first.name && slices.Contains(d.Members, other.name)
	})
	if r := other.run("", "status"); !strings.Contains(r.stdout, "standing by; "+first.name+" leads") {
		t.Errorf("status of the member that stands by: %s", r)
	}
	if r := first.run("", "status"); !strings.Contains(r.stdout, "service: leading; ") {
		t.Errorf("status of the leader: %s", r)
	}
	for m, want := range map[*member]string{first: "pec_ingest_leading 1", other: "pec_ingest_leading 0"} {
		if r := m.run("", "metrics"); !strings.Contains(r.stdout, want+"\n") {
			t.Errorf("metrics of %s: want %s", m.name, want)
		}
	}

	// Asked of the member that stands by, done by the leader.
	if r := other.run(passwords[verdi]+"\n", "set", verdi); r.code != exitOK {
		t.Errorf("set by the member that stands by: %s", r)
	}
	if r := other.run("sbagl1ata\n", "set", bianchi); r.code != exitFailed || !strings.Contains(r.stderr, "refuses this password") {
		t.Errorf("set of a wrong password: %s", r)
	}
	if r := first.run("", "get", verdi); r.stdout != passwords[verdi]+"\n" {
		t.Errorf("get at the leader: %s", r)
	}
	if r := other.run("", "report", rossi, "--refused"); r.code != exitOK {
		t.Errorf("report: %s", r)
	}
	if r := other.run("", "once"); r.code != exitOK {
		t.Errorf("once: %s", r)
	}
	s.within(patience, "the leader's log tells of what it was asked", func() bool { return strings.Contains(first.log.String(), "event=cluster.asked") })
	if strings.Contains(other.log.String(), "event=probe.done") {
		t.Error("a login was not made by the leader")
	}
	s.wantLogins(verdi, 1, 0)
	s.wantLogins(bianchi, 0, 1)
	s.deliver(s.submission(neri, 1, passwords[neri]))

	// The leader ends in order: the other leads at once.
	begun := time.Now()
	first.signal(syscall.SIGTERM)
	s.within(patience, "the other leads", other.leads)
	t.Logf("took over after an orderly end: %v", time.Since(begun).Round(time.Millisecond))
	s.within(patience, "the new letter is accepted", func() bool {
		return other.run("", "get", neri).stdout == passwords[neri]+"\n"
	})
	s.within(patience, "both letters are answered", func() bool { return len(s.sink.received()) == 2 })
	// A command on a machine without a service asks the leader, too.
	s.ok("audit", "--verify")
	if r := s.runWith(passwords[bianchi]+"\n", "set", bianchi); r.code != exitOK {
		t.Errorf("set without a service: %s", r)
	}
	other.signal(syscall.SIGTERM)
	s.wantGet(bianchi, passwords[bianchi])
}

// crowd is a studio with many clients and a full inbox, of which it is known
// what must come out.
type crowd struct {
	*studio
	want map[string]string // current password of each client
	left int               // messages that stay in the inbox
}

// newCrowd makes n clients. Each has sent an old password and the one that
// works, a tenth of them one that is refused, and letters lie between them.
func newCrowd(t *testing.T, n, letters int, config func(string) string) *crowd {
	t.Helper()
	c := &crowd{want: map[string]string{}, left: letters}
	var users []servertest.User
	var names []string
	for i := range n {
		name := fmt.Sprintf("cliente%04d@pec.gestore.example", i)
		names = append(names, name)
		c.want[name] = fmt.Sprintf("Pw%04dkX", i)
		users = append(users, servertest.User{Name: name, Password: c.want[name]})
	}
	c.studio = newStudio(t, studioOptions{smtp: true, clients: []string{}, users: users, config: func(text string) string {
		return strings.Replace(config(text), "max_per_minute = 600", "max_per_minute = 1000", 1)
	}})
	csv := "mailbox;name\n"
	for _, name := range names {
		csv += name + ";Ditta\n"
	}
	file := filepath.Join(t.TempDir(), "clients.csv")
	if err := os.WriteFile(file, []byte(csv), 0o600); err != nil {
		t.Fatal(err)
	}
	c.ok("client", "import", file)
	var all []pectest.Envelope
	for i, name := range names {
		all = append(all, c.submission(name, 100+float64(i%50), fmt.Sprintf("Vecchia%04d", i)))
		good := c.submission(name, 1+float64(i%90), c.want[name])
		if i%10 == 9 {
			good = c.submission(name, 1+float64(i%90), "sbagl1ata9") // newest, and refused
			delete(c.want, name)
		}
		all = append(all, good)
	}
	for i := range letters {
		all = append(all, c.letter(names[i%n], float64(i%140), "Fattura", "In allegato la fattura del mese.\n"))
	}
	c.deliver(all...)
	return c
}

// done tells whether every submission is settled and every reply on its way.
func (c *crowd) done(list []*member) bool {
	for _, m := range list {
		d := m.state()
		if d != nil && d.Leading && d.LastPassAt != nil && d.Waiting.Open == 0 && d.Waiting.Outbox == 0 {
			return true
		}
	}
	return false
}

// check compares with the truth: each password once, each reply once, each
// mailbox logged in to once, or once more for a leader that died over it.
func (c *crowd) check(mayRepeat int) {
	c.t.Helper()
	versions := map[string]float64{}
	for _, r := range c.rows("status", "--json") {
		name := r["mailbox"].(string)
		_, good := c.want[name]
		if v, ok := r["version"].(float64); ok {
			versions[name] = v
		}
		if good && (r["state"] != "valid" || versions[name] < 1) {
			c.t.Errorf("%s: got %v version %v, want a valid one", name, r["state"], r["version"])
		}
		if !good && r["state"] != "missing" {
			c.t.Errorf("%s: got %v, want missing: its password is refused", name, r["state"])
		}
	}
	for name, password := range c.want {
		c.wantGet(name, password)
	}
	replies := map[string]int{}
	for _, m := range c.sink.received() {
		replies[m.To]++
	}
	missing := 0
	for _, r := range c.rows("outbox", "list", "--all", "--json") {
		to := r["to"].(string)
		switch {
		case replies[to] > 1:
			c.t.Errorf("%s got %d replies", to, replies[to])
		case replies[to] == 0 && r["state"] != "in-doubt":
			c.t.Errorf("%s got no reply, and the outbox says %v", to, r["state"])
		case replies[to] == 0: // its sender died over it: shown to a person, never sent again
			missing++
		}
	}
	if missing > mayRepeat {
		c.t.Errorf("%d replies are in doubt, want one a kill at most", missing)
	}
	repeated := 0
	for i := range len(c.want) * 10 / 9 {
		name := fmt.Sprintf("cliente%04d@pec.gestore.example", i)
		l := c.clients.Logins(name)
		if l.OK+l.Refused > 2 || l.Refused > 2 {
			c.t.Errorf("%s saw %+v logins", name, l)
		}
		repeated += l.OK + l.Refused - 1
	}
	if repeated > mayRepeat {
		c.t.Errorf("%d logins were repeated, want one a kill at most (%d)", repeated, mayRepeat)
	}
	if got := len(c.imap.Messages(studioPEC, "INBOX")); got != c.left {
		c.t.Errorf("%d messages are left in the inbox, want %d", got, c.left)
	}
	c.ok("audit", "--verify")
}

// Leaders are killed, and stopped for longer than their lease and woken, while
// they take in a full inbox: the truth comes out, once.
func TestClusterLeadersKilled(t *testing.T) {
	t.Parallel()
	clients, letters, kills, stopped := 30, 20, 2, 12*time.Second
	if os.Getenv("PEC_INGEST_LONG") == "1" {
		clients, letters, kills, stopped = 1500, 1000, 12, 60*time.Second
	}
	etcd := servertest.StartEtcd(t, servertest.EtcdConfig{Members: 3})
	c := newCrowd(t, clients, letters, onCluster(etcd.Endpoints))
	list := c.members(2)
	for _, m := range list {
		m.start()
	}
	var slowest time.Duration
	sum := 0
	for i := range kills {
		m := leader(c.studio, list)
		if c.done(list) {
			t.Logf("done after %d kills", i)
			break
		}
		time.Sleep(time.Duration(300+500*i%2000) * time.Millisecond) // let it do some
		other := list[0]
		if other == m {
			other = list[1]
		}
		begun := time.Now()
		sum++
		if i == kills-1 {
			m.signal(syscall.SIGSTOP)
			c.within(patience, "the other leads", other.leads)
			slowest = max(slowest, time.Since(begun))
			time.Sleep(time.Until(begun.Add(stopped)))
			m.signal(syscall.SIGCONT)
			continue
		}
		m.signal(syscall.SIGKILL)
		c.within(patience, "the other leads", other.leads)
		slowest = max(slowest, time.Since(begun))
		m.start()
	}
	t.Logf("slowest failover: %v", slowest.Round(time.Millisecond))
	if long := os.Getenv("PEC_INGEST_LONG") == "1"; long && slowest > 15*time.Second { // of a machine that does nothing else
		t.Errorf("a failover took %v, want 15 s at most", slowest)
	}
	c.within(10*time.Minute, "everything is done", func() bool { return c.done(list) })
	for _, m := range list {
		m.signal(syscall.SIGTERM)
	}
	c.check(sum)
}

// The whole story, one message of each kind that takes another way, ends on
// etcd as it does on a file; and a vault goes from one to the other and back.
func TestClusterStory(t *testing.T) {
	t.Parallel()
	etcd := servertest.StartEtcd(t, servertest.EtcdConfig{})
	program, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	s := newKillStudio(t, program, time.Now().Truncate(time.Second), 2)
	want := s.play(0, "PEC_INGEST_STORY=file")
	if t.Failed() {
		t.FailNow()
	}
	s.write("vault/base.db", string(s.base), 0o600)
	file := "bbolt://" + filepath.Join(s.vaultDir, "base.db")
	url := fmt.Sprintf("etcd://%s/story", etcd.Endpoints[0])
	if out := s.ok("vault", "copy", file, url); !strings.Contains(out, "both are the same") {
		t.Errorf("vault copy: %s", out)
	}
	if r := s.run("vault", "copy", file, url); r.code == exitOK || !strings.Contains(r.stderr, "never overwrites") {
		t.Errorf("a second copy over the first: %s", r)
	}
	s.edit("url = \"bbolt://"+s.vaultDir+"/vault.db\"", "url = \""+url+"\"")
	got := s.play(1, "PEC_INGEST_STORY=etcd")
	if diff := cmp.Diff(want.text, got.text); diff != "" {
		t.Errorf("the story ends otherwise on etcd (-file +etcd):\n%s", diff)
	}
	if diff := cmp.Diff(want.logins, got.logins); diff != "" {
		t.Errorf("other logins on etcd (-file +etcd):\n%s", diff)
	}

	backup := filepath.Join(t.TempDir(), "backups", "b.db")
	s.ok("backup", backup)
	s.ok("rekey")
	s.ok("audit", "--verify")
	back := filepath.Join(s.vaultDir, "back.db")
	s.ok("vault", "copy", url, "bbolt://"+back)
	s.edit(url, "bbolt://"+back)
	s.wantGet(rossi, passwords[rossi])
	s.ok("audit", "--verify")

	// From the backup into an empty prefix.
	s.edit("bbolt://"+back, url+"-restored")
	s.ok("restore", backup)
	s.wantGet(bianchi, passwords[bianchi])
	if r := s.run("restore", backup); r.code == exitOK {
		t.Errorf("a restore over a vault: %s", r)
	}
}
