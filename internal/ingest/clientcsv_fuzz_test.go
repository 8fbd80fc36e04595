package ingest

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"pec-ingest/internal/config"
	"pec-ingest/internal/provider"
)

// Whatever the file holds, reading it ends without a panic; what it gives are
// mailboxes and fields that are safe to store and to show, and every fault
// names a line.
func FuzzClientCSV(f *testing.F) {
	for _, seed := range []string{
		"mailbox,name\na@pec.it,Ditta\n", "mailbox;name;lang\r\na@pec.it;\"Ditta \"\"A\"\"\";it\r\n",
		"\xef\xbb\xbfMailbox,Name\nA@PEC.IT,Societ\xe0\n", "mailbox\n\x00@x\n", "name\nx\n", "mailbox,mailbox\na@b.it,c@d.it\n", "mailbox,used_in\na@b.it,\"x;y,z\"\n",
	} {
		f.Add([]byte(seed))
	}
	s := &Service{providers: provider.Builtin(), cfg: &config.Config{}}
	f.Fuzz(func(t *testing.T, file []byte) {
		var res ImportResult
		rows, err := readClientCSV(bytes.NewReader(file), &res)
		if err != nil && rows != nil {
			t.Errorf("rows and an error: %v", err)
		}
		for _, r := range rows {
			if s.checkClient(r.mailbox, &r.fields) != nil {
				continue // left out, and reported
			}
			if r.mailbox == "" || r.mailbox != strings.ToLower(r.mailbox) || strings.ContainsAny(r.mailbox, "\x00\r\n <>\"") || !strings.Contains(r.mailbox, "@") {
				t.Errorf("line %d: mailbox %q", r.line, r.mailbox)
			}
			if r.line < 2 {
				t.Errorf("mailbox %q on line %d", r.mailbox, r.line)
			}
		}
		for _, one := range append(res.Faults, res.Warnings...) {
			if one.Line < 1 || one.Msg == "" || !utf8.ValidString(one.Msg) || strings.ContainsAny(one.Msg, "\x1b\x00\r\n") {
				t.Errorf("fault %+v", one)
			}
		}
	})
}
