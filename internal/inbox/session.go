package inbox

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"

	"pec-ingest/internal/secret"
)

// Session is one logged-in connection. Its methods are for one goroutine, but
// Close may come from any. After an error that is ErrNetwork, ErrUnavailable
// or a context's, the session is over: Close it and Dial again.
type Session struct {
	c     Config // its Password only until the login is over
	trace trace  // of the password
	tcp   *countedConn
	guard *guard
	imap  *imapclient.Client
	caps  imap.CapSet

	closed atomic.Bool
	news   chan struct{} // the server has announced a message; never blocks

	stir   atomic.Bool   // the server has told of a change since the folder was opened
	told   atomic.Bool   // the same of a message
	shrunk atomic.Bool   // the same of a message that is gone
	exists atomic.Uint32 // how many messages there are, as it last said
	opened time.Time     // when the folder was opened, for reading
	vocal  bool          // the server has shown that it announces messages in an open folder
	mute   bool          // it has shown that it doesn't

	searched  uint32 // UIDs below were there for the last Search; 0: none yet
	examined  bool   // the folder is open, read-only
	noIdle    bool   // the server has refused IDLE
	mailbox   Mailbox
	meta      map[uint32]meta  // of messages seen since the folder was opened
	odd       map[uint32]int64 // lengths of bodies that differ from RFC822.SIZE
	processed string           // full name of the processed folder, "" not yet known
}

// meta is what Fetch has to know before it downloads a message.
type meta struct {
	size int64
	date time.Time
}

const (
	loginBudget  = 64 << 10 // greeting, capabilities, login
	answerBudget = 1 << 20  // any command with a short answer
)

// Dial connects, checks the certificate and logs in, once: a refused password
// is not tried in another way.
//
// Errors wrap ErrRefused, ErrUnavailable, ErrTLS or ErrNetwork, or are the
// context's.
func Dial(ctx context.Context, c Config) (*Session, error) {
	c = c.withDefaults()
	if c.Auth != "" && c.Auth != "password" && c.Auth != "oauth2" {
		return nil, fmt.Errorf("logging in: %w (unknown auth %q)", ErrUnavailable, c.Auth)
	}
	dctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	raw, err := c.Dial(dctx, "tcp", c.Addr)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, dialError("connecting", err)
	}
	tcp := &countedConn{Conn: raw}
	// No ALPN: some servers refuse the connection over "imap".
	conf := &tls.Config{}
	if c.TLS != nil {
		conf = c.TLS.Clone()
	}
	conf.ServerName = c.ServerName
	conf.MinVersion = max(conf.MinVersion, tls.VersionTLS12)
	conn := tls.Client(tcp, conf)
	if err := conn.HandshakeContext(dctx); err != nil {
		_ = tcp.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, dialError("starting TLS", err)
	}
	return login(ctx, c, tcp, conn)
}

// login makes a session of a connection, which it closes when that fails.
func login(ctx context.Context, c Config, tcp *countedConn, conn net.Conn) (*Session, error) {
	s := &Session{c: c, trace: newTrace(c.Password), tcp: tcp, guard: newGuard(conn, tcp, c.Timeout), news: make(chan struct{}, 1), meta: map[uint32]meta{}, odd: map[uint32]int64{}}
	s.guard.begin(loginBudget)
	s.imap = imapclient.New(s.guard, &imapclient.Options{
		UnilateralDataHandler: &imapclient.UnilateralDataHandler{Mailbox: s.onMailbox, Expunge: s.onExpunge},
	})
	err := s.do(ctx, loginBudget, s.login)
	s.c.Password = secret.Secret{} // the caller's again, who may wipe it
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// onMailbox runs in the library's reading goroutine, where any command would
// wait for ever: it only signals.
func (s *Session) onMailbox(d *imapclient.UnilateralDataMailbox) {
	if d.NumMessages != nil {
		s.exists.Store(*d.NumMessages)
		s.told.Store(true)
		s.stir.Store(true)
		s.announce()
	}
}

// onExpunge runs where onMailbox does.
func (s *Session) onExpunge(uint32) {
	s.shrunk.Store(true)
	s.stir.Store(true)
}

// announce wakes Watch, now or when it is called.
func (s *Session) announce() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

func (s *Session) login() error {
	if err := s.imap.WaitGreeting(); err != nil {
		return err
	}
	if s.imap.State() != imap.ConnStateNotAuthenticated {
		return fmt.Errorf("logging in: %w (it asks for no password)", ErrUnavailable)
	}
	caps := s.imap.Caps() // bounded: when the stream fails, so does this
	user, password := s.c.Username, s.c.Password.RevealString()
	var err error
	switch {
	case s.c.Auth == "oauth2" && !caps.Has(imap.AuthCap(mechXOAUTH2)):
		return fmt.Errorf("logging in: %w (it offers no login by OAuth)", ErrUnavailable)
	case s.c.Auth == "oauth2":
		err = s.imap.Authenticate(&xoauth2{user, password})
	case caps.Has(imap.AuthCap(sasl.Plain)) && (caps.Has(imap.CapLoginDisabled) || !isASCII(user+password)):
		// LOGIN says nothing about the character set; SASL PLAIN is UTF-8
		// (RFC 4616).
		err = s.imap.Authenticate(sasl.NewPlainClient("", user, password))
	case caps.Has(imap.CapLoginDisabled):
		return fmt.Errorf("logging in: %w (it offers no login by password)", ErrUnavailable)
	default:
		err = s.imap.Login(user, password).Wait()
	}
	if err != nil {
		var ie *imap.Error
		if errors.As(err, &ie) {
			return loginError(ie, s.cleanText(ie.Text))
		}
		return err
	}
	// The library's Caps may still be those from before the login. The list
	// asked for now is the one for the session.
	if s.caps, err = s.imap.Capability().Wait(); err != nil {
		return err
	}
	if len(s.caps) == 0 {
		return fmt.Errorf("%w: %w: no list of capabilities", ErrNetwork, ErrProtocol)
	}
	s.guard.freeze()
	return nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// Close ends the session at once and never waits for the server: it closes
// the TCP connection, under TLS and library, which both might wait.
func (s *Session) Close() {
	if s.closed.Swap(true) {
		return
	}
	_ = s.tcp.Close()
	// The library's reading goroutine ends now, unless it is delivering to a
	// command of the session's goroutine, which then drains it.
}

// Logout says goodbye first, waiting a second for it at most.
func (s *Session) Logout(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = s.do(ctx, answerBudget, func() error { return s.imap.Logout().Wait() })
	s.Close()
}

// Traffic returns the bytes read and written so far, TLS included.
func (s *Session) Traffic() (read, written int64) { return s.tcp.read.Load(), s.tcp.written.Load() }

// do runs fn, which sends commands and waits for them, with the deadlines and
// the bound of guard and under ctx, and gives its error a meaning.
func (s *Session) do(ctx context.Context, budget int64, fn func() error) error {
	if s.closed.Load() {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, s.Close)
	defer stop()
	s.guard.begin(budget)
	err := fn()
	s.guard.end()
	if err == nil {
		return nil
	}
	return s.explain(ctx, err)
}

// explain finds the cause behind err. The library flattens errors, so the
// order is: the context, what the connection itself said, the server's answer.
func (s *Session) explain(ctx context.Context, err error) error {
	if cerr := ctx.Err(); cerr != nil {
		return cerr
	}
	var msg *MessageError
	if errors.As(err, &msg) {
		return &MessageError{UID: msg.UID, Err: s.explain(ctx, msg.Err)}
	}
	for _, known := range []error{ErrRefused, ErrUnavailable, ErrUIDValidity, ErrNoFolder, ErrCannotFile, ErrProtocol, errCallback{}} {
		if errors.Is(err, known) {
			return err
		}
	}
	var ie *imap.Error
	if errors.As(err, &ie) {
		return s.answerError(ie)
	}
	bye, cause := s.guard.failure()
	if cause != nil || bye != "" {
		return s.streamError(cause, bye)
	}
	if s.closed.Load() {
		return ErrClosed
	}
	// Nothing is wrong with the connection: the library could not read the
	// server's answer. Its text may quote it, so it is not repeated.
	return fmt.Errorf("reading the server's answer: %w: %w", ErrNetwork, ErrProtocol)
}

func (s *Session) streamError(cause error, bye string) error {
	switch {
	case bye != "":
		return fmt.Errorf("the server ended the session: %w%s", ErrUnavailable, quoted(s.cleanText(bye)))
	case errors.Is(cause, ErrProtocol):
		return fmt.Errorf("reading the server's answer: %w: %w", ErrNetwork, cause)
	case timedOut(cause):
		return fmt.Errorf("waiting for the server: %w: it is silent or too slow", ErrNetwork)
	case s.closed.Load():
		return ErrClosed
	}
	return fmt.Errorf("reading the server's answer: %w: %w", ErrNetwork, cause)
}

// answerError is the error for a NO or BAD.
func (s *Session) answerError(e *imap.Error) error {
	text := s.cleanText(e.Text)
	switch e.Code {
	case imap.ResponseCodeNonExistent, imap.ResponseCodeNoPerm:
		return fmt.Errorf("the server says no: %w%s", ErrNoFolder, coded(e.Code, text))
	}
	return fmt.Errorf("the server says no: %w%s", ErrUnavailable, coded(e.Code, text))
}

// Examine opens the folder for reading and says what is in it.
func (s *Session) Examine(ctx context.Context) (Mailbox, error) {
	err := s.do(ctx, answerBudget, func() error { return s.open(true) })
	if err != nil {
		return Mailbox{}, fmt.Errorf("opening the folder: %w", err)
	}
	return s.mailbox, nil
}

// open runs inside do. Read-only is EXAMINE, which can't change a flag.
func (s *Session) open(readOnly bool) error {
	s.examined = false
	told := s.told.Swap(false)
	data, err := s.imap.Select(s.c.Folder, &imap.SelectOptions{ReadOnly: readOnly}).Wait()
	if err != nil {
		var ie *imap.Error
		if errors.As(err, &ie) && ie.Type == imap.StatusResponseTypeNo && ie.Code != imap.ResponseCodeUnavailable {
			return fmt.Errorf("%w%s", ErrNoFolder, coded(ie.Code, s.cleanText(ie.Text)))
		}
		return err
	}
	if data.UIDValidity == 0 {
		return fmt.Errorf("%w: %w: no UIDVALIDITY", ErrNetwork, ErrProtocol)
	}
	if data.UIDValidity != s.mailbox.UIDValidity {
		clear(s.meta)
		clear(s.odd)
		s.searched = min(s.searched, 1)
	}
	// What arrived since the last Search stands in this answer and nowhere
	// else: the server will not announce it again.
	if next := uint32(data.UIDNext); s.searched != 0 && (next == 0 || next > s.searched || data.UIDValidity != s.mailbox.UIDValidity) {
		s.announce()
	}
	if was := s.mailbox; told && was.UIDValidity == data.UIDValidity && was.UIDNext != 0 && uint32(data.UIDNext) > was.UIDNext {
		s.vocal, s.mute = true, false
	}
	s.mailbox = Mailbox{UIDValidity: data.UIDValidity, UIDNext: uint32(data.UIDNext), Messages: data.NumMessages}
	s.examined, s.opened = readOnly, time.Now()
	s.exists.Store(data.NumMessages)
	s.stir.Store(false)
	s.shrunk.Store(false)
	s.guard.takeOdd()
	return nil
}

// reading makes sure that the folder is open read-only. It runs inside do.
func (s *Session) reading() error {
	if s.examined {
		return nil
	}
	before := s.mailbox.UIDValidity
	if err := s.open(true); err != nil {
		return err
	}
	if before != 0 && before != s.mailbox.UIDValidity {
		return ErrUIDValidity
	}
	return nil
}

// Search returns the UIDs from from on of messages that the server received
// on since's day or later (the zero time: all), ascending. Days are the
// server's, so a message of the evening before may be among them.
func (s *Session) Search(ctx context.Context, from uint32, since time.Time) ([]uint32, error) {
	var uids []uint32
	err := s.do(ctx, s.searchBudget(), func() (err error) {
		if err := s.reading(); err != nil {
			return err
		}
		// What was announced up to here will be in the answer; what comes
		// later wakes Watch.
		select {
		case <-s.news:
		default:
		}
		s.searched = max(s.searched, s.mailbox.UIDNext, 1)
		uids, err = s.search(from, since)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("searching: %w", err)
	}
	if len(uids) > 0 && uids[len(uids)-1] < 1<<32-1 {
		s.searched = max(s.searched, uids[len(uids)-1]+1)
	}
	return uids, nil
}

// searchBudget: 11 bytes for each number, and as many messages more as may
// arrive.
func (s *Session) searchBudget() int64 { return answerBudget + 12*int64(s.mailbox.Messages) }

// search runs inside do, in the open folder.
func (s *Session) search(from uint32, since time.Time) ([]uint32, error) {
	crit := &imap.SearchCriteria{UID: []imap.UIDSet{{{Start: imap.UID(max(from, 1)), Stop: 0}}}}
	if !since.IsZero() {
		crit.Since = since.AddDate(0, 0, -1)
	}
	var opts *imap.SearchOptions
	if s.caps.Has(imap.CapESearch) {
		opts = &imap.SearchOptions{ReturnAll: true} // ranges: a fraction of the bytes
	}
	data, err := s.imap.UIDSearch(crit, opts).Wait()
	if err != nil {
		return nil, err
	}
	return expand(data.All, from, 2*int64(s.mailbox.Messages)+100_000)
}

// expand turns the ranges of an answer into UIDs from from on ("N:*" also
// matches the last message when its UID is below N, RFC 3501 §6.4.8). More
// than limit is a lie: four bytes a UID would fill the memory.
func expand(set imap.NumSet, from uint32, limit int64) ([]uint32, error) {
	ranges, ok := set.(imap.UIDSet)
	if !ok {
		return nil, nil
	}
	var n int64
	for _, r := range ranges {
		if r.Start == 0 || r.Stop < r.Start {
			return nil, fmt.Errorf("%w: %w: a bad range of UIDs", ErrNetwork, ErrProtocol)
		}
		n += int64(r.Stop) - int64(r.Start) + 1
	}
	if n > limit {
		return nil, fmt.Errorf("%w: %w: more messages found than there are", ErrNetwork, ErrProtocol)
	}
	uids := make([]uint32, 0, n)
	for _, r := range ranges {
		for uid := int64(r.Start); uid <= int64(r.Stop); uid++ {
			if uint32(uid) >= from {
				uids = append(uids, uint32(uid))
			}
		}
	}
	slices.Sort(uids)
	return slices.Compact(uids), nil
}

// countedConn counts the bytes on the wire and closes once.
type countedConn struct {
	net.Conn
	read, written atomic.Int64
	once          sync.Once
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

func (c *countedConn) Close() error {
	var err error
	c.once.Do(func() { err = c.Conn.Close() })
	return err
}
