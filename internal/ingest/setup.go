package ingest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"

	"pec-ingest/internal/config"
)

// Setup is what Init wrote.
type Setup struct {
	Dir         string
	Files       []string
	RecoveryKey string // printed once, kept by nobody here
	LooseFolder bool   // the folder was there and lets others in
}

// Names of the files that Init writes.
const (
	configFile     = "config.toml"
	recipientsFile = "recipients.txt"
	identityFile   = "identity.txt"
)

// keyPair says how a pair of key files is called, and what it seals.
type keyPair struct {
	recipients, identity, what, holder string
}

var (
	vaultKeys = keyPair{recipientsFile, identityFile, "password", "the service"}
	otpKeys   = keyPair{"otp-recipients.txt", "otp-identity.txt", "seed of one-time codes", "the service, for one-time codes alone"}
)

// Init writes a commented configuration and new age keys into dir: the
// service's identity, and a recovery key of which only the public half stays.
// Nothing is overwritten; where one of the files is there, none is written.
func Init(dir string, values config.TemplateValues, now time.Time) (Setup, error) {
	s := Setup{Dir: dir}
	if err := noneThere(dir, configFile, recipientsFile, identityFile); err != nil {
		return s, err
	}
	var err error
	if s.LooseFolder, err = privateFolder(dir); err != nil {
		return s, &Error{Msg: "making the folder " + dir, Err: err}
	}
	values.IdentityFile = identityFile
	text, err := config.Template(values)
	if err != nil {
		return s, &Error{Class: Usage, Msg: "filling in the configuration", Err: err}
	}
	if err := s.writeKeys(dir, vaultKeys, now); err != nil {
		return s, err
	}
	return s, s.write(filepath.Join(dir, configFile), text, 0o644)
}

// InitKeys writes new age keys alone, for a configuration that is there, such
// as the package's. The identity goes into config.PrivateFolder where dir has
// one. Nothing is overwritten.
func InitKeys(dir string, now time.Time) (Setup, error) { return initKeys(dir, vaultKeys, now) }

// InitOTPKeys is InitKeys for the keys of the one-time codes.
func InitOTPKeys(dir string, now time.Time) (Setup, error) { return initKeys(dir, otpKeys, now) }

func initKeys(dir string, pair keyPair, now time.Time) (Setup, error) {
	s := Setup{Dir: dir}
	secrets := dir
	if info, err := os.Stat(filepath.Join(dir, config.PrivateFolder)); err == nil && info.IsDir() {
		secrets = filepath.Join(dir, config.PrivateFolder)
	}
	if err := errors.Join(noneThere(dir, pair.recipients, pair.identity), noneThere(secrets, pair.identity)); err != nil {
		return s, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return s, &Error{Msg: "making the folder " + dir, Err: err}
	}
	return s, s.writeKeys(secrets, pair, now)
}

// noneThere refuses when one of the files is there.
func noneThere(dir string, names ...string) error {
	for _, name := range names {
		path := filepath.Join(dir, name)
		if _, err := os.Lstat(path); err == nil {
			return &Error{Msg: fmt.Sprintf("%s is there already; nothing was written", path),
				Hint: "init never overwrites: name another folder, or make only the keys with --keys"}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return &Error{Msg: "looking into the folder", Err: err}
		}
	}
	return nil
}

// writeKeys makes both keys and writes the recipients into s.Dir, the
// service's identity into secrets.
func (s *Setup) writeKeys(secrets string, pair keyPair, now time.Time) error {
	service, err := age.GenerateX25519Identity()
	if err != nil {
		return fmt.Errorf("making the service's key: %w", err)
	}
	recovery, err := age.GenerateX25519Identity()
	if err != nil {
		return fmt.Errorf("making the recovery key: %w", err)
	}
	created := now.UTC().Format(time.RFC3339)
	recipients := fmt.Sprintf("# Every %s is sealed to all of these age keys.\n# %s, created %s\n%s\n# the recovery key, kept offline\n%s\n",
		pair.what, pair.holder, created, service.Recipient(), recovery.Recipient())
	identity := fmt.Sprintf("# created: %s\n# public key: %s\n%s\n", created, service.Recipient(), service)
	if err := s.write(filepath.Join(secrets, pair.identity), identity, 0o600); err != nil {
		return err
	}
	if err := s.write(filepath.Join(s.Dir, pair.recipients), recipients, 0o644); err != nil {
		return err
	}
	s.RecoveryKey = recovery.String()
	return nil
}

func (s *Setup) write(path, text string, mode fs.FileMode) error {
	if err := writeNew(path, text, mode); err != nil {
		return &Error{Msg: "writing " + path, Err: err}
	}
	s.Files = append(s.Files, path)
	return nil
}

// privateFolder makes dir for its owner alone. An empty one that is there is
// closed too; one with other things in it is left as it is.
func privateFolder(dir string) (loose bool, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, err
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return false, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		return true, err
	}
	return false, os.Chmod(dir, 0o700)
}

func writeNew(path, text string, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}
