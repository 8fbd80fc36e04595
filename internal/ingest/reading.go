package ingest

import (
	"bytes"
	"errors"
	"sync"

	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// reading is one password being found, recorded and opened: the closure of
// vault.ReadSecret, which may be run several times, in another goroutine, and
// after who asked has gone.
type reading struct {
	find func(*vault.Tx) (v vault.Version, state string, err error)
	open func(vault.Version) *opening

	mu    sync.Mutex
	left  bool // who asked has gone
	found found
	why   error // why nothing is to be handed out
}

// found is what is to be handed out.
type found struct {
	version vault.Version
	state   string
	opening *opening
}

var errLeft = errors.New("ingest: who asked has gone")

// run is one run of the closure.
func (r *reading) run(tx *vault.Tx, reader, mailbox string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left {
		return errLeft
	}
	v, state, err := r.find(tx)
	if r.why = err; err != nil {
		return err
	}
	if err := tx.AuditRead(reader, mailbox, v.Login, v.N); err != nil {
		return err
	}
	r.found.version, r.found.state = v, state
	if r.found.opening != nil && r.found.opening.is(v) {
		return nil
	}
	// Beside the commit, which waits for the disk meanwhile.
	r.found.opening.drop()
	r.found.opening = r.open(v)
	return nil
}

// leave gives what the last run found. Later runs do nothing.
func (r *reading) leave() (found, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left = true
	return r.found, r.why
}

// opening is a stored version being opened in a goroutine.
type opening struct {
	label  vault.Label
	sealed []byte
	done   chan unsealed // takes one
}

// unsealed is what became of it.
type unsealed struct {
	secret secret.Secret
	err    error
}

// open begins to open a stored version. What comes of it must be taken, or
// dropped.
func (s *Service) open(v vault.Version) *opening {
	o := &opening{label: v.Label, sealed: v.Sealed, done: make(chan unsealed, 1)}
	go func() {
		var result unsealed
		defer func() {
			if recover() != nil { // as the server does for its endpoints
				result = unsealed{err: errors.New("opening the sealed password stopped")}
			}
			o.done <- result
		}()
		result.secret, result.err = s.unseal(v)
	}()
	return o
}

// is tells whether that version is being opened.
func (o *opening) is(v vault.Version) bool {
	return o.label == v.Label && bytes.Equal(o.sealed, v.Sealed)
}

// drop wipes what comes of it. o may be nil.
func (o *opening) drop() {
	if o == nil {
		return
	}
	go func() {
		result := <-o.done
		result.secret.Wipe()
	}()
}
