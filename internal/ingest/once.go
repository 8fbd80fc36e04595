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
	ctx, end, here, err := s.duty(ctx)
	if err != nil {
		return Summary{}, err
	}
	if !here {
		return s.askOnceOf(ctx, o)
	}
	defer end()
	if o.DryRun {
		return s.onePass(ctx, o.PassOptions)
	}
	sum, err := s.onePass(ctx, o.PassOptions)
	if ctx.Err() != nil {
		return sum, err
	}
	jobsErr := s.runJobs(ctx, o.Warn, false)
	sendErr := s.Deliver(ctx)
	return sum, errors.Join(err, jobsErr, sendErr)
}

// onePass has the daemon make the pass where one runs in this Service, and
// gives the sign of life of a good one.
func (s *Service) onePass(ctx context.Context, o PassOptions) (Summary, error) {
	if sum, err, asked := s.requestPass(ctx, o); asked {
		return sum, err
	}
	sum, err := s.Pass(ctx, o)
	if err == nil && !o.DryRun {
		s.heartbeat(ctx, time.Now())
	}
	return sum, err
}
