package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"pec-ingest/internal/config"
	"pec-ingest/internal/ingest"
)

type initCmd struct {
	Dir  string `arg:"" optional:"" help:"Where to write; default the folder of --config."`
	Keys bool   `help:"Write the keys alone, for a config.toml that is there, such as the package's."`

	OTPKeys bool `name:"otp-keys" help:"Write the keys of the one-time codes alone."`
}

func (c *initCmd) Run(env *environment) error {
	dir := c.Dir
	if dir == "" {
		dir = filepath.Dir(env.Config)
	}
	var s ingest.Setup
	var err error
	if c.OTPKeys {
		return c.otpKeys(env, dir)
	}
	if c.Keys {
		s, err = ingest.InitKeys(dir, time.Now())
	} else {
		s, err = ingest.Init(dir, config.TemplateValues{}, time.Now())
	}
	if err != nil {
		return err
	}
	text := wrote(s) + fmt.Sprintf(`
The recovery key, shown this once. Print it or write it down, and keep it
offline: with it the vault can be opened when this machine is lost.

  %s

Next:
  1. fill in %s: at least inbox.host (or inbox.provider) and inbox.username
  2. put the inbox's password into %s, mode 0600
  3. ingest --config %[2]s client import clients.csv
  4. ingest --config %[2]s check
  5. ingest --config %[2]s once --dry-run
`, s.RecoveryKey, filepath.Join(s.Dir, "config.toml"), filepath.Join(filepath.Dir(s.Files[0]), "inbox-password"))
	if s.LooseFolder {
		text += fmt.Sprintf("  6. others may look into %s: chmod 0700 %[1]s\n", s.Dir)
	}
	return showOnce(env, s, text)
}

func wrote(s ingest.Setup) string { return "wrote " + strings.Join(s.Files, "\nwrote ") + "\n" }

// showOnce prints what holds a recovery key. Where nobody gets to see it the
// files are taken back: their recovery key would be lost, and what is there is
// never overwritten.
func showOnce(env *environment, s ingest.Setup, text string) error {
	signal.Ignore(syscall.SIGPIPE) // that the reader is gone is an error here, not the end
	_, err := io.WriteString(env.stdout, text)
	if err == nil {
		return nil
	}
	for _, f := range s.Files {
		err = errors.Join(err, os.Remove(f))
	}
	return &ingest.Error{Msg: "the recovery key could not be shown, so no keys were kept", Err: err,
		Hint: "run it again where its output can be read"}
}

func (c *initCmd) otpKeys(env *environment, dir string) error {
	s, err := ingest.InitOTPKeys(dir, time.Now())
	if err != nil {
		return err
	}
	return showOnce(env, s, wrote(s)+fmt.Sprintf(`
The recovery key of the one-time codes, shown this once. Keep it offline, and
not beside that of the passwords:

  %s

Next:
  1. otp.enabled = true in the configuration, then restart the service
  2. ingest otp add MAILBOX, with the otpauth:// URI on standard input
`, s.RecoveryKey))
}
