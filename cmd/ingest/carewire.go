package main

import (
	"context"
	"io"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/web"
)

// careBackend is the part of backend that looks after the vault.
type careBackend interface {
	Places(ctx context.Context, mailbox string) ([]ingest.PlaceRow, error)
	PlaceDone(ctx context.Context, actor, mailbox, login, place string, now time.Time) ([]ingest.PlaceRow, error)
	Backup(ctx context.Context, actor string, w io.Writer) (begun time.Time, err error)
	BackupDone(ctx context.Context, actor string, begun time.Time) error
	Rekey(ctx context.Context, actor string) (int, error)
	AuditCompare(ctx context.Context, seq int, hash string) error
}

type placeIn struct {
	Mailbox string `json:"mailbox"`
	Login   string `json:"login"` // "" = all
	Place   string `json:"place"`
}

// begunIn is when a backup was begun: after one is made, and when it was found good.
type begunIn struct {
	Begun time.Time `json:"begun"`
}

type countOut struct {
	N int `json:"n"`
}

func careEndpoints(now current) []endpoint {
	return []endpoint{
		op(now, "used.list", web.RightAdmin, "Where passwords are also kept by hand, and what is to be updated there.",
			func(ctx context.Context, s *ingest.Service, _ string, in mailboxIn) ([]ingest.PlaceRow, error) {
				return s.Places(ctx, in.Mailbox)
			}),
		op(now, "used.done", web.RightAdmin, "Notes that the current password was entered at a place.",
			func(ctx context.Context, s *ingest.Service, who string, in placeIn) ([]ingest.PlaceRow, error) {
				return s.PlaceDone(ctx, who, in.Mailbox, in.Login, in.Place, time.Now())
			}),
		opStream(now, "backup", web.RightAdmin, "The vault as it is now, as a file.",
			func(ctx context.Context, s *ingest.Service, who string, _ nothing, w io.Writer) (out begunIn, err error) {
				out.Begun, err = s.Backup(ctx, who, w)
				return out, err
			}),
		op(now, "backup.done", web.RightAdmin, "Notes that a backup was checked and is good.",
			func(ctx context.Context, s *ingest.Service, who string, in begunIn) (nothing, error) {
				return nothing{}, s.BackupDone(ctx, who, in.Begun)
			}),
		op(now, "rekey", web.RightAdmin, "Seals everything anew to the recipients.",
			func(ctx context.Context, s *ingest.Service, who string, _ nothing) (out countOut, err error) {
				out.N, err = s.Rekey(ctx, who)
				return out, err
			}),
		op(now, "audit.compare", web.RightAdmin, "Checks the chain of the audit log against a head known from elsewhere.",
			func(ctx context.Context, s *ingest.Service, _ string, in auditHeadOut) (nothing, error) {
				return nothing{}, s.AuditCompare(ctx, in.Seq, in.Head)
			}),
	}
}

func (r *remote) Places(ctx context.Context, mailbox string) ([]ingest.PlaceRow, error) {
	return ask[[]ingest.PlaceRow](ctx, r, "used.list", mailboxIn{mailbox})
}

func (r *remote) PlaceDone(ctx context.Context, _, mailbox, login, place string, _ time.Time) ([]ingest.PlaceRow, error) {
	return ask[[]ingest.PlaceRow](ctx, r, "used.done", placeIn{mailbox, login, place})
}

func (r *remote) Backup(ctx context.Context, _ string, w io.Writer) (time.Time, error) {
	var out begunIn
	to := &failing{w: w}
	err := r.watching.watched(ctx, func(ctx context.Context) error { return r.client.Stream(ctx, "backup", nothing{}, to, &out) })
	if to.err != nil {
		return time.Time{}, to.err // of the file, not of the service
	}
	return out.Begun, r.explain(ctx, err)
}

// failing remembers the error of a writer.
type failing struct {
	w   io.Writer
	err error
}

func (f *failing) Write(p []byte) (n int, err error) {
	n, err = f.w.Write(p)
	if err != nil {
		f.err = err
	}
	return n, err
}

func (r *remote) BackupDone(ctx context.Context, _ string, begun time.Time) error {
	_, err := ask[nothing](ctx, r, "backup.done", begunIn{begun})
	return err
}

func (r *remote) Rekey(ctx context.Context, _ string) (int, error) {
	out, err := ask[countOut](ctx, r, "rekey", nothing{})
	return out.N, err
}

func (r *remote) AuditCompare(ctx context.Context, seq int, hash string) error {
	_, err := ask[nothing](ctx, r, "audit.compare", auditHeadOut{seq, hash})
	return err
}
