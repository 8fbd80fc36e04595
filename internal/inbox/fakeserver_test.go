package inbox_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/secret"
)

// fake is a server that says what a test wants. script gets each command
// (without its tag) and returns the answer, in which TAG stands for the tag;
// ok false means the polite default.
type fake struct {
	script func(cmd string) (answer string, ok bool)

	mu       sync.Mutex
	commands []string
}

// hangUp, at the end of an answer, makes the server close the connection;
// silent makes it say nothing more.
const (
	hangUp = "\x00hang up"
	silent = "\x00silent"
)

func (f *fake) serve(c net.Conn) {
	defer c.Close()
	greeting := "* OK [CAPABILITY " + capabilities + "] ready\r\n"
	if a, ok := f.ask("GREETING"); ok {
		greeting = a
	}
	if !say(c, "", greeting) {
		return
	}
	r := bufio.NewReader(c)
	idle := "" // tag of the IDLE that DONE ends
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		tag, cmd, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case cmd == "IDLE":
			idle = tag
		case tag == "DONE":
			tag, cmd = idle, "DONE"
		}
		answer, ok := f.ask(cmd)
		if !ok {
			answer = polite(tag, cmd)
		}
		if !say(c, tag, answer) {
			return
		}
	}
}

func say(c net.Conn, tag, answer string) bool {
	text, end, _ := strings.Cut(answer, "\x00")
	text = strings.NewReplacer("TAG", tag, "CORRELATOR", "TAG").Replace(text)
	if _, err := io.WriteString(c, text); err != nil {
		return false
	}
	if "\x00"+end == silent {
		_, _ = io.Copy(io.Discard, c)
	}
	return end == ""
}

func (f *fake) ask(cmd string) (string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commands = append(f.commands, cmd)
	if f.script == nil {
		return "", false
	}
	return f.script(cmd)
}

const capabilities = "IMAP4rev1 UIDPLUS MOVE IDLE NAMESPACE ESEARCH AUTH=PLAIN"

// sent returns the commands so far.
func (f *fake) sent() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.commands)
}

// polite is what an empty, friendly server says.
func polite(tag, cmd string) string {
	switch word, _, _ := strings.Cut(cmd, " "); word {
	case "EXAMINE", "SELECT":
		return "* FLAGS (\\Seen)\r\n* 3 EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 9] ok\r\n* OK [UIDNEXT 4] ok\r\n" + tag + " OK [READ-ONLY] done\r\n"
	case "CAPABILITY":
		return "* CAPABILITY " + capabilities + "\r\n" + tag + " OK done\r\n"
	case "LOGIN":
		// As real servers do. Without the code the library asks for the list
		// beside our commands, in a goroutine that nobody can wait for; when
		// the connection ends just then, its clean-up races with its reader.
		return tag + " OK [CAPABILITY " + capabilities + "] done\r\n"
	case "IDLE":
		return "+ idling\r\n"
	case "NAMESPACE":
		return "* NAMESPACE ((\"INBOX.\" \".\")) NIL NIL\r\n" + tag + " OK done\r\n"
	}
	return tag + " OK done\r\n"
}

// fakeTimeout is of simulated time in most tests: they run in bubbles.
const fakeTimeout = 300 * time.Millisecond

// talk opens a session with the fake over a pipe.
func talk(t testing.TB, f *fake, edit func(*inbox.Config)) (*inbox.Session, error) {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() { defer close(done); f.serve(theirs) }()
	t.Cleanup(func() { theirs.Close(); <-done })
	c := inbox.Config{
		Username: studio, Password: secret.FromString(password), ProcessedFolder: "Fatte",
		Timeout: fakeTimeout, MaxMessage: 100_000,
	}
	if edit != nil {
		edit(&c)
	}
	s, err := inbox.LoginOver(context.Background(), c, ours)
	if err == nil {
		t.Cleanup(s.Close)
	}
	return s, err
}

// mustTalk is talk that succeeds.
func mustTalk(t testing.TB, script func(cmd string) (string, bool)) *inbox.Session {
	t.Helper()
	s, err := talk(t, &fake{script: script}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// on answers commands that begin with a prefix.
func on(answers map[string]string) func(string) (string, bool) {
	return func(cmd string) (string, bool) {
		for prefix, answer := range answers {
			if strings.HasPrefix(cmd, prefix) {
				return answer, true
			}
		}
		return "", false
	}
}
