package ingest

import (
	"context"
	"errors"
	"time"
)

// RunOptions say how one run over everything that is due is made.
type RunOptions struct {
	PassOptions
	Warn bool // run the warnings now, whatever their schedule
}

// Once does everything that is due: a pass over the inbox, the check of
// stored passwords, the warnings, and the outbox. What fails does not keep
// the others from being done; all failures are returned together.
func (s *Service) Once(ctx context.Context, o RunOptions) (Summary, error) {
	now := time.Now()
	if o.DryRun {
		return s.Pass(ctx, o.PassOptions)
	}
	sum, err := s.Pass(ctx, o.PassOptions)
	if ctx.Err() != nil {
		return sum, err
	}
	_, checkErr := s.CheckIfDue(ctx, now)
	warnErr := s.WarnIfDue(ctx, now, o.Warn)
	sendErr := s.Deliver(ctx)
	readsErr := s.vault.CloseReads(ctx)
	return sum, errors.Join(err, checkErr, warnErr, sendErr, readsErr)
}
