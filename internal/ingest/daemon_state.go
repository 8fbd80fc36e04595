package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"pec-ingest/internal/safetext"
	"pec-ingest/internal/vault"
)

// Phases of the daemon, as `status` and STATUS= show them.
const (
	PhaseStarting   = "starting"
	PhaseConnecting = "connecting"
	PhasePassing    = "passing"     // a pass runs
	PhaseWatching   = "watching"    // signed in, waiting for messages
	PhaseWaiting    = "waiting"     // until the inbox is tried again
	PhaseStuck      = "stuck"       // the same, after a pass that failed at something else: a full disk
	PhaseRefused    = "refused"     // the inbox refuses the password; waiting for another one
	PhaseNoPassword = "no-password" // there is no password for the inbox; looked for every few seconds
	PhaseStopping   = "stopping"
	PhaseStandby    = "standby" // another service leads
)

// DaemonState is how the daemon stands, for STATUS=, `status`, readiness and
// metrics. Null stands for unknown or never.
type DaemonState struct {
	Phase          string     `json:"phase"`
	StartedAt      time.Time  `json:"started_at"`
	ConnectedSince *time.Time `json:"connected_since"`
	LastPassAt     *time.Time `json:"last_pass_at"` // the last one that ended well
	LastPass       *Summary   `json:"last_pass"`
	Passes         int        `json:"passes"`     // that ended well
	Reconnects     int        `json:"reconnects"` // sessions opened after the first
	LastError      string     `json:"last_error"` // "" = none since the last good pass
	LastErrorAt    *time.Time `json:"last_error_at"`
	FailingSince   *time.Time `json:"failing_since"` // of passes
	NextTryAt      *time.Time `json:"next_try_at"`
	NextChecksAt   *time.Time `json:"next_checks_at"`
	NextWarningsAt *time.Time `json:"next_warnings_at"`
	SendError      string     `json:"send_error"`  // "" = the last delivery went well
	JobError       string     `json:"job_error"`   // "" = the last jobs went well
	ClockError     string     `json:"clock_error"` // "" = the clock does not contradict the vault
	Waiting        Waiting    `json:"waiting"`
	InboxExpiresAt *string    `json:"inbox_expires_at"` // the studio's own password
	InboxDaysLeft  *int       `json:"inbox_days_left"`

	// Of several services on one vault; empty for one alone.
	Leading      bool       `json:"leading"`
	LeadingSince *time.Time `json:"leading_since"`
	Leader       string     `json:"leader"`  // "" = not known, or nobody
	Members      []string   `json:"members"` // the leader first
}

// Waiting counts what is not done.
type Waiting struct {
	Review int `json:"review"` // for a person
	Outbox int `json:"outbox"` // to be sent
	Failed int `json:"failed"` // in doubt: nobody knows whether it was sent
	Open   int `json:"open"`   // judged, without an outcome or still to be filed
}

// Line is the state in one line, for systemd's STATUS=.
func (d DaemonState) Line() string {
	var what string
	switch d.Phase {
	case PhaseWatching:
		what = "watching the inbox"
	case PhasePassing:
		what = "looking through the inbox"
	case PhaseRefused:
		what = "the inbox refuses the password: waiting for a new one"
	case PhaseNoPassword:
		what = "waiting for the inbox's password"
	case PhaseWaiting, PhaseStuck:
		what = "inbox not reachable"
		if d.Phase == PhaseStuck {
			what = "the passes fail"
		}
		if d.FailingSince != nil {
			what += " since " + clock(*d.FailingSince)
		}
		if d.NextTryAt != nil {
			what += ", next try " + clock(*d.NextTryAt)
		}
	case PhaseStandby:
		what = "standing by; nobody leads"
		if d.Leader != "" {
			what = "standing by; " + d.Leader + " leads"
		}
	default:
		what = d.Phase
	}
	if d.Leading {
		what = "leading; " + what
	}
	if d.LastPassAt != nil {
		what += "; last pass " + clock(*d.LastPassAt)
	}
	if d.Waiting.Review > 0 {
		what += fmt.Sprintf("; %d to review", d.Waiting.Review)
	}
	if n := d.Waiting.Outbox + d.Waiting.Failed; n > 0 {
		what += fmt.Sprintf("; %d to send", n)
	}
	if d.ClockError != "" {
		what += "; clock: " + d.ClockError
	}
	if d.LastError != "" {
		what += "; " + d.LastError
	} else if d.SendError != "" {
		what += "; sending: " + d.SendError
	} else if d.JobError != "" {
		what += "; jobs: " + d.JobError
	}
	return safetext.LineN(what, 300)
}

func clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// daemon is the part of a Service that belongs to Run.
type daemon struct {
	marks   *marks
	repeats *repeats
	alerts  *alertMemory

	wake  chan struct{} // ends a wait of the inbox loop; one token
	queue chan struct{} // something may be to be sent; one token

	foreign foreign // what other services changed

	mu       sync.Mutex
	running  bool
	end      context.CancelCauseFunc // ends Run
	state    DaemonState
	requests []*passRequest
	changed  func(DaemonState)
	beat     time.Time   // when the inbox loop last moved
	later    *time.Timer // of wakeIn
}

func newDaemon() *daemon {
	return &daemon{marks: newMarks(), repeats: &repeats{}, alerts: &alertMemory{}, wake: make(chan struct{}, 1), queue: make(chan struct{}, 1),
		state: DaemonState{Phase: PhaseStarting}}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// wakeIn ends a wait of the inbox loop after that time, or sooner where that
// was asked for already.
func (d *daemon) wakeIn(after time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.later != nil {
		return
	}
	d.later = time.AfterFunc(after, func() {
		d.mu.Lock()
		d.later = nil
		d.mu.Unlock()
		signal(d.wake)
	})
}

// update changes the state and tells about it.
func (d *daemon) update(change func(*DaemonState)) {
	d.mu.Lock()
	change(&d.state)
	d.beat = time.Now()
	state, changed := d.state, d.changed
	d.mu.Unlock()
	if changed != nil {
		changed(state)
	}
}

// stuckAfter is how long the inbox loop may go without a sign of life beyond
// its poll interval: longer than any bounded step of it takes.
const stuckAfter = 15 * time.Minute

// Alive tells whether the daemon still moves and its vault answers, for the
// watchdog of the service manager.
func (s *Service) Alive(ctx context.Context) bool {
	s.daemon.mu.Lock()
	beat, running := s.daemon.beat, s.daemon.running
	s.daemon.mu.Unlock()
	if running && time.Since(beat) > s.cfg.Inbox.Poll+stuckAfter {
		return false
	}
	err := s.vault.View(ctx, func(tx *vault.Tx) error {
		_, _, err := tx.AuditHead()
		return err
	})
	// A cluster that is away comes back; starting anew would bring nothing.
	return err == nil || s.cluster.store != nil && errors.Is(err, vault.ErrUnavailable)
}

// Daemon is the daemon's state now, with what waits read from the vault. It
// is nil where no daemon runs.
func (s *Service) Daemon(ctx context.Context) (*DaemonState, error) {
	s.daemon.mu.Lock()
	state, running := s.daemon.state, s.daemon.running
	s.daemon.mu.Unlock()
	if !running {
		return nil, nil
	}
	waiting, err := s.waiting(ctx, "")
	state.Waiting = waiting
	return &state, err
}

// waiting counts what is not done of one mailbox; "" = of all, and of nobody.
func (s *Service) waiting(ctx context.Context, mailbox string) (w Waiting, err error) {
	counts := func(of string) bool { return mailbox == "" || of == mailbox }
	err = s.vault.View(ctx, func(tx *vault.Tx) error {
		w = Waiting{}
		if err := tx.Reviews(func(r vault.Review) error {
			if r.DecidedAt.IsZero() && counts(r.Mailbox) {
				w.Review++
			}
			return nil
		}); err != nil {
			return err
		}
		open, err := tx.OpenOutgoing()
		if err != nil {
			return err
		}
		for _, o := range open {
			switch {
			case !counts(o.Mailbox):
			case o.State == vault.OutQueued:
				w.Outbox++
			default:
				w.Failed++
			}
		}
		subs, err := tx.OpenSubmissions()
		for _, sub := range subs {
			if counts(sub.Mailbox) {
				w.Open++
			}
		}
		return err
	})
	return w, err
}

// refresh reads into the state what the vault knows.
func (s *Service) refresh(ctx context.Context) {
	now := time.Now()
	waiting, err := s.waiting(ctx, "")
	if err != nil {
		return // the vault's trouble shows in the next pass
	}
	account, known, err := s.account(ctx, AccountInbox)
	if err != nil {
		return
	}
	seen, err := s.checkClock(ctx, now)
	if err != nil {
		return // says nothing about the clock
	}
	if err := s.rememberAlerts(ctx); err != nil {
		return
	}
	if seen.Level == LevelOK {
		seen.Msg = ""
	} else if s.daemon.repeats.first("clock", now) {
		s.log.Error("the clock seems to be wrong", "event", "clock.wrong", "err", seen.Msg, "hint", seen.Hint)
	}
	s.daemon.update(func(d *DaemonState) {
		d.ClockError = seen.Msg
		d.Waiting = waiting
		d.NextChecksAt = timeOrNull(s.probes.Next(now))
		d.NextWarningsAt = timeOrNull(s.warnings.NextWorking(now, s.policy))
		if known {
			left := daysLeft(account.Expires, s.today(now))
			d.InboxExpiresAt, d.InboxDaysLeft = dateOrNull(account.Expires), &left
		}
	})
}

// passRequest is a pass that somebody waits for.
type passRequest struct {
	opts PassOptions
	done chan passResult // one value, buffered
	sum  Summary         // of the pass, when it failed
}

type passResult struct {
	sum Summary
	err error
}

// ErrStopping: the daemon stopped before it came to the pass asked for.
var ErrStopping = errors.New("ingest: the service is stopping or reading its configuration anew")

// requestPass has the daemon make a pass now and waits for it.
func (s *Service) requestPass(ctx context.Context, o PassOptions) (sum Summary, err error, asked bool) {
	d := s.daemon
	d.mu.Lock()
	if !d.running {
		d.mu.Unlock()
		return Summary{}, nil, false
	}
	r := &passRequest{opts: o, done: make(chan passResult, 1)}
	d.requests = append(d.requests, r)
	d.mu.Unlock()
	signal(d.wake)
	select {
	case res := <-r.done:
		return res.sum, res.err, true
	case <-ctx.Done():
		return Summary{}, ctx.Err(), true
	}
}

// take removes the next request; nil where there is none.
func (d *daemon) take() *passRequest {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.requests) == 0 {
		return nil
	}
	r := d.requests[0]
	d.requests = d.requests[1:]
	if len(d.requests) > 0 {
		signal(d.wake)
	}
	return r
}

func (r *passRequest) answer(sum Summary, err error) {
	if r != nil {
		r.done <- passResult{sum, err}
	}
}

// keep notes what a pass had done when it failed.
func (r *passRequest) keep(sum Summary) {
	if r != nil {
		r.sum = sum
	}
}

// fail answers that there was no pass, or that it failed.
func (r *passRequest) fail(err error) {
	if r != nil {
		r.answer(r.sum, err)
	}
}

// repeats keeps a log readable while something stays broken.
type repeats struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// repeatEvery is how often the same trouble is logged.
const repeatEvery = time.Hour

// first tells whether a line is new, or was last said an hour ago.
func (r *repeats) first(line string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, ok := r.last[line]; ok && now.Sub(at) < repeatEvery && !now.Before(at) {
		return false
	}
	if r.last == nil || len(r.last) > 256 {
		r.last = map[string]time.Time{}
	}
	r.last[line] = now
	return true
}

// forget lets the next trouble be logged again: it is a new one.
func (r *repeats) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = nil
}
