package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"reflect"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/web"
)

// endpoint is one line of the socket's API, with what docs/api.md says of it.
type endpoint struct {
	web.Endpoint
	doc     string
	in, out reflect.Type
	stream  bool // out comes after the bytes
}

// current gives the service that answers now; a reload puts another there.
type current func() *ingest.Service

// op makes an endpoint of a function on typed values. who is the caller as
// the audit log names him.
func op[In, Out any](now current, name string, right web.Right, doc string,
	fn func(ctx context.Context, s *ingest.Service, who string, in In) (Out, error)) endpoint {
	call := func(ctx context.Context, c web.Caller, body json.RawMessage) (any, error) {
		var in In
		if err := decodeIn(body, &in); err != nil {
			return nil, err
		}
		s := now()
		out, err := fn(ctx, s, c.Actor(), in)
		if right == web.RightAdmin {
			s.OutboxChanged()
		}
		return out, err
	}
	return endpoint{Endpoint: web.Endpoint{Name: name, Right: right, Call: call}, doc: doc,
		in: reflect.TypeFor[In](), out: reflect.TypeFor[Out]()}
}

// opStream is op for an answer of any length, which fn writes.
func opStream[In, Out any](now current, name string, right web.Right, doc string,
	fn func(ctx context.Context, s *ingest.Service, who string, in In, w io.Writer) (Out, error)) endpoint {
	e := op(now, name, right, doc, func(ctx context.Context, s *ingest.Service, who string, in In) (web.Stream, error) {
		return func(w io.Writer) (any, error) { return fn(ctx, s, who, in, w) }, nil
	})
	e.out, e.stream = reflect.TypeFor[Out](), true
	return e
}

// decodeIn reads a request.
func decodeIn(body json.RawMessage, in any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if dec.Decode(in) != nil {
		// The decoder's text may quote the request.
		return &ingest.Error{Class: ingest.Usage, Msg: "the running service does not understand this request",
			Hint: "command and service are of different versions: restart the service"}
	}
	return nil
}

// endpoints is the table that docs/api.md is made of.
func endpoints(now current, d *door) []endpoint {
	list := []endpoint{
		op(now, "daemon", web.RightReader, "How the daemon stands.",
			func(ctx context.Context, s *ingest.Service, _ string, _ nothing) (*ingest.DaemonState, error) {
				return s.Daemon(ctx)
			}),
		op(now, "waiting", web.RightReader, "How much of a mailbox is not done: in review, to be sent, in doubt, open.",
			func(ctx context.Context, s *ingest.Service, _ string, in mailboxIn) (ingest.Waiting, error) {
				return s.Waiting(ctx, in.Mailbox)
			}),
		op(now, "status", web.RightReader, "Each credential: state, days left, last check, next warning.",
			func(ctx context.Context, s *ingest.Service, _ string, in mailboxIn) ([]ingest.StatusRow, error) {
				return s.Status(ctx, in.Mailbox, time.Now())
			}),
		op(now, "get", web.RightReader, "The current password of a mailbox; audited.",
			func(ctx context.Context, s *ingest.Service, who string, in loginIn) (getOut, error) {
				p, err := s.Get(ctx, who, in.Mailbox, in.Login, time.Now())
				if err != nil {
					return getOut{}, err
				}
				defer p.Secret.Wipe()
				return getOut{p.Mailbox, p.Login, p.Version, p.State, p.ExpiresAt, bytes.Clone(p.Secret.Reveal())}, nil
			}),
		op(now, "history", web.RightReader, "The versions of a mailbox, without secrets.",
			func(ctx context.Context, s *ingest.Service, _ string, in mailboxIn) ([]ingest.HistoryRow, error) {
				return s.History(ctx, in.Mailbox)
			}),
		op(now, "profile", web.RightReader, "How a mailbox is opened by other programs, without the password.",
			func(ctx context.Context, s *ingest.Service, _ string, in profileIn) (ingest.Profile, error) {
				return s.Profile(ctx, in.Mailbox, in.Login, in.Program)
			}),
		op(now, "set", web.RightAdmin, "Stores a password, after trying it.",
			func(ctx context.Context, s *ingest.Service, who string, in setIn) (ingest.SetResult, error) {
				password := take(in.Secret)
				defer password.Wipe()
				return s.Set(ctx, ingest.SetRequest{Actor: who, Mailbox: in.Mailbox, Login: in.Login, Expires: in.Expires,
					Source: in.Source, Secret: password}, time.Now())
			}),
		op(now, "set-inbox", web.RightAdmin, "Stores the password of the studio's own inbox, after trying it.",
			func(ctx context.Context, s *ingest.Service, who string, in setInboxIn) (ingest.SetInboxResult, error) {
				password := take(in.Secret)
				defer password.Wipe()
				return s.SetInbox(ctx, ingest.SetInboxRequest{Actor: who, Expires: in.Expires, Secret: password}, time.Now())
			}),
		op(now, "login", web.RightAdmin, "Keeps the token of a sign-in, after trying it.",
			func(ctx context.Context, s *ingest.Service, who string, in tokenIn) (nothing, error) {
				token := take(in.Token)
				defer token.Wipe()
				return nothing{}, s.KeepToken(ctx, who, in.Account, token)
			}),
		op(now, "use", web.RightAdmin, "Goes back to a version, after trying it.",
			func(ctx context.Context, s *ingest.Service, who string, in useIn) (ingest.SetResult, error) {
				return s.Use(ctx, who, in.Mailbox, in.Login, in.Version, time.Now())
			}),
		op(now, "report", web.RightAdmin, "A program tells that the password was refused.",
			func(ctx context.Context, s *ingest.Service, who string, in loginIn) (ingest.ReportResult, error) {
				return s.ReportRefused(ctx, who, in.Mailbox, in.Login, time.Now())
			}),
		op(now, "once", web.RightAdmin, "Makes a pass now and does all that is due.", once),
		op(now, "due", web.RightAdmin, "What the warnings run would send on a day.",
			func(ctx context.Context, s *ingest.Service, _ string, in dueIn) ([]ingest.DueRow, error) {
				return s.Due(ctx, time.Now(), in.Day)
			}),
		op(now, "calendar", web.RightAdmin, "Renewals and expiries as iCalendar.",
			func(ctx context.Context, s *ingest.Service, _ string, _ nothing) (bytesOut, error) {
				var b bytes.Buffer
				err := s.Calendar(ctx, &b, time.Now())
				return bytesOut{b.Bytes()}, err
			}),
		op(now, "check", web.RightAdmin, "Whether configuration, keys, inbox and SMTP work.",
			func(ctx context.Context, s *ingest.Service, _ string, _ nothing) ([]ingest.CheckLine, error) {
				return s.SelfCheck(ctx, time.Now()), nil
			}),
	}
	list = append(list, metricsEndpoint(now))
	list = append(list, pageEndpoints(now, d)...)
	list = append(list, clientEndpoints(now)...)
	list = append(list, reviewEndpoints(now)...)
	list = append(list, careEndpoints(now)...)
	list = append(list, otpEndpoints(now)...)
	return append(list, outboxEndpoints(now)...)
}

// take wraps the bytes of a request and clears them.
func take(b []byte) secret.Secret {
	defer clear(b)
	return secret.New(b)
}

func once(ctx context.Context, s *ingest.Service, _ string, in onceIn) (onceOut, error) {
	out := onceOut{Observed: []ingest.Observation{}}
	var o ingest.RunOptions
	o.Warn, o.DryRun, o.Asked = in.Warn, in.DryRun, true
	if in.Observe {
		o.Observe = func(obs ingest.Observation) { out.Observed = append(out.Observed, obs) }
	}
	sum, err := s.Once(ctx, o)
	out.Summary = sum
	if err != nil {
		out.Problem = problemOf(err)
	}
	return out, nil
}

func clientEndpoints(now current) []endpoint {
	return []endpoint{
		op(now, "client.list", web.RightAdmin, "The studio's clients.",
			func(ctx context.Context, s *ingest.Service, _ string, _ nothing) ([]ingest.ClientRow, error) {
				return s.Clients(ctx)
			}),
		op(now, "client.add", web.RightAdmin, "Adds a client, or changes what is on record.",
			func(ctx context.Context, s *ingest.Service, who string, in addClientIn) (out addClientOut, err error) {
				out.Added, out.Changed, err = s.AddClient(ctx, who, in.Mailbox, in.Fields, time.Now())
				return out, err
			}),
		op(now, "client.import", web.RightAdmin, "Adds and changes clients from CSV.",
			func(ctx context.Context, s *ingest.Service, who string, in importIn) (ingest.ImportResult, error) {
				return s.ImportClients(ctx, who, bytes.NewReader(in.CSV), in.DryRun, time.Now())
			}),
		op(now, "client.remove", web.RightAdmin, "Stops the work for a client and destroys the secrets.",
			func(ctx context.Context, s *ingest.Service, who string, in mailboxIn) (nothing, error) {
				return nothing{}, s.RemoveClient(ctx, who, in.Mailbox, time.Now())
			}),
		op(now, "client.export", web.RightAdmin, "Everything kept on one client, without secrets.",
			func(ctx context.Context, s *ingest.Service, _ string, in mailboxIn) (ingest.ClientExport, error) {
				return s.ExportClient(ctx, in.Mailbox)
			}),
	}
}

func reviewEndpoints(now current) []endpoint {
	return []endpoint{
		op(now, "review.list", web.RightAdmin, "What waits for a person.",
			func(ctx context.Context, s *ingest.Service, _ string, in allIn) ([]ingest.ReviewRow, error) {
				return s.Reviews(ctx, in.All)
			}),
		op(now, "review.show", web.RightAdmin, "One item with its letter; revealing it is audited.",
			func(ctx context.Context, s *ingest.Service, who string, in showIn) (ingest.ReviewItem, error) {
				return s.ReviewShow(ctx, who, in.N, in.Reveal)
			}),
		op(now, "review.file", web.RightAdmin, "One file of an item; audited.",
			func(ctx context.Context, s *ingest.Service, who string, in fileIn) (out fileOut, err error) {
				out.Info, out.Data, err = s.ReviewFile(ctx, who, in.N, in.File)
				return out, err
			}),
		op(now, "review.approve", web.RightAdmin, "Takes a candidate, or a typed password, after trying it.",
			func(ctx context.Context, s *ingest.Service, who string, in approveIn) (ingest.SetResult, error) {
				a := in.Approval
				a.Actor, a.Typed = who, take(in.Typed)
				defer a.Typed.Wipe()
				return s.ReviewApprove(ctx, a, time.Now())
			}),
		op(now, "review.reject", web.RightAdmin, "Puts an item aside.",
			func(ctx context.Context, s *ingest.Service, who string, in rejectIn) (nothing, error) {
				return nothing{}, s.ReviewReject(ctx, who, in.N, in.Reason, in.Tell, time.Now())
			}),
	}
}

func outboxEndpoints(now current) []endpoint {
	return []endpoint{
		op(now, "outbox.list", web.RightAdmin, "Messages to send, or all.",
			func(ctx context.Context, s *ingest.Service, _ string, in allIn) ([]ingest.OutboxRow, error) {
				return s.Outbox(ctx, in.All)
			}),
		op(now, "outbox.show", web.RightAdmin, "One message with its text.",
			func(ctx context.Context, s *ingest.Service, _ string, in numberIn) (out messageOut, err error) {
				out.Row, out.Subject, out.Text, err = s.OutboxMessage(ctx, in.N)
				return out, err
			}),
		op(now, "outbox.receipt", web.RightAdmin, "The receipt of a delivered message.",
			func(ctx context.Context, s *ingest.Service, _ string, in numberIn) (out bytesOut, err error) {
				out.Data, err = s.OutboxReceipt(ctx, in.N)
				return out, err
			}),
		op(now, "outbox.retry", web.RightAdmin, "Queues a message again.",
			func(ctx context.Context, s *ingest.Service, who string, in numberIn) (nothing, error) {
				return nothing{}, s.OutboxRetry(ctx, who, in.N)
			}),
		op(now, "outbox.drop", web.RightAdmin, "Gives a message up.",
			func(ctx context.Context, s *ingest.Service, who string, in numberIn) (nothing, error) {
				return nothing{}, s.OutboxDrop(ctx, who, in.N)
			}),
		op(now, "outbox.preview", web.RightAdmin, "A message as it would be, with made-up values.",
			func(_ context.Context, s *ingest.Service, _ string, in previewIn) (out messageOut, err error) {
				out.Subject, out.Text, err = s.Preview(in.Kind, in.Lang, time.Now())
				return out, err
			}),
		op(now, "audit.list", web.RightAdmin, "Who did what.",
			func(ctx context.Context, s *ingest.Service, _ string, in mailboxIn) ([]ingest.AuditRow, error) {
				return s.Audit(ctx, in.Mailbox)
			}),
		op(now, "audit.verify", web.RightAdmin, "Checks the chain of the audit log.",
			func(ctx context.Context, s *ingest.Service, _ string, _ nothing) (out auditHeadOut, err error) {
				out.Seq, out.Head, err = s.AuditVerify(ctx)
				return out, err
			}),
	}
}

// classNames are the classes of errors as they go over the socket.
var classNames = map[ingest.Class]string{
	ingest.Failed: web.ClassFailed, ingest.Usage: web.ClassUsage, ingest.NotFound: "not-found", ingest.NeedsPerson: "needs-person",
	ingest.NoVault: "no-vault", ingest.BadConfig: "bad-config", ingest.NotPermitted: web.ClassNotPermitted,
}

func problemOf(err error) *web.Problem {
	return &web.Problem{Class: classNames[ingest.ClassOf(err)], Msg: err.Error(), Hint: ingest.HintOf(err)}
}
