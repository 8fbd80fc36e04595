package quickget

import "syscall"

// For the tests of package quickget_test.
var (
	Read     = read
	TakeOver = takeOver
)

const (
	FrontVar      = frontVar
	ConfigVar     = configVar
	DefaultConfig = defaultConfig
	DefaultSocket = defaultSocket
	MaxConfig     = maxConfig
)

// Parse is parse with its result taken apart.
func Parse(args []string, config string) (path, mailbox, login string, ok bool) {
	q, ok := parse(args, config)
	return q.config, q.mailbox, q.login, ok
}

// Request is the request for a mailbox.
func Request(mailbox, login string) []byte {
	return question{mailbox: mailbox, login: login}.request()
}

// Ask asks the service on a socket, with so little patience.
func Ask(socket string, microseconds int64) error {
	old := patience
	defer func() { patience = old }()
	patience = syscall.NsecToTimeval(1000 * microseconds)
	fd, err := dial(socket)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	_, err = readAll(fd, make([]byte, 10), nil)
	return err
}

// TakeRefusal is Refusal, and forgets it.
func TakeRefusal() []byte {
	r := refusal
	refusal = nil
	return r
}

// Whole is whole.
var Whole = whole

// FindSocket is findSocket.
func FindSocket(doc []byte) (string, error) { return findSocket(string(doc)) }

// CommandLine is commandLine.
var CommandLine = commandLine

// State is what HandOver hands over and takeOver takes.
func State() (wasAsked bool, path string) { return asked, front }

// SetState sets it.
func SetState(wasAsked bool, path string, body []byte) { asked, front, refusal = wasAsked, path, body }
