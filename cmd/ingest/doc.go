package main

import (
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"pec-ingest/internal/clidoc"
	"pec-ingest/internal/config"
	"pec-ingest/internal/ingest"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"For which shell: bash, zsh or fish."`
}

func (c *completionCmd) Run(env *environment, app *kong.Kong) error {
	script, err := clidoc.Completion(c.Shell, "ingest", clidoc.Commands(app.Model))
	if err != nil {
		return &ingest.Error{Class: ingest.Usage, Msg: "completion", Err: err}
	}
	_, err = io.WriteString(env.stdout, script)
	return err
}

// manCmd writes the manual pages; the package is built with it.
type manCmd struct {
	Page    string `arg:"" enum:"ingest.1,pec-ingest.toml.5" help:"Which page: ingest.1 or pec-ingest.toml.5."`
	Date    string `help:"Date in the page's foot." placeholder:"DATE"`
	Release string `help:"Version in the page's foot." placeholder:"VERSION"`
}

func (c *manCmd) Run(env *environment, app *kong.Kong) error {
	p := clidoc.Page{Date: c.Date, Source: strings.TrimSpace("pec-ingest " + c.Release)}
	var text string
	if c.Page == "ingest.1" {
		p.Name, p.Section, p.Title, p.Short = "ingest", "1", "User Commands", "passwords of certified mailboxes, taken from the studio's inbox"
		p.Sections = []clidoc.Section{
			{Title: "EXIT STATUS", Text: manExitCodes}, {Title: "FILES", Text: manFiles},
			{Title: "EXAMPLES", Text: manExamples}, {Title: "SEE ALSO", Text: "pec-ingest.toml(5), systemctl(1), age(1)"},
		}
		text = clidoc.Man(clidoc.Commands(app.Model), p)
	} else {
		template, err := config.Template(config.TemplateValues{})
		if err != nil {
			return err
		}
		p.Name, p.Section, p.Title, p.Short = "pec-ingest.toml", "5", "File Formats", "configuration of ingest(1)"
		p.Sections = []clidoc.Section{
			{Title: "DESCRIPTION", Text: manConfig}, {Title: "ALL KEYS", Text: indent(template)},
			{Title: "SEE ALSO", Text: "ingest(1)"},
		}
		text = clidoc.ManText(p)
	}
	_, err := io.WriteString(env.stdout, text)
	return err
}

// indent makes a text an example of a manual page.
func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n    ")
}

const manExitCodes = `Every command ends with one of these:

    0   done
    1   failed, or not permitted
    2   usage
    3   no such mailbox or item
    4   needs a person: ambiguous, broken, already decided
    5   the vault can't be opened: missing, locked, wrong key, newer format
    6   the configuration is invalid

With --exit-code, status has codes of its own, those of monitoring plugins: 0 all is well, 1 something is due or not verified, 2 something is expired, broken or missing, 3 unknown.`

const manFiles = `    /etc/pec-ingest/config.toml        configuration, see pec-ingest.toml(5)
    /etc/pec-ingest/recipients.txt     public keys that passwords are sealed to
    /etc/pec-ingest/private/           identity and passwords, for root alone
    /var/lib/pec-ingest/vault.db       the vault
    /run/pec-ingest/ingest.sock        socket of the running service`

const manExamples = `The current password of a mailbox, in the configuration of mbsync(1):

    PassCmd "ingest get rossi@pec.it"

What would a pass do?

    ingest once --dry-run`

const manConfig = `The file is TOML. Unknown keys are errors, and each error names file, line and key. Relative paths are relative to the file. A plain name is looked for in $CREDENTIALS_DIRECTORY first; identity and password files also in the folder private beside the file. An identity that is protected by a passphrase (age -p) is opened with what identity_passphrase_file holds; where there is none, the passphrase is asked for on the terminal.

"ingest check" tries what is written in it.`
