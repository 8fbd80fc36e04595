package inbox_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/servertest"
)

func item(uid uint32, id string) inbox.FileItem {
	return inbox.FileItem{UID: uid, MessageID: id + "@pec.example"}
}

const (
	noMove    = "IMAP4rev1 UIDPLUS NAMESPACE"
	noUIDPlus = "IMAP4rev1 NAMESPACE"
	bare      = "IMAP4rev1 UIDPLUS" // no MOVE, no NAMESPACE
)

// Whatever the server can do, the right messages go, nothing else is touched,
// and a second run does nothing.
func TestFile(t *testing.T) {
	for _, c := range []struct {
		name   string
		o      servertest.DovecotOptions
		folder string // configured
		full   string // as the server has it
	}{
		{"aruba", servertest.DovecotOptions{}, "Password acquisite", "INBOX.Password acquisite"},
		{"prefix given", servertest.DovecotOptions{}, "INBOX.Acquisite", "INBOX.Acquisite"},
		{"two levels", servertest.DovecotOptions{}, "Studio/Acquisite", "INBOX.Studio.Acquisite"},
		{"no prefix", servertest.DovecotOptions{Prefix: "-", Separator: "/"}, "Password acquisite", "Password acquisite"},
		{"copy", servertest.DovecotOptions{Capability: noMove}, "Password acquisite", "INBOX.Password acquisite"},
		{"copy, no namespace", servertest.DovecotOptions{Capability: bare, Prefix: "-", Separator: "/"}, "Password acquisite", "Password acquisite"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := studioServer(t, c.o)
			for _, id := range []string{"a", "b", "c", "d", "e"} {
				d.Deliver(studio, "INBOX", mail(id, 300), time.Time{})
			}
			d.Messages(studio, "INBOX")
			d.Flag(studio, "INBOX", 5, `\Deleted`) // somebody's, not ours to expunge
			d.Expunge(studio, "INBOX", 2)
			conf := config(d)
			conf.ProcessedFolder = c.folder
			s := dial(t, conf)
			box, err := s.Examine(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			items := []inbox.FileItem{item(1, "a"), item(2, "b"), item(3, "other"), item(77, "x")}
			filed, gone, err := s.File(t.Context(), box.UIDValidity, items, inbox.Move)
			if err != nil || !slices.Equal(filed, []uint32{1}) || !slices.Equal(gone, []uint32{2, 3, 77}) {
				t.Fatalf("got filed %v, gone %v, %v; want 1 filed and 2, 3, 77 gone", filed, gone, err)
			}
			if s.ProcessedFolder() != c.full {
				t.Errorf("processed folder: got %q, want %q", s.ProcessedFolder(), c.full)
			}
			left := d.Messages(studio, "INBOX")
			if got := uids(left); !slices.Equal(got, []uint32{3, 4, 5}) {
				t.Errorf("left in the inbox: got %v, want 3, 4, 5", got)
			}
			for _, m := range left {
				if m.Seen() {
					t.Errorf("message %d is marked read", m.UID)
				}
			}
			moved := d.Messages(studio, c.full)
			if len(moved) != 1 || moved[0].MessageID != "<a@pec.example>" || slices.Contains(moved[0].Flags, `\Deleted`) || moved[0].Seen() {
				t.Errorf("processed: got %+v, want one unread message <a@pec.example>", moved)
			}
			filed, gone, err = s.File(t.Context(), box.UIDValidity, items[:1], inbox.Move)
			if err != nil || filed != nil || !slices.Equal(gone, []uint32{1}) {
				t.Errorf("again: got filed %v, gone %v, %v; want 1 gone", filed, gone, err)
			}
			// The session reads on, read-only.
			if got, err := s.Search(t.Context(), 1, time.Time{}); err != nil || len(got) != 3 {
				t.Errorf("afterwards: got %v, %v, want three messages", got, err)
			}
		})
	}
}

// A run that ended between COPY and EXPUNGE has left the message in both
// folders: the next one removes it from the inbox and copies nothing.
func TestFileAfterInterruptedCopy(t *testing.T) {
	d := studioServer(t, servertest.DovecotOptions{Capability: noMove})
	d.Deliver(studio, "INBOX", mail("a", 300), time.Time{})
	d.Deliver(studio, "INBOX.Password acquisite", mail("a", 300), time.Time{})
	s := dial(t, config(d))
	box, err := s.Examine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	filed, gone, err := s.File(t.Context(), box.UIDValidity, []inbox.FileItem{item(1, "a")}, inbox.Move)
	if err != nil || len(filed) != 1 || gone != nil {
		t.Fatalf("got filed %v, gone %v, %v; want 1 filed", filed, gone, err)
	}
	if in, out := len(d.Messages(studio, "INBOX")), len(d.Messages(studio, "INBOX.Password acquisite")); in != 0 || out != 1 {
		t.Errorf("got %d in the inbox and %d processed, want 0 and 1", in, out)
	}
}

func TestFileOtherwise(t *testing.T) {
	d := studioServer(t, servertest.DovecotOptions{})
	for _, id := range []string{"a", "b"} {
		d.Deliver(studio, "INBOX", mail(id, 300), time.Time{})
	}
	s := dial(t, config(d))
	box, err := s.Examine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	filed, _, err := s.File(t.Context(), box.UIDValidity, []inbox.FileItem{item(1, "a")}, inbox.Keep)
	if err != nil || len(filed) != 1 || len(d.Messages(studio, "INBOX")) != 2 {
		t.Errorf("keep: got filed %v, %v and %d messages; want 1 filed, both there", filed, err, len(d.Messages(studio, "INBOX")))
	}
	filed, _, err = s.File(t.Context(), box.UIDValidity, []inbox.FileItem{item(1, "a")}, inbox.Delete)
	if got := uids(d.Messages(studio, "INBOX")); err != nil || len(filed) != 1 || !slices.Equal(got, []uint32{2}) {
		t.Errorf("delete: got filed %v, %v and left %v; want 1 filed, 2 left", filed, err, got)
	}
	if got := d.Folders(studio); len(got) != 1 {
		t.Errorf("keep and delete have made folders: %q", got)
	}
	if _, _, err := s.File(t.Context(), box.UIDValidity, []inbox.FileItem{item(2, "b")}, "burn"); !errors.Is(err, inbox.ErrCannotFile) {
		t.Errorf("unknown way: got %v, want %v", err, inbox.ErrCannotFile)
	}
}

// Without a safe way nothing is done: never a plain EXPUNGE.
func TestFileWithoutSafeWay(t *testing.T) {
	d := studioServer(t, servertest.DovecotOptions{Capability: noUIDPlus})
	d.Deliver(studio, "INBOX", mail("a", 300), time.Time{})
	s := dial(t, config(d))
	box, err := s.Examine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, after := range []inbox.After{inbox.Move, inbox.Delete} {
		_, _, err = s.File(t.Context(), box.UIDValidity, []inbox.FileItem{item(1, "a")}, after)
		if !errors.Is(err, inbox.ErrCannotFile) {
			t.Errorf("%s: got %v, want %v", after, err, inbox.ErrCannotFile)
		}
	}
	if got := d.Messages(studio, "INBOX"); len(got) != 1 || len(got[0].Flags) != 0 {
		t.Errorf("got %+v, want the message untouched", got)
	}
}

func TestFolderName(t *testing.T) {
	for _, c := range []struct{ configured, prefix, delim, want string }{
		{"Password acquisite", "INBOX.", ".", "INBOX.Password acquisite"},
		{"inbox.Password", "INBOX.", ".", "inbox.Password"},
		{"A/B", "", "/", "A/B"},
		{"A/B", "INBOX.", ".", "INBOX.A.B"},
		{" /A/ ", "", ".", "A"},
		{"A/B", "", "", "A/B"},
	} {
		if got := inbox.FolderName(c.configured, c.prefix, c.delim); got != c.want {
			t.Errorf("folderName(%q, %q, %q) = %q, want %q", c.configured, c.prefix, c.delim, got, c.want)
		}
	}
}

func TestMessageID(t *testing.T) {
	for in, want := range map[string]string{
		"Message-ID: <a@b>\r\n\r\n":                      "a@b",
		"message-id:\r\n <a@b>\r\n\r\n":                  "a@b",
		"MESSAGE-ID: a@b \r\n\r\n":                       "a@b",
		"Message-ID: <a@b>\r\nMessage-ID: <a@b>\r\n\r\n": "",
		"\r\n":             "",
		"":                 "",
		"nonsense\r\n\r\n": "",
	} {
		if got := inbox.MessageID([]byte(in)); got != want {
			t.Errorf("messageID(%q) = %q, want %q", in, got, want)
		}
	}
}
