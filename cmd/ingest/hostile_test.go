package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pec-ingest/internal/pectest"
)

// proxy passes connections on to a server and counts what the server says.
type proxy struct {
	listener net.Listener
	server   string
	bytes    atomic.Int64
	conns    sync.WaitGroup
}

func startProxy(t *testing.T, server string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, server: server}
	p.conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.conns.Go(func() { p.pass(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.conns.Wait()
	})
	return p
}

func (p *proxy) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	p.conns.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	})
	_, _ = io.Copy(client, io.TeeReader(server, counter{&p.bytes}))
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}

// envelope is the outer header of a message that claims to be a genuine
// envelope, so that it must be downloaded and judged.
func envelope(n int, contentType, body string) []byte {
	return fmt.Appendf(nil, "X-Trasporto: posta-certificata\r\nFrom: \"Per conto di: %s\" <%s>\r\nTo: %s\r\nSubject: POSTA CERTIFICATA: password\r\nMessage-ID: <hostile%d@pec.gestore.example>\r\nMIME-Version: 1.0\r\nContent-Type: %s\r\n\r\n%s",
		rossi, signerPEC, studioPEC, n, contentType, body)
}

// hostile are messages made to break a reader.
func hostile() map[string][]byte {
	garbage := make([]byte, 200<<10)
	r := rand.New(rand.NewPCG(7, 7))
	for i := range garbage {
		garbage[i] = byte(r.Uint32())
	}
	nested := func(depth int) string {
		var b strings.Builder
		for i := range depth {
			fmt.Fprintf(&b, "--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n", i, i+1)
		}
		return b.String()
	}
	return map[string][]byte{
		"huge":                 envelope(1, "text/plain", strings.Repeat("0123456789abcdef\r\n", 100_000)),
		"100,000 parts":        envelope(2, "multipart/signed; boundary=b", strings.Repeat("--b\r\n\r\n", 100_000)),
		"10,000 levels":        envelope(3, "multipart/signed; boundary=b0", nested(10_000)),
		"levels inside signed": envelope(4, "multipart/signed; boundary=s; protocol=\"application/pkcs7-signature\"", "--s\r\nContent-Type: multipart/mixed; boundary=b0\r\n\r\n"+nested(5_000)+"\r\n--s\r\nContent-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n\r\n"+strings.Repeat("MIIB", 20_000)+"\r\n--s--\r\n"),
		"garbage":              append(envelope(5, "multipart/signed; boundary=b", ""), garbage...),
		"garbage alone":        garbage,
		"NUL bytes":            envelope(6, "multipart/signed; boundary=b", strings.Repeat("--b\r\n\x00\x00\r\n\r\n\x00", 1000)),
		"no header":            []byte("\r\nSolo testo: Evil1234\r\n"),
		"one byte":             []byte("x"),
		"8-bit header":         []byte("X-Trasporto: posta-certificata\r\nFrom: \xff\xfe\xe8 <x@y>\r\nSubject: \xe8\xe8\xe8\r\n\xc3\xa8: perch\xe9\r\nMessage-ID: <\xff@x>\r\n\r\nciao\r\n"),
		"header of 900 kB":     envelope(7, "text/plain; x="+strings.Repeat("a", 900<<10), ""),
		"40,000 fields":        append([]byte(strings.Repeat("X-A: b\r\n", 40_000)), envelope(8, "text/plain", "")...),
		"header without end":   []byte("X-Trasporto: posta-certificata\r\nFrom: x@y\r\nMessage-ID: <9@x>"),
		"mbox line":            append([]byte("From x@y Mon Jan  1 00:00:00 2026\r\n"), envelope(10, "multipart/signed; boundary=b", "--b--\r\n")...),
		"no colon":             append([]byte("questa riga non è un campo\r\n"), envelope(11, "text/plain", "")...),
		"two Message-IDs":      append([]byte("Message-ID: <12@x>\r\n"), envelope(12, "text/plain", "")...),
		"escapes":              envelope(13, "text/plain; name=\"\x1b]0;pwned\x07\u202e\"", "\x1b[2J"),
		"lone LF and CR":       bytes.ReplaceAll(envelope(14, "multipart/signed; boundary=b", "--b\r\n\r\n--b--\r\n"), []byte("\r\n"), []byte("\n")),
	}
}

// passLimit is far more of the processor than a pass over the messages of this
// file takes; what is quadratic takes more.
const passLimit = 90 * time.Second

// limited makes a pass as a process of its own, which must succeed, and which
// may take no more of the processor than passLimit: how long it takes depends
// on what else the machine does.
func (s *studio) limited() result {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), buildProgram(s.t), "--config", s.configPath(), "once", "--json")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("the pass: %v\n%s", err, stderr.String())
	}
	if took := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(); took > passLimit {
		s.t.Errorf("the pass took %v of the processor, want %v at most", took, passLimit)
	}
	return result{exitOK, stdout.String(), stderr.String()}
}

// Whatever lies in the inbox never stops or slows a pass, and is not
// downloaded again at every poll. Messages around it come through.
func TestHostileMessages(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	p := startProxy(t, s.imap.Addr())
	_, inboxPort, _ := net.SplitHostPort(s.imap.Addr())
	_, proxyPort, _ := net.SplitHostPort(p.listener.Addr().String())
	s.edit("port = "+inboxPort, "port = "+proxyPort)

	n, size := 0, 0
	for _, raw := range hostile() {
		s.imap.Deliver(studioPEC, "INBOX", raw, s.day)
		n++
		if len(raw) < 1<<20 {
			size += len(raw)
		}
	}
	before := s.snapshot("INBOX")
	s.deliver(s.submission(rossi, 9, passwords[rossi]), s.submission(bianchi, 8, passwords[bianchi]))

	r := s.limited()
	var got sum
	decode(t, r.stdout, &got)
	if want := (sum{Seen: n + 2, Accepted: 2, Ignored: n}); got != want {
		t.Errorf("summary: got %+v, want %+v", got, want)
	}
	// The large one was not downloaded at all.
	if read := p.bytes.Load(); read > int64(size+size/4+256<<10) {
		t.Errorf("the pass downloaded %d bytes, want about %d", read, size)
	}
	if strings.ContainsAny(r.stderr, "\x1b\x07\u202e\x00") {
		t.Errorf("control characters of a message reached the terminal: %q", r.stderr)
	}
	s.wantState(rossi, "valid", 1.0)
	s.wantState(bianchi, "valid", 1.0)
	if s.snapshot("INBOX") != before {
		t.Error("hostile messages were moved or changed")
	}

	// A poll without news.
	p.bytes.Store(0)
	s.once(sum{})
	if read := p.bytes.Load(); read > 32<<10 {
		t.Errorf("a second pass downloaded %d bytes, want a few thousand", read)
	}
}

// Letters under a good signature may be hostile too: a client's mailbox can
// be in anybody's hands.
func TestHostileLetters(t *testing.T) {
	t.Parallel()
	s := newStudio(t, studioOptions{})
	hidden := "\r\nPassword per programmi di posta: " + passwords[rossi] + "\r\n"
	letter := func(hoursAgo float64, contentType, body string) pectest.Envelope {
		e := s.letter(rossi, hoursAgo, "password", "")
		e.Original = fmt.Appendf(nil, "From: %s\r\nTo: %s\r\nSubject: password\r\nMessage-ID: <h%v@client.example>\r\nMIME-Version: 1.0\r\nContent-Type: %s\r\n\r\n%s",
			rossi, studioPEC, hoursAgo, contentType, body)
		e.MsgID = fmt.Sprintf("<h%v@client.example>", hoursAgo)
		return e
	}
	deep := strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 5_000) + hidden
	letters := []pectest.Envelope{
		letter(20, "text/plain; charset=utf-8", strings.Repeat("<", 70_000)+hidden),
		letter(19, "text/plain; charset=utf-8", strings.Repeat("\x01", 300_000)+hidden),
		letter(18, "message/rfc822", deep),
		letter(17, "multipart/mixed; boundary=b", strings.Repeat("--b\r\n\r\nPassword: abcDEF12\r\n", 20_000)),
		letter(16, "text/html", strings.Repeat("<div>", 100_000)+hidden),
		letter(15, "text/plain; charset=x-unknown", hidden),
		letter(14, "text/plain; charset=utf-7", "+AFA-assword per programmi di posta: abcDEF12"),
		letter(13, "text/plain", strings.Repeat("Password: "+"aB3dE5gH"+"\r\n", 40_000)),
		letter(12, "text/plain", "Password per programmi di posta: "+strings.Repeat("aB3", 200_000)),
		letter(11, "application/octet-stream", strings.Repeat("\x00\xff", 100_000)),
	}
	s.deliver(letters...)
	s.deliver(s.submission(rossi, 2, passwords[rossi]))
	r := s.limited()
	var got sum
	decode(t, r.stdout, &got)
	if got.Seen != len(letters)+1 || got.Accepted != 1 || got.Errors != 0 {
		t.Errorf("summary: got %+v, want %d seen, one of them accepted, no errors\n%s", got, len(letters)+1, r.stderr)
	}
	s.wantGet(rossi, passwords[rossi])
	s.wantLogins(rossi, 1, 0)
	for _, row := range s.rows("review", "list", "--json") {
		s.ok("review", "show", jsonNumber(row["n"]))
	}
	s.once(sum{})
}
