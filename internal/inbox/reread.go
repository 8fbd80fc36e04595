package inbox

import (
	"context"
	"fmt"
	"strings"
)

// TurnToProcessed makes this session work on the processed folder from now on
// instead of the watched one, and opens it for reading. ErrNoFolder: there is
// none. Filing by Move makes no sense there.
func (s *Session) TurnToProcessed(ctx context.Context) (folder string, box Mailbox, err error) {
	err = s.do(ctx, answerBudget, func() error {
		if strings.Trim(s.c.ProcessedFolder, "/ ") == "" {
			return ErrNoFolder
		}
		prefix, delim, err := s.namespace()
		if err != nil {
			return err
		}
		folder = folderName(s.c.ProcessedFolder, prefix, delim)
		there, err := s.folderExists(folder)
		if err == nil && !there {
			err = ErrNoFolder
		}
		return err
	})
	if err != nil {
		return "", Mailbox{}, fmt.Errorf("finding the processed folder: %w", err)
	}
	s.c.Folder = folder
	box, err = s.Examine(ctx)
	return folder, box, err
}
