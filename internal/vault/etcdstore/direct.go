package etcdstore

import (
	"context"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// direct reads the state of one revision from the cluster, key by key.
type direct struct {
	store *Store
	rev   int64
	gen   generation
}

func (d *direct) generation() generation { return d.gen }

func (d *direct) get(ctx context.Context, key string) (v []byte, err error) {
	err = d.store.read(ctx, func(ctx context.Context) error {
		resp, err := d.store.client.Get(ctx, d.store.root+key, clientv3.WithRev(d.rev))
		if err == nil && len(resp.Kvs) > 0 {
			v = resp.Kvs[0].Value
		}
		return err
	})
	return v, err
}

// Pages of a range aim at this many bytes: far below what one answer may
// have, and large enough that the way there does not count.
const (
	pageBytes = 2 << 20
	firstPage = 64   // keys, before their size is known
	maxPage   = 4000 // keys
)

func (d *direct) scan(ctx context.Context, prefix string, fn func(key string, v []byte) error) error {
	return d.pages(ctx, prefix, prefix, func(key string, v []byte, _ int64) error { return fn(key, v) })
}

// pages calls fn with each key from from on that has the prefix, and with the
// revision in which it was last put. The generation is not among them.
func (d *direct) pages(ctx context.Context, prefix, from string, fn func(key string, v []byte, modRev int64) error) error {
	root := d.store.root
	start, end := root+from, clientv3.GetPrefixRangeEnd(root+prefix)
	limit := int64(firstPage)
	for {
		var resp *clientv3.GetResponse
		err := d.store.read(ctx, func(ctx context.Context) (err error) {
			resp, err = d.store.client.Get(ctx, start, clientv3.WithRange(end), clientv3.WithRev(d.rev), clientv3.WithLimit(limit))
			return err
		})
		if err != nil {
			return err
		}
		size := 0
		for _, kv := range resp.Kvs {
			size += len(kv.Key) + len(kv.Value)
			key := strings.TrimPrefix(string(kv.Key), root)
			if key == "" {
				continue
			}
			if err := fn(key, kv.Value, kv.ModRevision); err != nil {
				return err
			}
		}
		if !resp.More || len(resp.Kvs) == 0 {
			return nil
		}
		start = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
		limit = min(max(int64(pageBytes/max(size/len(resp.Kvs), 1)), 16), maxPage)
	}
}

// Walk calls fn with each key and value as the cluster has them now, past any
// copy in memory: for checks and backups.
func (s *Store) Walk(ctx context.Context, fn func(key string, v []byte) error) error {
	ctx, cancel := s.within(ctx)
	defer cancel()
	newest, err := s.latest(ctx)
	if err != nil {
		return err
	}
	d := &direct{store: s, rev: newest.rev, gen: newest}
	return d.scan(ctx, "", fn)
}
