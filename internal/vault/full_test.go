package vault_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pec-ingest/internal/vault"
)

// fillUp stores ever more until a commit fails, and returns how many records
// went in and why it stopped.
func fillUp(v *vault.Vault) (stored int, err error) {
	for i := range 100_000 {
		err := v.Update(context.Background(), func(tx *vault.Tx) error { return putBig(tx, i) })
		if err != nil {
			return i, err
		}
	}
	return 0, errors.New("never full")
}

func putBig(tx *vault.Tx, i int) error {
	return tx.PutSeen(vault.Seen{ID: fmt.Sprintf("big-%06d", i), Verdict: strings.Repeat("v", 100_000)})
}

// checkFull demands that a vault whose disk was full holds what was committed
// and nothing else, and works again once there is room.
func checkFull(o vault.Options, v *vault.Vault, stored int, makeRoom func() error) error {
	ctx := context.Background()
	state := func(v *vault.Vault, want int) error {
		for i := range want + 1 {
			var ok bool
			err := v.View(ctx, func(tx *vault.Tx) (err error) {
				_, ok, err = tx.Seen(fmt.Sprintf("big-%06d", i))
				return err
			})
			if err != nil || ok != (i < want) {
				return fmt.Errorf("record %d of %d: there = %t, %w", i, want, ok, err)
			}
		}
		return nil
	}
	if err := state(v, stored); err != nil {
		return fmt.Errorf("after the failed commit: %w", err)
	}
	for range 3 { // it fails again, as often as it is tried
		if err := v.Update(ctx, func(tx *vault.Tx) error { return putBig(tx, stored) }); err == nil {
			return errors.New("a commit on a full disk succeeded")
		}
	}
	if err := makeRoom(); err != nil {
		return err
	}
	for i := stored; i < stored+20; i++ {
		if err := v.Update(ctx, func(tx *vault.Tx) error { return putBig(tx, i) }); err != nil {
			return fmt.Errorf("with room again: %w", err)
		}
	}
	if err := v.Close(); err != nil {
		return err
	}
	v, err := vault.Open(o)
	if err != nil {
		return fmt.Errorf("opening again: %w", err)
	}
	defer v.Close()
	return state(v, stored+20)
}

// A file system of 8 MB that fills up.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m,mode=0700"); err != nil {
		t.Skipf("a small file system can't be mounted here (%v); the limit on file size is tried instead", err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(t)
	o.Path = filepath.Join(dir, "vault.db")

	// Too full to make a vault: there is none, and the next start makes it.
	rest := filepath.Join(dir, "rest")
	if err := os.WriteFile(rest, make([]byte, 8<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	if _, err := vault.Open(o); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("making a vault on a full disk: %v, want ENOSPC", err)
	}
	if _, err := os.Stat(o.Path); err == nil {
		t.Error("half a vault was made")
	}
	if err := os.Remove(rest); err != nil {
		t.Fatal(err)
	}

	v := mustOpen(t, o)
	stored, err := fillUp(v)
	if !errors.Is(err, syscall.ENOSPC) || stored < 5 {
		t.Fatalf("after %d records: %v, want ENOSPC", stored, err)
	}
	if err := checkFull(o, v, stored, func() error { return os.Remove(ballast) }); err != nil {
		t.Error(err)
	}
}

// The same with a limit on the size of files, which needs no privilege: in a
// child process, since it holds for all files.
func TestFileLimit(t *testing.T) {
	const env = "VAULT_TEST_LIMITED"
	if dir := os.Getenv(env); dir != "" {
		limited(t, dir)
		return
	}
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestFileLimit$", "-test.v")
	cmd.Env = append(os.Environ(), env+"="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "commits stopped after") {
		t.Errorf("child: %v\n%s", err, out)
	}
}

func limited(t *testing.T, dir string) {
	o := options(t)
	o.Path = filepath.Join(dir, "vault.db")
	v := mustOpen(t, o)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	small := old
	small.Cur = 4 << 20
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		t.Fatal(err)
	}
	stored, err := fillUp(v)
	t.Logf("commits stopped after %d: %v", stored, err)
	if stored < 5 {
		t.Fatalf("after %d records: %v", stored, err)
	}
	room := func() error { return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old) }
	if err := checkFull(o, v, stored, room); err != nil {
		t.Error(err)
	}
}
