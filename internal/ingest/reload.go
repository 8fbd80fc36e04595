package ingest

import (
	"context"
	"fmt"

	"pec-ingest/internal/config"
	"pec-ingest/internal/vault"
)

// Renew puts a Service for a changed configuration together, on the same open
// vault. The old one goes on as it is; of the two only one may Run, and only
// the last is to be closed. An error leaves the old one the one that counts.
//
// What belongs to the open vault can't change: that takes a restart.
func (s *Service) Renew(cfg *config.Config) (*Service, error) {
	if opened(cfg.Vault) != opened(s.cfg.Vault) {
		return nil, &Error{Class: BadConfig, Msg: cfg.Path + ": another vault or other keys in [vault]", Hint: "restart the service to use them"}
	}
	next, err := assemble(cfg, s.log)
	if err != nil {
		return nil, err
	}
	next.Vault, next.Cluster, next.Ask = s.vault, s.cluster.store, s.ask
	n := New(next)
	// What must not overlap must not overlap with what the old one began.
	n.passing, n.sending, n.checking, n.jobs, n.deciding = s.passing, s.sending, s.checking, s.jobs, s.deciding
	n.daemon.marks, n.daemon.repeats = s.daemon.marks, s.daemon.repeats
	return n, nil
}

// opened is the part of [vault] that an open vault was opened with.
func opened(v config.Vault) config.Vault {
	return config.Vault{URL: v.URL, Path: v.Path, Etcd: v.Etcd,
		RecipientsFile: v.RecipientsFile, IdentityFile: v.IdentityFile, PassphraseFile: v.PassphraseFile}
}

// AuditRefused records that somebody asked for what he may not have; count is
// how often since the last such entry.
func (s *Service) AuditRefused(ctx context.Context, actor, what string, count int) error {
	return s.vault.Update(ctx, func(tx *vault.Tx) error {
		return tx.Audit(vault.AuditEntry{Actor: actor, Event: "socket.refused", Detail: fmt.Sprintf("asked for %s, %d times", what, count)})
	})
}
