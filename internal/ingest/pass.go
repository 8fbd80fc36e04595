package ingest

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/submission"
	"pec-ingest/internal/vault"
)

// PassOptions say how one pass is made.
type PassOptions struct {
	// DryRun judges and plans but commits, probes, moves and sends nothing.
	DryRun bool
	// Observe, if set, is told of each message judged and each submission
	// settled, in order. It must not block for long.
	Observe func(Observation)
	// Progress, if set, is told how many of the new messages are done with, at
	// each of them.
	Progress func(done, total int)
	// Asked tells that a person wants this pass now: an inbox that said no
	// for another reason than the password is tried before its hour is over.
	Asked bool

	whole   bool           // large messages are downloaded at once; for tests
	session *inbox.Session // of the daemon, which keeps it; nil: the pass opens its own
}

// Observation is one thing that happened in a pass, as a person may see it.
// Texts have passed safetext; candidates are masked.
type Observation struct {
	UID       uint32           `json:"uid,omitempty"`
	ID        string           `json:"id,omitempty"`
	Kind      pec.Kind         `json:"kind,omitempty"`
	Certified bool             `json:"certified"`
	Reason    string           `json:"reason,omitempty"`  // why it is not certified, or waits for a person
	Why       string           `json:"why,omitempty"`     // the same as a sentence
	Mailbox   string           `json:"mailbox,omitempty"` // whose submission it is
	Find      submission.State `json:"find,omitempty"`
	Outcome   string           `json:"outcome,omitempty"` // set once settled, or planned
	Subject   string           `json:"subject,omitempty"` // masked
	Probe     string           `json:"probe,omitempty"`   // the server's answer, in one word
}

// pass is the state of one pass over the inbox.
type pass struct {
	*Service
	opts    PassOptions
	now     time.Time
	sess    *inbox.Session
	box     inbox.Mailbox
	clients *roster         // see needClients
	folder  string          // read instead of the inbox; see reread.go
	from    time.Time       // first day looked at; zero: no limit
	holes   map[uint32]bool // messages of this scan that could not be read earlier
	trial   *trial          // which of its messages are read one by one
	sum     Summary

	rereadFrom time.Time

	// held keeps the candidates of this pass in clear until it ends, so that
	// they can be tried even by a service without the identity.
	held map[string][]secret.Secret
	// refused are the messages that earlier passes refused, without the time;
	// nil: not looked at yet.
	refused map[vault.Refused]bool
	// foreseen are the numbers of versions that submissions will become.
	foreseen *foreseen
	// planned collects judged submissions of a dry run, which has no vault
	// to keep them in.
	planned []vault.Submission

	sealing  *sealing        // see many.go
	pending  []pendingCommit // see pending.go
	progress progress
	breaker  breaker
	reach    uint32          // no message from this UID on was shown or promised by UIDNEXT
	redials  int             // new sessions that this pass needed
	unable   map[uint32]bool // messages that the server itself says it can't read
}

// ErrBusy means that another pass is running.
var ErrBusy = errors.New("ingest: a pass is running already")

// Pass looks at the inbox once and takes everything that is new, and
// everything an interrupted pass left, the whole way.
//
// A bad message never ends it. An error means that the pass could not go on:
// the inbox or the vault could not be used. What was committed stays, the
// rest is done by the next pass; the Summary tells how far it came.
func (s *Service) Pass(ctx context.Context, opts PassOptions) (Summary, error) {
	select {
	case s.passing <- struct{}{}:
		defer func() { <-s.passing }()
	default:
		return Summary{}, ErrBusy
	}
	p := &pass{Service: s, opts: opts, now: time.Now().UTC().Truncate(time.Second), held: map[string][]secret.Secret{}, foreseen: newForeseen(), unable: map[uint32]bool{}, sealing: &sealing{by: map[string]int{}}}
	defer p.wipe()

	if err := p.caught("looking at the inbox", func() error { return p.run(ctx) }); err != nil {
		return p.sum, err
	}
	s.log.Log(ctx, p.level(), "pass finished", "event", "pass.finished", "seen", p.sum.Seen, "accepted", p.sum.Accepted,
		"superseded", p.sum.Superseded, "extended", p.sum.Extended, "review", p.sum.Review,
		"rejected", p.sum.Rejected, "ignored", p.sum.Ignored, "receipts", p.sum.Receipts, "errors", p.sum.Errors,
		"dry_run", opts.DryRun)
	return p.sum, nil
}

func (p *pass) run(ctx context.Context) error {
	var err error
	noted := func() error { return nil }
	if p.sess = p.opts.session; p.sess == nil {
		if p.sess, noted, err = p.beginInbox(ctx, p.opts); err != nil {
			return err
		}
	}
	defer func() { _ = noted() }() // the vault is the caller's again
	defer func() {
		if p.sess != p.opts.session { // its own, or one that took the place of the daemon's
			p.sess.Close()
		}
	}()

	quiet, err := p.openBox(ctx)
	if err != nil {
		return err
	}
	p.log.Log(ctx, p.level(), "pass started", "event", "pass.started", "folder", p.cfg.Inbox.Folder, "messages", p.box.Messages)
	if !quiet {
		if err := p.scan(ctx); err != nil {
			return err
		}
	}
	if err := p.reread(ctx); err != nil {
		return err
	}
	if err := noted(); err != nil {
		return err
	}
	p.lastScan.Store(p.now.Unix())
	if err := p.settle(ctx); err != nil {
		return err
	}
	if p.opts.DryRun {
		return nil
	}
	p.touch(ctx)
	return p.fileAway(ctx)
}

// openBox opens the folder. On the daemon's session it may be open already, and
// quiet tells that nothing is new in it and nothing is left of earlier passes.
// Whatever is downloaded is downloaded after the folder was opened in this pass,
// or the server has announced it in the open one.
func (p *pass) openBox(ctx context.Context) (quiet bool, err error) {
	cur, err := p.cursor(ctx)
	if err != nil {
		return false, err
	}
	p.box.UIDValidity = cur.UIDValidity
	_, holes, err := p.noted(ctx)
	if err != nil {
		return false, err
	}
	if p.sess == p.opts.session && len(holes) == 0 {
		p.box, quiet, err = p.sess.Refresh(ctx, cur.UIDValidity, cur.NextUID, p.cfg.Inbox.Poll)
	} else {
		p.box, err = p.sess.Examine(ctx)
	}
	if err != nil {
		return false, p.inboxError(err)
	}
	return quiet, nil
}

// level is how loud the pass is: the daemon's hundreds a day, which mostly
// find nothing, would drown the rest.
func (p *pass) level() slog.Level {
	if p.opts.session != nil && p.sum == (Summary{}) {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

func (p *pass) observe(o Observation) {
	if p.opts.Observe != nil {
		p.opts.Observe(o)
	}
}

func (p *pass) wipe() {
	for _, secrets := range p.held {
		wipeAll(secrets)
	}
}

func wipeAll(secrets []secret.Secret) {
	for _, s := range secrets {
		s.Wipe()
	}
}

// openInbox signs in to the studio's inbox, once: a refused password is never
// tried a second time by itself (account.go).
func (s *Service) openInbox(ctx context.Context, o PassOptions) (*inbox.Session, error) {
	sess, noted, err := s.beginInbox(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := noted(); err != nil {
		sess.Close()
		return nil, err
	}
	return sess, nil
}

// beginInbox is openInbox for one who has other things to do than to wait
// until the login is noted, which takes a slow hash of the password. noted
// waits for that, and is to be called in any case.
func (s *Service) beginInbox(ctx context.Context, o PassOptions) (sess *inbox.Session, noted func() error, err error) {
	password, err := s.InboxPassword()
	defer func() {
		if err != nil {
			password.Wipe()
		}
	}()
	switch {
	case err != nil && HintOf(err) != "":
		return nil, nil, err
	case err != nil:
		return nil, nil, &Error{Msg: "reading the password of the studio's inbox", Err: err,
			Hint: "put it into the file that inbox.password_file names, mode 0600, or enter it with `ingest set --inbox`"}
	}
	if err := s.mayLogIn(ctx, AccountInbox, password, o.Asked); err != nil {
		return nil, nil, err
	}
	roots, err := rootsWith(s.cfg.Inbox.TLSCAFile)
	if err != nil {
		return nil, nil, &Error{Class: BadConfig, Msg: s.cfg.Where("inbox.tls_ca_file"), Err: err}
	}
	addr := net.JoinHostPort(s.cfg.Inbox.Host, strconv.Itoa(s.cfg.Inbox.Port))
	sess, err = s.DialInbox(ctx, inbox.Config{
		Addr: addr, ServerName: s.cfg.Inbox.Host, TLS: tlsConfig(s.cfg.Inbox.Host, roots),
		Auth: s.cfg.Inbox.Auth, Username: s.cfg.Inbox.Username, Password: password,
		Folder: s.cfg.Inbox.Folder, ProcessedFolder: s.cfg.Inbox.ProcessedFolder,
		MaxMessage: s.cfg.Inbox.MaxMessage, Logger: s.log,
	})
	attempt := login{AccountInbox, password, inboxAnswer(err), err}
	if err != nil {
		if noteErr := s.noteLogin(ctx, attempt, o.DryRun); noteErr != nil {
			return nil, nil, noteErr
		}
		return nil, nil, s.inboxError(err)
	}
	done := make(chan error, 1)
	go func() {
		defer password.Wipe()
		done <- s.noteLogin(ctx, attempt, o.DryRun)
	}()
	return sess, sync.OnceValue(func() error { return <-done }), nil
}

// inboxError turns what the inbox said into what an admin can act on. What is
// an Error already, a full disk say, is not the inbox's.
func (s *Service) inboxError(err error) error {
	var own *Error
	if errors.As(err, &own) {
		return err
	}
	e := &Error{Msg: "studio inbox " + s.cfg.Inbox.Username + " on " + s.cfg.Inbox.Host, Err: err, logged: true}
	log := s.log
	if !s.daemon.repeats.first(err.Error(), time.Now()) {
		log = slog.New(slog.DiscardHandler) // said within the hour
	}
	e.Hint = s.inboxHint(err)
	switch {
	case errors.Is(err, inbox.ErrRefused):
		log.Error("the studio's inbox refuses the password", "event", "inbox.refused", "hint", e.Hint)
	case errors.Is(err, inbox.ErrTLS):
		log.Error("the studio's inbox shows a bad certificate", "event", "inbox.tls", "err", err, "hint", e.Hint)
	case errors.Is(err, inbox.ErrNoFolder):
		log.Error("the studio's inbox has no such folder", "event", "inbox.folder", "folder", s.cfg.Inbox.Folder, "err", err, "hint", e.Hint)
	case errors.Is(err, context.Canceled):
		e.Hint = ""
	default:
		log.Warn("the studio's inbox can't be reached", "event", "inbox.unreachable", "err", err, "hint", e.Hint)
	}
	return e
}
