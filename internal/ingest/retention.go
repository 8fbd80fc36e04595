package ingest

import (
	"context"
	"slices"
	"time"

	"pec-ingest/internal/vault"
)

const (
	// destroyAtOnce bounds the versions of one transaction.
	destroyAtOnce = 30
	// destroyEvery is how often all versions are read for what is to be
	// destroyed or ended; vault.destroy_after is counted in days.
	destroyEvery = time.Hour
)

// destroyOld destroys the secrets of versions that were replaced longer than
// vault.destroy_after ago. What is known about them stays. The current and
// the last proven version of a credential are never touched, nor one that
// has not ended; those that should have are ended now (leftBehind), also where
// nothing is ever destroyed.
func (s *Service) destroyOld(ctx context.Context, now time.Time) error {
	after := s.cfg.Vault.DestroyAfter
	if since := now.Sub(s.destroyed); 0 <= since && since < destroyEvery {
		return nil
	}
	if doubtful, err := s.clockDoubtful(ctx, now); err != nil || doubtful {
		return err // nothing is destroyed by a clock that may be wrong
	}
	var doomed, left []vault.Version
	err := s.vault.View(ctx, func(tx *vault.Tx) error {
		doomed, left = nil, nil
		return tx.Credentials(func(cred vault.Credential) error {
			versions, err := tx.Versions(cred.Mailbox, cred.Login)
			if err != nil {
				return err
			}
			for _, v := range versions {
				switch {
				case after > 0 && destroyable(cred, v, now.Add(-after)):
					doomed = append(doomed, v)
				case leftBehind(cred, v):
					left = append(left, v)
				}
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	for part := range slices.Chunk(doomed, destroyAtOnce) {
		if err := s.destroySome(ctx, part, now.Add(-after)); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(left, destroyAtOnce) {
		if err := s.endLeft(ctx, part, now); err != nil {
			return err
		}
	}
	if len(doomed) > 0 {
		s.log.Info("secrets of replaced passwords destroyed", "event", "secrets.destroyed", "count", len(doomed))
	}
	s.destroyed = now
	return nil
}

func destroyable(cred vault.Credential, v vault.Version, before time.Time) bool {
	return len(v.Sealed) > 0 && v.N != cred.Current && v.N != cred.Proven && !v.EndedAt.IsZero() && v.EndedAt.Before(before)
}

// destroySome destroys the secrets of those of part that still are to be.
func (s *Service) destroySome(ctx context.Context, part []vault.Version, before time.Time) error {
	return s.eachVersion(ctx, part, func(tx *vault.Tx, cred vault.Credential, v vault.Version) error {
		if !destroyable(cred, v, before) { // somebody went back to it meanwhile
			return nil
		}
		v.Sealed = nil
		if err := tx.PutVersion(v); err != nil {
			return err
		}
		return tx.Audit(vault.AuditEntry{Actor: ActorService, Event: "secret.destroyed", Mailbox: v.Mailbox, Login: v.Login, Version: v.N})
	})
}

// eachVersion runs do on versions that were read earlier as they are now, in
// one transaction; what is gone meanwhile is left out.
func (s *Service) eachVersion(ctx context.Context, part []vault.Version, do func(*vault.Tx, vault.Credential, vault.Version) error) error {
	return s.vault.Update(ctx, func(tx *vault.Tx) error {
		for _, old := range part {
			cred, _, err := tx.Credential(old.Mailbox, old.Login)
			if err != nil {
				return err
			}
			v, ok, err := tx.Version(old.Mailbox, old.Login, old.N)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			if err := do(tx, cred, v); err != nil {
				return err
			}
		}
		return nil
	})
}

// leftBehind tells a version that was replaced before it was ever proven and
// not ended by it, as earlier programs left them. Nobody hands it out or
// tries it, and it would be kept for ever.
func leftBehind(cred vault.Credential, v vault.Version) bool {
	return v.State == VersionUnverified && v.EndedAt.IsZero() && v.N < cred.Current && v.N != cred.Proven
}

// endLeft ends versions that were left behind; their secrets live for
// vault.destroy_after from now; 0: for ever.
func (s *Service) endLeft(ctx context.Context, part []vault.Version, now time.Time) error {
	return s.eachVersion(ctx, part, func(tx *vault.Tx, cred vault.Credential, v vault.Version) error {
		if !leftBehind(cred, v) {
			return nil
		}
		if err := endVersion(tx, cred, v.N, cred.Current, now); err != nil {
			return err
		}
		return tx.Audit(vault.AuditEntry{Actor: ActorService, Event: "credential.ended", Mailbox: v.Mailbox, Login: v.Login, Version: v.N,
			Detail: "never proven, and replaced before"})
	})
}
