package main

import (
	"strings"
	"syscall"
	"testing"

	"pec-ingest/internal/servertest"
)

// The cluster is put back to an earlier state under a service that runs, as by
// a snapshot of etcd's own: the service notices, takes what was forgotten from
// the processed folder again, and writes to nobody twice.
func TestClusterPutBack(t *testing.T) {
	t.Parallel()
	etcd := servertest.StartEtcd(t, servertest.EtcdConfig{})
	s := newStudio(t, studioOptions{smtp: true, clients: []string{rossi, bianchi}, config: onCluster(etcd.Endpoints)})
	s.deliver(s.submission(rossi, 2, passwords[rossi]))
	m := s.members(1)[0]
	m.start()
	has := func(mailbox string, filed, mails int) {
		t.Helper()
		s.within(patience, mailbox+" is taken in", func() bool {
			return m.run("", "get", mailbox).stdout == passwords[mailbox]+"\n" && len(s.folder(processed)) == filed && len(s.sink.received()) == mails
		})
	}
	has(rossi, 1, 1)
	putBack := etcd.Keep(t, 0)
	s.deliver(s.submission(bianchi, 1, passwords[bianchi]))
	has(bianchi, 2, 2)
	s.within(patience, "its answer is marked", func() bool {
		return strings.Count(m.run("", "outbox", "list", "--all").stdout, " sent ") == 2
	})

	putBack()
	s.within(patience, "the service notices", func() bool { return strings.Contains(m.log.String(), "event=vault.restored") })
	has(bianchi, 2, 2)
	if r := m.run("", "audit", "--verify"); r.code != exitOK {
		t.Errorf("audit: %s", r)
	}
	if r := m.run("", "audit", "--event", "vault.restored"); !strings.Contains(r.stdout, "vault.restored") {
		t.Errorf("the audit log does not tell: %s", r)
	}
	m.signal(syscall.SIGTERM)
	if n := len(s.sink.received()); n != 2 {
		t.Errorf("%d messages were sent in all, want one a client", n)
	}
}
