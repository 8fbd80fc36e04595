package vault

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// CheckPermissions demands that only the owner may touch the file and its
// folder (0600 in 0700); owner bits don't matter. The error is an *OpenError
// that wraps ErrPermissions and names the chmod that mends it. Not to be asked
// of files in $CREDENTIALS_DIRECTORY, whose access is systemd's.
func CheckPermissions(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return openError(path, "", err)
	}
	if !info.Mode().IsRegular() {
		return openError(path, "", fmt.Errorf("%w: not a regular file", ErrForeign))
	}
	if info.Mode().Perm()&0o077 != 0 {
		return openError(path, fmt.Sprintf("chmod 600 %q", path),
			fmt.Errorf("%w: the file is %04o, want 0600", ErrPermissions, info.Mode().Perm()))
	}
	return checkFolder(path)
}

func checkFolder(path string) error {
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	if err != nil {
		return openError(path, "", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return openError(path, fmt.Sprintf("chmod 700 %q", dir),
			fmt.Errorf("%w: the folder is %04o, want 0700", ErrPermissions, info.Mode().Perm()))
	}
	return nil
}

// checkUnshared wants a folder in which nobody else can put or replace a file;
// others may see what is in it.
func checkUnshared(path string) error {
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	if err != nil {
		return openError(path, "", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return openError(path, fmt.Sprintf("chmod go-w %q", dir),
			fmt.Errorf("%w: others may write to the folder, which is %04o", ErrPermissions, info.Mode().Perm()))
	}
	return nil
}

// maxSecretFile bounds identity and password files.
const maxSecretFile = 1 << 20

// ReadSecretFile reads an identity or password file after CheckPermissions;
// exempt leaves that out (a file in $CREDENTIALS_DIRECTORY). An absent file is
// ErrIdentityMissing. The caller clears the bytes.
func ReadSecretFile(path string, exempt bool) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, openError(path, "", ErrIdentityMissing)
	}
	if err != nil {
		return nil, openError(path, "", err)
	}
	defer f.Close()
	if !exempt {
		if err := CheckPermissions(path); err != nil {
			return nil, err
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecretFile))
	if err != nil {
		return nil, openError(path, "", err)
	}
	return b, nil
}

// lockRetry is how often a held lock is tried again.
const lockRetry = 20 * time.Millisecond

// lock takes the same advisory lock that bbolt takes, before anything is read:
// the meta pages of a file that another process writes don't hold still. The
// lock belongs to the open file, so bbolt then finds it taken by itself.
func lock(f *os.File, shared bool, timeout time.Duration) error {
	how := syscall.LOCK_EX
	if shared {
		how = syscall.LOCK_SH
	}
	deadline := time.Now().Add(timeout)
	for {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("locking: %w", err)
		}
		if !time.Now().Before(deadline) {
			return ErrLocked
		}
		time.Sleep(lockRetry)
	}
}

// newSuffix marks a vault that is being made. It becomes the vault by a rename
// once it is complete; one left by a crash is made again from nothing.
const newSuffix = ".new"

// openNew opens and locks the file in which a vault for path is made, empty.
// It answers fs.ErrExist when there is a vault by the time the lock is held.
// check is asked about the folder.
func openNew(path string, timeout time.Duration, check func(path string) error) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("making the folder: %w", err)
	}
	if err := check(path); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(path); err == nil {
		return nil, fs.ErrExist
	}
	f, err := os.OpenFile(path+newSuffix, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making the file: %w", err)
	}
	if err := prepareNew(f, path, timeout); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func prepareNew(f *os.File, path string, timeout time.Duration) error {
	if err := lock(f, false, timeout); err != nil {
		return err
	}
	ours, err := f.Stat()
	if err != nil {
		return err
	}
	// Another process may have finished while this one waited for the lock;
	// the file it held is then the vault, or what became of it.
	named, err := os.Lstat(path + newSuffix)
	same := err == nil && os.SameFile(ours, named)
	if _, err := os.Lstat(path); err == nil {
		if same {
			_ = os.Remove(path + newSuffix)
		}
		return fs.ErrExist
	}
	if !same {
		return ErrLocked
	}
	if err := f.Chmod(0o600); err != nil {
		return err
	}
	if err := giveAway(f, path); err != nil {
		return err
	}
	return f.Truncate(0)
}

// giveAway makes the folder's owner the file's, when root makes a vault in the
// service's folder: else the service could never open what a first `client
// import` of the administrator made.
func giveAway(f *os.File, path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return nil
	}
	return f.Chown(int(owner.Uid), int(owner.Gid))
}

// publish gives the finished file its name and makes that last.
func publish(path string) error {
	if err := os.Rename(path+newSuffix, path); err != nil {
		return fmt.Errorf("naming the file: %w", err)
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing the folder: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("syncing the folder: %w", err)
	}
	return nil
}
