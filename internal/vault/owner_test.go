package vault_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// An administrator's first command makes the vault as root, in the folder of
// the service's account: the file must be the account's.
func TestMadeByRootBelongsToTheFolder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("went without root, which alone gives files away")
	}
	const uid, gid = 54321, 54322
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "vault.db")
	o := options(t)
	o.Path = path
	mustOpen(t, o)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	got := info.Sys().(*syscall.Stat_t)
	if got.Uid != uid || got.Gid != gid || info.Mode().Perm() != 0o600 {
		t.Errorf("got %d:%d %04o, want %d:%d 0600", got.Uid, got.Gid, info.Mode().Perm(), uid, gid)
	}
}
