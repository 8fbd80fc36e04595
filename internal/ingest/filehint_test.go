package ingest_test

import (
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"pec-ingest/internal/ingest"
)

// The hint speaks of what is wrong, and of nothing else.
func TestFileHint(t *testing.T) {
	const mode = "mode 0600"
	tests := []struct {
		err       error
		want, not string
	}{
		{syscall.EMFILE, "LimitNOFILE=", mode},
		{syscall.ENFILE, "fs.file-max", mode},
		{syscall.EIO, "the disk fails", mode},
		{syscall.EACCES, mode, "LimitNOFILE"},
		{syscall.ENOENT, "install -m 0600", "LimitNOFILE"},
		{syscall.EISDIR, mode, "LimitNOFILE"},
	}
	for _, tt := range tests {
		err := fmt.Errorf("reading: %w", &fs.PathError{Op: "open", Path: "/etc/x/private/inbox-password", Err: tt.err})
		if got := ingest.FileHint(err); !strings.Contains(got, tt.want) || strings.Contains(got, tt.not) {
			t.Errorf("%v: got %q, want %q in it and not %q", tt.err, got, tt.want, tt.not)
		}
	}
}
