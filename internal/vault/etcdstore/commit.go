package etcdstore

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"pec-ingest/internal/vault"
)

// generation is what stands under the root itself. Each commit replaces it.
type generation struct {
	At time.Time `json:"at"` // by the clock of who committed
	By string    `json:"by"` // member
	// ID is a random name, and Prev that of the generation before; "" where
	// there was none, or in one of an older version. See putback.go.
	ID   string `json:"id,omitempty"`
	Prev string `json:"prev,omitempty"`

	text   string // as it is stored
	modRev int64  // the revision in which it was put; 0: there is none
	rev    int64  // the cluster's revision when it was read
}

func parseGeneration(value []byte, modRev int64) (generation, error) {
	var g generation
	if value == nil {
		return g, nil
	}
	if err := json.Unmarshal(value, &g); err != nil {
		return g, fmt.Errorf("%w: record of the last commit", vault.ErrDamaged)
	}
	g.text, g.modRev = string(value), modRev
	return g, nil
}

// engineKeys is how many keys a commit puts beside those of the vault: the
// generation, and the commit's own identifier.
const engineKeys = 2

// write is a new value; nil deletes.
type write []byte

// commit makes the changes if base is still the newest generation; done is
// false when it is not.
//
// A request without an answer may have been carried out, or may be yet; and
// gRPC may send one twice. It is sent again just as it was: the comparison
// lets it happen once, and the commit's identifier, which stands under a key
// of this process, tells whether it has.
func (s *Store) commit(ctx context.Context, base generation, writes map[string]write) (done bool, err error) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	id := rand.Text()
	value, err := json.Marshal(generation{At: now, By: s.member, ID: id[:8], Prev: base.ID})
	if err != nil {
		return true, err
	}
	if len(writes)+engineKeys > vault.MaxKeys {
		return true, vault.ErrTooLarge
	}
	lead, fenced := fenceOf(ctx, s)
	ifs := []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(s.root), "=", base.modRev)}
	if base.modRev > 0 { // its revision alone may be another's in a cluster that was put back
		ifs = append(ifs, clientv3.Compare(clientv3.Value(s.root), "=", base.text))
	}
	elses := []clientv3.Op{clientv3.OpGet(s.root), clientv3.OpGet(s.own)}
	if fenced {
		ifs = append(ifs, lead.compare())
		elses = append(elses, clientv3.OpGet(lead.key, clientv3.WithKeysOnly()))
	}
	thens := make([]clientv3.Op, 0, len(writes)+engineKeys)
	for key, v := range writes {
		if v == nil {
			thens = append(thens, clientv3.OpDelete(s.root+key))
		} else {
			thens = append(thens, clientv3.OpPut(s.root+key, string(v)))
		}
	}
	thens = append(thens, clientv3.OpPut(s.root, string(value)), clientv3.OpPut(s.own, id))

	ctx, cancel := patiently(ctx)
	defer cancel()
	open := false // a request went unanswered
	for attempt := 1; ; attempt++ {
		var resp *clientv3.TxnResponse
		err := s.call(ctx, func(ctx context.Context) (err error) {
			resp, err = s.client.Txn(ctx).If(ifs...).Then(thens...).Else(elses...).Commit()
			return err
		})
		if err == nil && resp.Succeeded {
			s.committed(base, value, writes, resp.Header.Revision)
			return true, nil
		}
		if err == nil {
			return s.lostRace(ctx, resp, base, id, lead, fenced)
		}
		if refused(err) && !open {
			if full(err) {
				return true, s.refusedAsFull(ctx, err, id, func(rev int64) { s.committed(base, value, writes, rev) })
			}
			return true, refusal(err)
		}
		open = true
		if perr := s.pause(ctx, attempt); perr != nil {
			return true, fmt.Errorf("%w: %w: %s", vault.ErrOutcomeUnknown, perr, reason(err))
		}
	}
}

// refusedAsFull judges a commit that was answered with "no space". etcd says so
// also of one that it carries out: where the space was used up between its two
// looks at it (quotaApplierV3). made is called with the revision of one that was.
func (s *Store) refusedAsFull(ctx context.Context, err error, id string, made func(rev int64)) error {
	var rev int64
	asked := s.read(ctx, func(ctx context.Context) error {
		resp, err := s.client.Get(ctx, s.own)
		if err == nil && len(resp.Kvs) > 0 && string(resp.Kvs[0].Value) == id {
			rev = resp.Kvs[0].ModRevision
		}
		return err
	})
	if asked != nil {
		return fmt.Errorf("%w: %w: %s", vault.ErrOutcomeUnknown, asked, reason(err))
	}
	if rev == 0 {
		return refusal(err)
	}
	s.log.Warn("a commit was made with the last space that etcd has", "event", "cluster.commit_found")
	made(rev)
	return nil
}

// lostRace judges a transaction whose comparisons did not hold.
func (s *Store) lostRace(ctx context.Context, resp *clientv3.TxnResponse, base generation, id string, lead fence, fenced bool) (done bool, err error) {
	now, err := generationIn(resp.Responses[0].GetResponseRange().Kvs)
	if err != nil {
		return true, err
	}
	if now.rev = resp.Header.GetRevision(); s.mirror != nil && base.contradicts(now) {
		return true, s.wasPutBack(ctx, false)
	}
	if own := resp.Responses[1].GetResponseRange().Kvs; len(own) > 0 && string(own[0].Value) == id {
		s.log.Info("a commit whose answer was lost was made", "event", "cluster.commit_found")
		_ = s.caughtUp(ctx, now.modRev) // it was made, whether or not this process hears of it in time
		return true, nil
	}
	if fenced {
		kvs := resp.Responses[2].GetResponseRange().Kvs
		if len(kvs) == 0 || kvs[0].CreateRevision != lead.rev {
			lead.lost()
			return true, vault.ErrNotLeading
		}
	}
	return false, s.caughtUp(ctx, now.modRev)
}

// caughtUp waits until this process knows that generation.
func (s *Store) caughtUp(ctx context.Context, modRev int64) error {
	if s.mirror == nil {
		return nil
	}
	return s.mirror.wait(ctx, modRev)
}

// committed puts an own commit into the mirror, so that the next transaction
// need not wait for the watch.
func (s *Store) committed(base generation, value []byte, writes map[string]write, rev int64) {
	if s.mirror == nil {
		return
	}
	s.mirror.mu.Lock()
	defer s.mirror.mu.Unlock()
	if s.mirror.cur.gen.modRev != base.modRev {
		return // the watch was faster
	}
	next := s.mirror.cur.edit()
	for key, v := range writes {
		next.put(key, v)
	}
	if err := next.putGeneration(value, rev); err != nil {
		return
	}
	next.rev = rev
	s.mirror.publish(next)
}

// call makes one request with a time limit of its own. A member that lost the
// others refuses it at once.
func (s *Store) call(ctx context.Context, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), callTimeout)
	defer cancel()
	return request(ctx)
}

// read repeats a request that changes nothing until it is answered.
func (s *Store) read(ctx context.Context, request func(context.Context) error) error {
	ctx, cancel := patiently(ctx)
	defer cancel()
	for attempt := 1; ; attempt++ {
		err := s.call(ctx, request)
		switch {
		case err == nil:
			return nil
		case compacted(err):
			return errCompacted
		case errors.Is(err, vault.ErrDamaged):
			return err
		case refused(err):
			return refusal(err)
		case badCertificate(err) && attempt > 1:
			return unavailable(err) // waiting mends none
		}
		if perr := s.pause(ctx, attempt); perr != nil {
			if errors.Is(perr, vault.ErrUnavailable) {
				return unavailable(err)
			}
			return perr
		}
	}
}
