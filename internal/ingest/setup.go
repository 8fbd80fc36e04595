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

// Init writes a commented configuration and new age keys into dir: the
// service's identity, and a recovery key of which only the public half stays.
// Nothing is overwritten; where one of the files is there, none is written.
func Init(dir string, values config.TemplateValues, now time.Time) (Setup, error) {
	s := Setup{Dir: dir}
	for _, name := range []string{configFile, recipientsFile, identityFile} {
		path := filepath.Join(dir, name)
		if _, err := os.Lstat(path); err == nil {
			return s, &Error{Msg: fmt.Sprintf("%s is there already; nothing was written", path), Hint: "init never overwrites: name another folder"}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return s, &Error{Msg: "looking into the folder", Err: err}
		}
	}
	var err error
	if s.LooseFolder, err = privateFolder(dir); err != nil {
		return s, &Error{Msg: "making the folder " + dir, Err: err}
	}
	service, err := age.GenerateX25519Identity()
	if err != nil {
		return s, fmt.Errorf("making the service's key: %w", err)
	}
	recovery, err := age.GenerateX25519Identity()
	if err != nil {
		return s, fmt.Errorf("making the recovery key: %w", err)
	}
	values.IdentityFile = identityFile
	text, err := config.Template(values)
	if err != nil {
		return s, &Error{Class: Usage, Msg: "filling in the configuration", Err: err}
	}
	created := now.UTC().Format(time.RFC3339)
	recipients := fmt.Sprintf("# Every password is sealed to all of these age keys.\n# the service, created %s\n%s\n# the recovery key, kept offline\n%s\n",
		created, service.Recipient(), recovery.Recipient())
	identity := fmt.Sprintf("# created: %s\n# public key: %s\n%s\n", created, service.Recipient(), service)
	for _, f := range []struct {
		name string
		text string
		mode fs.FileMode
	}{{identityFile, identity, 0o600}, {recipientsFile, recipients, 0o644}, {configFile, text, 0o644}} {
		path := filepath.Join(dir, f.name)
		if err := writeNew(path, f.text, f.mode); err != nil {
			return s, &Error{Msg: "writing " + path, Err: err}
		}
		s.Files = append(s.Files, path)
	}
	s.RecoveryKey = recovery.String()
	return s, nil
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
