package inbox

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-message/textproto"
)

// After says what becomes of a message that is settled.
type After string

const (
	Move   After = "move"   // to the processed folder
	Keep   After = "keep"   // nothing: it stays, unread
	Delete After = "delete" // gone for good
)

// FileItem is one message to file away. MessageID (without <>) is what it had
// when it was read: a message that has another one now is not touched.
type FileItem struct {
	UID       uint32
	MessageID string
}

// File files messages away. It opens the folder for writing, does nothing if
// UIDVALIDITY is no longer uidValidity (ErrUIDValidity), and touches only the
// messages that still have the Message-ID given. What was not there any more
// is in gone. The folder for Move is made when missing.
//
// Safe to be run again after any failure: a message that was moved before the
// answer came is gone then, and where moving is copying, what was copied
// before is not copied twice. Only UID EXPUNGE is ever used, so messages that
// people have marked deleted stay until they expunge them.
//
// Errors wrap ErrUIDValidity, ErrCannotFile, ErrNoFolder or one that ends the
// session; filed and gone hold what is certain even then.
func (s *Session) File(ctx context.Context, uidValidity uint32, items []FileItem, after After) (filed, gone []uint32, err error) {
	if len(items) == 0 {
		return nil, nil, nil
	}
	switch after {
	case Keep:
		for _, it := range items {
			filed = append(filed, it.UID)
		}
		return filed, nil, nil
	case Move, Delete:
	default:
		return nil, nil, fmt.Errorf("filing messages: %w: unknown way %q", ErrCannotFile, string(after))
	}
	err = s.do(ctx, 2*(answerBudget+int64(len(items))*(MaxHeader+itemBudget)), func() error {
		known := s.processed != ""
		var ferr error
		filed, gone, ferr = s.file(uidValidity, items, after)
		if known && len(filed) == 0 && errors.Is(ferr, ErrCannotFile) {
			// Somebody may have deleted or renamed the folder since it was
			// found; cannotFile has forgotten it.
			filed, gone, ferr = s.file(uidValidity, items, after)
		}
		return ferr
	})
	// The next command that reads opens the folder read-only again.
	s.examined = false
	if err != nil {
		return filed, gone, fmt.Errorf("filing messages: %w", err)
	}
	return filed, gone, nil
}

func (s *Session) file(uidValidity uint32, items []FileItem, after After) (filed, gone []uint32, err error) {
	if after == Move {
		if err := s.findProcessed(); err != nil {
			return nil, nil, err
		}
	}
	moves := after == Move && s.caps.Has(imap.CapMove)
	if !moves && !s.caps.Has(imap.CapUIDPlus) {
		return nil, nil, fmt.Errorf("%w: it offers neither MOVE nor UIDPLUS", ErrCannotFile)
	}
	copied := map[uint32]bool{}
	if after == Move && !moves {
		// Before the folder is opened for writing: only one can be open.
		if copied, err = s.copiedBefore(items); err != nil {
			return nil, nil, err
		}
	}
	if err := s.open(false); err != nil {
		return nil, nil, err
	}
	if s.mailbox.UIDValidity != uidValidity {
		return nil, nil, ErrUIDValidity
	}
	same, gone, hidden, err := s.stillThere(items)
	if err != nil {
		return nil, gone, err
	}
	if len(hidden) > 0 {
		err = fmt.Errorf("%w: the server lists %d of %d and does not show them", ErrCannotFile, len(hidden), len(items))
	}
	if len(same) == 0 {
		return nil, gone, err
	}
	hiding := err
	switch {
	case moves:
		err = s.move(same)
	case after == Move:
		err = s.copyAndRemove(same, copied)
	default:
		err = s.remove(same)
	}
	// What counts is what the folder holds now, whatever was answered: COPYUID
	// may be missing, and a MOVE of a message that has just vanished is OK.
	left, lerr := s.present(same)
	if lerr != nil {
		return nil, gone, errors.Join(err, lerr)
	}
	for _, uid := range same {
		if !left[uid] {
			filed = append(filed, uid)
		}
	}
	if err == nil && len(filed) < len(same) {
		err = fmt.Errorf("%w: %d of %d stayed", ErrCannotFile, len(same)-len(filed), len(same))
	}
	if err == nil {
		err = hiding
	}
	return filed, gone, err
}

func (s *Session) move(uids []uint32) error {
	_, err := s.imap.Move(uidSet(uids), s.processed).Wait()
	return s.cannotFile(err)
}

// copyAndRemove is MOVE for servers without it. Only what COPYUID (RFC 4315)
// names, or was copied before, is removed.
func (s *Session) copyAndRemove(uids []uint32, copied map[uint32]bool) error {
	var todo []uint32
	for _, uid := range uids {
		if !copied[uid] {
			todo = append(todo, uid)
		}
	}
	if len(todo) > 0 {
		data, err := s.imap.Copy(uidSet(todo), s.processed).Wait()
		if err != nil {
			return s.cannotFile(err)
		}
		for _, uid := range todo {
			if data.SourceUIDs.Contains(imap.UID(uid)) {
				copied[uid] = true
			}
		}
	}
	var safe []uint32
	for _, uid := range uids {
		if copied[uid] {
			safe = append(safe, uid)
		}
	}
	if len(safe) == 0 {
		return nil
	}
	return s.remove(safe)
}

// remove marks exactly these messages and expunges exactly these.
func (s *Session) remove(uids []uint32) error {
	set := uidSet(uids)
	flags := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}
	if err := s.imap.Store(set, flags, nil).Close(); err != nil {
		return s.cannotFile(err)
	}
	return s.cannotFile(s.imap.UIDExpunge(set).Close())
}

// cannotFile turns a NO into ErrCannotFile; other errors are the session's.
func (s *Session) cannotFile(err error) error {
	var ie *imap.Error
	if errors.As(err, &ie) {
		s.processed = "" // somebody may have removed it: look again next time
		return fmt.Errorf("%w%s", ErrCannotFile, coded(ie.Code, s.cleanText(ie.Text)))
	}
	return err
}

// stillThere compares the Message-ID of each message with the one given. What
// the server does not show is gone if it doesn't list it either, else hidden:
// that says nothing, and it is asked again another time.
func (s *Session) stillThere(items []FileItem) (same, gone, hidden []uint32, err error) {
	want := map[uint32]string{}
	var uids []uint32
	for _, it := range items {
		if it.UID == 0 {
			continue
		}
		if _, twice := want[it.UID]; !twice {
			uids = append(uids, it.UID)
		}
		want[it.UID] = it.MessageID
	}
	slices.Sort(uids)
	found := map[uint32]bool{}
	var missing []uint32
	section := &imap.FetchItemBodySection{
		Peek: true, Specifier: imap.PartSpecifierHeader, HeaderFields: []string{"Message-ID"},
		Partial: &imap.SectionPartial{Offset: 0, Size: MaxHeader},
	}
	opts := &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{section}}
	for chunk := range slices.Chunk(uids, headerBatch) {
		each := func(it item) error {
			if id := messageID(it.raw); id != "" && id == want[it.uid] {
				found[it.uid] = true
			} else {
				s.c.Logger.Warn("message to file is another one now", "event", "inbox.mismatch", "uid", it.uid)
			}
			return nil
		}
		cmd := s.imap.Fetch(uidSet(chunk), opts)
		lost, err := s.read(cmd, chunk, MaxHeader, false, each)
		if err != nil {
			return nil, nil, nil, err
		}
		missing = append(missing, lost...)
	}
	var listed map[uint32]bool // nil: not known
	if len(missing) > 0 {
		var ie *imap.Error
		if listed, err = s.present(missing); errors.As(err, &ie) {
			listed = nil // it won't say
		} else if err != nil {
			return nil, nil, nil, err
		}
	}
	for _, uid := range uids {
		switch {
		case found[uid]:
			same = append(same, uid)
		case slices.Contains(missing, uid) && (listed == nil || listed[uid]):
			hidden = append(hidden, uid)
		default:
			gone = append(gone, uid)
		}
	}
	return same, gone, hidden, nil
}

// messageID reads the Message-ID, without <>, from a block of header fields.
// Two of them, or none, are "".
func messageID(header []byte) string {
	h, err := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(header)))
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	values := h.Values("Message-Id")
	if len(values) != 1 {
		return ""
	}
	id := strings.TrimSpace(values[0])
	id = strings.TrimPrefix(id, "<")
	return strings.TrimSuffix(id, ">")
}

// present tells which of the messages are in the open folder.
func (s *Session) present(uids []uint32) (map[uint32]bool, error) {
	data, err := s.imap.UIDSearch(&imap.SearchCriteria{UID: []imap.UIDSet{uidSet(uids)}}, nil).Wait()
	if err != nil {
		return nil, err
	}
	found, err := expand(data.All, 1, int64(len(uids))+answerBudget)
	if err != nil {
		return nil, err
	}
	left := map[uint32]bool{}
	for _, uid := range found {
		left[uid] = true
	}
	return left, nil
}

// copiedBefore looks which messages are already in the processed folder: a
// run that ended between COPY and EXPUNGE has left them in both.
func (s *Session) copiedBefore(items []FileItem) (map[uint32]bool, error) {
	s.examined = false
	if _, err := s.imap.Select(s.processed, &imap.SelectOptions{ReadOnly: true}).Wait(); err != nil {
		return nil, s.cannotFile(err)
	}
	copied := map[uint32]bool{}
	for _, it := range items {
		crit := &imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Message-ID", Value: it.MessageID}}}
		data, err := s.imap.UIDSearch(crit, nil).Wait()
		if err != nil {
			return nil, err
		}
		if set, ok := data.All.(imap.UIDSet); ok && len(set) > 0 {
			copied[it.UID] = true
		}
	}
	return copied, nil
}
