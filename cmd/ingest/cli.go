package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"strconv"

	"pec-ingest/internal/config"
	"pec-ingest/internal/ingest"
)

const description = `Takes the mailbox passwords that clients send by certified mail (PEC), proves
them, keeps them sealed, hands them to the studio's programs and warns before
they expire.`

// global are the flags that every command takes.
type global struct {
	Config    string `help:"Configuration file." default:"/etc/pec-ingest/config.toml" env:"PEC_INGEST_CONFIG" placeholder:"FILE"`
	LogLevel  string `help:"Least level that is logged: debug, info, warn or error." enum:"debug,info,warn,error" default:"info"`
	LogFormat string `help:"Form of the log: text, json or journal." enum:"text,json,journal" default:"text"`
}

// cli is the command line; the field tags are the help texts.
type cli struct {
	global

	Demo     demoCmd     `cmd:"" help:"Run the whole job on an embedded example; nothing is installed or kept."`
	Init     initCmd     `cmd:"" help:"Write a commented config.toml and new keys into a folder."`
	Run      runCmd      `cmd:"" help:"Watch the inbox and do everything that is due: the daemon."`
	Once     onceCmd     `cmd:"" help:"Do one pass over everything that is due, then end."`
	Read     readCmd     `cmd:"" help:"Judge messages offline; touches neither vault nor network."`
	Client   clientCmd   `cmd:"" help:"The studio's clients."`
	Status   statusCmd   `cmd:"" help:"Each credential: state, days left, last check, next warning."`
	Get      getCmd      `cmd:"" help:"Print the current password of a mailbox, for PassCmd and the like."`
	Set      setCmd      `cmd:"" help:"Store a password read from standard input, after trying it."`
	Use      useCmd      `cmd:"" help:"Go back to a version, after trying it."`
	Report   reportCmd   `cmd:"" help:"Tell that a password was refused; it is tried at most once an hour."`
	History  historyCmd  `cmd:"" help:"The versions of a mailbox: where each came from, why it ended."`
	Due      dueCmd      `cmd:"" help:"What the warnings run would send; sends nothing."`
	Review   reviewCmd   `cmd:"" help:"What waits for a person."`
	Outbox   outboxCmd   `cmd:"" help:"Messages to send and sent."`
	Login    loginCmd    `cmd:"" help:"Sign in to an account with OAuth 2.0, for inbox or SMTP."`
	Page     pageCmd     `cmd:"" help:"Print a link that lets one person in to the page, once."`
	Calendar calendarCmd `cmd:"" help:"Renewals and expiries as iCalendar."`
	Provider providerCmd `cmd:"" help:"The table of mail providers."`
	Profile  profileCmd  `cmd:"" help:"Ready settings for another program."`
	OTP      otpCmd      `cmd:"" name:"otp" help:"One-time codes of shared accounts; off by default."`
	Used     usedCmd     `cmd:"" help:"Where passwords are also kept by hand, and what is to be updated there."`
	Audit    auditCmd    `cmd:"" help:"Who did what."`
	Vault    vaultCmd    `cmd:"" help:"The vault as a whole."`
	Rekey    rekeyCmd    `cmd:"" help:"Seal everything anew after the recipients changed."`
	Backup   backupCmd   `cmd:"" help:"Write a checked copy of the vault to a new file."`
	Restore  restoreCmd  `cmd:"" help:"Make the vault from a backup, where there is none."`
	Check    checkCmd    `cmd:"" help:"Check config, permissions, keys, trust, inbox and SMTP."`
	Metrics  metricsCmd  `cmd:"" help:"Print metrics for Prometheus."`
	Version  versionCmd  `cmd:"" help:"Print the version."`

	Completion completionCmd `cmd:"" help:"Print a completion script for a shell."`
	Man        manCmd        `cmd:"" hidden:"" help:"Print a manual page."`
}

// environment is what a command needs besides its own arguments.
type environment struct {
	*global
	stdin          io.Reader
	stdout, stderr io.Writer
	log            *slog.Logger
	asked          bool     // somebody at the terminal was asked
	typedOn        *os.File // the terminal at which a password was typed
}

func (e *environment) openLog() error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(e.LogLevel)); err != nil {
		return &ingest.Error{Class: ingest.Usage, Msg: "--log-level", Err: err}
	}
	opts := &slog.HandlerOptions{Level: level}
	switch e.LogFormat {
	case "json":
		e.log = slog.New(slog.NewJSONHandler(e.stderr, opts))
	case "journal":
		e.log = slog.New(newJournalHandler(journalSocket, e.stderr, level))
	default:
		e.log = slog.New(slog.NewTextHandler(e.stderr, opts))
	}
	return nil
}

func (e *environment) loadConfig() (*config.Config, error) { return config.Load(e.Config) }

// actor names the person who runs the command, for the audit log.
func actor() string {
	uid := os.Getuid()
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return fmt.Sprintf("uid:%d(%s)", uid, u.Username)
	}
	return fmt.Sprintf("uid:%d", uid)
}
