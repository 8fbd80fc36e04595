package main

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pec-ingest/internal/pectest"
	"pec-ingest/internal/servertest"
	"pec-ingest/internal/servertest/faultproxy"
)

// The mailbox is full, so nothing can be moved: the service goes on watching,
// and files everything when there is room. A processed folder that somebody
// deletes under it is made again at once.
func TestNotFiled(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{apart: true})
	front := faultproxy.ListenFront(t, s.imap.Addr(), s.imap.CA().ServerConfig(t, servertest.Leaf{}), s.imap.ClientTLS(), faultproxy.Script{
		Command: func(_ int, line string) (string, bool) {
			return "TAG NO [OVERQUOTA] the mailbox is full\r\n", strings.HasPrefix(line, "UID MOVE")
		}})
	_, own, _ := net.SplitHostPort(s.imap.Addr())
	_, fronts, _ := net.SplitHostPort(front.Addr())
	s.edit("port = "+own, "port = "+fronts)
	r := s.start()
	for _, mailbox := range []string{rossi, bianchi} {
		s.deliver(s.submission(mailbox, 0.01, passwords[mailbox]))
		s.within(patience, mailbox+" accepted", s.has(mailbox, "valid", 1.0))
		s.within(patience, "watching again", func() bool { return strings.Contains(s.ok("status"), "watching the inbox") })
	}
	if n := len(s.folder("INBOX")); n != 2 {
		t.Errorf("%d messages are in the inbox, want 2", n)
	}
	if r := s.run("once"); r.code != exitFailed {
		t.Errorf("a pass that can't file: got %s, want exit 1", r)
	}
	front.Set(faultproxy.Script{})
	s.ok("once")
	if n := len(s.folder("INBOX")); n != 0 {
		t.Errorf("with room again %d messages are in the inbox, want 0", n)
	}
	s.imap.Doveadm("mailbox", "delete", "-u", studioPEC, "-r", "-s", processed)
	s.deliver(s.submission(verdi, 0.01, passwords[verdi]))
	s.within(patience, "filed into a new folder", func() bool { return len(s.folder(processed)) == 1 })
	r.stop()
	if log := r.log.String(); strings.Contains(log, "inbox.unreachable") || !strings.Contains(log, "event=message.not_filed") {
		t.Error("the log says that the inbox can't be reached, or does not say that messages could not be filed")
	}
}

// The disk fills up below the service: status and log say so, and do not
// blame the inbox; with room again it goes on by itself.
func TestRunDiskFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=3m,mode=0700"); err != nil {
		t.Skipf("a small file system can't be mounted here (%v)", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	s := newStudio(t, studioOptions{apart: true, vault: dir})
	r := s.start()
	fill(t, filepath.Join(dir, "ballast"))
	// All at once: of some of them another one would be the newest, which is
	// tried, and a few might still find room.
	const elsewhere = "INBOX.Arrivi"
	arrive := func(e pectest.Envelope) { s.imap.Deliver(studioPEC, elsewhere, e.Bytes(), e.SentAt.Add(time.Minute)) }
	for i := range 12 {
		arrive(s.letter(rossi, float64(40-i), "password posta", strings.Repeat("Buongiorno, come state? Qui tutto bene. ", 500)+
			"\nPassword per programmi di posta: vecch1a"+strconv.Itoa(i)+"\n"))
	}
	arrive(s.submission(rossi, 3, passwords[rossi]))
	s.imap.Doveadm("move", "-u", studioPEC, "INBOX", "mailbox", elsewhere, "ALL")
	s.within(patience, "the passes fail", func() bool { return strings.Contains(s.ok("status"), "the passes fail since") })
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	s.within(patience, "rossi accepted", func() bool { return s.status(rossi)["state"] == "valid" })
	s.wantLogins(rossi, 1, 0)
	r.stop()
	if log := r.log.String(); strings.Contains(log, "inbox.unreachable") || !strings.Contains(log, "the disk is full: make room there") {
		t.Error("the log blames the inbox, or does not say that the disk is full")
	}
}
