package servertest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Keep stops member i, keeps what it has stored, and starts it again. putBack
// stops it later and starts it with that: a cluster of one member that was
// restored from a snapshot of its own.
func (c *Etcd) Keep(tb testing.TB, i int) (putBack func()) {
	tb.Helper()
	data := filepath.Join(c.dir, fmt.Sprintf("m%d", i))
	kept := data + ".kept"
	again := func(change func() error) {
		tb.Helper()
		c.Kill(i)
		if err := change(); err != nil {
			tb.Fatal(err)
		}
		c.Restart(i)
		if err := c.Await(i); err != nil {
			tb.Fatal(err)
		}
	}
	again(func() error { return os.CopyFS(kept, os.DirFS(data)) })
	return func() {
		tb.Helper()
		again(func() error {
			if err := os.RemoveAll(data); err != nil {
				return err
			}
			return os.CopyFS(data, os.DirFS(kept))
		})
	}
}
