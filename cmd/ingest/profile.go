package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/quickget"
)

type profileCmd struct {
	Mailbox string `arg:"" help:"Which mailbox."`
	For     string `required:"" enum:"isync,msmtp,fetchmail,getmail,thunderbird,nuvola,passweb,json" placeholder:"FORMAT" help:"Which program: isync, msmtp, fetchmail, getmail, thunderbird, nuvola, passweb or json."`
	Login   string `help:"Which login, where the mailbox has several."`
}

func (c *profileCmd) Run(ctx context.Context, env *environment) error {
	return env.with(ingest.Reading, func(s backend) error {
		p, err := s.Profile(ctx, c.Mailbox, c.Login, env.program())
		if err != nil {
			return err
		}
		text, err := p.Format(c.For)
		if err != nil {
			return err
		}
		_, err = io.WriteString(env.stdout, text)
		return err
	})
}

// defaultConfig is what --config says in the contract.
const defaultConfig = "/etc/pec-ingest/config.toml"

// program is how other programs run this one: by its plain name where that
// leads here, and with the configuration that is in use.
func (e *environment) program() []string {
	args := []string{"ingest"}
	if self := ownPath(); self != "" && !sameFile("ingest", self) {
		args[0] = self
	}
	if e.Config != defaultConfig {
		config := e.Config
		if abs, err := filepath.Abs(config); err == nil {
			config = abs
		}
		args = append(args, "--config", config)
	}
	return args
}

// ownPath is the file that this process was started from, "" where it can't be
// told: the front program, where one was (internal/quickget).
func ownPath() string {
	if front := quickget.Front(); front != "" {
		return front
	}
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	return self
}

// sameFile tells whether a command's name leads to that file.
func sameFile(name, file string) bool {
	path, err := exec.LookPath(name)
	if err != nil {
		return false
	}
	a, err := os.Stat(path)
	if err != nil {
		return false
	}
	b, err := os.Stat(file)
	return err == nil && os.SameFile(a, b)
}
