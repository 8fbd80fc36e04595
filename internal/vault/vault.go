// Package vault keeps the clients, their sealed passwords and all that the
// service must remember in one file: bbolt for storage, age for sealing.
//
// Storage and sealing are apart. Whoever may write the file can change or
// remove records, but without an identity nobody reads a secret, and no record
// yields the secret of another. Damage by accident is noticed when the file is
// opened (every page, every record and their total are checked) and again at
// each record read.
//
// One process has the file open for writing. All state changes happen in
// Update, whose closure may be run again and is bounded by MaxKeys and
// MaxBytes, so that the same rules hold on a distributed engine.
package vault

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"time"
)

// Format is the version of the file format that this package writes. It reads
// all from 1 on.
const Format = 1

// DefaultLockTimeout is how long Open waits for another process.
const DefaultLockTimeout = time.Second

// Options says which vault to open, and how.
type Options struct {
	Path       string
	Recipients []byte // recipients file (age public keys); empty: nothing can be sealed
	Identity   []byte // identity file (age private keys); nil: none, nothing can be unsealed
	Create     bool   // make it, and its folder, where there is none
	ReadOnly   bool   // several processes may have it open so
	// SkipCheck opens without reading the whole file first. The format, the
	// meta pages and the identity are checked all the same.
	SkipCheck   bool
	LockTimeout time.Duration    // 0: DefaultLockTimeout
	Now         func() time.Time // nil: time.Now; the times of audit entries
}

// Vault is an open vault. It may be used by many goroutines.
//
// The file, format 1: one bbolt bucket "pec-ingest" with flat keys.
//
//	meta/format                  {"format":1,"id":…,"created":…,"recipients":…,"proof":…}
//	meta/sum                     {"records":…,"sum":…}
//	client/MAILBOX
//	cred/MAILBOX␀LOGIN           ver/MAILBOX␀LOGIN␀NNNNNN
//	sub/ID    open/ID            open/ is the work list
//	seen/ID                      refused/TIME/NNNNNN
//	cursor/FOLDER                hole/FOLDER␀UID
//	review/NNNNNN                waits/SENDER␀NNNNNN   open items of a sender
//	out/NNNNNNNN  outopen/NNNNNNNN  outid/MESSAGE-ID
//	cause/CAUSE                  what happens at most once, ever
//	attempts/MAILBOX             job/NAME    counter/NAME
//	otp/MAILBOX␀ACCOUNT          blob/ID␀FILE␀PIECE   account/NAME
//	feedkey/KIND␀NAME
//	audit/NNNNNNNNNNNN           reads/DAY␀ACTOR␀MAILBOX␀LOGIN␀NNNNNN
//
//	meta/…:  JSON, never framed, for ever
//	value:   of all others: 8 bytes of SHA-256(key ␀ rest) | rest
//	rest:    JSON; of audit/: hex SHA-256 of the JSON, line feed, JSON
//	sum:     number of records, and the sum of their 8 bytes modulo 2^64
//	proof:   a sealed text; opening it proves the identity
//
// Sealed texts are drawn in seal.go, the pages of the file in pages.go.
type Vault struct {
	store Store
	bolt  *boltStore // below store, for the care of the file; nil: another engine
	keys  *keys
	rec   formatRecord
	now   func() time.Time
	reads readGroup
	last  atomic.Pointer[[]byte] // meta/format as transactions saw it last; not in a file
}

// Info is what a vault says of itself.
type Info struct {
	Format  int       `json:"format"`
	ID      string    `json:"id"` // random, 32 hex digits; a backup has its vault's
	Created time.Time `json:"created"`
}

// formatRecord is meta/format. Every later format keeps these fields.
type formatRecord struct {
	Info
	Recipients []string `json:"recipients"` // what every record is sealed to
	Proof      []byte   `json:"proof"`
}

func (r formatRecord) label() Label { return Label{Source: r.ID} }

// Open opens the vault at o.Path, or makes it if o.Create. Errors are
// *OpenError around ErrMissing, ErrLocked, ErrWrongKey, ErrIdentityMissing,
// ErrRecipients, ErrNewerFormat, ErrDamaged, ErrForeign, ErrPermissions, or of
// the system. Whatever is refused is left as it was.
func Open(o Options) (*Vault, error) {
	return open(o, func(s Store) Store { return s })
}

// open is Open with a hand on the store, for tests.
func open(o Options, wrap func(Store) Store) (*Vault, error) {
	if o.LockTimeout == 0 {
		o.LockTimeout = DefaultLockTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	k, err := parseKeys(o.Recipients, o.Identity)
	if err == nil {
		err = k.selfTest()
	}
	if err != nil {
		return nil, explain(o.Path, err)
	}
	v, err := openFile(o, k, wrap)
	if errors.Is(err, fs.ErrNotExist) && o.Create && !o.ReadOnly {
		v, err = create(o, k, wrap)
		if errors.Is(err, fs.ErrExist) { // another process was faster
			v, err = openFile(o, k, wrap)
		}
	}
	if err != nil {
		return nil, explain(o.Path, err)
	}
	return v, nil
}

func openFile(o Options, k *keys, wrap func(Store) Store) (*Vault, error) {
	if _, err := os.Stat(o.Path); err != nil {
		return nil, err
	}
	if err := CheckPermissions(o.Path); err != nil {
		return nil, err
	}
	mode := os.O_RDWR
	if o.ReadOnly {
		mode = os.O_RDONLY
	}
	f, err := os.OpenFile(o.Path, mode, 0)
	if err != nil {
		return nil, err
	}
	rec, err := inspectOpen(f, o)
	if err == nil && len(k.identities) > 0 {
		_, err = k.unseal(purposeProof, rec.label(), rec.Proof)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	s, err := openBolt(f, o.ReadOnly)
	if err != nil {
		return nil, err
	}
	s.path = o.Path
	return &Vault{store: wrap(s), bolt: s, keys: k, rec: rec, now: o.Now}, nil
}

// inspectOpen locks the file and judges it before bbolt sees it.
func inspectOpen(f *os.File, o Options) (formatRecord, error) {
	if err := lock(f, o.ReadOnly, o.LockTimeout); err != nil {
		return formatRecord{}, err
	}
	opened, err := f.Stat()
	if err != nil {
		return formatRecord{}, err
	}
	named, err := os.Stat(o.Path)
	if err != nil || !os.SameFile(opened, named) {
		return formatRecord{}, ErrLocked // replaced while this process waited
	}
	if o.SkipCheck {
		return inspectFormat(f, opened.Size())
	}
	return inspect(f, opened.Size())
}

// create makes a vault under another name and renames it when it is whole, so
// that a crash leaves no half of one.
func create(o Options, k *keys, wrap func(Store) Store) (*Vault, error) {
	rec, err := newFormat(o.Now(), k)
	if err != nil {
		return nil, err
	}
	f, err := openNew(o.Path, o.LockTimeout, checkFolder)
	if err != nil {
		return nil, err
	}
	s, err := openBolt(f, false)
	if err != nil {
		return nil, err
	}
	err = s.Update(context.Background(), func(kv KV) error { return putFormat(kv, rec) })
	if err == nil {
		err = publish(o.Path)
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	s.path = o.Path
	return &Vault{store: wrap(s), bolt: s, keys: k, rec: rec, now: o.Now}, nil
}

// newFormat is the format record of a new vault.
func newFormat(now time.Time, k *keys) (rec formatRecord, err error) {
	if len(k.recipients) == 0 {
		return rec, ErrNoRecipients
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	rec = formatRecord{
		Info: Info{
			Format:  Format,
			ID:      hex.EncodeToString(id[:]),
			Created: second(now),
		},
		Recipients: k.names,
	}
	rec.Proof, err = k.seal(purposeProof, rec.label(), nil)
	return rec, err
}

func putFormat(kv KV, rec formatRecord) error {
	b, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	var t total
	t.add(keyFormat, b)
	sum, err := json.Marshal(t)
	if err != nil {
		return err
	}
	if err := kv.Put(keyFormat, b); err != nil {
		return err
	}
	return kv.Put(keySum, sum)
}

// walk calls fn with each key and value of a vault as they are stored, in
// order; both are valid until fn returns.
type walk func(fn func(key, value []byte) error) error

// inspect reads a whole file: structure, format, each record, their total.
func inspect(r io.ReaderAt, size int64) (formatRecord, error) {
	return inspectAll(func(fn func(key, value []byte) error) error { return walkFile(r, size, fn) })
}

// inspectAll is inspect for what any engine holds.
func inspectAll(all walk) (formatRecord, error) {
	var rec formatRecord
	var found, stored total
	var bad error // a newer format may frame its records otherwise: judged last
	err := all(func(key, value []byte) error {
		k := string(key)
		switch k {
		case keySum:
			if err := json.Unmarshal(value, &stored); err != nil {
				bad = damaged("record %s", keySum)
			}
			return nil
		case keyFormat:
			var err error
			if rec, err = parseFormat(value); err != nil {
				return err
			}
		default:
			if _, err := unframe(k, value); err != nil && bad == nil {
				bad = err
			}
		}
		found.add(k, value)
		return nil
	})
	switch {
	case err != nil:
		return rec, err
	case rec.Format == 0:
		return rec, fmt.Errorf("%w: no format record", ErrForeign)
	case bad != nil:
		return rec, bad
	case found != stored:
		return rec, damaged("%d records where %d were written, or others", found.Records, stored.Records)
	}
	return rec, nil
}

// errStop ends a walk early.
var errStop = errors.New("stop")

// inspectFormat reads no more than leads to the format record.
func inspectFormat(r io.ReaderAt, size int64) (formatRecord, error) {
	var rec formatRecord
	value, err := lookup(r, size, keyFormat)
	if err != nil {
		return rec, err
	}
	if value == nil {
		return rec, fmt.Errorf("%w: no format record", ErrForeign)
	}
	return parseFormat(value)
}

func parseFormat(value []byte) (formatRecord, error) {
	var rec formatRecord
	if err := json.Unmarshal(value, &rec); err != nil || rec.Format < 1 {
		return rec, damaged("record %s", keyFormat)
	}
	if rec.Format > Format {
		return rec, fmt.Errorf("%w: format %d, this program knows %d", ErrNewerFormat, rec.Format, Format)
	}
	return rec, nil
}

// explain adds the hint a person needs. Errors that carry one keep it.
func explain(path string, err error) error {
	var known *OpenError
	if errors.As(err, &known) {
		return err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, ErrMissing):
		return openError(path, "a command that stores something makes it, e.g. ingest client add", ErrMissing)
	case errors.Is(err, ErrLocked):
		return openError(path, "is another ingest running? its socket did not answer", err)
	case errors.Is(err, ErrWrongKey):
		return openError(path, "identity_file must hold the private half of a key that is in recipients_file, and was when the vault was made", err)
	case errors.Is(err, ErrIdentityMissing):
		return openError(path, "identity_file must be a file of age-keygen; leave it empty to run without", err)
	case errors.Is(err, ErrRecipients), errors.Is(err, ErrNoRecipients):
		return openError(path, "recipients_file holds age public keys, one a line, all post-quantum (age1pq1…) or none", err)
	case errors.Is(err, ErrNewerFormat):
		return openError(path, "install the version that wrote it, or a later one", err)
	case errors.Is(err, ErrDamaged):
		return openError(path, "stop, keep a copy of the file, and restore the newest good backup", err)
	case errors.Is(err, ErrUnavailable):
		return openError(path, "do the members that vault.url names run, and can this machine reach them? `etcdctl endpoint health`", err)
	case errors.Is(err, ErrNoSpace):
		return openError(path, "compact and defragment the cluster, then `etcdctl alarm disarm`; see docs/cluster.md", err)
	case errors.Is(err, errCopying):
		return openError(path, "run that `ingest vault copy` or `ingest restore` again: it begins anew", err)
	case errors.Is(err, ErrForeign):
		return openError(path, "vault.url names a file that something else made", err)
	}
	return openError(path, "", err)
}

// Close waits for running transactions and gives the file back.
func (v *Vault) Close() error { return v.store.Close() }

// CanOpen tells whether there is an identity to unseal with.
func (v *Vault) CanOpen() bool { return len(v.keys.identities) > 0 }

// Info returns format, id and creation time.
func (v *Vault) Info() Info { return v.rec.Info }

// View runs fn on the state as it is now, undisturbed by later changes.
// View and Update must not be called from inside fn.
func (v *Vault) View(ctx context.Context, fn func(tx *Tx) error) error {
	return v.store.View(ctx, func(kv KV) error {
		if err := v.unchanged(kv); err != nil {
			return err
		}
		return fn(v.tx(kv, false))
	})
}

// unchanged demands that what other processes may write to is still the vault
// that was opened, in a format that this program knows: a later version of it
// may be at work by now, or the vault may be gone. A file is this process'
// alone.
func (v *Vault) unchanged(kv KV) error {
	if v.bolt != nil {
		return nil
	}
	b, err := kv.Get(keyFormat)
	if err != nil {
		return err
	}
	if b == nil {
		return ErrMissing
	}
	if last := v.last.Load(); last != nil && bytes.Equal(b, *last) {
		return nil
	}
	rec, err := parseFormat(b)
	if err != nil {
		return err
	}
	if rec.ID != v.rec.ID {
		return fmt.Errorf("%w that was opened: another one is in its place", ErrForeign)
	}
	v.last.Store(&b)
	return nil
}

// Update runs fn and commits what it changed, all or nothing. fn may be run
// again, so it must have no effect but through tx, and what it collects must
// start afresh in each run. An fn that fails, by its own error or ErrTooLarge,
// changes nothing; nor does a commit that fails (disk full: the system's
// error), after which the vault goes on working.
func (v *Vault) Update(ctx context.Context, fn func(tx *Tx) error) error {
	return v.update(ctx, fn, MaxKeys, MaxBytes)
}

func (v *Vault) update(ctx context.Context, fn func(tx *Tx) error, maxKeys, maxBytes int) error {
	return v.store.Update(ctx, func(kv KV) error {
		if err := v.unchanged(kv); err != nil {
			return err
		}
		tx := v.tx(kv, true)
		tx.kv.maxKeys, tx.kv.maxBytes = maxKeys, maxBytes
		if err := fn(tx); err != nil {
			return err
		}
		return tx.kv.finish()
	})
}

// Fill is Update for an fn that ends by itself when Tx.Room says that the
// transaction is full. It may get larger than others, where the engine allows
// that: many small changes then wait for the disk once.
func (v *Vault) Fill(ctx context.Context, fn func(tx *Tx) error) error {
	keys, bytes := v.Room()
	return v.update(ctx, fn, keys, bytes)
}

// Room is how much Fill may write: MaxKeys and MaxBytes, or more.
func (v *Vault) Room() (keys, bytes int) { return v.store.Room() }

// InPlace is ErrMoved when the vault's file was moved away, deleted or replaced
// since it was opened; nothing is stored in it then.
func (v *Vault) InPlace() error {
	if v.bolt == nil {
		return nil
	}
	return v.bolt.inPlace()
}

func (v *Vault) tx(kv KV, writable bool) *Tx {
	return &Tx{kv: newCheckedKV(kv, writable), now: v.now, vaultID: v.rec.ID}
}
