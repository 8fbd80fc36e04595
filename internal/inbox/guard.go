package inbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// guard stands between the TLS connection and the IMAP library and keeps away
// from the library what it can't deal with (seen in v2.0.0-beta.8; each has a
// test, mostly in TestTraps):
//
//   - It waits for ever on a silent server: guard alone sets read deadlines,
//     one for each read and one for the whole command, and ignores the
//     library's own.
//   - It takes a connection that ends inside a literal for the literal's end:
//     guard knows how much is still to come and says io.ErrUnexpectedEOF.
//   - It ends the session at any untagged response that it doesn't know
//     (VANISHED, XLIST…): guard drops them.
//   - It buffers literals outside FETCH without a limit, and believes any
//     announced length: guard holds every command to a number of bytes.
//   - It spins for ever on a "(" in a list of capabilities: guard refuses it.
//   - It follows every announcement of other capabilities, in the middle of a
//     session too, and its Move becomes COPY and a plain EXPUNGE when MOVE and
//     UIDPLUS are not among them: guard hides those that come after the login.
//   - Its errors lose their cause (%v): guard keeps the first one.
//
// The server's stream is a sequence of responses, each a line that may go on
// after literals: "* 1 FETCH (… BODY[] {400}" + 400 bytes + " UID 7)".
type guard struct {
	net.Conn // TLS
	tcp      io.Closer
	br       *bufio.Reader

	// Only Read uses these.
	midLine bool   // inside a response, not at its first byte
	literal int64  // bytes of a literal still to come
	text    bool   // the response is free text, in which "{5}" means nothing
	drop    bool   // the response is not passed on
	tail    []byte // the line's last bytes so far, where "{n}" stands
	pending []byte // bytes to pass on before anything else is read

	timeout time.Duration
	mu      sync.Mutex
	waiting bool      // a command is running: reads have deadlines
	until   time.Time // when the command must be over
	budget  int64     // bytes that may still come
	err     error     // what ended the stream
	bye     string    // text of an untagged BYE
	frozen  bool      // capabilities are settled
	odd     bool      // something was said that is not usual in an open folder
}

const (
	// guardBuffer also bounds what is looked at of a response's beginning.
	guardBuffer = 16 << 10
	// idleBudget is what a server may say unasked between two commands.
	idleBudget = 1 << 20
	// minRate, in bytes a second, is the slowest line that is put up with.
	minRate = 8 << 10
)

var errTooMuch = fmt.Errorf("%w: more data than was asked for", ErrProtocol)

func newGuard(conn net.Conn, tcp io.Closer, timeout time.Duration) *guard {
	return &guard{
		Conn: conn, tcp: tcp, br: bufio.NewReaderSize(conn, guardBuffer),
		timeout: timeout, budget: idleBudget,
	}
}

// begin opens a command that may bring up to budget bytes.
func (g *guard) begin(budget int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = true
	g.budget = budget
	g.until = time.Now().Add(g.timeout + time.Duration(budget/minRate)*time.Second)
	g.setDeadline()
}

// pause gives back d, in which it was not the server who was slow.
func (g *guard) pause(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.until = g.until.Add(d)
}

// end closes the command: until the next one the server may be silent.
func (g *guard) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = false
	g.budget = idleBudget
	_ = g.Conn.SetReadDeadline(time.Time{})
}

// setDeadline wants g.mu held. It also wakes a read that is waiting.
func (g *guard) setDeadline() {
	if !g.waiting {
		return
	}
	d := time.Now().Add(g.timeout)
	if g.until.Before(d) {
		d = g.until
	}
	_ = g.Conn.SetReadDeadline(d)
}

// SetReadDeadline does nothing: the library's deadlines are not ours.
func (g *guard) SetReadDeadline(time.Time) error { return nil }

// SetDeadline is SetWriteDeadline, for the same reason.
func (g *guard) SetDeadline(t time.Time) error { return g.SetWriteDeadline(t) }

// Close closes the TCP connection: TLS would wait up to five seconds to say
// goodbye.
func (g *guard) Close() error { return g.tcp.Close() }

// failure is what ended the stream, and the server's farewell.
func (g *guard) failure() (bye string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bye, g.err
}

func (g *guard) fail(err error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
	}
	return err
}

// spend takes n bytes off the budget.
func (g *guard) spend(n int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.budget -= n
	if g.budget < 0 {
		return errTooMuch
	}
	return nil
}

// Read implements io.Reader for the library. One goroutine calls it. The
// first error is final.
func (g *guard) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if len(g.pending) > 0 {
			n := copy(p, g.pending)
			g.pending = g.pending[n:]
			return n, nil
		}
		g.mu.Lock()
		err := g.err
		g.setDeadline()
		g.mu.Unlock()
		if err != nil {
			return 0, err // the library may ask again; there is no second wait
		}

		if g.literal > 0 {
			n, err := g.readLiteral(p)
			if n == 0 && err == nil {
				continue // dropped
			}
			return n, err
		}
		if err := g.readLine(); err != nil {
			return 0, err
		}
	}
}

// readLiteral passes a part of the literal on. Its bytes were taken off the
// budget when it was announced.
func (g *guard) readLiteral(p []byte) (int, error) {
	if int64(len(p)) > g.literal {
		p = p[:g.literal]
	}
	n, err := g.br.Read(p)
	g.literal -= int64(n)
	if n > 0 {
		err = nil // comes again with the next read
		if g.drop {
			n = 0
		}
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, g.fail(err)
	}
	return n, nil
}

// readLine takes a line, or as much of it as the buffer holds, and leaves
// what the library shall see in g.pending.
func (g *guard) readLine() error {
	line, err := g.br.ReadSlice('\n')
	if len(line) > 0 {
		if serr := g.spend(int64(len(line))); serr != nil {
			return g.fail(serr)
		}
		if !g.midLine {
			g.classify(line)
			if serr := g.capabilities(line); serr != nil {
				return g.fail(serr)
			}
		}
		g.midLine = true
		if !g.drop {
			// The slice is valid until the next read, which happens only
			// once pending is used up.
			g.pending = line
		}
		g.tail = append(g.tail, line...)
		if len(g.tail) > 32 {
			g.tail = append(g.tail[:0], g.tail[len(g.tail)-32:]...)
		}
	}
	switch {
	case err == nil:
		return g.endLine()
	case errors.Is(err, bufio.ErrBufferFull):
		return nil
	case errors.Is(err, io.EOF) && g.midLine:
		err = io.ErrUnexpectedEOF
	}
	return g.fail(err)
}

// endLine looks whether the response goes on with a literal.
func (g *guard) endLine() error {
	n, ok := literalSize(g.tail)
	g.tail = g.tail[:0]
	if ok && !g.text {
		if err := g.spend(n); err != nil {
			return g.fail(err)
		}
		g.literal = n
		return nil // the line after it belongs to the same response
	}
	g.midLine, g.drop, g.text = false, false, false
	return nil
}

// classify looks at the beginning of a response.
func (g *guard) classify(line []byte) {
	rest, untagged := bytes.CutPrefix(line, []byte("* "))
	if !untagged {
		g.text = true // continuation or tagged: human text
		return
	}
	words := strings.Fields(strings.ToUpper(string(rest[:min(len(rest), 80)])))
	if len(words) == 0 {
		return // nonsense; the library ends the session
	}
	typ := words[0]
	if typ[0] >= '0' && typ[0] <= '9' && len(words) > 1 {
		typ = words[1]
	}
	switch typ {
	case "OK", "NO", "BAD", "PREAUTH":
		g.text = true
		if typ != "OK" || slices.ContainsFunc(words, func(w string) bool {
			return strings.HasPrefix(w, "[UIDVALIDITY") || strings.HasPrefix(w, "[UIDNEXT") || strings.HasPrefix(w, "[CLOSED")
		}) {
			g.setOdd()
		}
	case "BYE":
		g.text = true
		g.mu.Lock()
		g.bye = string(bytes.TrimSpace(rest[min(len(rest), 3):min(len(rest), 400)]))
		if g.bye == "" {
			g.bye = "BYE"
		}
		g.mu.Unlock()
	case "CAPABILITY", "NAMESPACE", "FLAGS", "EXISTS", "RECENT", "EXPUNGE", "LIST", "SEARCH", "ESEARCH", "FETCH":
	default:
		g.drop = true
		g.setOdd()
	}
}

func (g *guard) setOdd() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.odd = true
}

// takeOdd tells whether the server has said something since the last call that
// is not usual in an open folder, and forgets it.
func (g *guard) takeOdd() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	odd := g.odd
	g.odd = false
	return odd
}

// freeze hides what the server says about its capabilities from here on.
func (g *guard) freeze() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.frozen = true
}

// capabilities looks at a line that may hold a list of capabilities, as a
// response of its own or as the code of another one (RFC 3501 §7.1, §7.2.1).
func (g *guard) capabilities(line []byte) error {
	list := -1
	if len(line) > len("* CAPABILITY") && bytes.EqualFold(line[:len("* CAPABILITY")], []byte("* CAPABILITY")) {
		list = 0
	} else if g.text {
		list = bytes.Index(line, []byte("[CAPABILITY"))
	}
	if list < 0 {
		return nil
	}
	g.mu.Lock()
	frozen := g.frozen
	g.mu.Unlock()
	switch {
	case frozen && list == 0:
		g.drop = true
	case frozen:
		line[list+1] = 'X' // a code that the library skips
	default:
		caps := line[list:]
		if i := bytes.IndexByte(caps, ']'); i >= 0 {
			caps = caps[:i]
		} else if caps[len(caps)-1] != '\n' {
			return fmt.Errorf("%w: an endless list of capabilities", ErrProtocol)
		}
		if bytes.IndexByte(caps, '(') < 0 {
			return nil
		}
		return fmt.Errorf("%w: a bad list of capabilities", ErrProtocol)
	}
	return nil
}

// literalSize reads the "{123}" at the end of a line.
func literalSize(line []byte) (int64, bool) {
	line = bytes.TrimRight(line, "\r\n")
	if len(line) == 0 || line[len(line)-1] != '}' {
		return 0, false
	}
	i := bytes.LastIndexByte(line, '{')
	if i < 0 {
		return 0, false
	}
	digits := line[i+1 : len(line)-1]
	if len(digits) == 0 || len(digits) > 18 {
		return 0, false
	}
	var n int64
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = n*10 + int64(d-'0')
	}
	return n, true
}

// timedOut tells whether err is a passed deadline.
func timedOut(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
