package etcdstore

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"pec-ingest/internal/vault"
)

// snapshot is the state of one generation. Values are not to be changed.
type snapshot interface {
	generation() generation
	get(ctx context.Context, key string) ([]byte, error)
	scan(ctx context.Context, prefix string, fn func(key string, v []byte) error) error
}

// viewKV reads one state.
type viewKV struct {
	ctx  context.Context
	snap snapshot
	lost bool // the state was compacted away: nothing that fn saw counts
}

func (kv *viewKV) note(err error) error {
	kv.lost = kv.lost || errors.Is(err, errCompacted)
	return err
}

func (kv *viewKV) Get(key string) ([]byte, error) {
	v, err := kv.snap.get(kv.ctx, key)
	return bytes.Clone(v), kv.note(err)
}

func (kv *viewKV) Put(string, []byte) error { return vault.ErrReadOnly }

func (kv *viewKV) Delete(string) error { return vault.ErrReadOnly }

func (kv *viewKV) Scan(prefix string, fn func(key string, v []byte) error) error {
	n := 0
	return kv.note(kv.snap.scan(kv.ctx, prefix, func(key string, v []byte) error {
		if n++; n%64 == 0 && kv.ctx.Err() != nil {
			return kv.ctx.Err()
		}
		return fn(key, bytes.Clone(v))
	}))
}

// updateKV reads one state and keeps what is written for the commit.
type updateKV struct {
	viewKV
	writes map[string]write
}

func newUpdateKV(ctx context.Context, snap snapshot) *updateKV {
	return &updateKV{viewKV{ctx: ctx, snap: snap}, map[string]write{}}
}

func (kv *updateKV) Get(key string) ([]byte, error) {
	if v, ok := kv.writes[key]; ok {
		return bytes.Clone(v), nil
	}
	return kv.viewKV.Get(key)
}

func (kv *updateKV) Put(key string, v []byte) error {
	if key == "" || len(v) == 0 {
		return vault.ErrInvalid
	}
	kv.writes[key] = bytes.Clone(v)
	return nil
}

func (kv *updateKV) Delete(key string) error {
	if key == "" {
		return vault.ErrInvalid
	}
	kv.writes[key] = nil
	return nil
}

// Scan sees what was written before it began, and nothing of what fn writes.
func (kv *updateKV) Scan(prefix string, fn func(key string, v []byte) error) error {
	var own []string // in order, not yet come to
	values := map[string]write{}
	for _, key := range slices.Sorted(maps.Keys(kv.writes)) {
		if strings.HasPrefix(key, prefix) {
			own, values[key] = append(own, key), kv.writes[key]
		}
	}
	upTo := func(key string) error {
		for len(own) > 0 && own[0] < key {
			k := own[0]
			own = own[1:]
			if values[k] == nil {
				continue
			}
			if err := fn(k, bytes.Clone(values[k])); err != nil {
				return err
			}
		}
		return nil
	}
	err := kv.viewKV.Scan(prefix, func(key string, v []byte) error {
		if err := upTo(key); err != nil {
			return err
		}
		if len(own) > 0 && own[0] == key {
			return nil // comes with what follows, or is deleted
		}
		return fn(key, v)
	})
	if err != nil {
		return err
	}
	return upTo("\xff\xff\xff\xff\xff")
}
