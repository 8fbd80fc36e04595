// Package quickget answers `ingest get MAILBOX` before the rest of the
// program has begun.
//
// Mail programs run that command at every fetch. Most of its time would go
// into starting the program: what the libraries of all the other commands
// (metrics, IMAP, certificates, command line) keep in package variables is
// made in each process, asked for or not. Go initializes packages in the order
// of their import paths, each after those it imports (release notes of Go
// 1.21). A package that imports no more than syscall, not even os or bytes,
// comes before nearly all others; it asks the service in its own init and,
// when a password comes back, prints it and ends the process. Each import
// added here costs: TestQuickGetStart counts what runs before.
//
// The Debian package goes further: what it installs as /usr/bin/ingest is
// cmd/ingest/front, a program with nothing but this package in it, so that
// there is no large program to be started at all; see front.go.
//
// No rule of the command is here. What the password of a mailbox is, and who
// may read it, the service decides; whatever is not the plain case (other
// flags, no service, a refusal, anything unexpected) is left to the command,
// which finds everything as if nothing had happened. Of the configuration only
// web.socket is read: the service has checked all of it when it started, and a
// fault made since then need not keep programs from their mail.
package quickget

import "syscall"

// Defaults and limits of the command line, of package config and of the
// service; tests hold them together.
const (
	configVar     = "PEC_INGEST_CONFIG"
	defaultConfig = "/etc/pec-ingest/config.toml"
	defaultSocket = "/run/pec-ingest/ingest.sock"
	maxConfig     = 256 << 10 // bytes
	maxAnswer     = 8 << 10   // bytes; a password has 1 KiB at most
)

// patience is how long an answer may take. After that the command asks, and
// says what is wrong.
var patience = syscall.Timeval{Sec: 5}

// asked tells that the service was asked the command line of this process;
// refusal is the body of its answer where that came and is no password.
var (
	asked   bool
	refusal []byte
)

func init() {
	if takeOver(); asked {
		return
	}
	args, err := commandLine()
	if err != nil || len(args) == 0 {
		return
	}
	config, _ := syscall.Getenv(configVar)
	q, ok := parse(args[1:], config)
	if !ok {
		return
	}
	// As main does: no core dump, no debugger.
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0)
	asked = true
	answer := make([]byte, maxAnswer)
	line, err := q.ask(answer)
	if err != nil {
		return
	}
	n, err := writeAll(stdout, line)
	clear(answer)
	switch {
	case err == nil:
		syscall.Exit(0)
	case n > 0: // the command would print from the beginning what was printed in part
		_, _ = writeAll(stderr, []byte("ingest: error: "+err.Error()+"\n"))
		syscall.Exit(1)
	}
}

// Refusal is the problem, as JSON, with which the service has already answered
// the command line of this process; nil when it was not asked, or did not
// answer. The command tells it instead of asking again: the audit log has
// each refusal.
func Refusal() []byte { return refusal }

// question is the plain command.
type question struct{ config, mailbox, login string }

// parse reads a command line: get, one mailbox, and at most --config and
// --login. ok is false for every other one.
func parse(args []string, config string) (q question, ok bool) {
	q.config = config
	var words []string
	for i := 0; i < len(args); i++ {
		name, value := args[i], ""
		if name == "" || name[0] != '-' {
			words = append(words, name)
			continue
		}
		if at := index(name, "="); at >= 0 {
			name, value = name[:at], name[at+1:]
		} else if i++; i < len(args) {
			value = args[i]
		}
		if value == "" || value[0] == '-' {
			return q, false
		}
		switch {
		case name == "--config":
			q.config = value
		case name == "--login" && len(words) > 0 && q.login == "":
			q.login = value
		default:
			return q, false
		}
	}
	if len(words) != 2 || words[0] != "get" {
		return q, false
	}
	q.mailbox = words[1]
	if q.config == "" {
		q.config = defaultConfig
	}
	return q, plain(q.mailbox) && (q.login == "" || plain(q.login))
}

// plain tells whether s stands in JSON as it is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// errNotPlain leaves it to the command.
var errNotPlain error = notPlain{}

type notPlain struct{}

func (notPlain) Error() string { return "quickget: for the command" }

// ask asks the service and returns the line to be printed, in buf. On any
// error it is the command's turn.
func (q question) ask(buf []byte) (line []byte, err error) {
	socket, err := socketOf(q.config)
	if err != nil {
		return nil, err
	}
	fd, err := dial(socket)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	if _, err := syscall.Write(fd, q.request()); err != nil {
		return nil, err
	}
	n, err := readAll(fd, buf, whole)
	if err != nil {
		clear(buf)
		return nil, err
	}
	return read(buf[:n])
}

// whole tells whether an answer has all the bytes that its head announces. The
// service hangs up a little after that, which is not waited for.
func whole(answer []byte) bool {
	head, body, ok := cut(answer, "\r\n\r\n")
	if !ok {
		return false
	}
	_, length, ok := cut(head, "\r\nContent-Length: ")
	if !ok {
		return false
	}
	length, _, _ = cut(length, "\r\n")
	return string(length) == decimal(len(body))
}

// request is a call of the endpoint "get"; see docs/api.md.
func (q question) request() []byte {
	body := `{"mailbox":"` + q.mailbox + `","login":"` + q.login + `"}`
	return []byte("POST /v1/get HTTP/1.1\r\nHost: ingest\r\nConnection: close\r\nAccept: text/plain\r\n" +
		"Content-Type: application/json\r\nContent-Length: " + decimal(len(body)) + "\r\n\r\n" + body)
}

func decimal(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return decimal(n/10) + decimal(n%10)
}

// read takes an answer apart. A password is followed by a line end, which is
// also how it shows that it came whole.
func read(answer []byte) (line []byte, err error) {
	head, body, _ := cut(answer, "\r\n\r\n")
	isText := contains(answer[:min(len(head)+2, len(answer))], "\r\nContent-Type: text/plain\r\n")
	switch {
	case !hasPrefix(head, "HTTP/1.1 "):
		return nil, errNotPlain
	case hasPrefix(head, "HTTP/1.1 200 "):
		if isText && len(body) > 0 && index(body, "\n") == len(body)-1 {
			return body, nil
		}
	case isObject(body):
		refusal = append([]byte(nil), body...)
	}
	return nil, errNotPlain
}

// isObject tells whether JSON is an object, if it is JSON.
func isObject(b []byte) bool { return len(b) > 1 && b[0] == '{' && b[len(b)-1] == '}' }

// dial connects to a unix socket or fails at once. Package net would come with
// half of the program, and os would watch the file with threads of its own:
// here one thread waits for one answer.
func dial(path string) (fd int, err error) {
	fd, err = syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	err = syscall.Connect(fd, &syscall.SockaddrUnix{Name: path})
	if err == nil {
		err = syscall.SetNonblock(fd, false)
	}
	if err == nil {
		err = syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &patience)
	}
	if err != nil {
		_ = syscall.Close(fd)
		return -1, err
	}
	return fd, nil
}

// readAll reads to the end, or until what was read is whole; either must come
// before buf is full.
func readAll(fd int, buf []byte, whole func([]byte) bool) (n int, err error) {
	for n < len(buf) {
		m, err := syscall.Read(fd, buf[n:])
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return n, err
		case m == 0:
			return n, nil
		default:
			if n += m; whole != nil && whole(buf[:n]) {
				return n, nil
			}
		}
	}
	return n, errNotPlain
}

const stdout, stderr = 1, 2

// writeAll writes all of b, or returns how much was written of it.
func writeAll(fd int, b []byte) (n int, err error) {
	for n < len(b) {
		m, err := syscall.Write(fd, b[n:])
		if err != nil && err != syscall.EINTR {
			return n, err
		}
		n += max(m, 0)
	}
	return n, nil
}
