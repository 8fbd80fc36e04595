package main

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pec-ingest/internal/servertest"
	"pec-ingest/internal/servertest/faultproxy"
)

// serverStory plays the story with a front between the program and its inbox.
type serverStory struct {
	*killStudio
	front *faultproxy.Front
	want  ending
	n     int
}

func newServerStory(t *testing.T, stories int) *serverStory {
	t.Helper()
	s := &serverStory{killStudio: newKillStudio(t, "", time.Now().Truncate(time.Second), 2*stories+1)}
	s.front = faultproxy.ListenFront(t, s.imap.Addr(), s.imap.CA().ServerConfig(t, servertest.Leaf{}), s.imap.ClientTLS(), faultproxy.Script{})
	s.want = s.undisturbed(weather{inbox: s.front.Addr(), timeout: time.Minute})
	return s
}

// play makes a run over the scripted server, and then good ones. fresh makes
// the script, and what tells whether it came to what is in it: on a busy
// machine the program may give up before, and gets more time the second time.
func (s *serverStory) play(what string, fresh func() (faultproxy.Script, func() bool)) (came bool) {
	s.t.Helper()
	for _, timeout := range []time.Duration{linkTimeout, 10 * linkTimeout} {
		s.n++
		before := s.prepare(s.n)
		script, told := fresh()
		s.front.Set(script)
		s.disturbed(weather{inbox: s.front.Addr(), timeout: timeout})
		s.front.Set(faultproxy.Script{})
		s.recover(s.n, before)
		wantSame(s.t, what, s.want, s.ending(s.n, before))
		if told() {
			return true
		}
	}
	return false
}

// TestChaosAnswers has the inbox's server refuse or end each kind of command.
func TestChaosAnswers(t *testing.T) {
	t.Parallel()
	answers := []string{
		"* BYE shutting down\r\n" + faultproxy.HangUp,
		"TAG NO\r\n",
		"TAG BAD what?\r\n",
		"TAG NO [UNAVAILABLE] later\r\n",
		"TAG NO [OVERQUOTA] full\r\n",
		"TAG NO [LIMIT] too much\r\n",
		"TAG NO [SERVERBUG] oops\r\n",
		faultproxy.HangUp,
		faultproxy.Silence,
		"* BYE " + faultproxy.Silence,
	}
	commands := []struct {
		verb string
		nth  int
	}{
		{"AUTHENTICATE", 1}, {"CAPABILITY", 1}, {"EXAMINE", 1}, {"UID SEARCH", 1}, {"UID FETCH", 1}, {"UID FETCH", 2}, {"UID FETCH", 3},
		{"NAMESPACE", 1}, {"LIST", 1}, {"CREATE", 1}, {"SELECT", 1}, {"UID MOVE", 1}, {"UID SEARCH", 2},
	}
	type fault struct {
		answer string
		at     int
	}
	var all []fault
	for i := range commands {
		for j := range answers { // each n-th of the list has another command and another answer
			all = append(all, fault{answers[(i+j)%len(answers)], i})
		}
	}
	faults := some(all, len(commands))
	s := newServerStory(t, len(faults))
	met := map[string]bool{}
	for _, f := range faults {
		c := commands[f.at]
		if s.play(fmt.Sprintf("%s, the %d. time: %q", c.verb, c.nth, f.answer), func() (faultproxy.Script, func() bool) {
			var seen atomic.Int64
			return faultproxy.Script{Command: func(_ int, line string) (string, bool) {
				return f.answer, strings.HasPrefix(line, c.verb) && seen.Add(1) == int64(c.nth)
			}}, func() bool { return seen.Load() >= int64(c.nth) }
		}) {
			met[c.verb] = true
		}
	}
	for _, c := range commands {
		if !met[c.verb] {
			t.Errorf("the program never said %s", c.verb)
		}
	}
}

var (
	fetchUID  = regexp.MustCompile(`^(\* \d+ FETCH \()UID (\d+) ?`)
	validity  = regexp.MustCompile(`\[UIDVALIDITY (\d+)\]`)
	literalAt = regexp.MustCompile(`\{(\d+)\}\r\n`)
)

// a lie is what a server says that isn't so. make gives a fresh one.
type lie struct {
	name string
	make func() func(command string, resp []byte) []byte
}

// script tells a fresh lie; told says whether it came to that.
func (l lie) script() (script faultproxy.Script, told func() bool) {
	f := l.make()
	var mu sync.Mutex
	touched := false
	script.Response = func(command string, resp []byte) []byte {
		mu.Lock()
		defer mu.Unlock()
		was := bytes.Clone(resp)
		said := f(command, resp)
		touched = touched || !bytes.Equal(was, said)
		return said
	}
	return script, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return touched
	}
}

// onFetch changes the responses that carry a message or its header.
func onFetch(change func(n int, resp []byte) []byte) func() func(string, []byte) []byte {
	return func() func(string, []byte) []byte {
		n := 0
		return func(_ string, resp []byte) []byte {
			if !fetchUID.Match(resp) {
				return resp
			}
			n++
			return change(n, resp)
		}
	}
}

// onBody is onFetch for whole messages and their beginnings alone.
func onBody(change func(n int, resp []byte) []byte) func() func(string, []byte) []byte {
	return func() func(string, []byte) []byte {
		n := 0
		return func(_ string, resp []byte) []byte {
			if !fetchUID.Match(resp) || !bytes.Contains(resp, []byte("BODY[]")) {
				return resp
			}
			n++
			return change(n, resp)
		}
	}
}

func setUID(resp []byte, uid string) []byte {
	return fetchUID.ReplaceAll(resp, []byte("${1}"+uid))
}

func literalOff(by int) func(int, []byte) []byte {
	return func(n int, resp []byte) []byte {
		if n%3 != 2 {
			return resp
		}
		return literalAt.ReplaceAllFunc(resp, func(b []byte) []byte {
			size, _ := faultproxy.LiteralSize(b)
			return fmt.Appendf(nil, "{%d}\r\n", max(size+by, 0))
		})
	}
}

// before says something unasked before each response.
func before(text string) func() func(string, []byte) []byte {
	return func() func(string, []byte) []byte {
		return func(_ string, resp []byte) []byte {
			if !bytes.HasPrefix(resp, []byte("* ")) {
				return resp
			}
			return append([]byte(text), resp...)
		}
	}
}

// instead replaces the n-th response that begins with a text.
func instead(prefix string, n int, answer string) func() func(string, []byte) []byte {
	return func() func(string, []byte) []byte {
		seen := 0
		return func(_ string, resp []byte) []byte {
			if !regexp.MustCompile(prefix).Match(resp) {
				return resp
			}
			if seen++; seen != n {
				return resp
			}
			return []byte(answer)
		}
	}
}

var lies = []lie{
	{"literals 7 too long", onFetch(literalOff(7))},
	{"literals 7 too short", onFetch(literalOff(-7))},
	{"literals 100,000 too long", onFetch(literalOff(100_000))},
	{"literals empty", onFetch(literalOff(-1 << 40))},
	{"other UIDs", onFetch(func(n int, r []byte) []byte { return setUID(r, fmt.Sprintf("UID %d ", 1000+n)) })},
	{"one other UID", onFetch(func(n int, r []byte) []byte {
		if n == 3 {
			return setUID(r, "UID 1 ")
		}
		return r
	})},
	{"UID 0", onFetch(func(_ int, r []byte) []byte { return setUID(r, "UID 0 ") })},
	{"no UID", onFetch(func(n int, r []byte) []byte {
		if n%2 == 0 {
			return setUID(r, "")
		}
		return r
	})},
	{"UID at the end", onFetch(func(_ int, r []byte) []byte {
		uid := fetchUID.FindSubmatch(r)[2]
		r = setUID(r, "")
		return append(bytes.TrimSuffix(r, []byte(")\r\n")), " UID "+string(uid)+")\r\n"...)
	})},
	{"every message twice", onFetch(func(_ int, r []byte) []byte { return append(bytes.Clone(r), r...) })},
	{"every other message missing", onFetch(func(n int, r []byte) []byte {
		if n%2 == 1 {
			return nil
		}
		return r
	})},
	{"bodies missing", onBody(func(int, []byte) []byte { return nil })},
	{"bodies NIL", onBody(func(_ int, r []byte) []byte {
		i := bytes.Index(r, []byte("BODY[]"))
		return append(bytes.Clone(r[:i]), "BODY[] NIL)\r\n"...)
	})},
	{"messages in reverse", func() func(string, []byte) []byte {
		var held []byte
		return func(_ string, r []byte) []byte {
			if fetchUID.Match(r) {
				held = append(bytes.Clone(r), held...)
				return nil
			}
			r = append(held, r...)
			held = nil
			return r
		}
	}},
	{"bodies under each other's UID", func() func(string, []byte) []byte {
		var held []byte
		return func(_ string, r []byte) []byte {
			switch {
			case !fetchUID.Match(r) || !bytes.Contains(r, []byte("BODY[]")):
				r = append(held, r...)
				held = nil
				return r
			case held == nil:
				held = bytes.Clone(r)
				return nil
			}
			a, b := fetchUID.FindSubmatch(held)[2], fetchUID.FindSubmatch(r)[2]
			one, two := setUID(r, "UID "+string(a)+" "), setUID(held, "UID "+string(b)+" ")
			held = nil
			return append(one, two...)
		}
	}},
	{"answers to questions not asked", before("* SEARCH 1 2 3 4 5\r\n* ESEARCH (TAG \"A9\") UID ALL 1:5\r\n* STATUS INBOX (MESSAGES 7)\r\n* LIST () \".\" Altro\r\n* NAMESPACE NIL NIL NIL\r\n")},
	{"FETCH of flags unasked", before("* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n* 2 FETCH (FLAGS (\\Deleted))\r\n")},
	{"EXPUNGE and EXISTS unasked", before("* 1 EXPUNGE\r\n* 400 EXISTS\r\n* 3 RECENT\r\n")},
	{"unknown untagged data", before("* VANISHED 1:9\r\n* XLIST (\\Inbox) \"/\" x\r\n* QUOTA \"\" (STORAGE 1 2)\r\n* X-WHAT {5}\r\n1\r\n2\r\r\n* 7 X-NEVER\r\n")},
	{"other capabilities", before("* CAPABILITY IMAP4rev1\r\n")},
	{"UIDVALIDITY another each time", func() func(string, []byte) []byte {
		n := 0
		return func(_ string, r []byte) []byte {
			return validity.ReplaceAllFunc(r, func([]byte) []byte {
				n++
				return fmt.Appendf(nil, "[UIDVALIDITY %d]", 1000+n)
			})
		}
	}},
	{"UIDVALIDITY another from the second time on", func() func(string, []byte) []byte {
		n := 0
		return func(_ string, r []byte) []byte {
			if validity.Match(r) {
				if n++; n > 1 {
					return validity.ReplaceAll(r, []byte("[UIDVALIDITY 77]"))
				}
			}
			return r
		}
	}},
	{"UIDVALIDITY 0", func() func(string, []byte) []byte {
		return func(_ string, r []byte) []byte { return validity.ReplaceAll(r, []byte("[UIDVALIDITY 0]")) }
	}},
	{"a literal of 10^18 bytes", instead(`^\* \d+ FETCH`, 1, "* 1 FETCH (UID 1 BODY[] {999999999999999999}\r\n"+faultproxy.Silence)},
	{"UIDs that are not there", instead(`^\* ESEARCH`, 1, "* ESEARCH (TAG \"T2\") UID ALL 1:4294967295\r\n")},
	{"an empty search", func() func(string, []byte) []byte {
		return func(_ string, r []byte) []byte {
			return regexp.MustCompile(`^(\* ESEARCH \(TAG "[^"]*"\) UID).*\r\n`).ReplaceAll(r, []byte("$1\r\n"))
		}
	}},
	{"every other message left out of a search, one that is not there in it", func() func(string, []byte) []byte {
		told := 0 // of a first pass, which searches twice
		return func(_ string, r []byte) []byte {
			all := regexp.MustCompile(`^(\* ESEARCH \(TAG "[^"]*"\) UID) ALL 1:(\d+)\r\n`).FindSubmatch(r)
			if all == nil || told == 2 {
				return r
			}
			told++
			last, _ := strconv.Atoi(string(all[2]))
			for uid := 2; uid <= last; uid += 2 {
				all[1] = fmt.Appendf(all[1], "%s%d", map[bool]string{true: " ALL ", false: ","}[uid == 2], uid)
			}
			return append(all[1], ",4000000000\r\n"...)
		}
	}},
	{"a huge RFC822.SIZE", onFetch(func(_ int, r []byte) []byte {
		return regexp.MustCompile(`RFC822\.SIZE \d+`).ReplaceAll(r, []byte("RFC822.SIZE 2147483647"))
	})},
	{"RFC822.SIZE 0", onFetch(func(_ int, r []byte) []byte {
		return regexp.MustCompile(`RFC822\.SIZE \d+`).ReplaceAll(r, []byte("RFC822.SIZE 0"))
	})},
	{"nonsense", instead(`^\* \d+ FETCH`, 3, "\x01\x02)(){}{{5}\r\n\xff\r\n")},
	{"another's tag", instead(`^T\d+ OK`, 3, "T999 OK done\r\n")},
}

// offers are lies without an end: more than a program can hold.
var offers = []lie{
	{"a literal of 2 GiB", onFetch(func(n int, r []byte) []byte {
		if n != 2 {
			return r
		}
		return []byte("* 2 FETCH (UID 2 BODY[] {2147483648}\r\n" + strings.Repeat("a", 1<<20) + faultproxy.Endless)
	})},
	{"a literal of 2 GiB in a LIST", instead(`^\* (LIST|NAMESPACE)`, 1, "* LIST () \".\" {2147483648}\r\n"+strings.Repeat("a", 1<<20)+faultproxy.Endless)},
	{"a literal of 2 GiB in a SEARCH", instead(`^\* (ESEARCH|SEARCH)`, 1, "* ESEARCH (TAG {2147483648}\r\n"+strings.Repeat("a", 1<<20)+faultproxy.Endless)},
	{"an endless line", instead(`^\* \d+ FETCH`, 2, "* OK "+strings.Repeat("and ", 1<<16)+faultproxy.Endless)},
	{"endless responses", instead(`^\* \d+ FETCH`, 2, strings.Repeat("* 5 EXISTS\r\n", 1<<14)+faultproxy.Endless)},
	{"endless messages", instead(`^\* \d+ FETCH`, 1, strings.Repeat("* 1 FETCH (UID 1 RFC822.SIZE 3 BODY[] {3}\r\nabc)\r\n", 1<<14)+faultproxy.Endless)},
	{"an endless list of UIDs", instead(`^\* (ESEARCH|SEARCH)`, 1, "* SEARCH 1"+strings.Repeat(" 1234567", 1<<14)+faultproxy.Endless)},
}

// TestChaosLies has the inbox's server lie in every way of the list: no
// panic, no endless run, and the next pass makes everything as it would have
// been.
func TestChaosLies(t *testing.T) {
	t.Parallel()
	chosen := some(slices.Concat(lies, offers), 14)
	s := newServerStory(t, len(chosen))
	for _, l := range chosen {
		if !s.play(l.name, l.script) {
			t.Errorf("%s: the lie was never told", l.name)
		}
	}
}

// maxResident is what the program may take of memory, its own pages and the
// vault's among it, whatever the server says: far above a usual pass, and far
// below what the lies offer.
const maxResident = 128 << 20

// TestChaosOffers has the inbox's server offer more than a program can hold:
// what it takes is measured on the program itself.
func TestChaosOffers(t *testing.T) {
	t.Parallel()
	program := buildProgram(t)
	chosen := some(offers, 4)
	s := newServerStory(t, len(chosen))
	host, port, _ := net.SplitHostPort(s.imap.Addr())
	_, front, _ := net.SplitHostPort(s.front.Addr())
	for _, l := range chosen {
		s.n++
		s.prepare(s.n)
		script, told := l.script()
		s.front.Set(script)
		inbox := func(port string) string { return fmt.Sprintf("host = %q\nport = %s\n", host, port) }
		s.edit(inbox(port), inbox(front))
		cmd := exec.CommandContext(t.Context(), program, "--config", s.configPath(), "once")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		most, err := waitPeak(cmd)
		s.edit(inbox(front), inbox(port))
		if bytes.Contains(out.Bytes(), []byte("goroutine ")) {
			t.Errorf("%s: a panic (%v)\n%s", l.name, err, out.String())
		}
		if !told() {
			t.Errorf("%s: the offer was never made", l.name)
		}
		if most > maxResident || most == 0 {
			t.Errorf("%s: %d MiB of memory, want %d at most", l.name, most>>20, maxResident>>20)
		}
	}
}

// TestChaosUnderfoot changes the inbox in the middle of a pass, as people do
// who read it too, and restarts its server.
func TestChaosUnderfoot(t *testing.T) {
	t.Parallel()
	s := newServerStory(t, 5)
	expunge := func(inbox, id string) {
		s.imap.Doveadm("expunge", "-u", inbox, "mailbox", "INBOX", "header", "Message-ID", strings.Trim(id, "<>"))
	}
	for _, c := range []struct {
		name, verb string
		nth        int
		do         func(inbox string, extra, filed string)
		gone       bool // the message that was to be filed away is
	}{
		{"a message vanishes between search and header", "UID FETCH", 1, func(inbox, extra, _ string) { expunge(inbox, extra) }, false},
		{"a message vanishes between header and body", "UID FETCH", 2, func(inbox, extra, _ string) { expunge(inbox, extra) }, false},
		{"a settled message vanishes before it is moved", "UID MOVE", 1, func(inbox, extra, filed string) { expunge(inbox, extra); expunge(inbox, filed) }, true},
		{"the server is restarted between header and body", "UID FETCH", 2, func(inbox, extra, _ string) { expunge(inbox, extra); s.imap.Restart() }, false},
		{"the server is restarted before the move", "UID MOVE", 1, func(inbox, extra, _ string) { expunge(inbox, extra); s.imap.Restart() }, false},
	} {
		s.n++
		before := s.prepare(s.n)
		inbox := inboxName(s.n)
		extra := s.letter(neri, 3, "Fattura 121", "In allegato la fattura.\n")
		s.imap.Deliver(inbox, "INBOX", extra.Bytes(), extra.SentAt)
		filed := ""
		for _, m := range s.imap.Messages(inbox, "INBOX") {
			if bytes.Contains(s.imap.Raw(inbox, "INBOX", m.UID), []byte("Sender: "+bianchi)) || bytes.Contains(s.imap.Raw(inbox, "INBOX", m.UID), []byte("Reply-To: "+bianchi)) {
				filed = m.MessageID
			}
		}
		seen, done := 0, false
		var mu sync.Mutex
		s.front.Set(faultproxy.Script{Command: func(_ int, line string) (string, bool) {
			mu.Lock()
			defer mu.Unlock()
			if strings.HasPrefix(line, c.verb) && !done {
				if seen++; seen == c.nth {
					done = true
					c.do(inbox, idOf(extra), filed)
				}
			}
			return "", false
		}})
		s.disturbed(weather{inbox: s.front.Addr(), timeout: time.Minute})
		s.front.Set(faultproxy.Script{})
		mu.Lock() // what is being done ends first, and nothing is done from here on
		happened := done
		done = true
		mu.Unlock()
		if !happened || filed == "" {
			t.Errorf("%s: it did not happen (%d, %q)", c.name, seen, filed)
		}
		s.recover(s.n, before)
		want := s.want
		if c.gone {
			want.text = strings.Replace(want.text, "  "+filed+" []\n", "", 1)
		}
		wantSame(t, c.name, want, s.ending(s.n, before))
	}
}
