package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"pec-ingest/internal/vault"
)

// AuditCompare checks the chain of the audit log, and that its entry seq has
// the hash that a digest or an older check gave; 0 compares nothing.
func (s *Service) AuditCompare(ctx context.Context, seq int, hash string) error {
	err := s.vault.VerifyAuditHead(ctx, seq, strings.ToLower(hash))
	var ae *vault.AuditError
	if !errors.As(err, &ae) {
		return err
	}
	return &Error{Msg: "the audit log does not hold", Err: err,
		Hint: fmt.Sprintf("what it says from entry %d on can't be believed; compare with the heads in the studio's digests and with backups", ae.Seq)}
}
