package ingest

import (
	"context"
	"errors"
	"time"

	"pec-ingest/internal/vault"
	"pec-ingest/internal/vault/etcdstore"
)

// putBackTogether is how long after one service has noticed that etcd was put
// back the others may notice it, for the same event.
const putBackTogether = 2 * time.Minute

// afterPutBack draws the conclusions when etcd was put back to an earlier
// state while this service ran: they are those of a restore, since the vault
// has forgotten as much. Until then no transaction is made here. Where there is
// no vault any more nothing can be concluded, and a person must restore one.
func (s *Service) afterPutBack(plain context.Context) {
	ctx := etcdstore.Accepting(plain)
	now := time.Now()
	done := false
	err := s.vault.View(ctx, func(tx *vault.Tx) error {
		there := false // nothing is done in a vault that the audit log does not tell of
		if err := tx.AuditLog(func(vault.AuditEntry) error { there = true; return nil }); err != nil {
			return err
		}
		if !there {
			return vault.ErrMissing
		}
		at, ok, err := tx.Job(jobRestored)
		done = ok && now.Sub(at).Abs() < putBackTogether
		return err
	})
	var asOf time.Time
	held := 0
	if err == nil && !done {
		asOf, held, err = afterRestore(ctx, s.vault, ActorService, now)
	}
	if err != nil {
		if s.daemon.repeats.first("put back "+err.Error(), now) && !errors.Is(err, context.Canceled) {
			s.log.Error("the vault can't be used: etcd was put back to an earlier state", "event", "cluster.put_back", "err", err,
				"hint", "if the vault is gone, stop all services and `ingest restore` a backup")
			if errors.Is(err, vault.ErrMissing) { // plain: nothing is written to where a vault may be put back
				s.Alert(plain, Event{Event: "cluster.put_back", At: now, Msg: "etcd holds no vault any more: the services on it do nothing",
					Hint: "if nobody is bringing it back just now, stop all services and `ingest restore` a backup: docs/cluster.md"})
			}
		}
		return // it is tried again soon
	}
	s.cluster.store.Accept()
	if !done {
		s.log.Warn("the vault is as it was: as after a restore, the processed folder is read again before anything is sent",
			"event", "vault.restored", "as_of", asOf, "held", held)
		s.Alert(ctx, Event{Event: "cluster.put_back", At: now, Msg: "etcd was put back to an earlier state: the vault has forgotten what happened since " + asOf.Format(time.RFC3339),
			Hint: "what clients sent since is read again from the processed folder; passwords entered and decisions made by hand since must be repeated"})
	}
	signal(s.daemon.wake)
}
