package inbox_test

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/secret"
)

// Whatever a server sends, a pass over it ends, soon and without a panic; it
// hands out only messages that were asked for, within the limit; and errors
// hold nothing dangerous.
func FuzzServer(f *testing.F) {
	f.Add([]byte("TAG OK in\r\n\xffTAG OK [CAPABILITY IMAP4rev1 MOVE UIDPLUS NAMESPACE ESEARCH] in\r\n\xff" +
		"* 2 EXISTS\r\n* OK [UIDVALIDITY 9] ok\r\nTAG OK done\r\n\xff* ESEARCH (CORRELATOR \"TAG\") UID ALL 1:2\r\nTAG OK done\r\n\xff" +
		"* 1 FETCH (UID 1 FLAGS () INTERNALDATE \"01-Sep-2026 10:00:00 +0000\" RFC822.SIZE 5 BODY[HEADER.FIELDS (X)]<0> {5}\r\nA: b\n)\r\nTAG OK done\r\n\xff" +
		"* 1 FETCH (UID 1 BODY[] {5}\r\nA: b\n)\r\nTAG OK done\r\n\xffTAG OK done\r\n"))
	f.Add([]byte("TAG OK [CAPABILITY IMAP4rev1 ( in\r\n"))
	f.Add([]byte("* CAPABILITY (\r\nTAG OK in\r\n"))
	f.Add([]byte("* BYE \x1b[31mx@y\r\n\xff"))
	f.Add([]byte("TAG NO [LIMIT] {5}\r\n\xff"))
	f.Add([]byte("* 1 FETCH (UID 1 BODY[] {99999}\r\n\xff* VANISHED {3}\r\n\xff+ \r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		watchdog := time.AfterFunc(patience, func() { panic("the pass does not end") })
		defer watchdog.Stop()
		synctest.Test(t, func(t *testing.T) { talkAndRead(t, data) })
	})
}

// talkAndRead makes a pass on a server that says data. It takes 1.5 s of
// simulated time at most.
func talkAndRead(t *testing.T, data []byte) {
	begun := time.Now()
	defer func() {
		if took := time.Since(begun); took > 1500*time.Millisecond {
			t.Errorf("the pass took %v", took)
		}
	}()
	answers := bytes.Split(data, []byte{0xff})
	fk := &fake{script: func(cmd string) (string, bool) {
		if cmd == "GREETING" {
			return "", false
		}
		if len(answers) == 0 {
			return hangUp, true
		}
		a := string(answers[0])
		answers = answers[1:]
		return strings.ReplaceAll(a, "\x00", ""), a != ""
	}}
	ours, theirs := net.Pipe()
	served := make(chan struct{})
	go func() { defer close(served); fk.serve(theirs) }()
	defer func() { theirs.Close(); <-served }()

	const limit = 1000
	c := inbox.Config{
		Username: studio, Password: secret.FromString(password), ProcessedFolder: "Fatte",
		Timeout: 30 * time.Millisecond, MaxMessage: limit,
	}
	check := func(err error) {
		if err != nil && strings.ContainsAny(err.Error(), "@\x1b\n") {
			t.Fatalf("unsafe error %q", err)
		}
	}
	ctx := context.Background()
	s, err := inbox.LoginOver(ctx, c, ours)
	check(err)
	if err != nil {
		return
	}
	defer s.Close()
	_, err = s.Examine(ctx)
	check(err)
	uids, err := s.Search(ctx, 1, time.Time{})
	check(err)
	if len(uids) > 50 {
		uids = uids[:50]
	}
	uids = append(uids, 1, 2)
	asked := map[uint32]bool{}
	for _, uid := range uids {
		asked[uid] = true
	}
	_, err = s.Headers(ctx, uids, func(h inbox.Header) error {
		if !asked[h.UID] || len(h.Raw) > inbox.MaxHeader {
			t.Fatalf("header of %d with %d bytes", h.UID, len(h.Raw))
		}
		return nil
	})
	check(err)
	_, err = s.Fetch(ctx, uids, func(m inbox.Message) error {
		if !asked[m.UID] || len(m.Raw) > limit || m.TooLarge != (m.Raw == nil) {
			t.Fatalf("message %d with %d bytes, too large %t", m.UID, len(m.Raw), m.TooLarge)
		}
		return nil
	})
	check(err)
	_, _, err = s.File(ctx, 9, []inbox.FileItem{item(1, "a")}, inbox.Move)
	check(err)
}

func TestLiteralSize(t *testing.T) {
	for in, want := range map[string]int64{
		"x {12}\r\n": 12, "{0}\n": 0, "{12}": 12, "{12} \r\n": -1, "{}\r\n": -1, "{-1}\r\n": -1, "{1+}\r\n": -1,
		"12}\r\n": -1, "": -1, "{9999999999999999999}\r\n": -1, "{5}{12}\r\n": 12,
	} {
		got, ok := inbox.LiteralSize([]byte(in))
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("literalSize(%q) = %d, want %d", in, got, want)
		}
	}
}
