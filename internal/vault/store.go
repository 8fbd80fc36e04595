package vault

import "context"

// MaxKeys and MaxBytes bound one Update, on every engine: etcd takes no more
// than 128 operations and about 1 MB in a transaction.
const (
	MaxKeys  = 128     // distinct keys written, three of them for bookkeeping
	MaxBytes = 1 << 20 // bytes of keys and values written
)

// Store is the seam below the vault: ordered keys in serialisable
// transactions. An engine implements it and nothing else.
//
// View and Update run fn at least once and may run it again after a conflict,
// each time with a fresh KV. When fn or the commit fails, nothing of that run
// is kept. Neither may be called from inside fn.
type Store interface {
	View(ctx context.Context, fn func(KV) error) error
	Update(ctx context.Context, fn func(KV) error) error
	// Bound tells whether an Update under ctx has a condition of its own, which
	// others don't share, such as that a term still lasts.
	Bound(ctx context.Context) bool
	// Room is how many keys and bytes one Update may write that goes by it
	// (Vault.Fill): at least MaxKeys and MaxBytes.
	Room() (keys, bytes int)
	// Walk calls fn with each key and value, as of one moment and in byte order,
	// as they are stored and not as an engine has them in memory: for checks and
	// backups. It ends with the first error of fn.
	Walk(ctx context.Context, fn func(key string, v []byte) error) error
	Close() error
}

type glanceKey struct{}

// Glance lets a View under ctx be a moment old, on an engine that would have to
// ask other machines for the newest state. It sees all that this process has
// committed, and of others' what was acknowledged some milliseconds before. It
// is for lists that people look at: never for what hands out a secret, or
// decides something.
func Glance(ctx context.Context) context.Context { return context.WithValue(ctx, glanceKey{}, true) }

// Glances tells whether ctx comes from Glance.
func Glances(ctx context.Context) bool { return ctx.Value(glanceKey{}) != nil }

// KV is one transaction of a Store. The values it hands out are the caller's.
type KV interface {
	// Get returns nil when the key is absent. No value is empty.
	Get(key string) ([]byte, error)
	Put(key string, v []byte) error
	// Delete of an absent key is no error.
	Delete(key string) error
	// Scan calls fn for each key with the prefix, in byte order. In an Update
	// it sees the state at its start, whatever fn changes meanwhile.
	Scan(prefix string, fn func(key string, v []byte) error) error
}
