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
	first := m.ended == nil
	m.ended = ended
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	m.s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if first && m.s.t.Failed() {
			log := m.log.String()
			m.s.t.Logf("the end of the log of %s:\n%s", m.name, log[max(0, len(log)-100_000):])
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
	// Two persons decide on one item by two services, one of them on a password
	// that is wrong: one at a time, and nothing is tried once it is decided.
	s.deliver(s.letter(bianchi, 1, "Nuova password per programmi di posta", "Buongiorno,\n\necco la nuova password.\n\nSaluti\n"))
	s.within(patience, "the letter waits for a person", func() bool { return len(s.rows("review", "list", "--json")) == 1 })
	n := fmt.Sprint(s.rows("review", "list", "--json")[0]["n"])
	wrong := make(chan result, 1)
	go func() { wrong <- other.run("sbagl1ata8\n", "review", "approve", n, "--typed") }()
	if r := first.run(passwords[bianchi]+"\n", "review", "approve", n, "--typed"); r.code != exitOK {
		t.Errorf("approving what works: %s", r)
	}
	switch r := <-wrong; r.code {
	case exitFailed: // came first
		s.wantLogins(bianchi, 1, 2)
	case exitNeedsPerson:
		s.wantLogins(bianchi, 1, 1)
	default:
		t.Errorf("approving what does not work: %s", r)
	}
	if r := other.run("", "review", "reject", n); r.code != exitNeedsPerson || !strings.Contains(r.stderr, "already decided") {
		t.Errorf("rejecting what is decided: %s", r)
	}
	s.within(patience, "the leader's log tells of the rejection", func() bool { return strings.Contains(first.log.String(), "request=reject") })

	// A trial asked of it shows what the leader's pass saw, if that was faster
	// than the leader itself.
	s.within(patience, "a trial shows a letter", func() bool {
		s.imap.Deliver(studioPEC, "INBOX", []byte("From: a@b.example\r\nTo: "+studioPEC+"\r\nSubject: ciao\r\n\r\nciao\r\n"), time.Now())
		r := other.run("", "once", "--dry-run")
		return r.code == exitOK && strings.Contains(r.stdout, ": ordinary")
	})
	s.deliver(s.submission(neri, 1, passwords[neri]))

	// The leader ends in order: the other leads at once.
	begun := time.Now()
	first.signal(syscall.SIGTERM)
	s.within(patience, "the other leads", other.leads)
	t.Logf("took over after an orderly end: %v", time.Since(begun).Round(time.Millisecond))
	s.within(patience, "the new letter is accepted", func() bool {
		return other.run("", "get", neri).stdout == passwords[neri]+"\n"
	})
	// One final answer each; the one to the letter that needed a person may have
	// been preceded by word of that, unless the decision came before it went out.
	s.within(patience, "all letters are answered", func() bool {
		var accepted []string
		for _, row := range s.rows("outbox", "list", "--all", "--json") {
			switch {
			case row["state"] != "sent":
				continue
			case row["kind"] == "accepted":
				accepted = append(accepted, row["to"].(string))
			case row["kind"] != "review" || row["to"] != bianchi:
				t.Fatalf("a mail that nobody asked for: %v", row)
			}
		}
		slices.Sort(accepted)
		return slices.Equal(accepted, []string{bianchi, neri, rossi})
	})
	answers := map[string]int{}
	for _, m := range s.sink.received() {
		answers[m.To]++
	}
	if answers[rossi] != 1 || answers[neri] != 1 || answers[bianchi] < 1 || answers[bianchi] > 2 || len(answers) != 3 {
		t.Errorf("mails that went out: %v", answers)
	}
	// A command on a machine without a service asks the leader, too.
	s.ok("audit", "--verify")
	if r := s.runWith(passwords[bianchi]+"\n", "set", bianchi); r.code != exitOK {
		t.Errorf("set without a service: %s", r)
	}
	other.signal(syscall.SIGTERM)
	s.wantGet(bianchi, passwords[bianchi])
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
