package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os/user"
	"strconv"
	"time"

	"pec-ingest/internal/config"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/web/gate"
)

// door is where the page, the feeds and monitoring are reached: the gate and
// the servers before it.
type door struct {
	gate    *gate.Gate
	log     *slog.Logger
	base    string // what links begin with; "" = there is no place for links
	outside string // web.page_url
	servers []*gate.Server
}

// newDoor makes a door that is still shut. ready tells whether the inbox is
// read; what answers behind the gate is handler.
func newDoor(now current, ready func(context.Context) bool, handler http.Handler, log *slog.Logger) *door {
	return &door{log: log, gate: gate.New(gate.Options{
		Page:     handler,
		Alive:    func(ctx context.Context) bool { return now().Alive(ctx) },
		Ready:    ready,
		Calendar: func(ctx context.Context, w io.Writer) error { return now().Calendar(ctx, w, time.Now()) },
		Metrics: func(ctx context.Context, w io.Writer) error {
			text, err := metricsText(ctx, now())
			if err == nil {
				_, err = w.Write(text)
			}
			return err
		},
		Key: func(ctx context.Context, kind, token string) (string, error) { return now().FeedKey(ctx, kind, token) },
		Audit: func(actor, event, detail string) {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if err := now().AuditPage(ctx, actor, event, detail); err != nil {
				log.Error("what happened at the page can't be recorded", "event", "page.error", "err", err)
			}
		},
		Log: log,
	})}
}

// open begins to answer on web.listen and web.page_socket. An address that is
// taken is no reason not to run.
func (d *door) open(cfg *config.Config) {
	d.outside = cfg.Web.PageURL
	if cfg.Web.Listen != "" {
		s, err := d.gate.Listen(cfg.Web.Listen)
		if err != nil {
			d.log.Warn("nothing can listen on web.listen", "event", "web.unavailable", "err", err,
				"hint", "another program has that port: change web.listen, or \"\" for none, and restart the service")
		} else {
			d.servers = append(d.servers, s)
			if gate.OnLoopback(s.Addr()) {
				d.base = "http://" + s.Addr().String()
			} else {
				d.log.Warn("web.listen can be reached from other machines: monitoring is answered there, the page is not", "event", "web.no_page",
					"hint", "the page needs a loopback address, or a reverse proxy on web.page_socket: docs/page.md")
			}
		}
	}
	if cfg.Web.PageSocket == "" {
		return
	}
	if s, err := d.gate.ListenProxy(cfg.Web.PageSocket); err != nil {
		d.log.Warn("nothing can listen on web.page_socket", "event", "web.unavailable", "err", err,
			"hint", "it must be in a folder that the service may write to, such as /run/pec-ingest")
	} else {
		d.servers = append(d.servers, s)
	}
}

// close ends all connections, then what was begun for people.
func (d *door) close() {
	for _, s := range d.servers {
		if err := s.Close(); err != nil {
			d.log.Debug("closing a server", "event", "page.error", "err", err)
		}
	}
	d.gate.Close()
}

// link is where a person with a one-time token goes.
func (d *door) link(token, lang string) string {
	q := url.Values{"t": {token}}
	if lang == "en" {
		q.Set("lang", lang)
	}
	return d.base + gate.PathIn + "?" + q.Encode()
}

// proxyOf reads whom the proxy may bring.
func proxyOf(cfg *config.Config) (p gate.Proxy, err error) {
	w := cfg.Web
	if w.PageSocket == "" {
		return p, nil
	}
	u, err := url.Parse(w.PageURL)
	if err != nil {
		return p, &ingest.Error{Class: ingest.BadConfig, Msg: cfg.Path + ": web.page_url", Err: err}
	}
	id := w.ProxyUID
	account, err := user.Lookup(id)
	if err == nil {
		id = account.Uid
	}
	uid, convErr := strconv.ParseUint(id, 10, 32)
	if convErr != nil {
		return p, &ingest.Error{Class: ingest.BadConfig, Msg: cfg.Path + ": web.proxy_uid", Err: fmt.Errorf("there is no account %q on this machine", w.ProxyUID),
			Hint: "the account that the reverse proxy's workers run as (`ps -o user= -C nginx`), or its number"}
	}
	return gate.Proxy{UID: uint32(uid), Host: u.Hostname(), Header: w.ProxyHeader, Deciders: w.Deciders, Revealers: w.Revealers}, nil
}

// errNoPage: there is no place where a link could lead.
var errNoPage = errors.New("the page listens nowhere")

func noPage(outside string) error {
	e := &ingest.Error{Msg: "no link can be made", Err: errNoPage, Hint: "set web.listen to a loopback address, such as \"127.0.0.1:8470\", and restart the service"}
	if outside != "" {
		e.Hint = "the page is at " + outside + ", where the proxy signs people in; for links set web.listen too"
	}
	return e
}

// feedBase is the address that programs reach the feeds by.
func feedBase(cfg *config.Config) (string, error) {
	if cfg.Web.PageURL != "" {
		return cfg.Web.PageURL, nil
	}
	host, _, err := net.SplitHostPort(cfg.Web.Listen)
	if err != nil || host != "localhost" && !net.ParseIP(host).IsLoopback() {
		return "", noPage("")
	}
	return "http://" + cfg.Web.Listen, nil
}
