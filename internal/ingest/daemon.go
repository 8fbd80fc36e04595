package ingest

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"pec-ingest/internal/inbox"
)

// Hooks are what the daemon tells its surroundings. All may be nil.
type Hooks struct {
	// Ready is called once, when the first login to the inbox has been
	// answered, either way, or given up.
	Ready func()
	// Changed is called with the state after each change; it must not block.
	Changed func(DaemonState)
}

const (
	// stopGrace is how long what was begun may go on when Run is to end.
	stopGrace = 3 * time.Second
	// stopLimit is when Run ends at the latest, whatever hangs: all that is
	// stored is stored in transactions.
	stopLimit = 4500 * time.Millisecond
	// secretLook is how often a refused account's password is looked at.
	secretLook = 5 * time.Second
)

// ErrHung: something did not end in time when the daemon stopped.
var ErrHung = errors.New("ingest: something did not stop in time; nothing stored is lost")

// Run is the daemon: it watches the inbox, makes passes, runs the jobs and
// delivers what the outbox holds, until ctx ends; then it finishes what was
// begun, within five seconds. Its error is nil unless something hung.
//
// No trouble ends it but one: it is a state, shown by Daemon, and a line in the
// log. A vault that a later version of the program has taken over ends it, with
// an Error of class NoVault.
// Run must not be called while another Run of the same Service runs.
func (s *Service) Run(ctx context.Context, h Hooks) error {
	d := s.daemon
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	d.mu.Lock()
	d.running, d.changed, d.beat, d.end = true, h.Changed, time.Now(), end
	d.state = DaemonState{Phase: PhaseStarting, StartedAt: time.Now().UTC().Truncate(time.Second)}
	d.mu.Unlock()
	s.refresh(ctx)

	work, cancel := graceful(ctx, stopGrace)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if s.cluster.store != nil {
			s.standBy(ctx, work, h)
			return
		}
		s.duties(ctx, work, h)
	}()
	<-ctx.Done()
	d.update(func(st *DaemonState) { st.Phase = PhaseStopping })
	limit := time.NewTimer(stopLimit)
	defer limit.Stop()
	var err error
	select {
	case <-ended:
	case <-limit.C:
		err = ErrHung
	}
	d.mu.Lock()
	d.running, d.changed = false, nil
	left := d.requests
	d.requests = nil
	d.mu.Unlock()
	for _, r := range left {
		r.answer(Summary{}, ErrStopping)
	}
	if cause := (*Error)(nil); err == nil && errors.As(context.Cause(ctx), &cause) {
		return cause
	}
	return err
}

// duties are what only one service may do on a vault: reading the inbox,
// sending, the daily checks.
func (s *Service) duties(ctx, work context.Context, h Hooks) {
	s.beginReading(work)
	defer s.endReading(work)
	var wg sync.WaitGroup
	wg.Go(func() { s.deliverLoop(ctx, work) })
	wg.Go(func() { s.jobLoop(ctx, work) })
	s.inboxLoop(ctx, work, h)
	wg.Wait()
}

// graceful is a context that ends a while after ctx, so that a step that was
// begun can be finished.
func graceful(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-work.Done():
		case <-t.C:
			cancel()
		}
	})
	return work, func() { stop(); cancel() }
}

// inboxLoop keeps a session with the inbox open and makes the passes, one at
// a time, until ctx ends.
func (s *Service) inboxLoop(ctx, work context.Context, h Hooks) {
	d := s.daemon
	ready := h.Ready
	attempt, sessions := 0, 0
	for ctx.Err() == nil {
		request := d.take()
		d.update(func(st *DaemonState) {
			if st.Phase != PhaseRefused && st.Phase != PhaseWaiting && st.Phase != PhaseNoPassword { // one more try is no news
				st.Phase = PhaseConnecting
			}
		})
		o := PassOptions{}
		if request != nil {
			o = request.opts
		}
		var sess *inbox.Session
		err := s.caught("signing in to the inbox", func() (err error) {
			sess, err = s.openInbox(ctx, o)
			return err
		})
		if ready != nil {
			ready()
			ready = nil
		}
		if err == nil {
			if sessions++; sessions > 1 {
				d.update(func(st *DaemonState) { st.Reconnects++ })
			}
			var good bool
			good, request, err = s.watch(ctx, work, sess, request)
			if good {
				attempt = 0
			}
		}
		if ctx.Err() != nil {
			request.fail(ErrStopping)
			return
		}
		s.failed(ctx, err)
		attempt++
		pause := s.resting(ctx, err, attempt)
		request.fail(err) // now that the state says what came of it
		s.rest(ctx, pause)
	}
}

// watch makes passes on one session until it ends; good tells whether one of
// them ended well. The first pass is the request's, if there is one. failed is
// the request whose pass did not: it is still to be answered.
func (s *Service) watch(ctx, work context.Context, sess *inbox.Session, request *passRequest) (good bool, failed *passRequest, err error) {
	defer sess.Close()
	d := s.daemon
	since := time.Now().UTC().Truncate(time.Second)
	d.update(func(st *DaemonState) { st.ConnectedSince, st.NextTryAt = &since, nil })
	defer d.update(func(st *DaemonState) { st.ConnectedSince = nil })
	for {
		if request == nil {
			request = d.take()
		}
		if err := s.daemonPass(work, sess, request); err != nil {
			return good, request, err
		}
		asked := request != nil
		good, request = true, nil
		begun := time.Now().Round(0) // the wall clock
		if err := s.caught("watching the inbox", func() error { return s.awaitWork(ctx, sess, asked) }); err != nil {
			if ctx.Err() == nil {
				err = s.inboxError(err)
			}
			return good, nil, err
		}
		if time.Now().Round(0).Sub(begun) > s.cfg.Inbox.Poll+clockLeap {
			return good, nil, errClockSet
		}
	}
}

// lingers is how long after a pass that was asked for the next request finds
// the connection free. Dovecot tells of a message half a second after it came:
// for that long it makes no difference when IDLE begins.
const lingers = 300 * time.Millisecond

// awaitWork returns nil when the next pass is to be made. asked: the last one
// was asked for, and another request may be right behind it.
func (s *Service) awaitWork(ctx context.Context, sess *inbox.Session, asked bool) error {
	if asked {
		if news, err := sess.Linger(ctx, lingers, s.daemon.wake); news || err != nil {
			return err
		}
	}
	return sess.Watch(ctx, s.cfg.Inbox.Poll, s.daemon.wake)
}

// manySeen is from how many messages on a pass is a long one.
const manySeen = 200

// daemonPass makes one pass on the daemon's session. Who asked for it is told
// when the state says what came of it; of a pass that failed, by the caller.
func (s *Service) daemonPass(ctx context.Context, sess *inbox.Session, request *passRequest) error {
	d := s.daemon
	d.update(func(st *DaemonState) { st.Phase = PhasePassing })
	var o PassOptions
	if request != nil {
		o = request.opts
	}
	o.session = sess
	signOfLife(d, &o)
	sum, err := s.Pass(ctx, o)
	if err != nil {
		request.keep(sum)
		return err
	}
	if o.DryRun {
		d.update(func(st *DaemonState) { st.Phase = PhaseWatching })
		request.answer(sum, nil)
		return nil
	}
	if sum.Seen >= manySeen {
		debug.FreeOSMemory() // what a long pass used is not needed again soon
	}
	now := time.Now().UTC().Truncate(time.Second)
	d.repeats.forget()
	var failing *time.Time
	d.update(func(st *DaemonState) {
		failing = st.FailingSince
		st.Phase = PhaseWatching
		st.Passes++
		st.LastPassAt, st.LastPass = &now, &sum
		st.LastError, st.LastErrorAt, st.FailingSince = "", nil, nil
	})
	if failing != nil {
		s.log.Info("the studio's inbox answers again", "event", "inbox.back", "since", *failing)
	}
	request.answer(sum, nil)
	s.refresh(ctx)
	s.heartbeat(ctx, now)
	s.OutboxChanged()
	return nil
}

// signOfLife notes each message that a pass comes to, for the watchdog.
func signOfLife(d *daemon, o *PassOptions) {
	beat := func() {
		d.mu.Lock()
		d.beat = time.Now()
		d.mu.Unlock()
	}
	progress, observe := o.Progress, o.Observe
	o.Progress = func(done, total int) {
		beat()
		if progress != nil {
			progress(done, total)
		}
	}
	o.Observe = func(obs Observation) {
		beat()
		if observe != nil {
			observe(obs)
		}
	}
}

// failed puts an error of the inbox into the state, and tells people when it
// lasts.
func (s *Service) failed(ctx context.Context, err error) {
	now := time.Now().UTC().Truncate(time.Second)
	var since time.Time
	s.daemon.update(func(st *DaemonState) {
		st.LastError, st.LastErrorAt = errText(err), &now
		if st.FailingSince == nil {
			st.FailingSince = &now
		}
		since = *st.FailingSince
	})
	var e *Error
	if said := errors.As(err, &e) && e.logged; err != nil && !said && s.daemon.repeats.first("pass "+err.Error(), now) {
		hint := HintOf(err)
		if hint == "" {
			hint = "it is tried again by itself; `ingest status` shows whether it lasts"
		}
		s.log.Warn("no pass", "event", "pass.failed", "err", err, "hint", hint)
	}
	if now.Sub(since) >= outageAlert {
		s.Alert(ctx, Event{Event: "inbox.outage", At: now, Mailbox: s.cfg.Inbox.Username,
			Msg:  "the studio's inbox could not be read since " + since.Format(time.RFC3339),
			Hint: "`ingest status` shows why; messages wait at the provider and are taken when it answers again"})
	}
}

func anyOf(err error, list ...error) bool {
	for _, e := range list {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// resting puts into the state when the inbox is tried again, and how it stands
// until then: with growing pauses where it did not answer; where it refused the
// password, or there is none, until that has changed, which is looked at every
// few seconds without asking the server.
func (s *Service) resting(ctx context.Context, err error, attempt int) (pause time.Duration) {
	pause, phase := inbox.Backoff(attempt), PhaseWaiting
	switch {
	case errors.Is(err, inbox.ErrRefused), errors.Is(err, ErrClosedSecret):
		pause, phase = secretLook, PhaseRefused
	case errors.Is(err, ErrNoSecret):
		pause, phase = secretLook, PhaseNoPassword
	case errors.Is(err, inbox.ErrDenied), errors.Is(err, ErrDeniedLately):
		pause = secretLook
	case errors.Is(err, ErrBusy):
		pause = time.Second
	case !serverFault(err) && !anyOf(err, inbox.ErrTLS, inbox.ErrNoFolder, inbox.ErrUIDValidity, inbox.ErrClosed, errClockSet):
		phase = PhaseStuck
	}
	next := time.Now().Add(pause).UTC()
	if errors.Is(err, inbox.ErrDenied) || errors.Is(err, ErrDeniedLately) {
		if a, ok, aerr := s.account(ctx, AccountInbox); aerr == nil && ok {
			next = a.TroubleAt.Add(denyPause)
		}
	}
	s.daemon.update(func(st *DaemonState) {
		st.Phase, st.NextTryAt = phase, &next
		if phase == PhaseRefused || phase == PhaseNoPassword {
			st.NextTryAt = nil
		}
	})
	return pause
}

// rest waits before the inbox is tried again; a request ends the wait.
func (s *Service) rest(ctx context.Context, pause time.Duration) {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-s.daemon.wake:
	}
}
