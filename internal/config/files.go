package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"pec-ingest/internal/secret"
)

// ErrLoose: others may read a file that holds a secret.
var ErrLoose = errors.New("config: others may read this file")

// ErrEmptySecret: a file that should hold a secret holds nothing.
var ErrEmptySecret = errors.New("config: file is empty")

// maxSecret is more than any password, token or key has.
const maxSecret = 64 << 10

// resolve makes a path of the configuration absolute. A plain name is looked
// for in the credentials directory first: systemd puts it there, under any
// permissions, for this service alone.
func resolve(path, dir, credentials string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	if credentials != "" && !strings.ContainsRune(path, filepath.Separator) && path != "." && path != ".." {
		inside := filepath.Join(credentials, path)
		if _, err := os.Lstat(inside); err == nil {
			return inside
		}
	}
	return filepath.Join(dir, path)
}

// PrivateFolder is the folder beside the configuration for files that hold a
// secret. The Debian package makes it, 0700, since the configuration's own
// folder is open: the programs of web.readers read the socket's path there.
const PrivateFolder = "private"

// resolveSecret is resolve for a file that holds a secret: a plain name that
// is not in the credentials directory, nor beside the configuration, is one in
// PrivateFolder where there is such a folder. So root's commands find what
// systemd hands to the service.
func resolveSecret(path, dir, credentials string) string {
	found := resolve(path, dir, credentials)
	if found != filepath.Join(dir, path) || strings.ContainsRune(path, filepath.Separator) || path == "" {
		return found
	}
	if _, err := os.Lstat(found); err == nil {
		return found
	}
	if info, err := os.Stat(filepath.Join(dir, PrivateFolder)); err != nil || !info.IsDir() {
		return found
	}
	return filepath.Join(dir, PrivateFolder, path)
}

// ReadSecretFile reads a password or token: the content of the file without
// one line end at its end. The file must be for its owner alone (0600 or
// stricter) in a folder that is, too (0700); inside $CREDENTIALS_DIRECTORY
// neither is asked.
//
// Errors wrap ErrLoose (with the chmod that mends it), ErrEmptySecret or the
// operating system's error, such as fs.ErrNotExist; they name the file and
// never its content.
func ReadSecretFile(path string) (secret.Secret, error) {
	b, err := ReadPrivateFile(path)
	if err != nil {
		return secret.Secret{}, err
	}
	defer clear(b)
	trimmed := b
	if t, ok := bytes.CutSuffix(trimmed, []byte("\n")); ok {
		trimmed = bytes.TrimSuffix(t, []byte("\r"))
	}
	if len(trimmed) == 0 {
		return secret.Secret{}, fmt.Errorf("reading %s: %w", path, ErrEmptySecret)
	}
	return secret.New(trimmed), nil
}

// ReadPrivateFile reads a file that nobody else may read, such as an identity,
// by the rule of ReadSecretFile. The caller should clear the bytes after use.
func ReadPrivateFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // names operation and path already
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading %s: not a regular file", path)
	}
	if err := CheckPrivate(path); err != nil {
		return nil, err
	}
	b := make([]byte, 0, info.Size()+1)
	buf := bytes.NewBuffer(b)
	if _, err := io.Copy(buf, io.LimitReader(f, maxSecret+1)); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if buf.Len() > maxSecret {
		clear(buf.Bytes())
		return nil, fmt.Errorf("reading %s: more than %d bytes", path, maxSecret)
	}
	return buf.Bytes(), nil
}

// CheckPrivate tells whether a file and its folder are for their owner alone;
// the error wraps ErrLoose and has the chmod in it.
func CheckPrivate(path string) error {
	if InCredentials(path) {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%w: %s is %04o: chmod 600 %s", ErrLoose, path, mode, shellQuote(path))
	}
	folder := filepath.Dir(path)
	info, err = os.Stat(folder)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%w: its folder %s is %04o: chmod 700 %s", ErrLoose, folder, mode, shellQuote(folder))
	}
	return nil
}

// InCredentials tells whether a file is in $CREDENTIALS_DIRECTORY.
func InCredentials(path string) bool {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return false
	}
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../") && !filepath.IsAbs(rel)
}

// shellQuote makes the hint one that can be pasted.
func shellQuote(s string) string {
	for _, r := range s {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-", r) {
			return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
		}
	}
	return s
}

// checkWritable refuses a configuration or recipients that others may change:
// they could add a key that each password is sealed to, or an anchor that
// forges clients. Everybody may read them. file is the configuration.
func (c *Config) checkWritable(file string) error {
	var errs Errors
	for _, f := range []struct{ path, key string }{
		{file, ""}, {c.Vault.RecipientsFile, "vault.recipients_file"}, {c.OTP.recipientsInUse(), "otp.recipients_file"},
	} {
		if f.path == "" || InCredentials(f.path) {
			continue
		}
		info, err := os.Stat(f.path)
		if err != nil || info.Mode().Perm()&0o022 == 0 {
			continue // who opens it says so where there is none
		}
		msg := fmt.Sprintf("others may change %s, it is %04o", f.path, info.Mode().Perm())
		errs = append(errs, &Error{File: c.Path, Key: f.key, Msg: msg, Hint: "chmod go-w " + shellQuote(f.path)})
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}

func (o OTP) recipientsInUse() string {
	if !o.Enabled {
		return ""
	}
	return o.RecipientsFile
}
