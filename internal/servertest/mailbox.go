package servertest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Stored is one message as the server has it.
type Stored struct {
	UID          uint32
	Flags        []string // \Seen and the like, without \Recent, sorted
	InternalDate time.Time
	Size         int64
	MessageID    string // as in the header, with <>
}

// Seen tells whether the message is marked read.
func (s Stored) Seen() bool { return slices.Contains(s.Flags, `\Seen`) }

// Deliver puts a message into a user's folder as a delivery agent would: a
// new file in the Maildir, which running sessions are told of. folder is the
// name that clients see ("INBOX", "INBOX.Archivio"), made when missing. The
// zero internalDate is now. The bytes are served as they are given, but that
// lone LF becomes CRLF.
func (d *Dovecot) Deliver(user, folder string, raw []byte, internalDate time.Time) {
	d.tb.Helper()
	dir := d.maildir(user, folder)
	if internalDate.IsZero() {
		internalDate = time.Now()
	}
	d.mu.Lock()
	d.deliver++
	n := d.deliver
	d.mu.Unlock()
	// The sequence number sorts within the second: UIDs follow the order of
	// delivery.
	name := fmt.Sprintf("%d.M%09dP%d.test", time.Now().Unix(), n, os.Getpid())
	tmp := filepath.Join(dir, "tmp", name)
	err := os.WriteFile(tmp, raw, 0o600)
	if err == nil {
		err = d.acc.own(tmp)
	}
	if err == nil {
		err = os.Chtimes(tmp, internalDate, internalDate)
	}
	if err == nil {
		err = os.Rename(tmp, filepath.Join(dir, "new", name))
	}
	if err != nil {
		d.tb.Fatalf("delivering: %v", err)
	}
}

// maildir returns the folder of a mailbox on disk, made when missing.
func (d *Dovecot) maildir(user, folder string) string {
	d.tb.Helper()
	dir := filepath.Join(d.dir, "mail", user)
	if strings.EqualFold(folder, "INBOX") {
		d.mkdir(dir)
	} else {
		name := strings.ReplaceAll(strings.TrimPrefix(folder, d.prefix()), d.separator(), ".")
		if strings.ContainsFunc(name, func(r rune) bool { return r == '&' || r < ' ' || r > '~' }) {
			d.tb.Fatalf("folder %q: only ASCII names can be delivered to", folder)
		}
		dir = filepath.Join(dir, "."+name)
		if _, err := os.Stat(dir); err != nil {
			d.mkdir(filepath.Dir(dir))
			d.CreateFolder(user, folder)
		}
	}
	for _, sub := range []string{"cur", "new", "tmp"} {
		d.mkdir(filepath.Join(dir, sub))
	}
	return dir
}

func (d *Dovecot) mkdir(path string) {
	d.tb.Helper()
	err := os.Mkdir(path, 0o700)
	if os.IsExist(err) {
		return
	}
	if err == nil {
		err = d.acc.own(path)
	}
	if err != nil {
		d.tb.Fatal(err)
	}
}

// Messages lists a folder through doveadm, which is no login, changes no flag
// and shares no code with what is being tested. A missing folder is a
// failure.
func (d *Dovecot) Messages(user, folder string) []Stored {
	d.tb.Helper()
	out := d.standing("-f", "json", "fetch", "-u", user,
		"uid flags date.received.unixtime size.physical hdr.message-id", "mailbox", folder, "ALL")
	var rows []struct {
		UID   string `json:"uid"`
		Flags string `json:"flags"`
		Date  string `json:"date.received.unixtime"`
		Size  string `json:"size.physical"`
		MsgID string `json:"hdr.message-id"`
	}
	if err := json.Unmarshal(out, &rows); err != nil {
		d.tb.Fatalf("reading doveadm's answer: %v\n%s", err, out)
	}
	var list []Stored
	for _, r := range rows {
		uid, err := strconv.ParseUint(r.UID, 10, 32)
		if err != nil {
			d.tb.Fatalf("reading doveadm's answer: %v", err)
		}
		unix, err := strconv.ParseInt(r.Date, 10, 64)
		if err != nil {
			d.tb.Fatalf("reading doveadm's answer: %v", err)
		}
		size, _ := strconv.ParseInt(r.Size, 10, 64)
		m := Stored{UID: uint32(uid), InternalDate: time.Unix(unix, 0).UTC(), Size: size, MessageID: r.MsgID}
		for _, f := range strings.Fields(r.Flags) {
			if f != `\Recent` {
				m.Flags = append(m.Flags, f)
			}
		}
		slices.Sort(m.Flags)
		list = append(list, m)
	}
	return list
}

// Raw is one message's bytes, as the server would send them.
func (d *Dovecot) Raw(user, folder string, uid uint32) []byte {
	d.tb.Helper()
	out := d.Doveadm("-f", "json", "fetch", "-u", user, "text", "mailbox", folder, "uid", fmt.Sprint(uid))
	var rows []struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(out, &rows); err != nil || len(rows) != 1 {
		d.tb.Fatalf("reading message %d: %d rows, %v", uid, len(rows), err)
	}
	text := strings.ReplaceAll(rows[0].Text, "\r\n", "\n")
	return []byte(strings.ReplaceAll(text, "\n", "\r\n"))
}

// Folders lists a user's folders by their full names, sorted.
func (d *Dovecot) Folders(user string) []string {
	d.tb.Helper()
	var rows []struct {
		Mailbox string `json:"mailbox"`
	}
	out := d.Doveadm("-f", "json", "mailbox", "list", "-u", user)
	if err := json.Unmarshal(out, &rows); err != nil {
		d.tb.Fatalf("reading doveadm's answer: %v\n%s", err, out)
	}
	var names []string
	for _, r := range rows {
		names = append(names, r.Mailbox)
	}
	slices.Sort(names)
	return names
}

// CreateFolder makes a folder.
func (d *Dovecot) CreateFolder(user, folder string) {
	d.tb.Helper()
	d.Doveadm("mailbox", "create", "-u", user, folder)
}

// Flag adds a flag to a message, as somebody's mail program would.
func (d *Dovecot) Flag(user, folder string, uid uint32, flag string) {
	d.tb.Helper()
	d.Doveadm("flags", "add", "-u", user, flag, "mailbox", folder, "uid", fmt.Sprint(uid))
}

// Expunge removes messages, as somebody's mail program would; no uid means
// all of them.
func (d *Dovecot) Expunge(user, folder string, uids ...uint32) {
	d.tb.Helper()
	args := []string{"expunge", "-u", user, "mailbox", folder}
	if len(uids) == 0 {
		args = append(args, "ALL")
	} else {
		var set []string
		for _, u := range uids {
			set = append(set, fmt.Sprint(u))
		}
		args = append(args, "uid", strings.Join(set, ","))
	}
	d.Doveadm(args...)
}

// SetUIDValidity changes a folder's UIDVALIDITY, as a server does whose
// indexes were rebuilt.
func (d *Dovecot) SetUIDValidity(user, folder string, v uint32) {
	d.tb.Helper()
	d.Doveadm("mailbox", "update", "-u", user, "--uid-validity", fmt.Sprint(v), folder)
}

// UIDValidity is a folder's UIDVALIDITY.
func (d *Dovecot) UIDValidity(user, folder string) uint32 {
	d.tb.Helper()
	var rows []map[string]string
	out := d.Doveadm("-f", "json", "mailbox", "status", "-u", user, "uidvalidity", folder)
	if err := json.Unmarshal(out, &rows); err != nil || len(rows) != 1 {
		d.tb.Fatalf("reading doveadm's answer: %v\n%s", err, out)
	}
	v, err := strconv.ParseUint(rows[0]["uidvalidity"], 10, 32)
	if err != nil {
		d.tb.Fatalf("reading doveadm's answer: %v", err)
	}
	return uint32(v)
}

// Kick cuts all of a user's running sessions, if there are any.
func (d *Dovecot) Kick(user string) {
	d.tb.Helper()
	out, err := d.doveadmCommand("kick", user).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == notFound {
		return
	}
	if err != nil {
		d.tb.Fatalf("doveadm kick %s: %v\n%s", user, err, out)
	}
}

// AwaitGone waits until a user has no session any more: the server carries out
// what it was told last, also when nobody waits for the answer.
func (d *Dovecot) AwaitGone(user string) {
	d.tb.Helper()
	deadline := time.Now().Add(patience)
	for {
		out, err := d.doveadmCommand("-f", "flow", "who", user).CombinedOutput()
		var exit *exec.ExitError
		if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != notFound) {
			d.tb.Fatalf("doveadm who %s: %v\n%s", user, err, out)
		}
		if !bytes.Contains(out, []byte(user)) {
			return
		}
		if time.Now().After(deadline) {
			d.tb.Fatalf("%s has a session after %v:\n%s", user, patience, out)
		}
		time.Sleep(5 * time.Millisecond) // nobody tells of its end
	}
}

// notFound is how doveadm says that there is no such thing.
const notFound = 68

// Doveadm runs the administration program on this server and returns what it
// prints.
func (d *Dovecot) Doveadm(args ...string) []byte {
	d.tb.Helper()
	cmd := d.doveadmCommand(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		d.tb.Fatalf("doveadm %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.Bytes()
}

// standing is Doveadm for a look at a folder: where messages went away while
// it looked, which it takes for a failure, it looks again.
func (d *Dovecot) standing(args ...string) []byte {
	d.tb.Helper()
	deadline := time.Now().Add(patience)
	for {
		cmd := d.doveadmCommand(args...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		if err == nil {
			return stdout.Bytes()
		}
		if !strings.Contains(stderr.String(), "Message was expunged") || time.Now().After(deadline) {
			d.tb.Fatalf("doveadm %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
		}
	}
}

func (d *Dovecot) doveadmCommand(args ...string) *exec.Cmd {
	cmd := exec.Command(d.doveadm, append([]string{"-c", filepath.Join(d.dir, "dovecot.conf")}, args...)...)
	if d.acc.root {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: uint32(d.acc.uid), Gid: uint32(d.acc.gid)},
		}
	}
	cmd.Dir = d.dir
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	return cmd
}
