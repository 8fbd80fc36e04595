package main

import (
	"context"
	"errors"
	"io"
)

var errInterrupted = errors.New("interrupted")

// stoppable is standard input that stops waiting when ctx ends: whoever is
// asked to type something can leave with Ctrl-C, and needs no Ctrl-D, which
// would hand over what was typed so far.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

// Read leaves a read behind that goes on where it is interrupted; nobody reads
// after that.
func (s stoppable) Read(p []byte) (int, error) {
	type read struct {
		n   int
		err error
	}
	own := make([]byte, len(p)) // p is the caller's again after an interruption
	done := make(chan read, 1)
	go func() {
		n, err := s.r.Read(own)
		done <- read{n, err}
	}()
	select {
	case <-s.ctx.Done():
		return 0, errInterrupted
	case r := <-done:
		defer clear(own) // it may be a password
		return copy(p, own[:r.n]), r.err
	}
}
