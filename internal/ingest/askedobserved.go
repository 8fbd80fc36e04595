package ingest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"filippo.io/age"

	"pec-ingest/internal/secret"
)

// What a pass that a member asked for has seen goes back to it by way of the
// cluster. There are subjects of letters in it that are nobody's business, so
// it is sealed to a key that the member made for this one answer: it lies in
// the cluster's history as noise.

// maxObserved bounds what is unpacked of an answer.
const maxObserved = 256 << 20

// askOnceOf has the leader make a run, and tells o.Observe what its pass saw.
func (s *Service) askOnceOf(ctx context.Context, o RunOptions) (Summary, error) {
	r := asked{Name: askOnce, Warn: o.Warn, DryRun: o.DryRun, Person: o.Asked}
	if o.Observe == nil {
		return ask[Summary](ctx, s, r, secret.Secret{})
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return Summary{}, err
	}
	r.ObservedTo = id.Recipient().String()
	out, err := ask[observedSummary](ctx, s, r, secret.Secret{})
	if len(out.Observed) == 0 { // nothing was made, or by a version that does not tell
		return out.Summary, err
	}
	list, oerr := openObserved(out.Observed, id)
	for _, obs := range list {
		o.Observe(obs)
	}
	return out.Summary, firstError(err, oerr)
}

// observedSummary is the answer to a run whose observations are asked for.
type observedSummary struct {
	Summary
	Observed []byte `json:"observed,omitempty"` // see sealObserved
}

// observedOnce makes a run for a member.
func (s *Service) observedOnce(ctx context.Context, o RunOptions, to string) (out observedSummary, err error) {
	var list []Observation
	o.Observe = func(obs Observation) { list = append(list, obs) }
	out.Summary, err = s.Once(ctx, o)
	var serr error
	out.Observed, serr = sealObserved(list, to)
	return out, firstError(err, serr)
}

func sealObserved(list []Observation, to string) ([]byte, error) {
	recipient, err := age.ParseX25519Recipient(to)
	if err != nil {
		return nil, fmt.Errorf("the key of who asks: %w", err)
	}
	var b bytes.Buffer
	sealed, err := age.Encrypt(&b, recipient)
	if err != nil {
		return nil, err
	}
	packed := gzip.NewWriter(sealed)
	if err := json.NewEncoder(packed).Encode(list); err != nil {
		return nil, err
	}
	if err := packed.Close(); err != nil {
		return nil, err
	}
	err = sealed.Close()
	return b.Bytes(), err
}

func openObserved(b []byte, id *age.X25519Identity) (list []Observation, err error) {
	opened, err := age.Decrypt(bytes.NewReader(b), id)
	if err != nil {
		return nil, err
	}
	unpacked, err := gzip.NewReader(opened)
	if err != nil {
		return nil, err
	}
	err = json.NewDecoder(io.LimitReader(unpacked, maxObserved)).Decode(&list)
	return list, err
}
