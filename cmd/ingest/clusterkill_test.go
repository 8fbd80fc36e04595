package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"pec-ingest/internal/servertest"
)

// Leaders are killed every few seconds, and one is stopped for longer than
// its lease and woken, while they take in a full inbox and while they warn:
// the truth comes out, once. The long form has 4,000 messages.
func TestClusterLeadersKilled(t *testing.T) {
	t.Parallel()
	clients, letters, kills, warnKills, stopped := 30, 20, 2, 0, 12*time.Second
	long := os.Getenv("PEC_INGEST_LONG") == "1"
	if long {
		clients, letters, kills, warnKills, stopped = 1500, 1000, 60, 3, 60*time.Second
	}
	etcd := servertest.StartEtcd(t, servertest.EtcdConfig{Members: 3})
	c := newCrowd(t, clients, letters, onCluster(etcd.Endpoints))
	begun := time.Now()
	f := &failovers{crowd: c, list: c.members(2)}
	for _, m := range f.list {
		m.start()
	}
	for i := 0; i < kills; i++ {
		m := f.leader(f.list...)
		if c.done(f.list) {
			break
		}
		time.Sleep(time.Duration(300+(i*1100)%4000) * time.Millisecond) // let it do some
		if i == 1 {
			f.stop(m, stopped)
		} else {
			f.kill(m)
		}
	}
	c.complete(f.list)
	c.decide(f.leader(f.list...), f.changes()/2)
	c.complete(f.list)
	t.Logf("all is taken in after %v", time.Since(begun).Round(time.Second))

	// The same while it warns: each kill lets another one begin anew.
	for i := range warnKills {
		m := f.leader(f.list...)
		asked := make(chan struct{})
		go func() {
			defer close(asked)
			m.run("", "once", "--warn")
		}()
		time.Sleep(time.Duration(200+i*400) * time.Millisecond)
		f.kill(m)
		<-asked
	}
	if r := f.leader(f.list...).run("", "once", "--warn"); r.code != exitOK {
		t.Errorf("once --warn: %s", r)
	}
	c.complete(f.list)
	t.Logf("%d clients, %d messages, %d kills; slowest failover %v; all in %v", clients, 2*clients+letters, f.count,
		f.slowest.Round(time.Millisecond), time.Since(begun).Round(time.Second))
	if long && f.slowest > failoverWithin { // else the machine may be busy with other tests
		t.Errorf("a failover took %v, want %v at most", f.slowest, failoverWithin)
	}
	for _, m := range f.list {
		m.signal(syscall.SIGTERM)
	}
	c.check(f.changes())
}

// failoverWithin is how long nobody may lead after the one who did is gone.
const failoverWithin = 15 * time.Second

// failovers kills leaders and counts.
type failovers struct {
	*crowd
	list    []*member
	count   int // of leaders that were killed or stopped
	stopped int // of these the stopped ones, which notice when they are woken
	slowest time.Duration
}

// changes counts the leaders that were replaced over their work: also those
// that a busy machine left without time for so long.
func (f *failovers) changes() int {
	noticed := 0
	for _, m := range f.list {
		noticed += strings.Count(m.log.String(), "event=cluster.lost")
	}
	return f.count + max(noticed-f.stopped, 0)
}

func (f *failovers) other(m *member) *member {
	if f.list[0] == m {
		return f.list[1]
	}
	return f.list[0]
}

// kill ends the leader, waits for the next one, and starts it again.
func (f *failovers) kill(m *member) {
	f.t.Helper()
	m.signal(syscall.SIGKILL)
	f.wait(m)
	m.start()
}

// stop stops it for a while, during which the other leads.
func (f *failovers) stop(m *member, how time.Duration) {
	f.t.Helper()
	begun := time.Now()
	m.signal(syscall.SIGSTOP)
	f.stopped++
	f.wait(m)
	time.Sleep(time.Until(begun.Add(how)))
	m.signal(syscall.SIGCONT)
}

func (f *failovers) wait(m *member) {
	f.t.Helper()
	begun := time.Now()
	f.leader(f.other(m))
	f.count++
	took := time.Since(begun)
	f.slowest = max(f.slowest, took)
	if took > failoverWithin {
		f.t.Logf("failover %d took %v", f.count, took.Round(time.Millisecond))
	}
}

// leader waits until one of these leads. On a machine where nothing gets any
// time that takes long, and is no reason not to look at what comes out.
func (f *failovers) leader(of ...*member) *member {
	f.t.Helper()
	for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		for _, m := range of {
			if m.leads() {
				return m
			}
		}
	}
	f.t.Fatal("nobody leads")
	return nil
}
