package etcdstore

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"pec-ingest/internal/vault"
)

// unavailable wraps what a request failed with when another may succeed.
func unavailable(err error) error {
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
		rpctypes.ErrPermissionDenied, rpctypes.ErrAuthFailed, rpctypes.ErrUserEmpty, rpctypes.ErrRootRoleNotExist,
	} {
		if errors.Is(rpctypes.Error(err), e) {
			return true
		}
	}
	return false
}

// refusal says it so that a person can act.
func refusal(err error) error {
	switch err := rpctypes.Error(err); {
	case errors.Is(err, rpctypes.ErrNoSpace):
		return fmt.Errorf("%w: %s", vault.ErrNoSpace, reason(err))
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
