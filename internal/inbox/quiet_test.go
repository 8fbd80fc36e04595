package inbox_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/servertest"
)

// folder is the open folder of a fake server; its fields change between
// commands. An answer in says takes the place of the usual one, once.
type folder struct {
	validity, next uint32
	frozen         bool              // an open folder shows only what it held when it was opened
	says           map[string]string // by the command's first words
	shown          uint32            // UIDNEXT as the session knows it
}

func (f *folder) answer(cmd string) (string, bool) {
	for begin, answer := range f.says {
		if strings.HasPrefix(cmd, begin) {
			delete(f.says, begin)
			return answer, true
		}
	}
	switch {
	case strings.HasPrefix(cmd, "EXAMINE"), strings.HasPrefix(cmd, "SELECT"):
		f.shown = f.next
		return fmt.Sprintf("* %d EXISTS\r\n* OK [UIDVALIDITY %d] ok\r\n* OK [UIDNEXT %d] ok\r\nTAG OK done\r\n", f.next-1, f.validity, f.next), true
	case strings.HasPrefix(cmd, "NOOP") && !f.frozen && f.shown < f.next:
		f.shown = f.next
		return fmt.Sprintf("* %d EXISTS\r\nTAG OK done\r\n", f.next-1), true
	case strings.HasPrefix(cmd, "UID SEARCH"):
		var from uint32
		if _, err := fmt.Sscanf(cmd[strings.LastIndex(cmd, "UID "):], "UID %d:*", &from); err != nil {
			return "TAG BAD what\r\n", true
		}
		if from >= f.shown { // "N:*" is the last message whatever N is
			return fmt.Sprintf("* ESEARCH (CORRELATOR \"TAG\") UID ALL %d\r\nTAG OK done\r\n", f.shown-1), true
		}
		return fmt.Sprintf("* ESEARCH (CORRELATOR \"TAG\") UID ALL %d:%d\r\nTAG OK done\r\n", from, f.shown-1), true
	}
	return "", false
}

// poll is a pass over the folder by one who knows everything below from, and
// tells which commands it took.
func poll(t *testing.T, s *inbox.Session, f *fake, validity, from uint32) (quiet bool, commands string, err error) {
	t.Helper()
	before := len(f.sent())
	_, quiet, err = s.Refresh(t.Context(), validity, from, 5*time.Minute)
	var words []string
	for _, cmd := range f.sent()[before:] {
		word, _, _ := strings.Cut(strings.TrimPrefix(cmd, "UID "), " ")
		words = append(words, word)
	}
	return quiet, strings.Join(words, " "), err
}

const inOpenFolder, anew = "NOOP SEARCH", "NOOP SEARCH EXAMINE"

// What is new is found in the folder as it is open.
const newsInIt = inOpenFolder + ", news"

// The folder is opened anew unless the server, asked in the open one, has
// clearly nothing to say, or nothing but messages that are there.
func TestRefresh(t *testing.T) {
	for _, c := range []struct {
		name     string
		change   func(*folder)
		validity uint32 // that the caller knows
		from     uint32
		want     string
		err      error
	}{
		{"nothing new", func(*folder) {}, 9, 4, inOpenFolder, nil},
		{"somebody marks a message as read", func(f *folder) { f.says["NOOP"] = "* 2 FETCH (FLAGS (\\Seen))\r\nTAG OK done\r\n" }, 9, 4, inOpenFolder, nil},
		{"the server is chatty", func(f *folder) { f.says["NOOP"] = "* OK Still here\r\nTAG OK done\r\n" }, 9, 4, inOpenFolder, nil},
		{"a message", func(f *folder) { f.next++ }, 9, 4, newsInIt, nil},
		{"three messages", func(f *folder) { f.next += 3 }, 9, 4, newsInIt, nil},
		{"announced one by one", func(f *folder) {
			f.next, f.shown = f.next+2, f.next+2
			f.says["NOOP"] = "* 4 EXISTS\r\n* 5 EXISTS\r\nTAG OK done\r\n"
		}, 9, 4, newsInIt, nil},
		{"a message, and one marked as read", func(f *folder) {
			f.next, f.shown = f.next+1, f.next+1
			f.says["NOOP"] = "* 4 EXISTS\r\n* 2 FETCH (FLAGS (\\Seen))\r\nTAG OK done\r\n"
		}, 9, 4, newsInIt, nil},
		{"a message, and one is gone", func(f *folder) {
			f.next, f.shown = f.next+1, f.next+1
			f.says["NOOP"] = "* 1 EXPUNGE\r\n* 4 EXISTS\r\nTAG OK done\r\n"
		}, 9, 4, anew, nil},
		{"one of two that were announced", func(f *folder) {
			f.next, f.shown = f.next+1, f.next+1
			f.says["NOOP"] = "* 5 EXISTS\r\nTAG OK done\r\n"
		}, 9, 4, anew, nil},
		{"two of which one was announced", func(f *folder) {
			f.next, f.shown = f.next+2, f.next+2
			f.says["NOOP"] = "* 4 EXISTS\r\nTAG OK done\r\n"
		}, 9, 4, anew, nil},
		{"a message, and one left over", func(f *folder) { f.next++ }, 9, 3, anew, nil},
		{"one announced, another found", func(f *folder) {
			f.says["NOOP"] = "* 4 EXISTS\r\nTAG OK done\r\n"
		}, 9, 3, anew, nil},
		{"a message and something unknown", func(f *folder) {
			f.next, f.shown = f.next+1, f.next+1
			f.says["NOOP"] = "* 4 EXISTS\r\n* VANISHED 2\r\nTAG OK done\r\n"
		}, 9, 4, anew, nil},
		{"a message in a renumbered folder", func(f *folder) {
			f.validity, f.next, f.shown = 10, f.next+1, f.next+1
			f.says["NOOP"] = "* OK [UIDVALIDITY 10] new\r\n* 4 EXISTS\r\nTAG OK done\r\n"
		}, 9, 4, anew, nil},
		{"the last UID there is", func(f *folder) {
			f.says["NOOP"] = "* 4 EXISTS\r\nTAG OK done\r\n"
			f.says["UID SEARCH"] = "* ESEARCH (CORRELATOR \"TAG\") UID ALL 4294967295\r\nTAG OK done\r\n"
		}, 9, 4, anew, nil},
		{"a message is gone", func(f *folder) { f.says["NOOP"] = "* 2 EXPUNGE\r\nTAG OK done\r\n" }, 9, 4, anew, nil},
		{"found, but not announced", func(f *folder) { f.next++; f.shown++ }, 9, 4, anew, nil},
		{"left over by an earlier pass", func(*folder) {}, 9, 3, anew, nil},
		{"announced, but not found", func(f *folder) { f.says["NOOP"] = "* 4 EXISTS\r\nTAG OK done\r\n" }, 9, 4, anew, nil},
		{"announced after the question", func(f *folder) {
			f.says["UID SEARCH"] = "* ESEARCH (CORRELATOR \"TAG\") UID\r\n* 4 EXISTS\r\nTAG OK done\r\n"
		}, 9, 4, anew, nil},
		{"renumbered in the open folder", func(f *folder) { f.validity++; f.says["NOOP"] = "* OK [UIDVALIDITY 10] new\r\nTAG OK done\r\n" }, 9, 4, anew, nil},
		{"closed under us", func(f *folder) { f.says["NOOP"] = "* OK [CLOSED] gone\r\nTAG OK done\r\n" }, 9, 4, anew, nil},
		{"something unknown", func(f *folder) { f.says["NOOP"] = "* VANISHED 2\r\nTAG OK done\r\n" }, 9, 4, anew, nil},
		{"a warning", func(f *folder) { f.says["NOOP"] = "* NO disk full\r\nTAG OK done\r\n" }, 9, 4, anew, nil},
		{"the caller knows another numbering", func(*folder) {}, 8, 4, "EXAMINE", nil},
		{"NO to the first question", func(f *folder) { f.says["NOOP"] = "TAG NO not now\r\n" }, 9, 4, "NOOP EXAMINE", nil},
		{"BAD to the second", func(f *folder) { f.says["UID SEARCH"] = "TAG BAD what\r\n" }, 9, 4, anew, nil},
		{"BYE", func(f *folder) { f.says["NOOP"] = "* BYE over\r\n" + hangUp }, 9, 4, "NOOP", inbox.ErrUnavailable},
		{"cut", func(f *folder) { f.says["UID SEARCH"] = hangUp }, 9, 4, "NOOP SEARCH", inbox.ErrNetwork},
		{"silent", func(f *folder) { f.says["NOOP"] = silent }, 9, 4, "NOOP", inbox.ErrNetwork},
		{"an endless answer", func(f *folder) {
			f.says["UID SEARCH"] = "* ESEARCH (CORRELATOR \"TAG\") UID ALL 1:4000000000\r\nTAG OK done\r\n"
		}, 9, 4, "NOOP SEARCH", inbox.ErrProtocol},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				box := &folder{validity: 9, next: 4, says: map[string]string{}}
				f := &fake{script: box.answer}
				s, err := talk(t, f, nil)
				if err != nil {
					t.Fatal(err)
				}
				if quiet, sent, err := poll(t, s, f, 9, 4); quiet || sent != "EXAMINE" || err != nil {
					t.Fatalf("first: got %t after %s, %v, want false after EXAMINE", quiet, sent, err)
				}
				c.change(box)
				quiet, sent, err := poll(t, s, f, c.validity, c.from)
				if !errors.Is(err, c.err) {
					t.Fatalf("got %v, want %v", err, c.err)
				}
				commands, _ := strings.CutSuffix(c.want, ", news")
				if want := c.want == inOpenFolder && c.err == nil; quiet != want || sent != commands {
					t.Errorf("got %t after %s, want %t after %s", quiet, sent, want, commands)
				}
				if c.err != nil {
					return
				}
				// Once its news are known it is quiet again.
				if quiet, sent, err := poll(t, s, f, box.validity, box.next); !quiet || sent != inOpenFolder || err != nil {
					t.Errorf("afterwards: got %t after %s, %v, want true after %s", quiet, sent, err, inOpenFolder)
				}
			})
		})
	}
}

// An announcement between two polls counts, too, and filing away closes what
// was open for reading.
func TestRefreshAfterOtherCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := &folder{validity: 9, next: 4, says: map[string]string{}}
		f := &fake{script: box.answer}
		s, err := talk(t, f, nil)
		if err != nil {
			t.Fatal(err)
		}
		poll(t, s, f, 9, 4)
		box.says["DONE"] = "* 1 EXPUNGE\r\nTAG OK done\r\n"
		if err := s.Watch(t.Context(), time.Second, nil); err != nil {
			t.Fatal(err)
		}
		if quiet, sent, err := poll(t, s, f, 9, 4); quiet || sent != anew || err != nil {
			t.Errorf("after an expunge: got %t after %s, %v, want %s", quiet, sent, err, anew)
		}
		box.says["UID SEARCH UID 1"] = "* SEARCH\r\nTAG OK done\r\n"
		if _, _, err := s.File(t.Context(), 9, []inbox.FileItem{{UID: 1, MessageID: "x"}}, inbox.Move); err != nil {
			t.Fatal(err)
		}
		if quiet, sent, err := poll(t, s, f, 9, 4); quiet || sent != "EXAMINE" || err != nil {
			t.Errorf("after filing: got %t after %s, %v, want EXAMINE", quiet, sent, err)
		}
	})
}

// A server that shows nothing new in an open folder is found out by the first
// poll after its interval, and never believed again in this session; one that
// has announced a message is believed for an hour.
func TestRefreshBelieves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := &folder{validity: 9, next: 4, frozen: true, says: map[string]string{}}
		f := &fake{script: box.answer}
		s, err := talk(t, f, nil)
		if err != nil {
			t.Fatal(err)
		}
		expect := func(what, want string) {
			t.Helper()
			quiet, sent, err := poll(t, s, f, 9, box.shown)
			if quiet != (want == inOpenFolder) || sent != want || err != nil {
				t.Errorf("%s: got %t after %s, %v, want %s", what, quiet, sent, err, want)
			}
		}
		expect("first", "EXAMINE")
		expect("asked again at once", inOpenFolder)
		time.Sleep(5 * time.Minute)
		expect("at the next poll", anew)
		box.next++
		expect("a message of which it says nothing", inOpenFolder)
		time.Sleep(5 * time.Minute)
		expect("found at the next poll all the same", anew)
		expect("not asked any more", "EXAMINE")
		box.next++
		expect("and every message found at once", "EXAMINE")

		box.frozen = false // another server has taken its place
		box.next++
		if err := s.Watch(t.Context(), time.Second, nil); err != nil {
			t.Fatal(err)
		}
		box.says["IDLE"] = fmt.Sprintf("+ idling\r\n* %d EXISTS\r\n", box.next-1)
		if err := s.Watch(t.Context(), time.Hour, nil); err != nil {
			t.Fatal(err)
		}
		expect("it has announced a message", "EXAMINE")
		for range 11 {
			time.Sleep(5 * time.Minute)
			expect("believed", inOpenFolder)
		}
		time.Sleep(5 * time.Minute)
		expect("an hour later", anew)
		expect("still believed", inOpenFolder)
		known := box.next
		box.next++
		if quiet, sent, err := poll(t, s, f, 9, known); quiet || sent != inOpenFolder || err != nil {
			t.Errorf("a message: got %t after %s, %v, want %s", quiet, sent, err, newsInIt)
		}
		expect("nothing more", inOpenFolder)
		time.Sleep(time.Hour)
		known = box.next
		box.next++
		if quiet, sent, err := poll(t, s, f, 9, known); quiet || sent != anew || err != nil {
			t.Errorf("a message an hour after the folder was opened: got %t after %s, %v, want %s", quiet, sent, err, anew)
		}
	})
}

// The same with Dovecot, while others work in the folder.
func TestRefreshDovecot(t *testing.T) {
	d := studioServer(t, servertest.DovecotOptions{})
	for i := range 3 {
		d.Deliver(studio, "INBOX", mail(string(rune('a'+i)), 300), time.Time{})
	}
	s := dial(t, config(d))
	box, err := s.Examine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	person, err := imapclient.DialTLS(d.Addr(), &imapclient.Options{TLSConfig: d.ClientTLS()})
	if err != nil {
		t.Fatal(err)
	}
	defer person.Close()
	if err := person.Login(studio, password).Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := person.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	// What a person does is on the disk when it is answered, but Dovecot looks
	// there again only now and then: until it is seen the folder may be quiet.
	seen := func(what string, want inbox.Mailbox) {
		t.Helper()
		deadline := time.Now().Add(patience)
		for {
			got, quiet, err := s.Refresh(t.Context(), box.UIDValidity, box.UIDNext, time.Hour)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if !quiet && got == want {
				box = got
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: got %+v, quiet %t, want %+v", what, got, quiet, want)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if got, quiet, err := s.Refresh(t.Context(), box.UIDValidity, box.UIDNext, time.Hour); !quiet || got != box || err != nil {
			t.Errorf("%s: then got %+v, quiet %t, %v, want it quiet", what, got, quiet, err)
		}
	}
	d.Deliver(studio, "INBOX", mail("d", 300), time.Time{})
	seen("a delivery", inbox.Mailbox{UIDValidity: box.UIDValidity, UIDNext: 5, Messages: 4})

	if err := person.Noop().Wait(); err != nil {
		t.Fatal(err)
	}
	if err := person.Create("INBOX.Altro", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := person.Move(imap.UIDSetNum(2), "INBOX.Altro").Wait(); err != nil {
		t.Fatal(err)
	}
	seen("a message moved away", inbox.Mailbox{UIDValidity: box.UIDValidity, UIDNext: 5, Messages: 3})

	if _, err := person.Select("INBOX.Altro", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := person.Move(imap.UIDSetNum(1), "INBOX").Wait(); err != nil {
		t.Fatal(err)
	}
	seen("and back again", inbox.Mailbox{UIDValidity: box.UIDValidity, UIDNext: 6, Messages: 4})
	if got, err := s.Search(t.Context(), 5, time.Time{}); err != nil || !slices.Equal(got, []uint32{5}) {
		t.Errorf("got %v, %v, want UID 5", got, err)
	}
}
