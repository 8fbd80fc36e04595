package etcdstore_test

import (
	"context"
	"testing"

	"pec-ingest/internal/vault/etcdstore"
)

// A commit that turns out to be made has succeeded, also when the caller's
// time is over before this process hears of it.
func TestCommitFoundAgain(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if done, err := etcdstore.FoundAgain(ctx); !done || err != nil {
		t.Errorf("got done %t, %v, want it done", done, err)
	}
}
