package web

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Right is what a caller may do.
type Right int

// Each right includes those before it.
const (
	RightNone   Right = iota
	RightReader       // get, status, history, profile
	RightAdmin        // everything
)

func (r Right) String() string {
	switch r {
	case RightReader:
		return "reader"
	case RightAdmin:
		return "admin"
	}
	return "none"
}

// Caller is who is on the other side, as the kernel knows it: credentials are
// those at the time of connect(2) and can't be claimed.
type Caller struct {
	UID, GID uint32
	PID      int32
	Groups   []uint32 // supplementary ones
	Right    Right
}

type callerKey struct{}

// Actor names the caller for the audit log.
func (c Caller) Actor() string {
	if u, err := user.LookupId(strconv.FormatUint(uint64(c.UID), 10)); err == nil {
		return fmt.Sprintf("uid:%d(%s)", c.UID, u.Username)
	}
	return fmt.Sprintf("uid:%d", c.UID)
}

// Access says which unix groups have which right. Root and the service's own
// account may do everything, always.
type Access struct {
	readers, admins []uint32
	also            map[string][]uint32 // further rights by name, with the groups that have them
}

// NewAccess looks the groups up by name, or number. An unknown one is an
// error: a right that was meant to be there would silently be missing.
func NewAccess(readers, admins []string) (Access, error) {
	var a Access
	var err error
	if a.readers, err = groupIDs(readers); err != nil {
		return Access{}, err
	}
	a.admins, err = groupIDs(admins)
	return a, err
}

// Also is a with a further right of that name (Endpoint.Also) for groups.
func (a Access) Also(name string, groups []string) (Access, error) {
	ids, err := groupIDs(groups)
	also := maps.Clone(a.also)
	if also == nil {
		also = map[string][]uint32{}
	}
	also[name] = ids
	a.also = also
	return a, err
}

func groupIDs(names []string) ([]uint32, error) {
	var ids []uint32
	for _, name := range names {
		g, err := user.LookupGroup(name)
		if err != nil {
			if g, err = user.LookupGroupId(name); err != nil {
				return nil, fmt.Errorf("there is no group %q on this machine", name)
			}
		}
		id, err := strconv.ParseUint(g.Gid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("the group %q has no usable number", name)
		}
		ids = append(ids, uint32(id))
	}
	return ids, nil
}

// named tells whether others than root and the service's account may call.
func (a Access) named() bool {
	n := len(a.readers) + len(a.admins)
	for _, ids := range a.also {
		n += len(ids)
	}
	return n > 0
}

// in tells whether the caller belongs to one of the groups.
func (c Caller) in(ids []uint32) bool {
	for _, id := range ids {
		if id == c.GID || slices.Contains(c.Groups, id) {
			return true
		}
	}
	return false
}

// allows tells whether a caller may call an endpoint.
func (a Access) allows(c Caller, e Endpoint) bool {
	return a.rightOf(c) >= e.Right || e.Also != "" && c.in(a.also[e.Also])
}

// rightOf is what a caller may do.
func (a Access) rightOf(c Caller) Right {
	if c.UID == 0 || int(c.UID) == os.Getuid() {
		return RightAdmin
	}
	switch {
	case c.in(a.admins):
		return RightAdmin
	case c.in(a.readers):
		return RightReader
	}
	return RightNone
}

// callerOf asks the kernel who is connected (SO_PEERCRED, SO_PEERGROUPS: the
// first has the primary group alone).
func callerOf(conn *net.UnixConn) (c Caller, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return c, err
	}
	var inner error
	err = raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, inner = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); inner != nil {
			return
		}
		c.UID, c.GID, c.PID = cred.Uid, cred.Gid, cred.Pid
		c.Groups, inner = peerGroups(fd)
	})
	if err == nil {
		err = inner
	}
	if err != nil {
		return Caller{}, fmt.Errorf("asking who calls: %w", err)
	}
	return c, nil
}

// maxGroups is NGROUPS_MAX.
const maxGroups = 65536

// peerGroups reads SO_PEERGROUPS, an array of gid_t; the first answer to a
// buffer that is too small is how large it must be.
func peerGroups(fd uintptr) ([]uint32, error) {
	buf := make([]byte, 4*64)
	for {
		size := uint32(len(buf))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&buf[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == 0:
			groups := make([]uint32, 0, size/4)
			for b := buf[:size]; len(b) >= 4; b = b[4:] {
				groups = append(groups, binary.NativeEndian.Uint32(b))
			}
			return groups, nil
		case errno != unix.ERANGE || int(size) <= len(buf) || size > 4*maxGroups:
			return nil, errno
		}
		buf = make([]byte, size)
	}
}

// PeerUID is the user at the other end of a connection, as the kernel knew
// him when he connected.
func PeerUID(conn *net.UnixConn) (uint32, error) {
	c, err := callerOf(conn)
	return c.UID, err
}
