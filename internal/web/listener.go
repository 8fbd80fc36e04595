package web

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Why a socket can't be opened.
var (
	// ErrInUse: another service answers on it.
	ErrInUse = errors.New("web: another service answers there")
	// ErrNotSocket: something else has that name.
	ErrNotSocket = errors.New("web: a file of that name is there and is no socket")
	// ErrPathTooLong: the kernel takes 107 bytes.
	ErrPathTooLong = errors.New("web: the path is longer than a socket's may be (107 bytes)")
)

const maxPath = 107

// socketMode is 0660 where only root and the service's account may call. With
// groups it is open, because a file has one group only and who calls is known
// from the kernel anyhow; a caller without rights gets an answer, and an entry
// in the audit log.
func socketMode(named bool) fs.FileMode {
	if named {
		return 0o666
	}
	return 0o660
}

// CheckPath answers ErrPathTooLong for a path that no socket may have.
func CheckPath(path string) error {
	if len(path) > maxPath {
		return ErrPathTooLong
	}
	return nil
}

// OpenSocket takes the lock beside the socket, removes a stale socket, and
// listens. The lock is held as long as its file is open; it decides between
// two services that start at the same moment.
func OpenSocket(path string, mode fs.FileMode) (lock *os.File, l *net.UnixListener, err error) {
	if err := CheckPath(path); err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, nil, err
	}
	lock, err = os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			_ = lock.Close()
		}
	}()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, nil, err
	}
	l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, nil, err
	}
	if err := os.Chmod(path, mode); err != nil {
		_ = l.Close()
		return nil, nil, err
	}
	return lock, l, nil
}

// removeStale removes a socket on which nobody listens.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return ErrNotSocket
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = conn.Close()
		return ErrInUse
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w (%w)", ErrInUse, err)
	}
	return os.Remove(path)
}

// How many connections may be open. Those without admin rights get a share
// only, so that nobody keeps an admin out.
const (
	maxConns       = 256
	maxOthers      = 192
	maxOthersOfOne = 64
)

// listener accepts connections, finds out who calls, and turns away whoever
// has too many open.
type listener struct {
	*net.UnixListener
	access func() *Access
	log    *slog.Logger

	mu     sync.Mutex
	all    int
	others int            // without admin rights
	of     map[uint32]int // of them, by uid
}

func newListener(l *net.UnixListener, access func() *Access, log *slog.Logger) *listener {
	return &listener{UnixListener: l, access: access, log: log, of: map[uint32]int{}}
}

// peer is a connection whose other side is known.
type peer struct {
	*net.UnixConn
	caller Caller
	once   sync.Once
	leave  func()
}

func (p *peer) Close() error {
	p.once.Do(p.leave)
	return p.UnixConn.Close()
}

// Accept never returns an error because of one caller.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		c, err := callerOf(conn)
		if err != nil {
			l.log.Warn("a caller is not known", "event", "socket.unknown_caller", "err", err)
			_ = conn.Close()
			continue
		}
		c.Right = l.access().rightOf(c)
		if !l.enter(c) {
			l.log.Debug("too many connections", "event", "socket.busy", "uid", c.UID)
			turnAway(conn)
			continue
		}
		return &peer{UnixConn: conn, caller: c, leave: func() { l.exit(c) }}, nil
	}
}

func (l *listener) enter(c Caller) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= maxConns {
		return false
	}
	if c.Right < RightAdmin {
		if l.others >= maxOthers || l.of[c.UID] >= maxOthersOfOne {
			return false
		}
		l.others++
		l.of[c.UID]++
	}
	l.all++
	return true
}

func (l *listener) exit(c Caller) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if c.Right < RightAdmin {
		l.others--
		if l.of[c.UID]--; l.of[c.UID] == 0 {
			delete(l.of, c.UID)
		}
	}
}

const busyAnswer = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n" +
	"Content-Length: 61\r\n\r\n" + `{"class":"busy","msg":"the service has too many callers now"}`

// turnedAway bounds those who are told politely at the same time.
var turnedAway = make(chan struct{}, 1024)

// turnAway tells a caller to come again later. It waits for the question
// first, a moment at most: what is said before it, or on a connection that is
// closed with the question unread, the caller may never see. Where too many
// are being told, the answer is left in the socket's buffer, which never waits.
func turnAway(conn *net.UnixConn) {
	select {
	case turnedAway <- struct{}{}:
	default:
		_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		_, _ = conn.Write([]byte(busyAnswer))
		_ = conn.Close()
		return
	}
	go func() {
		defer func() { <-turnedAway }()
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(headerTimeout))
		_, _ = conn.Read(make([]byte, 1))
		_, _ = conn.Write([]byte(busyAnswer))
		_ = conn.CloseWrite()
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, 64<<10))
	}()
}
