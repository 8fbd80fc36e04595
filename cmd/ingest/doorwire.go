package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/user"
	"reflect"
	"strconv"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/web"
	"pec-ingest/internal/web/gate"
)

type linkIn struct {
	Name   string `json:"name"` // "" = the caller's account
	Lang   string `json:"lang"`
	View   bool   `json:"view"`   // the person looks only
	Reveal bool   `json:"reveal"` // and may see candidates under review in clear
}

type linkOut struct {
	URL    string    `json:"url"`
	Name   string    `json:"name"`
	Decide bool      `json:"decide"`
	Reveal bool      `json:"reveal"`
	Until  time.Time `json:"until"`
}

type sessionOut struct {
	N      int       `json:"n"`
	Name   string    `json:"name"`
	Rights string    `json:"rights"`
	Issuer string    `json:"issuer"`
	Since  time.Time `json:"since"`
	Used   time.Time `json:"used"`
}

type endedOut struct {
	Ended int `json:"ended"`
}

type feedIn struct {
	Kind  string `json:"kind"` // calendar metrics
	Name  string `json:"name"`
	Token string `json:"token"`
}

// pageEndpoints are those of the page's door; with readers, a link leads to
// what readers may see.
func pageEndpoints(now current, d *door) []endpoint {
	link := func(_ context.Context, c web.Caller, body json.RawMessage) (any, error) {
		var in linkIn
		if err := decodeIn(body, &in); err != nil {
			return nil, err
		}
		return d.newLink(c, in)
	}
	return []endpoint{
		{Endpoint: web.Endpoint{Name: "page.link", Right: web.RightReader, Call: link},
			doc: "A link that lets one person in to the page, once, within five minutes; a reader's shows what readers may see.",
			in:  reflect.TypeFor[linkIn](), out: reflect.TypeFor[linkOut]()},
		op(now, "page.sessions", web.RightAdmin, "Who is inside the page.",
			func(context.Context, *ingest.Service, string, nothing) ([]sessionOut, error) {
				list := []sessionOut{}
				for _, s := range d.gate.Sessions(time.Now()) {
					list = append(list, sessionOut(s))
				}
				return list, nil
			}),
		op(now, "page.revoke", web.RightAdmin, "Ends a session, or with 0 all of them and all links.",
			func(ctx context.Context, s *ingest.Service, who string, in numberIn) (endedOut, error) {
				ended := d.gate.Revoke(in.N)
				if ended == 0 {
					return endedOut{}, nil
				}
				detail := fmt.Sprintf("session %d", in.N)
				if in.N == 0 {
					detail = fmt.Sprintf("every session and link, %d in all", ended)
				}
				return endedOut{ended}, s.AuditPage(ctx, who, "page.revoked", detail)
			}),
		op(now, "feed.add", web.RightAdmin, "Keeps the hash of a token that opens the calendar or the metrics to a program.",
			func(ctx context.Context, s *ingest.Service, who string, in feedIn) (nothing, error) {
				return nothing{}, s.AddFeedKey(ctx, who, in.Kind, in.Name, in.Token, time.Now())
			}),
		op(now, "feed.list", web.RightAdmin, "The keys of a kind of feed.",
			func(ctx context.Context, s *ingest.Service, _ string, in feedIn) ([]ingest.FeedKeyRow, error) {
				return s.FeedKeys(ctx, in.Kind)
			}),
		op(now, "feed.revoke", web.RightAdmin, "Makes a key useless.",
			func(ctx context.Context, s *ingest.Service, who string, in feedIn) (nothing, error) {
				return nothing{}, s.RevokeFeedKey(ctx, who, in.Kind, in.Name)
			}),
	}
}

// newLink makes a link for whoever the kernel says that calls. No link gives
// more than its maker has.
func (d *door) newLink(c web.Caller, in linkIn) (linkOut, error) {
	if d.base == "" {
		return linkOut{}, noPage(d.outside)
	}
	if in.Reveal && (in.View || c.Right < web.RightAdmin) {
		return linkOut{}, &ingest.Error{Class: ingest.NotPermitted, Msg: "this link can't show passwords under review",
			Hint: "--reveal is for those who decide: an administrator's link without --view"}
	}
	if in.Name == "" {
		in.Name = accountOf(c.UID)
	}
	if err := gate.CheckName(in.Name); err != nil {
		return linkOut{}, &ingest.Error{Class: ingest.Usage, Msg: "--name", Err: err, Hint: "the person's name, as it shall stand in the audit log"}
	}
	g := gate.Grant{Name: in.Name, Lang: in.Lang, CanDecide: c.Right >= web.RightAdmin && !in.View, CanReveal: in.Reveal,
		Issuer: c.Actor(), IssuerUID: c.UID}
	at := time.Now()
	token := d.gate.Link(g, at)
	return linkOut{d.link(token, in.Lang), g.Name, g.CanDecide, g.CanReveal, at.Add(gate.TicketLife).UTC().Truncate(time.Second)}, nil
}

// accountOf names an account as people know it.
func accountOf(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil && gate.CheckName(u.Username) == nil {
		return u.Username
	}
	return "uid " + id
}

func (r *remote) PageLink(ctx context.Context, in linkIn) (linkOut, error) {
	return ask[linkOut](ctx, r, "page.link", in)
}

func (r *remote) PageSessions(ctx context.Context) ([]sessionOut, error) {
	return ask[[]sessionOut](ctx, r, "page.sessions", nothing{})
}

func (r *remote) PageRevoke(ctx context.Context, n int) (ended int, err error) {
	out, err := ask[endedOut](ctx, r, "page.revoke", numberIn{n})
	return out.Ended, err
}

func (r *remote) AddFeedKey(ctx context.Context, _, kind, name, token string, _ time.Time) error {
	_, err := ask[nothing](ctx, r, "feed.add", feedIn{kind, name, token})
	return err
}

func (r *remote) FeedKeys(ctx context.Context, kind string) ([]ingest.FeedKeyRow, error) {
	return ask[[]ingest.FeedKeyRow](ctx, r, "feed.list", feedIn{Kind: kind})
}

func (r *remote) RevokeFeedKey(ctx context.Context, _, kind, name string) error {
	_, err := ask[nothing](ctx, r, "feed.revoke", feedIn{Kind: kind, Name: name})
	return err
}
