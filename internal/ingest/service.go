// Package ingest is the pipeline: the one place where the other packages
// meet. It takes messages from the studio's inbox through judging, sealing,
// probing, answering and filing away, in the order and with the two commits
// of docs/architecture.md, and it carries out what the commands ask.
//
// The packages below know nothing of each other; what one returns is turned
// into what the next one takes here, in plain lines.
package ingest

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"pec-ingest/internal/config"
	"pec-ingest/internal/inbox"
	"pec-ingest/internal/notify"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/probe"
	"pec-ingest/internal/provider"
	"pec-ingest/internal/schedule"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
	"pec-ingest/internal/vault/etcdstore"
)

// ActorService is who acts in the audit log when no person asked.
const ActorService = "service"

// AnswerWithin is how old a message may be to be answered: a letter of last
// month, met on a first pass, gets no reply (DESIGN: first pass).
const AnswerWithin = 7 * 24 * time.Hour

// Service does what the commands and the daemon ask, on one open vault.
// Its methods are safe for concurrent use, except that passes must not
// overlap: Pass itself sees to that.
type Service struct {
	cfg       *config.Config
	vault     *vault.Vault
	trust     *pec.Trust
	providers *provider.Table
	templates *notify.Templates
	policy    schedule.Policy
	warnings  schedule.Cron // when warnings run
	probes    schedule.Cron // when stored passwords are tried
	log       *slog.Logger

	passing  chan struct{} // holds one token while a pass runs
	sending  *sync.Mutex   // held while the outbox is delivered
	checking *sync.Mutex   // held while stored passwords are tried, an hour maybe
	jobs     *sync.Mutex   // held while another job runs
	deciding *itemLocks    // held while a person's decision on an item is carried out

	destroyed time.Time    // when destroyOld last looked through the vault; guarded by jobs
	ask       Asker        // for a protected identity of the one-time codes
	leisurely bool         // the checks take their time; guarded by checking
	cluster   cluster      // other services on the same vault
	daemon    *daemon      // state of Run, and what other parts tell it
	onTrial   atomic.Bool  // the next scan is; see trial.go
	lastScan  atomic.Int64 // Unix time at which the inbox was last read to its end

	// Seams, set to the real thing by New; tests put servers without sockets
	// or with faults in their place.
	DialInbox func(context.Context, inbox.Config) (*inbox.Session, error)
	Login     func(context.Context, probe.Target, string, secret.Secret) probe.Result
	Send      func(context.Context, notify.SMTPConfig, notify.Mail, func() error) (notify.Receipt, error)
	Reader    Reader
	// InboxPassword and SMTPPassword read the secret anew each time, so that
	// a changed file is seen without a restart.
	InboxPassword func() (secret.Secret, error)
	SMTPPassword  func() (secret.Secret, error)
}

// Options are the parts a Service is made of. All are required but Log.
type Options struct {
	Config    *config.Config
	Vault     *vault.Vault
	Trust     *pec.Trust
	Providers *provider.Table
	Templates *notify.Templates
	Log       *slog.Logger // nil: nothing is logged
	Ask       Asker        // nil: nobody can be asked for a passphrase
	// Cluster is what Vault is on when other services work on it too.
	Cluster *etcdstore.Store
}

// New puts a Service together; it opens and reads nothing.
func New(o Options) *Service {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Service{
		cfg: o.Config, vault: o.Vault, trust: o.Trust, providers: o.Providers,
		templates: o.Templates, log: log, ask: o.Ask,
		policy:    policyOf(o.Config),
		warnings:  mustCron(o.Config.Warnings.Schedule, o.Config.Policy.Location),
		probes:    mustCron(o.Config.Probe.Every, o.Config.Policy.Location),
		passing:   make(chan struct{}, 1),
		DialInbox: inbox.Dial,
		Login:     probe.Login,
		Send:      notify.Send,
		Reader:    newReader(),
	}
	s.InboxPassword = s.inboxSecret
	s.SMTPPassword = s.smtpSecret
	s.daemon = newDaemon()
	s.sending, s.checking, s.jobs = new(sync.Mutex), new(sync.Mutex), new(sync.Mutex)
	s.deciding = &itemLocks{}
	if s.cluster.store = o.Cluster; o.Cluster != nil {
		s.guardSideEffects()
		s.daemon.foreign.after = s.OutboxChanged
	}
	return s
}

// Close closes the vault.
func (s *Service) Close() error {
	s.resign()
	return s.vault.Close()
}

// Vault gives the open vault, for the commands that care for it.
func (s *Service) Vault() *vault.Vault { return s.vault }

// mustCron parses a spec that config.Load has checked already; the zero Cron,
// which never runs, stands for a spec that is not there.
func mustCron(spec string, loc *time.Location) schedule.Cron {
	c, err := schedule.ParseCron(spec, loc)
	if err != nil {
		return schedule.Cron{}
	}
	return c
}

func policyOf(c *config.Config) schedule.Policy {
	return schedule.Policy{
		ValidityDays:    c.Policy.ValidityDays,
		MaxValidityDays: c.Policy.MaxValidityDays,
		RenewAfterDays:  c.Policy.RenewAfterDays,
		Location:        c.Policy.Location,
		DaysBefore:      c.Warnings.DaysBefore,
		Closed:          closedRanges(c),
		Patron:          c.Warnings.Patron,
	}
}

func closedRanges(c *config.Config) []schedule.Range {
	out := make([]schedule.Range, 0, len(c.Warnings.Closed))
	for _, r := range c.Warnings.Closed {
		out = append(out, schedule.Range{From: r.From, To: r.To})
	}
	return out
}

// today is the calendar day of now in the studio's time zone.
func (s *Service) today(now time.Time) time.Time {
	return schedule.Day(now, s.policy.Location)
}
