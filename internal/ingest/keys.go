package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"pec-ingest/internal/config"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// Asker asks a person for the passphrase of a file; it fails where nobody can
// be asked. A nil Asker is nobody.
type Asker func(file string) (secret.Secret, error)

// keyFiles are an age identity as a configuration names it: section is the
// one of the keys identity_file and identity_passphrase_file.
type keyFiles struct {
	section, identity, passphrase string
}

func vaultKeyFiles(cfg *config.Config) keyFiles {
	return keyFiles{"vault", cfg.Vault.IdentityFile, cfg.Vault.PassphraseFile}
}

func otpKeyFiles(cfg *config.Config) keyFiles {
	return keyFiles{"otp", cfg.OTP.IdentityFile, cfg.OTP.PassphraseFile}
}

// readIdentity reads an age identity: a file that is for its owner alone, or
// a credential of systemd; one that is protected by a passphrase is opened
// with the passphrase file or, where there is none, by asking. nil where none
// is configured. The caller clears what it gets. Errors are of class NoVault.
func readIdentity(cfg *config.Config, k keyFiles, ask Asker) ([]byte, error) {
	if k.identity == "" {
		return nil, nil
	}
	b, err := readIdentityFile(cfg, k)
	if err != nil || !vault.IdentityLocked(b) {
		return b, err
	}
	defer clear(b)
	return unlockIdentity(cfg, k, b, ask)
}

// readIdentityFile reads the file as it is, protected or not.
func readIdentityFile(cfg *config.Config, k keyFiles) ([]byte, error) {
	b, err := config.ReadPrivateFile(k.identity)
	if err == nil && len(bytes.TrimSpace(b)) == 0 {
		err = fmt.Errorf("reading %s: %w", k.identity, config.ErrEmptySecret)
	}
	if err != nil {
		e := fileError(cfg, k.section+".identity_file", k.identity, err)
		e.Class = NoVault
		if errors.Is(err, fs.ErrNotExist) {
			e.Hint += fmt.Sprintf(`; or set %s.identity_file = "" to run without`, k.section)
		}
		return nil, e
	}
	return b, nil
}

func unlockIdentity(cfg *config.Config, k keyFiles, locked []byte, ask Asker) ([]byte, error) {
	passphrase, err := readPassphrase(cfg, k, ask)
	if err != nil {
		return nil, err
	}
	defer passphrase.Wipe()
	plain, err := vault.UnlockIdentity(locked, passphrase)
	switch {
	case errors.Is(err, vault.ErrPassphrase):
		return nil, &Error{Class: NoVault, Msg: "the identity " + k.identity + " is protected, and the passphrase does not open it", Err: err,
			Hint: "mind capitals and the keyboard's layout; without the passphrase the recovery key opens the vault"}
	case err != nil:
		return nil, &Error{Class: NoVault, Msg: "opening the protected identity " + k.identity, Err: err,
			Hint: "it is made with `age -p`; put a copy of it back, or the recovery key"}
	}
	return plain, nil
}

func readPassphrase(cfg *config.Config, k keyFiles, ask Asker) (secret.Secret, error) {
	var nobody error = &Error{Class: NoVault, Msg: "the identity " + k.identity + " is protected by a passphrase, and there is no terminal to ask for it", Err: ErrNobodyToAsk,
		Hint: fmt.Sprintf(`for a service: %s.identity_passphrase_file = "NAME", and the passphrase as the credential NAME (docs/systemd.md)`, k.section)}
	if k.passphrase != "" {
		p, err := config.ReadSecretFile(k.passphrase)
		if err == nil {
			return p, nil
		}
		e := fileError(cfg, k.section+".identity_passphrase_file", k.passphrase, err)
		e.Class = NoVault
		if nobody = e; !errors.Is(err, fs.ErrNotExist) {
			return p, e
		}
	}
	if ask == nil {
		return secret.Secret{}, nobody
	}
	p, err := ask(k.identity)
	if errors.Is(err, ErrNobodyToAsk) {
		err = nobody
	}
	return p, err
}

// ErrNobodyToAsk is an Asker's error where there is no terminal.
var ErrNobodyToAsk = errors.New("ingest: nobody can be asked")

// ErrNoSecret: a file that should hold a secret is not there, or empty.
var ErrNoSecret = errors.New("ingest: there is none")

// noSecret is ErrNoSecret in the words of the cause.
type noSecret struct{ error }

func (e noSecret) Unwrap() []error { return []error{ErrNoSecret, e.error} }

// fileError says why a file with a secret can't be read and what to do; where
// it is missing, also where it was looked for. key is the one that names it.
func fileError(cfg *config.Config, key, path string, err error) *Error {
	e := &Error{Msg: "reading " + key, Err: err}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, config.ErrEmptySecret) {
		e.Err = noSecret{err}
	}
	dir, name := filepath.Dir(cfg.Path), filepath.Base(path)
	private := filepath.Join(dir, config.PrivateFolder)
	switch {
	case errors.Is(err, config.ErrEmptySecret) && config.InCredentials(path):
		// The package's unit has an empty default for each.
		return e.hint("systemd gives an empty credential where the file of LoadCredential=%s is missing: write it with `install -m 0600 /dev/stdin %s`, then restart the service",
			name, filepath.Join(private, name))
	case errors.Is(err, config.ErrEmptySecret):
		return e.hint("write it, one line: `install -m 0600 /dev/stdin %s`", path)
	case !errors.Is(err, fs.ErrNotExist):
		if e.Hint = systemHint(err); e.Hint == "" {
			e.Hint = "the service's account must be able to read it, and nobody else: its owner, mode 0600, in a folder with mode 0700"
		}
		return e
	}
	if where := filepath.Dir(path); where != dir && where != private {
		return e.hint("write it there, in a folder with mode 0700: `install -m 0600 /dev/stdin %s`", path)
	}
	credentials := "$CREDENTIALS_DIRECTORY (not set here: systemd sets it, for the service alone)"
	if d := os.Getenv("CREDENTIALS_DIRECTORY"); d != "" {
		credentials = "$CREDENTIALS_DIRECTORY (" + d + ")"
	}
	beside := dir
	if filepath.Dir(path) == private {
		beside += " and " + private
	}
	return e.hint("a plain name is looked for in %s, then in %s: write the file with `install -m 0600 /dev/stdin %s`, or give it to the unit with LoadCredential=%s:/PATH",
		credentials, beside, path, name)
}

// passwordFile reads the password that a key of the configuration names.
func passwordFile(cfg *config.Config, key, path string) (secret.Secret, error) {
	p, err := config.ReadSecretFile(path)
	if err != nil {
		return p, fileError(cfg, key, path, err)
	}
	return p, nil
}
