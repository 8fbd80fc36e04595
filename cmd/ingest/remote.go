package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/web"
)

// remote asks the running daemon. Actors and times given to it are not used:
// the daemon knows both better.
type remote struct {
	client   *web.Client
	patience time.Duration // with the answer to `get`; 0: getWait
	watching watching
}

func (r *remote) close() { r.client.Close() }

// ask calls one endpoint and gives its refusal the class it had there.
func ask[Out any](ctx context.Context, r *remote, name string, in any) (out Out, err error) {
	err = r.watching.watched(ctx, func(ctx context.Context) error {
		out, err = askAgain[Out](ctx, r, name, in)
		return err
	})
	return out, r.explain(ctx, err)
}

// askAgain calls one endpoint until the service has time for it.
func askAgain[Out any](ctx context.Context, r *remote, name string, in any) (out Out, err error) {
	begun := time.Now()
	for tries := 0; ; tries++ {
		err = r.client.Call(ctx, name, in, &out)
		var p *web.Problem
		busy := errors.As(err, &p) && p.Class == web.ClassBusy
		// On a machine that has no time for us the service may hang up before
		// it has our question, and what programs ask all day may be asked twice.
		busy = busy || errors.Is(err, web.ErrUnanswered) && (name == "get" || name == "status")
		if !busy || time.Since(begun) > busyWait || !sleep(ctx, busyPause(tries)) {
			break
		}
	}
	return out, err
}

// explain gives a refusal the class it had at the service, and says of other
// errors whose they are.
func (r *remote) explain(ctx context.Context, err error) error {
	var p *web.Problem
	if errors.As(err, &p) {
		return errorOf(p)
	}
	var told *ingest.Error
	if err != nil && ctx.Err() == nil && !errors.As(err, &told) {
		err = &ingest.Error{Msg: "the running service", Err: err, Hint: "did it stop just now? `systemctl status pec-ingest`"}
	}
	return err
}

// A service that has too many callers is asked again for as long as a mail
// program waits for its password, at moments that are not everybody's, and
// less and less often: a thousand callers who ask again at once would take the
// time that it needs for their answers.
const busyWait = 30 * time.Second

func busyPause(tries int) time.Duration {
	pause := min(50*time.Millisecond<<min(tries, 6), time.Second)
	return pause + rand.N(2*pause)
}

// sleep tells whether it slept to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// refused is the error of a refusal that the service has written.
func refused(body []byte) error {
	p := &web.Problem{}
	if json.Unmarshal(body, p) != nil || p.Class == "" {
		return &ingest.Error{Msg: "the running service's answer is not understood",
			Hint: "command and service are of different versions: restart the service"}
	}
	return errorOf(p)
}

// isBusy tells a refusal that passes by itself.
func isBusy(body []byte) bool {
	p := &web.Problem{}
	return json.Unmarshal(body, p) == nil && p.Class == web.ClassBusy
}

func errorOf(p *web.Problem) error {
	for class, name := range classNames {
		if name == p.Class {
			return &ingest.Error{Class: class, Msg: p.Msg, Hint: p.Hint}
		}
	}
	return &ingest.Error{Msg: p.Msg, Hint: p.Hint}
}

func (r *remote) Daemon(ctx context.Context) (*ingest.DaemonState, error) {
	return ask[*ingest.DaemonState](ctx, r, "daemon", nothing{})
}

func (r *remote) Waiting(ctx context.Context, mailbox string) (ingest.Waiting, error) {
	return ask[ingest.Waiting](ctx, r, "waiting", mailboxIn{mailbox})
}

func (r *remote) Status(ctx context.Context, mailbox string, _ time.Time) ([]ingest.StatusRow, error) {
	return ask[[]ingest.StatusRow](ctx, r, "status", mailboxIn{mailbox})
}

// getWait is how long a program waits for its password. Nothing but the vault
// is asked for it: what takes longer, hangs, and a mail program would with it.
const getWait = 30 * time.Second

func (r *remote) Get(ctx context.Context, _, mailbox, login string, _ time.Time) (ingest.Password, error) {
	limited, cancel := context.WithTimeout(ctx, cmp.Or(r.patience, getWait))
	defer cancel()
	p, err := ask[getOut](limited, r, "get", loginIn{mailbox, login})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = &ingest.Error{Msg: "the running service does not answer", Hint: "does it hang? `systemctl status pec-ingest`; a restart loses nothing"}
	}
	if err != nil {
		return ingest.Password{}, err
	}
	return ingest.Password{Mailbox: p.Mailbox, Login: p.Login, Version: p.Version, State: p.State, ExpiresAt: p.ExpiresAt, Secret: take(p.Secret)}, nil
}

func (r *remote) History(ctx context.Context, mailbox string) ([]ingest.HistoryRow, error) {
	return ask[[]ingest.HistoryRow](ctx, r, "history", mailboxIn{mailbox})
}

func (r *remote) Profile(ctx context.Context, mailbox, login string, program []string) (ingest.Profile, error) {
	return ask[ingest.Profile](ctx, r, "profile", profileIn{mailbox, login, program})
}

func (r *remote) Set(ctx context.Context, q ingest.SetRequest, _ time.Time) (ingest.SetResult, error) {
	return ask[ingest.SetResult](ctx, r, "set", setIn{q.Mailbox, q.Login, q.Expires, q.Source, reveal(q.Secret)})
}

func (r *remote) SetInbox(ctx context.Context, q ingest.SetInboxRequest, _ time.Time) (ingest.SetInboxResult, error) {
	return ask[ingest.SetInboxResult](ctx, r, "set-inbox", setInboxIn{q.Expires, reveal(q.Secret)})
}

// reveal gives the bytes to be marshalled; they stay the Secret's.
func reveal(s secret.Secret) []byte { return s.Reveal() }

func (r *remote) Use(ctx context.Context, _, mailbox, login string, n int, _ time.Time) (ingest.SetResult, error) {
	return ask[ingest.SetResult](ctx, r, "use", useIn{mailbox, login, n})
}

func (r *remote) ReportRefused(ctx context.Context, _, mailbox, login string, _ time.Time) (ingest.ReportResult, error) {
	return ask[ingest.ReportResult](ctx, r, "report", loginIn{mailbox, login})
}

func (r *remote) Once(ctx context.Context, o ingest.RunOptions) (ingest.Summary, error) {
	out, err := ask[onceOut](ctx, r, "once", onceIn{o.Warn, o.DryRun, o.Observe != nil})
	if err != nil {
		return out.Summary, err
	}
	for _, obs := range out.Observed {
		o.Observe(obs)
	}
	if out.Problem != nil {
		return out.Summary, errorOf(out.Problem)
	}
	return out.Summary, nil
}

func (r *remote) Due(ctx context.Context, _, day time.Time) ([]ingest.DueRow, error) {
	return ask[[]ingest.DueRow](ctx, r, "due", dueIn{day})
}

func (r *remote) Calendar(ctx context.Context, w io.Writer, _ time.Time) error {
	out, err := ask[bytesOut](ctx, r, "calendar", nothing{})
	if err != nil {
		return err
	}
	_, err = w.Write(out.Data)
	return err
}

// Check is SelfCheck, made by the daemon.
func (r *remote) Check(ctx context.Context) ([]ingest.CheckLine, error) {
	return ask[[]ingest.CheckLine](ctx, r, "check", nothing{})
}

func (r *remote) Clients(ctx context.Context) ([]ingest.ClientRow, error) {
	return ask[[]ingest.ClientRow](ctx, r, "client.list", nothing{})
}

func (r *remote) AddClient(ctx context.Context, _, mailbox string, f ingest.ClientFields, _ time.Time) (added, changed bool, err error) {
	out, err := ask[addClientOut](ctx, r, "client.add", addClientIn{mailbox, f})
	return out.Added, out.Changed, err
}

func (r *remote) ImportClients(ctx context.Context, _ string, in io.Reader, dryRun bool, _ time.Time) (ingest.ImportResult, error) {
	// In base64 it still fits into a request.
	const limit = web.MaxBody / 2
	csv, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return ingest.ImportResult{}, fmt.Errorf("reading the CSV: %w", err)
	}
	if len(csv) > limit {
		return ingest.ImportResult{}, &ingest.Error{Class: ingest.Usage, Msg: "the CSV is larger than 2 MiB", Hint: "import it in parts"}
	}
	return ask[ingest.ImportResult](ctx, r, "client.import", importIn{csv, dryRun})
}

func (r *remote) RemoveClient(ctx context.Context, _, mailbox string, _ time.Time) error {
	_, err := ask[nothing](ctx, r, "client.remove", mailboxIn{mailbox})
	return err
}

func (r *remote) ExportClient(ctx context.Context, mailbox string) (ingest.ClientExport, error) {
	return ask[ingest.ClientExport](ctx, r, "client.export", mailboxIn{mailbox})
}

func (r *remote) Reviews(ctx context.Context, all bool) ([]ingest.ReviewRow, error) {
	return ask[[]ingest.ReviewRow](ctx, r, "review.list", allIn{all})
}

func (r *remote) ReviewShow(ctx context.Context, _ string, n int, reveal bool) (ingest.ReviewItem, error) {
	return ask[ingest.ReviewItem](ctx, r, "review.show", showIn{n, reveal})
}

func (r *remote) ReviewFile(ctx context.Context, _ string, n, file int) (ingest.ReviewFileInfo, []byte, error) {
	out, err := ask[fileOut](ctx, r, "review.file", fileIn{n, file})
	return out.Info, out.Data, err
}

func (r *remote) ReviewApprove(ctx context.Context, a ingest.Approval, _ time.Time) (ingest.SetResult, error) {
	typed := reveal(a.Typed)
	a.Typed = secret.Secret{}
	return ask[ingest.SetResult](ctx, r, "review.approve", approveIn{a, typed})
}

func (r *remote) ReviewReject(ctx context.Context, _ string, n int, reason string, tell bool, _ time.Time) error {
	_, err := ask[nothing](ctx, r, "review.reject", rejectIn{n, reason, tell})
	return err
}

func (r *remote) Outbox(ctx context.Context, all bool) ([]ingest.OutboxRow, error) {
	return ask[[]ingest.OutboxRow](ctx, r, "outbox.list", allIn{all})
}

func (r *remote) OutboxMessage(ctx context.Context, n int) (row ingest.OutboxRow, subject, text string, err error) {
	out, err := ask[messageOut](ctx, r, "outbox.show", numberIn{n})
	return out.Row, out.Subject, out.Text, err
}

func (r *remote) OutboxReceipt(ctx context.Context, n int) ([]byte, error) {
	out, err := ask[bytesOut](ctx, r, "outbox.receipt", numberIn{n})
	return out.Data, err
}

func (r *remote) OutboxRetry(ctx context.Context, _ string, n int) error {
	_, err := ask[nothing](ctx, r, "outbox.retry", numberIn{n})
	return err
}

func (r *remote) OutboxDrop(ctx context.Context, _ string, n int) error {
	_, err := ask[nothing](ctx, r, "outbox.drop", numberIn{n})
	return err
}

func (r *remote) Preview(kind, lang string, _ time.Time) (subject, text string, err error) {
	out, err := ask[messageOut](context.Background(), r, "outbox.preview", previewIn{kind, lang})
	return out.Subject, out.Text, err
}

func (r *remote) Audit(ctx context.Context, mailbox string) ([]ingest.AuditRow, error) {
	return ask[[]ingest.AuditRow](ctx, r, "audit.list", mailboxIn{mailbox})
}

func (r *remote) AuditVerify(ctx context.Context) (seq int, hash string, err error) {
	out, err := ask[auditHeadOut](ctx, r, "audit.verify", nothing{})
	return out.Seq, out.Head, err
}
