package vault

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// bbolt believes what it reads: an empty file is initialised, a truncated one
// opened, a flipped byte in the newest meta page silently brings back the
// state before, and a bad page number is a fault in mapped memory. So before
// bbolt gets a file, walkFile reads it by ordinary reads, believing nothing.
//
// The file (bbolt format 2, native byte order), page by page:
//
//	0, 1   meta: page header, then magic, version, page size, flags (u32),
//	       root page, sequence, free-list page, high water mark, transaction
//	       (u64), FNV-1a of all that. Written in turn; the higher transaction
//	       holds.
//	2…     branch and leaf pages of a B+tree, each perhaps followed by
//	       overflow pages; one free list; free pages.
//
//	page header:    id u64, flags u16, count u16, overflow u32
//	branch element: pos u32, ksize u32, page u64      (pos: from the element)
//	leaf element:   flags u32, pos u32, ksize u32, vsize u32
//	bucket value:   root page u64, sequence u64, and when root = 0 the
//	                bucket's only page itself, in line
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagMeta     = 0x04
	flagFreelist = 0x10

	pageHeader  = 16
	metaLen     = 64
	branchElem  = 16
	leafElem    = 16
	leafBucket  = 0x01
	bucketValue = 16

	maxDepth    = 32        // a tree of 2^32 pages is no deeper
	maxPageSize = 64 << 10  // bbolt takes the machine's; the largest in use
	maxRun      = 256 << 20 // bytes of one page with its overflow
)

type boltMeta struct {
	pageSize             uint32
	root, freelist, high uint64
	txid                 uint64
}

// walkFile checks the whole structure and calls fn with each key and value of
// the vault's bucket, in key order; both are valid until fn returns. Errors
// wrap ErrForeign, ErrNewerFormat or ErrDamaged, or are those of r and fn.
func walkFile(r io.ReaderAt, size int64, fn func(key, value []byte) error) error {
	m, err := readMetas(r, size)
	if err != nil {
		return err
	}
	w := &walker{r: r, meta: m, used: make([]bool, m.high), fn: fn}
	w.used[0], w.used[1] = true, true
	if err := w.freelist(); err != nil {
		return err
	}
	if err := w.rootBucket(); err != nil {
		return err
	}
	// A page that is neither in use nor on the free list is lost room, no
	// more: bbolt never touches it. It is no reason to refuse a vault whose
	// every record is there.
	return nil
}

// readMetas demands that both meta pages are whole and returns the newer.
func readMetas(r io.ReaderAt, size int64) (boltMeta, error) {
	if size == 0 {
		return boltMeta{}, damaged("the file is empty")
	}
	first, err0 := readMeta(r, 0, 0)
	if errors.Is(err0, ErrNewerFormat) {
		return boltMeta{}, err0
	}
	if err0 != nil {
		// Without the first page the size of pages is unknown; look for the
		// second where bbolt puts it, to tell a damaged vault from any file.
		for ps := int64(1024); ps <= maxPageSize; ps *= 2 {
			if _, err := readMeta(r, ps, 1); err == nil {
				return boltMeta{}, damaged("meta page 0 is bad")
			}
		}
		return boltMeta{}, err0
	}
	second, err := readMeta(r, int64(first.pageSize), 1)
	if err != nil || second.pageSize != first.pageSize {
		return boltMeta{}, damaged("meta page 1 is bad")
	}
	if first.txid == second.txid {
		return boltMeta{}, damaged("both meta pages have one transaction")
	}
	m := first
	if second.txid > first.txid {
		m = second
	}
	if m.high < 3 || m.high > uint64(size)/uint64(m.pageSize) {
		return boltMeta{}, damaged("the file is truncated")
	}
	return m, nil
}

func readMeta(r io.ReaderAt, off int64, id uint64) (boltMeta, error) {
	var b [pageHeader + metaLen]byte
	if _, err := r.ReadAt(b[:], off); err != nil {
		if errors.Is(err, io.EOF) {
			return boltMeta{}, fmt.Errorf("%w: too short", ErrForeign)
		}
		return boltMeta{}, fmt.Errorf("reading meta page: %w", err)
	}
	ne := binary.NativeEndian
	d := b[pageHeader:]
	if ne.Uint32(d) != boltMagic {
		return boltMeta{}, fmt.Errorf("%w: no bbolt file", ErrForeign)
	}
	sum := fnv.New64a()
	_, _ = sum.Write(d[:56])
	if ne.Uint64(d[56:]) != sum.Sum64() || ne.Uint64(b[:]) != id || ne.Uint16(b[8:]) != flagMeta {
		return boltMeta{}, damaged("meta page %d is bad", id)
	}
	if v := ne.Uint32(d[4:]); v > boltVersion {
		return boltMeta{}, fmt.Errorf("%w: bbolt file version %d", ErrNewerFormat, v)
	}
	m := boltMeta{
		pageSize: ne.Uint32(d[8:]),
		root:     ne.Uint64(d[16:]),
		freelist: ne.Uint64(d[32:]),
		high:     ne.Uint64(d[40:]),
		txid:     ne.Uint64(d[48:]),
	}
	if m.pageSize < 1024 || m.pageSize > maxPageSize || m.pageSize&(m.pageSize-1) != 0 {
		return boltMeta{}, damaged("page size %d", m.pageSize)
	}
	return m, nil
}

type walker struct {
	r    io.ReaderAt
	meta boltMeta
	used []bool // by page: reached, or on the free list
	last []byte // the key before, for the order
	fn   func(key, value []byte) error

	// For lookup: only subtrees that may hold want are entered.
	want, found []byte
}

// page reads one page with its overflow and marks it used.
func (w *walker) page(id uint64) ([]byte, error) {
	if id >= w.meta.high {
		return nil, damaged("page %d lies outside the file", id)
	}
	size := int64(w.meta.pageSize)
	var head [pageHeader]byte
	if _, err := w.r.ReadAt(head[:], int64(id)*size); err != nil {
		return nil, fmt.Errorf("reading page %d: %w", id, err)
	}
	ne := binary.NativeEndian
	if ne.Uint64(head[:]) != id {
		return nil, damaged("page %d says to be another", id)
	}
	n := uint64(ne.Uint32(head[12:])) + 1
	if n > w.meta.high-id || int64(n)*size > maxRun {
		return nil, damaged("page %d runs past the file", id)
	}
	for i := id; i < id+n; i++ {
		if w.used[i] {
			return nil, damaged("page %d is used twice", i)
		}
		w.used[i] = true
	}
	b := make([]byte, int64(n)*size)
	if _, err := w.r.ReadAt(b, int64(id)*size); err != nil {
		return nil, fmt.Errorf("reading page %d: %w", id, err)
	}
	return b, nil
}

func (w *walker) freelist() error {
	if w.meta.freelist == ^uint64(0) {
		// bbolt can work without one; we never do, and opening such a file
		// for writing would change it.
		return fmt.Errorf("%w: bbolt file without free list", ErrForeign)
	}
	b, err := w.page(w.meta.freelist)
	if err != nil {
		return err
	}
	ne := binary.NativeEndian
	if ne.Uint16(b[8:]) != flagFreelist {
		return damaged("the free list is no free list")
	}
	ids, count := b[pageHeader:], uint64(ne.Uint16(b[10:]))
	if count == 0xFFFF { // more: the first element is the count
		count, ids = ne.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids)/8) {
		return damaged("the free list runs past its page")
	}
	for i := range count {
		id := ne.Uint64(ids[i*8:])
		if id < 2 || id >= w.meta.high {
			return damaged("free page %d lies outside the file", id)
		}
		if w.used[id] {
			return damaged("page %d is used and free", id)
		}
		w.used[id] = true
	}
	return nil
}

// rootBucket demands that the file holds our bucket and nothing else.
func (w *walker) rootBucket() error {
	b, err := w.page(w.meta.root)
	if err != nil {
		return err
	}
	ne := binary.NativeEndian
	count := ne.Uint16(b[10:])
	if ne.Uint16(b[8:]) != flagLeaf || count != 1 {
		return fmt.Errorf("%w: other buckets", ErrForeign)
	}
	flags, key, value, err := leafAt(b, 0)
	if err != nil {
		return err
	}
	if flags != leafBucket || string(key) != bucketName || len(value) < bucketValue {
		return fmt.Errorf("%w: other buckets", ErrForeign)
	}
	if root := ne.Uint64(value); root != 0 {
		return w.tree(root, nil, 0)
	}
	return w.leaf(value[bucketValue:], nil)
}

// tree walks the page and all below; first is the key by which the parent
// knows it, nil for the root.
func (w *walker) tree(id uint64, first []byte, depth int) error {
	if depth > maxDepth {
		return damaged("the tree is too deep")
	}
	b, err := w.page(id)
	if err != nil {
		return err
	}
	ne := binary.NativeEndian
	switch ne.Uint16(b[8:]) {
	case flagLeaf:
		return w.leaf(b, first)
	case flagBranch:
	default:
		return damaged("page %d is neither branch nor leaf", id)
	}
	count := int(ne.Uint16(b[10:]))
	if count == 0 {
		return damaged("page %d is an empty branch", id)
	}
	for i := range count {
		at := pageHeader + i*branchElem
		if at+branchElem > len(b) {
			return damaged("page %d: an element runs past it", id)
		}
		pos, ksize := uint64(ne.Uint32(b[at:])), uint64(ne.Uint32(b[at+4:]))
		key, ok := cut(b, uint64(at)+pos, ksize)
		if !ok || len(key) == 0 {
			return damaged("page %d: a key runs past it", id)
		}
		if i == 0 && first != nil && bytes.Compare(key, first) < 0 {
			return damaged("page %d starts before its place", id)
		}
		if w.last != nil && bytes.Compare(key, w.last) <= 0 {
			return damaged("page %d: keys out of order", id)
		}
		if w.want != nil && i+1 < count && w.startsBefore(b, i+1) {
			continue
		}
		if err := w.tree(ne.Uint64(b[at+8:]), key, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// startsBefore tells whether element i of a branch page starts at or before
// the key looked for, so that no element before it can hold that key.
func (w *walker) startsBefore(b []byte, i int) bool {
	at := pageHeader + i*branchElem
	if at+branchElem > len(b) {
		return false
	}
	ne := binary.NativeEndian
	key, ok := cut(b, uint64(at)+uint64(ne.Uint32(b[at:])), uint64(ne.Uint32(b[at+4:])))
	return ok && bytes.Compare(key, w.want) <= 0
}

func (w *walker) leaf(b, first []byte) error {
	if len(b) < pageHeader || binary.NativeEndian.Uint16(b[8:]) != flagLeaf {
		return damaged("a leaf page is none")
	}
	count := int(binary.NativeEndian.Uint16(b[10:]))
	if count == 0 && first != nil {
		return damaged("a leaf page is empty")
	}
	for i := range count {
		flags, key, value, err := leafAt(b, i)
		if err != nil {
			return err
		}
		if flags != 0 || len(value) == 0 {
			return damaged("an entry is no record")
		}
		if i == 0 && first != nil && bytes.Compare(key, first) < 0 {
			return damaged("a leaf page starts before its place")
		}
		if w.last != nil && bytes.Compare(key, w.last) <= 0 {
			return damaged("keys out of order")
		}
		w.last = append(w.last[:0], key...)
		if err := w.fn(key, value); err != nil {
			return err
		}
	}
	return nil
}

func leafAt(b []byte, i int) (flags uint32, key, value []byte, err error) {
	ne := binary.NativeEndian
	at := pageHeader + i*leafElem
	if at+leafElem > len(b) {
		return 0, nil, nil, damaged("an element runs past its page")
	}
	start := uint64(at) + uint64(ne.Uint32(b[at+4:]))
	ksize, vsize := uint64(ne.Uint32(b[at+8:])), uint64(ne.Uint32(b[at+12:]))
	key, ok := cut(b, start, ksize)
	if !ok || len(key) == 0 {
		return 0, nil, nil, damaged("a key runs past its page")
	}
	value, ok = cut(b, start+ksize, vsize)
	if !ok {
		return 0, nil, nil, damaged("a value runs past its page")
	}
	return ne.Uint32(b[at:]), key, value, nil
}

// cut is b[start:start+n] where that lies inside b. Neither number is large
// enough to overflow: both come from 32 bits.
func cut(b []byte, start, n uint64) ([]byte, bool) {
	if start+n > uint64(len(b)) {
		return nil, false
	}
	return b[start : start+n], true
}

// lookup finds one key without walking the rest of the file; nil when absent.
func lookup(r io.ReaderAt, size int64, key string) ([]byte, error) {
	m, err := readMetas(r, size)
	if err != nil {
		return nil, err
	}
	w := &walker{r: r, meta: m, used: make([]bool, m.high)}
	w.want = []byte(key)
	w.fn = func(k, v []byte) error {
		if string(k) != key {
			return nil
		}
		w.found = bytes.Clone(v)
		return errStop
	}
	if err := w.rootBucket(); err != nil && !errors.Is(err, errStop) {
		return nil, err
	}
	return w.found, nil
}
