package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/servertest"
)

// No test may leave a goroutine behind.
func TestMain(m *testing.M) { servertest.ExitWithoutLeaks(m) }

// pass is what the pipeline does with an inbox of whose messages those in
// letters are to be filed: it reads everything and files them.
func pass(ctx context.Context, c inbox.Config, letters map[uint32]string) (read map[uint32]int, err error) {
	s, err := inbox.Dial(ctx, c)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	box, err := s.Examine(ctx)
	if err != nil {
		return nil, err
	}
	uids, err := s.Search(ctx, 1, time.Time{})
	if err != nil {
		return nil, err
	}
	if _, err := s.Headers(ctx, uids, func(inbox.Header) error { return nil }); err != nil {
		return nil, err
	}
	read = map[uint32]int{}
	var items []inbox.FileItem
	_, err = s.Fetch(ctx, uids, func(m inbox.Message) error {
		read[m.UID] = len(m.Raw)
		if id := letters[m.UID]; id != "" {
			items = append(items, inbox.FileItem{UID: m.UID, MessageID: id})
		}
		return nil
	})
	if err != nil {
		return read, err
	}
	_, _, err = s.File(ctx, box.UIDValidity, items, inbox.Move)
	return read, err
}

// The connection fails after every so many bytes of a pass. Each time the
// pass ends by itself and with ErrNetwork or the like, hands out no message that is
// not whole, and the next pass makes the end what it would have been.
func TestConnectionFails(t *testing.T) {
	for _, c := range []struct {
		what       fault
		capability string
		steps      int64
	}{
		{cut, "", 35},
		{cut, noMove, 35},
		{reset, "", 20},
		{halfClose, "", 15},
		{blackHole, "", 15},
	} {
		t.Run(fmt.Sprintf("%d %s", c.what, c.capability), func(t *testing.T) {
			d := studioServer(t, servertest.DovecotOptions{Capability: c.capability})
			const n = 6
			size := map[uint32]int{}
			letters := map[uint32]string{}
			fill := func() {
				for i := range n {
					raw := mail(fmt.Sprint("m", i), 3000+i)
					d.Deliver(studio, "INBOX", raw, time.Time{})
				}
				clear(size)
				clear(letters)
				for i, m := range d.Messages(studio, "INBOX") {
					size[m.UID] = len(mail(fmt.Sprint("m", i), 3000+i))
					if i%2 == 0 {
						letters[m.UID] = fmt.Sprintf("m%d@pec.example", i)
					}
				}
			}
			check := func(what string) {
				t.Helper()
				in, out := d.Messages(studio, "INBOX"), d.Messages(studio, "INBOX.Password acquisite")
				if len(in) != n/2 || len(out) != n/2 {
					t.Fatalf("%s: %d in the inbox and %d processed, want %d and %d", what, len(in), len(out), n/2, n/2)
				}
				for _, m := range slices.Concat(in, out) {
					if len(m.Flags) != 0 {
						t.Fatalf("%s: message %d has flags %v", what, m.UID, m.Flags)
					}
				}
				d.Expunge(studio, "INBOX")
				d.Expunge(studio, "INBOX.Password acquisite")
			}
			// Undisturbed, to know how many bytes a pass takes.
			fill()
			p := startProxy(t, d.Addr(), cut, -1)
			conf := config(d)
			conf.Addr = p.addr
			if _, err := pass(t.Context(), conf, letters); err != nil {
				t.Fatal(err)
			}
			check("undisturbed")
			total := p.passed.Load()
			if c.what == blackHole { // the others end by themselves
				conf.Timeout = 300 * time.Millisecond
			}

			failed := 0
			for limit := int64(0); limit < total; limit += total/c.steps + 1 {
				fill()
				p := startProxy(t, d.Addr(), c.what, limit)
				conf.Addr = p.addr
				start := time.Now()
				read, err := pass(t.Context(), conf, letters)
				if err != nil {
					failed++
					if !errors.Is(err, inbox.ErrNetwork) && !errors.Is(err, inbox.ErrTLS) {
						t.Errorf("after %d of %d bytes: got %v, want %v", limit, total, err, inbox.ErrNetwork)
					}
				}
				if took := time.Since(start); took > patience {
					t.Errorf("after %d of %d bytes: it took %v", limit, total, took)
				}
				for uid, got := range read {
					if got != size[uid] {
						t.Errorf("after %d of %d bytes: message %d came with %d bytes, want %d", limit, total, uid, got, size[uid])
					}
				}
				p.stop()
				d.AwaitGone(studio) // what it was told to do is done
				if _, err := pass(t.Context(), config(d), letters); err != nil {
					t.Fatal(err)
				}
				check(fmt.Sprintf("after %d of %d bytes", limit, total))
			}
			if failed < int(c.steps)*3/4 {
				t.Errorf("only %d passes failed: the proxy breaks nothing", failed)
			}
		})
	}
}

// A server that sends a byte a second passes every deadline on a single read
// and must still not hold a command for ever. (Simulated time.)
func TestTooSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				if _, err := theirs.Write([]byte("*")); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		start := time.Now()
		_, err := inbox.LoginOver(t.Context(), inbox.Config{Username: studio, Password: secret.FromString(password)}, ours)
		if !errors.Is(err, inbox.ErrNetwork) {
			t.Errorf("got %v, want %v", err, inbox.ErrNetwork)
		}
		if took := time.Since(start); took > 3*time.Minute {
			t.Errorf("it took %v", took)
		}
		theirs.Close()
		<-done
	})
}

// Waiting in IDLE has no deadline, but the connection is tried every nine
// minutes, and a black hole is found then. (Simulated time.)
func TestIdleIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		idles := 0
		f := &fake{script: func(cmd string) (string, bool) {
			if cmd == "IDLE" {
				idles++
				if idles == 4 {
					return silent, true
				}
			}
			return "", false
		}}
		go f.serve(theirs)
		s, err := inbox.LoginOver(t.Context(), inbox.Config{Username: studio, Password: secret.FromString(password)}, ours)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		err = s.Watch(t.Context(), 24*time.Hour, nil)
		if took := time.Since(start).Round(time.Minute); !errors.Is(err, inbox.ErrNetwork) || idles != 4 || took < 27*time.Minute || took > 33*time.Minute {
			t.Errorf("got %v after %v and %d IDLEs, want %v after about 30 minutes and 4", err, took, idles, inbox.ErrNetwork)
		}
		s.Close()
		theirs.Close()
	})
}

// A server that lists a message and does not show it has not said that it is
// gone: it is filed another time.
func TestFileHidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const one = "* SEARCH 1\r\nTAG OK done\r\n"
		for _, c := range []struct {
			name, shown, listed string
			gone                []uint32
		}{
			{"nothing", "TAG OK done\r\n", one, []uint32{2}},
			{"expunge issued", "TAG NO [EXPUNGEISSUED] some are gone\r\n", one, []uint32{2}},
			{"no list", "TAG OK done\r\n", "TAG NO not now\r\n", nil},
		} {
			s := mustTalk(t, on(map[string]string{
				"UID FETCH":  c.shown,
				"UID SEARCH": c.listed,
			}))
			filed, gone, err := s.File(t.Context(), 9, []inbox.FileItem{item(1, "a"), item(2, "b")}, inbox.Move)
			if !errors.Is(err, inbox.ErrCannotFile) || len(filed) != 0 || !slices.Equal(gone, c.gone) {
				t.Errorf("%s: got filed %v, gone %v, %v; want %v gone, and ErrCannotFile", c.name, filed, gone, err, c.gone)
			}
		}
	})
}

// What a search leaves out is found, in the gaps of its answer and nowhere else;
// without a gap the server is not asked.
func TestUnlisted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const shown = "* 1 FETCH (UID 2 INTERNALDATE \"01-Sep-2026 10:00:00 +0000\")\r\n* 2 FETCH (UID 3 INTERNALDATE \"01-May-2026 10:00:00 +0000\")\r\n" +
			"* 3 FETCH (UID 4 INTERNALDATE \"01-Sep-2026 10:00:00 +0000\")\r\n* 9 FETCH (FLAGS (\\Seen))\r\nTAG OK done\r\n"
		september := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
		for _, c := range []struct {
			name   string
			answer string
			from   uint32
			listed []uint32
			end    uint32
			since  time.Time
			asked  string // the set of UIDs; "" = no question
			want   []uint32
		}{
			{"no gap", shown, 3, []uint32{3, 4, 5}, 0, time.Time{}, "", nil},
			{"nothing listed", shown, 3, nil, 0, time.Time{}, "", nil},
			{"gaps", shown, 1, []uint32{1, 4, 8}, 0, time.Time{}, "2:3,5:7", []uint32{2, 3}},
			{"old ones", shown, 1, []uint32{5}, 0, september, "1:4", []uint32{2, 4}},
			{"up to the end", shown, 1, nil, 5, september, "1:4", []uint32{2, 4}},
			{"the last number there is", shown, 4, []uint32{4, 1<<32 - 1}, 0, time.Time{}, "5:4294967294", nil},
			{"some expunged", strings.Replace(shown, "TAG OK", "TAG NO [EXPUNGEISSUED]", 1), 1, []uint32{5}, 0, time.Time{}, "1:4", []uint32{2, 3, 4}},
			{"no answer", "TAG NO later\r\n", 1, []uint32{5}, 0, time.Time{}, "1:4", nil},
		} {
			f := &fake{script: on(map[string]string{"UID FETCH": c.answer})}
			s, err := talk(t, f, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Unlisted(t.Context(), c.from, c.listed, c.end, c.since)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s: got %v, %v, want %v", c.name, got, err, c.want)
			}
			asked := ""
			for _, cmd := range f.sent() {
				if rest, ok := strings.CutPrefix(cmd, "UID FETCH "); ok {
					asked, _, _ = strings.Cut(rest, " ")
				}
			}
			if asked != c.asked {
				t.Errorf("%s: asked about %q, want %q", c.name, asked, c.asked)
			}
		}
	})
}
