package ingest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"pec-ingest/internal/notify"
	"pec-ingest/internal/probe"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
	"pec-ingest/internal/vault/etcdstore"
)

// Several services on one vault. One leads: it alone reads the inbox, logs in
// to mailboxes and sends. The others stand by, answer from the same vault, and
// pass on to the leader what needs a login (asked.go). What only changes
// records, any of them commits: transactions are serialisable.
//
// Who led and was replaced may not know it yet. Everything it commits under
// its term fails (etcdstore.Term), and before a login or a message it asks.

// cluster is a Service's part in it; the zero value is a service alone.
type cluster struct {
	store *etcdstore.Store

	mu    sync.Mutex
	term  *etcdstore.Term // while this process leads
	own   bool            // the term was begun for a command, no daemon runs here
	since time.Time       // when the term of a daemon began; zero: there is none
}

// memberName is how this process is called among the others.
func memberName(configured string) string {
	if configured != "" {
		return configured
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "service"
	}
	return host + ":" + strconv.Itoa(os.Getpid())
}

// guardSideEffects puts the question whether this process still leads in
// front of what can't be taken back.
func (s *Service) guardSideEffects() {
	login, send := s.Login, s.Send
	s.Login = func(ctx context.Context, t probe.Target, user string, password secret.Secret) probe.Result {
		if err := s.cluster.store.Confirm(ctx); err != nil {
			return probe.Result{Outcome: probe.Network, Detail: "not tried: " + err.Error()}
		}
		return login(ctx, t, user, password)
	}
	s.Send = func(ctx context.Context, c notify.SMTPConfig, m notify.Mail, beforeDot func() error) (notify.Receipt, error) {
		if err := s.cluster.store.Confirm(ctx); err != nil {
			return notify.Receipt{}, err
		}
		return send(ctx, c, m, beforeDot)
	}
}

// lookAround is how often a member looks who leads.
const lookAround = 5 * time.Second

// standBy waits until this process leads, does the duties while it does, and
// begins again, until ctx ends.
func (s *Service) standBy(ctx, work context.Context, h Hooks) {
	d := s.daemon
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.watchCluster(ctx) })
	s.cluster.store.OnForeign(d.foreign.tell)
	for attempt := 1; ctx.Err() == nil; attempt++ {
		d.update(func(st *DaemonState) { st.Phase = PhaseStandby })
		if h.Ready != nil { // it answers, and that is what a member is for
			h.Ready()
			h.Ready = nil
		}
		term, err := s.cluster.store.Campaign(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			if d.repeats.first("cluster "+err.Error(), time.Now()) {
				s.log.Warn("the cluster can't be reached", "event", "cluster.error", "err", err, "hint", "what it holds is safe; this service goes on when a majority answers. "+etcdHint(err))
			}
			d.update(func(st *DaemonState) { st.LastError = errText(err) })
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
			continue
		}
		s.lead(ctx, work, term, h)
	}
}

// lead does the duties for one term.
func (s *Service) lead(ctx, work context.Context, term *etcdstore.Term, h Hooks) {
	d := s.daemon
	now := time.Now().UTC().Truncate(time.Second)
	s.log.Info("this service leads now", "event", "cluster.leading", "member", s.cluster.store.Member())
	d.update(func(st *DaemonState) {
		st.Leading, st.LeadingSince, st.Leader, st.LastError = true, &now, s.cluster.store.Member(), ""
	})
	s.cluster.set(term, false)
	inTerm, stop := term.Bind(ctx)
	grace, stopGrace := term.Bind(work)
	var wg sync.WaitGroup
	wg.Go(func() { term.Serve(ctx, s.handleAsked) })
	s.duties(inTerm, grace, h)
	stop()
	stopGrace()
	lost := ctx.Err() == nil
	s.cluster.set(nil, false)
	term.Resign()
	wg.Wait()
	d.update(func(st *DaemonState) { st.Leading, st.LeadingSince, st.Leader = false, nil, "" })
	if lost {
		s.log.Warn("this service leads no more", "event", "cluster.lost", "member", s.cluster.store.Member(),
			"hint", "another one goes on where this one stopped; if it happens often, look at the network and the load")
	}
}

// watchCluster keeps the state of the members up to date, and what belongs to
// this machine alone.
func (s *Service) watchCluster(ctx context.Context) {
	t := time.NewTicker(lookAround)
	defer t.Stop()
	away := outage{member: s.cluster.store.Member()}
	for {
		if s.cluster.store.PutBack(ctx) {
			s.afterPutBack(ctx)
		}
		names, err := s.cluster.store.Members(ctx)
		if ctx.Err() == nil {
			s.clusterAnswers(ctx, &away, time.Now(), err)
		}
		if s.vaultChanged(ctx) {
			return
		}
		if err == nil {
			s.daemon.update(func(st *DaemonState) {
				st.Members, st.Leader = names, ""
				if len(names) > 0 {
					st.Leader = names[0]
				}
			})
			if !s.leads() {
				s.refresh(ctx)
				s.touch(ctx) // programs on this machine wait for new passwords, too
			}
		} else if ctx.Err() == nil {
			s.daemon.update(func(st *DaemonState) { st.Leader, st.Members = "", nil })
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// vaultChanged ends the daemon when a later version of this program has changed
// the vault's format: it can do nothing any more, and must not lead.
func (s *Service) vaultChanged(ctx context.Context) bool {
	err := s.vault.View(vault.Glance(ctx), func(*vault.Tx) error { return nil })
	if !errors.Is(err, vault.ErrNewerFormat) {
		return false
	}
	s.daemon.end(&Error{Class: NoVault, Msg: fmt.Sprintf("vault %q", s.cfg.Vault.URL), Err: err})
	return true
}

func (c *cluster) set(t *etcdstore.Term, own bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.term, c.own, c.since = t, own, time.Time{}
	if t != nil && !own {
		c.since = time.Now()
	}
}

func (c *cluster) current() *etcdstore.Term {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.term
}

// leads tells whether this process may do what only one may.
func (s *Service) leads() bool { return s.cluster.store == nil || s.cluster.current() != nil }

// duty gives the context under which a command may log in and send; here is
// false when that is another process's part, which is to be asked. Where no
// daemon leads, a command leads while it runs.
func (s *Service) duty(ctx context.Context) (_ context.Context, end func(), here bool, err error) {
	if s.cluster.store == nil || s.cluster.store.Bound(ctx) {
		return ctx, func() {}, true, nil
	}
	term := s.cluster.current()
	if term == nil && !s.cluster.store.Follows() { // a command, which ends soon
		if term, err = s.leadAlone(ctx); err != nil {
			return ctx, nil, false, err
		}
	}
	if term == nil {
		return ctx, nil, false, nil
	}
	bound, cancel := term.Bind(ctx)
	return bound, cancel, true, nil
}

// leadAlone makes this process the leader if there is none; nil when there is.
func (s *Service) leadAlone(ctx context.Context) (*etcdstore.Term, error) {
	names, err := s.cluster.store.Members(ctx)
	if err != nil || len(names) > 0 {
		return nil, err
	}
	term, err := s.cluster.store.Campaign(ctx)
	if err == nil {
		s.cluster.set(term, true)
	}
	return term, err
}

// resign ends a term that was begun for a command.
func (s *Service) resign() {
	s.cluster.mu.Lock()
	term, own := s.cluster.term, s.cluster.own
	s.cluster.mu.Unlock()
	if term != nil && own {
		s.cluster.set(nil, false)
		term.Resign()
	}
}

// foreign tells the daemon that others changed something, not more often than
// every second.
type foreign struct {
	mu    sync.Mutex
	timer *time.Timer
	after func()
}

func (f *foreign) tell() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.timer == nil {
		f.timer = time.AfterFunc(time.Second, func() {
			f.mu.Lock()
			f.timer = nil
			f.mu.Unlock()
			f.after()
		})
	}
}
