package etcdstore

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"pec-ingest/internal/vault"
)

// Why a cluster does not let a process in. Nothing of it passes by itself.
var (
	// ErrCredentials: the user and password, or that there is none.
	ErrCredentials = errors.New("etcd does not take the user name and password")
	// ErrPermission: the user may not read and write the prefix.
	ErrPermission = errors.New("etcd does not let this user read and write here")
	// ErrCertificate: the member's certificate, or the one shown to it. Such an
	// error is vault.ErrUnavailable, too: another member may have a good one.
	ErrCertificate = errors.New("no encrypted connection to etcd")
)

// unavailable wraps what a request failed with when another may succeed.
func unavailable(err error) error {
	if badCertificate(err) {
		return fmt.Errorf("%w: %w: %s", ErrCertificate, vault.ErrUnavailable, reason(err))
	}
	return fmt.Errorf("%w: %s", vault.ErrUnavailable, reason(err))
}

// reason is etcd's own text, which names no key.
func reason(err error) string {
	if st, ok := status.FromError(err); ok {
		return st.Message()
	}
	return err.Error()
}

// refused tells whether the cluster looked at a request and will not carry it
// out, so that it makes no sense to repeat it.
func refused(err error) bool {
	for _, e := range []error{
		rpctypes.ErrNoSpace, rpctypes.ErrCorrupt, rpctypes.ErrRequestTooLarge, rpctypes.ErrTooManyOps, rpctypes.ErrDuplicateKey,
		rpctypes.ErrPermissionDenied, rpctypes.ErrAuthFailed, rpctypes.ErrUserEmpty, rpctypes.ErrUserNotFound, rpctypes.ErrRootRoleNotExist,
	} {
		if errors.Is(rpctypes.Error(err), e) {
			return true
		}
	}
	return false
}

// full tells whether the cluster says that it has no more space.
func full(err error) bool { return errors.Is(rpctypes.Error(err), rpctypes.ErrNoSpace) }

// badCertificate tells whether a connection failed because one side does not
// take the other's certificate. gRPC has nothing but a text for it, and not
// even that where a server just hangs up.
func badCertificate(err error) bool {
	text := reason(err)
	return strings.Contains(text, "authentication handshake failed:") || strings.Contains(text, "error reading server preface:")
}

// refusal says it so that a person can act.
func refusal(err error) error {
	switch err := rpctypes.Error(err); {
	case errors.Is(err, rpctypes.ErrNoSpace):
		return fmt.Errorf("%w: %s", vault.ErrNoSpace, reason(err))
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		return fmt.Errorf("%w: %s", ErrPermission, reason(err))
	case errors.Is(err, rpctypes.ErrAuthFailed), errors.Is(err, rpctypes.ErrUserEmpty), errors.Is(err, rpctypes.ErrUserNotFound):
		return fmt.Errorf("%w: %s", ErrCredentials, reason(err))
	default:
		return fmt.Errorf("etcd refuses: %s", reason(err))
	}
}

// errCompacted: the state that a transaction reads is gone; it begins anew.
var errCompacted = errors.New("etcdstore: compacted")

// errEnough ends a reading early; errStalled ends a watch that is told nothing.
var (
	errEnough  = errors.New("etcdstore: enough")
	errStalled = errors.New("etcdstore: the watch is behind")
)

// compacted tells whether the revision asked for is gone.
func compacted(err error) bool { return errors.Is(rpctypes.Error(err), rpctypes.ErrCompacted) }
