package vault

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// SaveBackup writes a backup file: write gives its bytes (Vault.Backup here,
// or the stream of a daemon), which are checked as VerifyFile does before the
// file gets its name. It never overwrites (fs.ErrExist). The file is 0600; its
// folder is made 0700 if there is none (fs.ErrNotExist where there is none above
// it either, or that is the root), and else must be one that nobody but its
// owner may write to.
func SaveBackup(path string, write func(io.Writer) error) (Summary, error) {
	// Its folder is made where it is missing, but not those above, and none
	// right below the root: on a disk that isn't there now they would be made on
	// this one.
	folder := filepath.Dir(path)
	above := filepath.Dir(folder)
	if above == "/" {
		above = folder
	}
	if _, err := os.Stat(above); err != nil {
		return Summary{}, fmt.Errorf("making the folder: %w", err)
	}
	return save(path, checkUnshared, write)
}

// SaveVault is SaveBackup for a file that is to be used as a vault: its folder
// must be 0700.
func SaveVault(path string, write func(io.Writer) error) (Summary, error) {
	return save(path, checkFolder, write)
}

func save(path string, check func(path string) error, write func(io.Writer) error) (Summary, error) {
	var s Summary
	f, err := openNew(path, DefaultLockTimeout, check)
	if err != nil {
		return s, explain(path, err)
	}
	defer f.Close()
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	var info fs.FileInfo
	if err == nil {
		info, err = f.Stat()
	}
	if err == nil {
		s, err = summarize(f, info.Size())
	}
	if err == nil {
		err = publish(path)
	}
	if err != nil {
		_ = os.Remove(path + newSuffix)
		return Summary{}, explain(path, err)
	}
	return s, nil
}

// Restore makes the vault at path from a backup. The backup is checked before
// and the copy after; a vault that is there is never overwritten
// (fs.ErrExist): it is for a person to move it away.
func Restore(path, backup string) (Summary, error) {
	if _, err := VerifyFile(backup); err != nil {
		return Summary{}, err
	}
	return SaveVault(path, func(w io.Writer) error {
		f, err := os.Open(backup)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(w, f)
		return err
	})
}

// NewestGoodBackup looks through the folder's files that match pattern
// ("*.db") and returns the one last written that VerifyFile finds good.
// ErrNotFound: none is.
func NewestGoodBackup(dir, pattern string) (path string, s Summary, err error) {
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		return "", s, fmt.Errorf("looking for backups: %w", err)
	}
	type file struct {
		path string
		info fs.FileInfo
	}
	var files []file
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", s, fmt.Errorf("looking for backups: %w", err)
		}
		if err == nil && info.Mode().IsRegular() {
			files = append(files, file{p, info})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return b.info.ModTime().Compare(a.info.ModTime()) })
	for _, f := range files {
		if s, err := VerifyFile(f.path); err == nil {
			return f.path, s, nil
		}
	}
	return "", Summary{}, ErrNotFound
}
