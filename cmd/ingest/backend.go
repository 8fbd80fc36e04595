package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"pec-ingest/internal/config"
	"pec-ingest/internal/ingest"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
	"pec-ingest/internal/web"
)

// backend is what the commands ask: the service opened by the command itself
// (*ingest.Service), or the running daemon over its socket (*remote), which
// takes who asks from the kernel and the time from its own clock.
type backend interface {
	careBackend
	otpBackend
	feedBackend

	Status(ctx context.Context, mailbox string, now time.Time) ([]ingest.StatusRow, error)
	Get(ctx context.Context, reader, mailbox, login string, now time.Time) (ingest.Password, error)
	History(ctx context.Context, mailbox string) ([]ingest.HistoryRow, error)
	Profile(ctx context.Context, mailbox, login string, program []string) (ingest.Profile, error)
	Daemon(ctx context.Context) (*ingest.DaemonState, error)
	Waiting(ctx context.Context, mailbox string) (ingest.Waiting, error)

	Set(ctx context.Context, r ingest.SetRequest, now time.Time) (ingest.SetResult, error)
	SetInbox(ctx context.Context, r ingest.SetInboxRequest, now time.Time) (ingest.SetInboxResult, error)
	KeepToken(ctx context.Context, actor, account string, token secret.Secret) error
	Use(ctx context.Context, actor, mailbox, login string, n int, now time.Time) (ingest.SetResult, error)
	ReportRefused(ctx context.Context, actor, mailbox, login string, now time.Time) (ingest.ReportResult, error)
	Once(ctx context.Context, o ingest.RunOptions) (ingest.Summary, error)
	Due(ctx context.Context, now, day time.Time) ([]ingest.DueRow, error)
	Calendar(ctx context.Context, w io.Writer, now time.Time) error

	Clients(ctx context.Context) ([]ingest.ClientRow, error)
	AddClient(ctx context.Context, actor, mailbox string, f ingest.ClientFields, now time.Time) (added, changed bool, err error)
	ImportClients(ctx context.Context, actor string, r io.Reader, dryRun bool, now time.Time) (ingest.ImportResult, error)
	RemoveClient(ctx context.Context, actor, mailbox string, now time.Time) error
	ExportClient(ctx context.Context, mailbox string) (ingest.ClientExport, error)

	Reviews(ctx context.Context, all bool) ([]ingest.ReviewRow, error)
	ReviewShow(ctx context.Context, actor string, n int, reveal bool) (ingest.ReviewItem, error)
	ReviewFile(ctx context.Context, actor string, n, file int) (ingest.ReviewFileInfo, []byte, error)
	ReviewApprove(ctx context.Context, a ingest.Approval, now time.Time) (ingest.SetResult, error)
	ReviewReject(ctx context.Context, actor string, n int, reason string, tell bool, now time.Time) error

	Outbox(ctx context.Context, all bool) ([]ingest.OutboxRow, error)
	OutboxMessage(ctx context.Context, n int) (row ingest.OutboxRow, subject, text string, err error)
	OutboxReceipt(ctx context.Context, n int) ([]byte, error)
	OutboxRetry(ctx context.Context, actor string, n int) error
	OutboxDrop(ctx context.Context, actor string, n int) error
	Preview(kind, lang string, now time.Time) (subject, text string, err error)

	Audit(ctx context.Context, mailbox string) ([]ingest.AuditRow, error)
	AuditVerify(ctx context.Context) (seq int, hash string, err error)
}

var (
	_ backend = (*ingest.Service)(nil)
	_ backend = (*remote)(nil)
)

// with runs fn on the running daemon, or where none listens on the service
// that it opens, and closes again. A vault that another process holds is tried
// again for as long as a mail program waits for its password: a command makes
// its whole pass on it, and a daemon that is just starting has the vault, but
// not its socket yet. Who had to type a passphrase is told at once.
func (e *environment) with(mode ingest.VaultMode, fn func(backend) error) error {
	cfg, err := e.loadConfig()
	if err != nil {
		return err
	}
	r, err := dialDaemon(cfg)
	if err != nil {
		return err
	}
	for begun := time.Now(); r == nil; {
		s, err := openHere(cfg, mode, e)
		if err == nil {
			return closeAfter(s, fn)
		}
		if !errors.Is(err, vault.ErrLocked) {
			return err
		}
		if r, _ = dialDaemon(cfg); r == nil && (e.asked || time.Since(begun) > busyWait) {
			return err
		}
	}
	defer r.close()
	r.watching.tell = personAt(e.stderr)
	return fn(r)
}

// withEmptyVault runs fn on a vault that is gone afterwards, for a trial where
// there is none yet.
func (e *environment) withEmptyVault(fn func(backend) error) error {
	dir, err := os.MkdirTemp("", "pec-ingest-trial-")
	if err != nil {
		return fmt.Errorf("making room for a trial: %w", err)
	}
	defer os.RemoveAll(dir)
	cfg, err := config.LoadAt(e.Config, "bbolt://"+filepath.Join(dir, "vault.db"))
	if err != nil {
		return err
	}
	s, err := openHere(cfg, ingest.Writing, e)
	if err != nil {
		return err
	}
	fmt.Fprintln(e.stderr, "ingest: there is no vault yet, so no client is on record: `ingest client import` makes one")
	return closeAfter(s, fn)
}

func closeAfter(s *ingest.Service, fn func(backend) error) error {
	err := fn(s)
	if cerr := s.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("closing the vault: %w", cerr)
	}
	return err
}

// dialDaemon connects to the daemon; nil without an error where none listens.
func dialDaemon(cfg *config.Config) (*remote, error) {
	c, err := web.Dial(context.Background(), cfg.Web.Socket)
	switch {
	case err == nil:
		return &remote{client: c, watching: overSocket(cfg.Web.Socket)}, nil
	case errors.Is(err, web.ErrNoService):
		return nil, nil
	case errors.Is(err, web.ErrDenied):
		return nil, &ingest.Error{Class: ingest.NotPermitted, Msg: "the socket " + cfg.Web.Socket + " is not for this user",
			Hint: "use root or the service's account, or have one of your groups added to web.readers or web.admins"}
	}
	return nil, &ingest.Error{Msg: "the socket " + cfg.Web.Socket, Err: err, Hint: "is the service overloaded? `systemctl status pec-ingest`"}
}

// openHere opens the vault in this process, which root and the vault's owner
// may do.
func openHere(cfg *config.Config, mode ingest.VaultMode, e *environment) (*ingest.Service, error) {
	if err := mayOpen(cfg.Vault.Path); err != nil {
		return nil, err
	}
	return ingest.OpenAsking(cfg, mode, e.log, e.ask)
}

func mayOpen(path string) error {
	uid := os.Geteuid()
	if uid == 0 || path == "" {
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // opening it says so, or makes one where this user may
	case errors.Is(err, fs.ErrPermission):
	case err != nil:
		return nil
	default:
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) == uid {
			return nil
		}
	}
	return &ingest.Error{Class: ingest.NoVault, Msg: "no service is running, and the vault belongs to another account",
		Hint: "start the service (`systemctl start pec-ingest`), or run the command as root or as the service's account"}
}
