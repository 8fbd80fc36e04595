package main

import (
	"context"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/web"
)

// listenHealth answers /healthz and /readyz on web.listen, and returns what
// ends that. A port that is taken is no reason not to run.
func (d *daemon) listenHealth() (end func()) {
	if d.cfg.Web.Listen == "" {
		return func() {}
	}
	s, err := web.ListenHealth(d.cfg.Web.Listen, web.Health{
		Alive: func(ctx context.Context) bool { return d.service.Load().Alive(ctx) },
		Ready: d.ready,
		Log:   d.env.log,
	})
	if err != nil {
		d.env.log.Warn("nothing can listen on web.listen", "event", "web.unavailable", "err", err,
			"hint", "another program has that port: change web.listen, or \"\" for none, and restart the service")
		return func() {}
	}
	return func() { _ = s.Close() }
}

// ready tells whether the inbox is read: signed in, and the last pass went well.
func (d *daemon) ready(ctx context.Context) bool {
	st, err := d.service.Load().Daemon(ctx)
	if err != nil || st == nil {
		return false
	}
	return st.FailingSince == nil && (st.Phase == ingest.PhaseWatching || st.Phase == ingest.PhasePassing)
}
