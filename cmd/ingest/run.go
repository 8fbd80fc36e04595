package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"pec-ingest/internal/config"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/safetext"
	"pec-ingest/internal/vault"
	"pec-ingest/internal/web"
)

type runCmd struct{}

// daemon is the running service: what answers on the socket, and the loop.
type daemon struct {
	env     *environment
	manager *manager
	service atomic.Pointer[ingest.Service] // another one after a reload
	cfg     *config.Config
	socket  *web.Server
	door    *door
}

// Run is the daemon until SIGTERM or SIGINT ends ctx; SIGHUP reads the
// configuration anew. Why it could not start, or ended, is an entry of the
// journal like any other there, and stays in STATUS=: standard error would be
// lines of their own, without a level.
func (runCmd) Run(ctx context.Context, env *environment) error {
	m := newManager()
	err := serve(ctx, env, m)
	if err == nil {
		return nil
	}
	m.setStatus(safetext.LineN(err.Error(), 300))
	if env.LogFormat != "journal" {
		return err
	}
	hint := ingest.HintOf(err)
	if hint == "" {
		hint = "`ingest check` looks at everything that it needs"
	}
	env.log.Error("the service can't go on", "event", "service.failed", "err", err, "hint", hint)
	return &exitError{exitCode(err)}
}

func serve(ctx context.Context, env *environment, m *manager) (err error) {
	// Before anything slow: until it is caught, SIGHUP ends the process.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)

	env.log = serviceLog(env.log)
	d := &daemon{env: env, manager: m}
	if d.cfg, err = env.loadConfig(); err != nil {
		return err
	}
	first, err := openHere(d.cfg, ingest.Serving, env)
	if err != nil {
		return secondDaemon(d.cfg, err)
	}
	d.service.Store(first)
	proxy, err := proxyOf(d.cfg)
	if err != nil {
		return errors.Join(err, first.Close())
	}
	d.door = newDoor(d.service.Load, d.ready, pageOf(d.service.Load, d.cfg.Studio.Name, env.log), env.log)
	d.door.gate.SetProxy(proxy)
	if err := d.listen(); err != nil {
		return errors.Join(err, first.Close())
	}
	env.log.Info("the service has started", "event", "service.started", "version", versionOf(), "socket", d.cfg.Web.Socket, "pid", os.Getpid())
	d.door.open(d.cfg)
	wctx, stopWatchdog := context.WithCancel(context.Background())
	go d.manager.watchdog(wctx, func(ctx context.Context) bool { return d.service.Load().Alive(ctx) })
	ended := d.loop(ctx, hangup)
	stopWatchdog()
	d.door.close()
	closeCtx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	err = errors.Join(ended, d.socket.Close(closeCtx))
	if errors.Is(ended, ingest.ErrHung) {
		return err // the vault's transactions are whole or not there at all
	}
	err = errors.Join(err, d.service.Load().Close())
	env.log.Info("the service has stopped", "event", "service.stopped")
	return err
}

// secondDaemon says so when the vault is locked because a daemon runs.
func secondDaemon(cfg *config.Config, err error) error {
	if !errors.Is(err, vault.ErrLocked) {
		return err
	}
	if r, _ := dialDaemon(cfg); r != nil {
		r.close()
		return &ingest.Error{Class: ingest.NoVault, Msg: "a service runs on this vault already, and answers on " + cfg.Web.Socket, Err: err,
			Hint: "`ingest status` asks it; `systemctl restart pec-ingest` starts it anew"}
	}
	return err
}

func (d *daemon) listen() error {
	access, err := access(d.cfg)
	if err != nil {
		return err
	}
	table := endpoints(d.service.Load, d.door)
	list := make([]web.Endpoint, 0, len(table))
	for _, e := range table {
		list = append(list, e.Endpoint)
	}
	d.socket, err = web.Listen(web.Options{Path: d.cfg.Web.Socket, Access: access, Endpoints: list, Problem: problemOf,
		Refused: d.refused, Log: d.env.log})
	if err != nil {
		hint := "web.socket must be in a folder that the service may write to"
		switch {
		case errors.Is(err, web.ErrInUse):
			hint = "another service answers there: give each its own web.socket"
		case errors.Is(err, web.ErrPathTooLong):
			hint = shorterSocket
		}
		return &ingest.Error{Msg: "web.socket", Err: err, Hint: hint}
	}
	return nil
}

func access(cfg *config.Config) (web.Access, error) {
	const hint = "groups of this machine (`getent group`); make one with `groupadd`"
	a, err := web.NewAccess(cfg.Web.Readers, cfg.Web.Admins)
	if err != nil {
		return a, &ingest.Error{Class: ingest.BadConfig, Msg: cfg.Path + ": web.readers and web.admins", Err: err, Hint: hint}
	}
	if a, err = a.Also(rightOTP, cfg.OTP.Readers); err != nil {
		return a, &ingest.Error{Class: ingest.BadConfig, Msg: cfg.Path + ": otp.readers", Err: err, Hint: hint}
	}
	return a, nil
}

// refused writes into the audit log that somebody asked without the right.
func (d *daemon) refused(c web.Caller, endpoint string, count int) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	d.env.log.Warn("a caller was refused", "event", "socket.refused", "actor", c.Actor(), "endpoint", endpoint, "count", count,
		"hint", "web.readers and web.admins name the groups that may call")
	if err := d.service.Load().AuditRefused(ctx, c.Actor(), endpoint, count); err != nil {
		d.env.log.Error("the refusal can't be recorded", "event", "socket.error", "err", err)
	}
}

// loop runs the service until ctx ends, changing over to a new configuration
// at each hangup. What it returns is the error of Run.
func (d *daemon) loop(ctx context.Context, hangup <-chan os.Signal) error {
	ready := func() { d.manager.tell("READY=1") }
	for {
		run, stop := context.WithCancel(ctx)
		s, done := d.service.Load(), make(chan error, 1)
		go func() {
			done <- s.Run(run, ingest.Hooks{Ready: ready, Changed: func(st ingest.DaemonState) { d.manager.setStatus(st.Line()) }})
		}()
		var next *ingest.Service
		for next == nil && ctx.Err() == nil {
			select {
			case <-ctx.Done():
				d.manager.tell("STOPPING=1")
				d.env.log.Info("stopping", "event", "service.stopping")
			case err := <-done: // by itself
				stop()
				return err
			case <-hangup:
				d.manager.reloading()
				next = d.reload()
				if next == nil {
					d.manager.tell("READY=1")
				}
			}
		}
		stop()
		if err := <-done; err != nil || next == nil || ctx.Err() != nil {
			return err
		}
		d.service.Store(next)
		d.manager.tell("READY=1")
		ready = nil
		d.env.log.Info("the new configuration is in use", "event", "config.reloaded")
	}
}

// reload makes a service of the configuration as it is now; nil where that is
// bad: then the old one stays.
func (d *daemon) reload() *ingest.Service {
	keep := func(err error) *ingest.Service {
		hint := ingest.HintOf(err)
		if hint == "" {
			hint = "mend it, then `systemctl reload pec-ingest`"
		}
		d.env.log.Error("the new configuration is not used; the service goes on with the old one", "event", "config.refused", "err", err, "hint", hint)
		return nil
	}
	cfg, err := d.env.loadConfig()
	if err != nil {
		return keep(err)
	}
	a, err := access(cfg)
	if err != nil {
		return keep(err)
	}
	proxy, err := proxyOf(cfg)
	if err != nil {
		return keep(err)
	}
	next, err := d.service.Load().Renew(cfg)
	if err != nil {
		return keep(err)
	}
	if cfg.Web.Socket != d.cfg.Web.Socket || cfg.Web.Listen != d.cfg.Web.Listen || cfg.Web.PageSocket != d.cfg.Web.PageSocket {
		d.env.log.Warn("web.socket, web.listen and web.page_socket change with the next restart only", "event", "config.restart_needed")
	}
	if err := d.socket.SetAccess(a); err != nil {
		return keep(err)
	}
	d.door.gate.SetProxy(proxy)
	d.cfg = cfg
	return next
}

// ready tells whether the inbox is read: signed in, and the last pass went well.
func (d *daemon) ready(ctx context.Context) bool {
	st, err := d.service.Load().Daemon(ctx)
	if err != nil || st == nil {
		return false
	}
	if st.Phase == ingest.PhaseStandby { // it answers, and somebody else reads
		return st.Leader != ""
	}
	return st.FailingSince == nil && (st.Phase == ingest.PhaseWatching || st.Phase == ingest.PhasePassing)
}
