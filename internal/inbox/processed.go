package inbox

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// ProcessedFolder is the full name of the folder that File moves to, once it
// has moved something; "" before.
func (s *Session) ProcessedFolder() string { return s.processed }

// findProcessed learns the processed folder's full name and makes it when it
// is missing. It runs inside do.
func (s *Session) findProcessed() error {
	if s.processed != "" {
		return nil
	}
	if strings.Trim(s.c.ProcessedFolder, "/ ") == "" {
		return fmt.Errorf("%w: no processed folder is configured", ErrCannotFile)
	}
	prefix, delim, err := s.namespace()
	if err != nil {
		return err
	}
	name := folderName(s.c.ProcessedFolder, prefix, delim)
	there, err := s.folderExists(name)
	if err != nil {
		return err
	}
	if !there {
		err := s.imap.Create(name, nil).Wait()
		var ie *imap.Error
		if errors.As(err, &ie) && ie.Code != imap.ResponseCodeAlreadyExists {
			return fmt.Errorf("making the processed folder: %w", s.cannotFile(err))
		}
		if err != nil && ie == nil {
			return err
		}
		// Mail programs show subscribed folders only. A refusal does no harm.
		if err := s.imap.Subscribe(name).Wait(); err != nil && !errors.As(err, &ie) {
			return err
		}
	}
	s.processed = name
	return nil
}

// folderName puts a configured name ("/" between levels) below the server's
// prefix. A name that has the prefix already is taken as it is.
func folderName(configured, prefix, delim string) string {
	name := strings.Trim(configured, "/ ")
	if delim != "" {
		name = strings.ReplaceAll(name, "/", delim)
	}
	if prefix != "" && len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
		return name
	}
	return prefix + name
}

// namespace returns the prefix below which personal folders lie ("INBOX." or
// "") and the character between levels.
func (s *Session) namespace() (prefix, delim string, err error) {
	if s.caps.Has(imap.CapNamespace) {
		data, err := s.imap.Namespace().Wait()
		if err == nil && len(data.Personal) > 0 {
			if d := data.Personal[0].Delim; d != 0 { // else a flat server
				delim = string(d)
			}
			return data.Personal[0].Prefix, delim, nil
		}
		var ie *imap.Error
		if err != nil && !errors.As(err, &ie) {
			return "", "", err
		}
	}
	// Without NAMESPACE: if there are folders and all lie below INBOX, so
	// will ours.
	folders, err := s.imap.List("", "%", nil).Collect()
	if err != nil {
		return "", "", err
	}
	for _, f := range folders {
		if f.Delim != 0 {
			delim = string(f.Delim)
		}
	}
	below, err := s.imap.List("", "INBOX"+delim+"%", nil).Collect()
	if err != nil {
		return "", "", err
	}
	if delim != "" && len(folders) == 1 && len(below) > 0 {
		return "INBOX" + delim, delim, nil
	}
	return "", delim, nil
}

func (s *Session) folderExists(name string) (bool, error) {
	if strings.ContainsAny(name, "*%") {
		return false, nil // can't be listed by name; CREATE tells
	}
	folders, err := s.imap.List("", name, nil).Collect()
	if err != nil {
		return false, err
	}
	for _, f := range folders {
		if f.Mailbox == name && !slices.Contains(f.Attrs, imap.MailboxAttrNonExistent) &&
			!slices.Contains(f.Attrs, imap.MailboxAttrNoSelect) {
			return true, nil
		}
	}
	return false, nil
}
