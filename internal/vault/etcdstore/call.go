package etcdstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"pec-ingest/internal/vault"
)

// What only the leader may do, a member asks of it by way of the cluster: it
// puts the request under call/, the leader takes it away, and puts what came
// of it under answer/. A request is taken once, by a leader in its term; what
// nobody takes is withdrawn and was not done.
const (
	takenWithin = 20 * time.Second // the time of an election, and some
	callTTL     = 60               // seconds that a call, or an answer, stays
	answerFor   = 10 * time.Minute // how long a call that was taken may last
)

// What stands under answer/: who took the call, then what came of it, or in
// how many parts that lies below.
const (
	takenMark  = "taken "
	answerMark = "answer "
	partsMark  = "parts "
)

// answerPart is how much of an answer one request carries.
const answerPart = 1 << 20

// Ask has the leader handle a request, and returns its answer. Requests and
// answers pass through the cluster as they are: what is secret must be sealed.
// Errors: vault.ErrNotLeading when nobody took it, so that nothing was done;
// vault.ErrOutcomeUnknown when the leader was lost over it.
func (s *Store) Ask(ctx context.Context, request []byte) ([]byte, error) {
	ctx, cancel := s.within(ctx)
	defer cancel()
	id := rand.Text()
	call, answer := s.prefix+"/call/"+id, s.prefix+"/answer/"+id
	lease, err := s.grant(ctx, callTTL)
	if err != nil {
		return nil, err
	}
	answers := s.client.Watch(clientv3.WithRequireLeader(ctx), answer)
	if err := s.call(ctx, func(ctx context.Context) error {
		// Sent twice by gRPC it must not be there again when it was taken.
		_, err := s.client.Txn(ctx).
			If(clientv3.Compare(clientv3.CreateRevision(answer), "=", 0), clientv3.Compare(clientv3.CreateRevision(call), "=", 0)).
			Then(clientv3.OpPut(call, string(request), clientv3.WithLease(lease))).
			Commit()
		return err
	}); err != nil {
		s.withdraw(call)
		return nil, fmt.Errorf("%w: %s", vault.ErrOutcomeUnknown, reason(err))
	}
	limit := time.NewTimer(takenWithin)
	defer limit.Stop()
	wasTaken := false
	for {
		select {
		case resp, ok := <-answers:
			if !ok || resp.Err() != nil {
				return s.readAnswer(ctx, answer, call)
			}
			for _, ev := range resp.Events {
				switch {
				case ev.Type == clientv3.EventTypeDelete:
					return nil, vault.ErrOutcomeUnknown // the leader's lease ended
				case isAnswer(ev.Kv.Value):
					return s.whole(ctx, answer, ev.Kv.Value)
				default:
					wasTaken = true
					limit.Reset(answerFor)
				}
			}
		case <-limit.C:
			if wasTaken || !s.withdraw(call) {
				return nil, vault.ErrOutcomeUnknown
			}
			return nil, fmt.Errorf("%w, and did not answer", vault.ErrNotLeading)
		case <-ctx.Done():
			s.withdraw(call)
			return nil, s.why(ctx)
		}
	}
}

// readAnswer looks for the answer itself when the watch for it was lost.
func (s *Store) readAnswer(ctx context.Context, answer, call string) (value []byte, err error) {
	for end := time.Now().Add(takenWithin); time.Now().Before(end); {
		err = s.read(ctx, func(ctx context.Context) error {
			value = nil
			resp, err := s.client.Get(ctx, answer)
			if err == nil && len(resp.Kvs) > 0 {
				value = resp.Kvs[0].Value
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		if isAnswer(value) {
			return s.whole(ctx, answer, value)
		}
		if err := s.pause(ctx, 8); err != nil {
			return nil, err
		}
	}
	if s.withdraw(call) {
		return nil, fmt.Errorf("%w, and did not answer", vault.ErrNotLeading)
	}
	return nil, vault.ErrOutcomeUnknown
}

func isAnswer(value []byte) bool {
	return bytes.HasPrefix(value, []byte(answerMark)) || bytes.HasPrefix(value, []byte(partsMark))
}

// whole gives the answer that value is, or tells the parts of.
func (s *Store) whole(ctx context.Context, answer string, value []byte) ([]byte, error) {
	if b, ok := bytes.CutPrefix(value, []byte(answerMark)); ok {
		return b, nil
	}
	want, err := strconv.Atoi(string(value[len(partsMark):]))
	if err != nil {
		return nil, vault.ErrOutcomeUnknown
	}
	var b []byte
	for i := range want {
		var part []byte
		err := s.read(ctx, func(ctx context.Context) error {
			resp, err := s.client.Get(ctx, partOf(answer, i))
			if err == nil && len(resp.Kvs) > 0 {
				part = resp.Kvs[0].Value
			}
			return err
		})
		if err != nil || part == nil { // its time is over
			return nil, vault.ErrOutcomeUnknown
		}
		b = append(b, part...)
	}
	return b, nil
}

func partOf(answer string, i int) string { return fmt.Sprintf("%s/%06d", answer, i) }

// withdraw takes a call back; false when it was taken already, or nobody says.
func (s *Store) withdraw(call string) bool {
	ctx, cancel := context.WithTimeout(s.ctx, callTimeout)
	defer cancel()
	resp, err := s.client.Delete(ctx, call)
	return err == nil && resp.Deleted == 1
}

// Serve handles what members ask of this term, each in a goroutine of its own
// under Bind's context, until the term or ctx ends and all are done.
func (t *Term) Serve(ctx context.Context, handle func(ctx context.Context, request []byte) []byte) {
	ctx, cancel := t.Bind(ctx)
	defer cancel()
	var running sync.WaitGroup
	defer running.Wait()
	calls := t.store.prefix + "/call/"
	for attempt := 0; ctx.Err() == nil; attempt++ {
		var waiting *clientv3.GetResponse
		err := t.store.read(ctx, func(ctx context.Context) (err error) {
			waiting, err = t.store.client.Get(ctx, calls, clientv3.WithPrefix())
			return err
		})
		if err == nil {
			for _, kv := range waiting.Kvs {
				running.Go(func() { t.take(ctx, string(kv.Key), kv.CreateRevision, kv.Value, handle) })
			}
			wctx, stop := context.WithCancel(clientv3.WithRequireLeader(ctx))
			for resp := range t.store.client.Watch(wctx, calls, clientv3.WithPrefix(), clientv3.WithFilterDelete(), clientv3.WithRev(waiting.Header.Revision+1)) {
				attempt = 0
				for _, ev := range resp.Events {
					running.Go(func() { t.take(ctx, string(ev.Kv.Key), ev.Kv.CreateRevision, ev.Kv.Value, handle) })
				}
			}
			stop()
		}
		_ = t.store.pause(ctx, attempt)
	}
}

// take handles one request, if it is still there.
func (t *Term) take(ctx context.Context, call string, rev int64, request []byte, handle func(context.Context, []byte) []byte) {
	s := t.store
	answer := s.prefix + "/answer/" + call[strings.LastIndexByte(call, '/')+1:]
	mark := takenMark + rand.Text()
	var resp *clientv3.TxnResponse
	err := s.call(ctx, func(ctx context.Context) (err error) {
		resp, err = s.client.Txn(ctx).
			If(clientv3.Compare(clientv3.CreateRevision(call), "=", rev), t.fence.compare()).
			Then(clientv3.OpDelete(call), clientv3.OpPut(answer, mark, clientv3.WithLease(t.session.Lease()))).
			Else(clientv3.OpGet(answer)).
			Commit()
		return err
	})
	if err != nil {
		_, _ = s.client.Delete(context.WithoutCancel(ctx), answer) // taken, perhaps, and not begun: let nobody wait
		return
	}
	if !resp.Succeeded {
		kvs := resp.Responses[0].GetResponseRange().Kvs
		if len(kvs) == 0 || string(kvs[0].Value) != mark { // else gRPC sent it twice
			return
		}
	}
	result := handle(ctx, request)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	lease, err := s.grant(ctx, callTTL)
	if err != nil {
		return
	}
	put := func(key, value string) error {
		return s.read(ctx, func(ctx context.Context) error { // put again: it stays the same
			_, err := s.client.Put(ctx, key, value, clientv3.WithLease(lease))
			return err
		})
	}
	if len(result) <= answerPart {
		_ = put(answer, answerMark+string(result))
		return
	}
	n := 0
	for part := range slices.Chunk(result, answerPart) {
		if put(partOf(answer, n), string(part)) != nil {
			return
		}
		n++
	}
	_ = put(answer, partsMark+strconv.Itoa(n))
}
