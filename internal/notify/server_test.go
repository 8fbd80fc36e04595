package notify_test

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"net"
	"strings"
	"sync"
	"testing"

	"pec-ingest/internal/notify"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/servertest"
)

const (
	user     = "studio@pec.it"
	password = `pä$$"wörd'; \`
)

// fault is what a faulty server does at one step instead of its part.
type fault struct {
	reply string // these lines instead of the usual ones
	do    string // "close", "silent" or "flood"
}

// faultyServer is an SMTP server with a fault at each step that the test asks
// for. It takes one connection after another and notes what it saw.
type faultyServer struct {
	t        *testing.T
	tls      *tls.Config
	starttls bool
	auth     string // mechanisms offered
	faults   map[string]fault

	addr *net.TCPAddr
	mu   sync.Mutex
	seen []string // "EHLO", "AUTH PLAIN", "MAIL", … as they came, across connections
	mail []string // whole messages accepted
	from []string // arguments of MAIL and RCPT
	done chan struct{}
	mute chan struct{} // closed when it falls silent
	once sync.Once
}

func startFaulty(t *testing.T, s *faultyServer) *faultyServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.t, s.addr, s.done = t, l.Addr().(*net.TCPAddr), make(chan struct{})
	s.mute = make(chan struct{})
	if s.auth == "" {
		s.auth = "PLAIN LOGIN"
	}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		close(s.done)
		_ = l.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				go func() { <-s.done; _ = conn.Close() }()
				s.serve(conn)
			})
		}
	})
	return s
}

func (s *faultyServer) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, what)
}

func (s *faultyServer) steps() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.seen, " ")
}

// isMute tells whether it has fallen silent.
func (s *faultyServer) isMute() bool {
	select {
	case <-s.mute:
		return true
	default:
		return false
	}
}

func (s *faultyServer) messages() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.mail...)
}

// step answers one step; false ends the connection.
func (s *faultyServer) step(conn net.Conn, name, usual string) bool {
	f, faulty := s.faults[name]
	if !faulty {
		_, err := conn.Write([]byte(usual))
		return err == nil
	}
	switch f.do {
	case "close":
		return false
	case "silent":
		s.once.Do(func() { close(s.mute) })
		<-s.done
		return false
	case "flood":
		chunk := []byte(strings.Repeat("220-"+strings.Repeat("x", 70)+"\r\n", 100))
		for {
			if _, err := conn.Write(chunk); err != nil {
				return false
			}
		}
	}
	if _, err := conn.Write([]byte(strings.ReplaceAll(f.reply, "\n", "\r\n") + "\r\n")); err != nil {
		return false
	}
	return name != "greeting"
}

func (s *faultyServer) serve(conn net.Conn) {
	if !s.starttls {
		secured := tls.Server(conn, s.tls)
		if err := secured.Handshake(); err != nil {
			return
		}
		conn = secured
	}
	if !s.step(conn, "greeting", "220 test\r\n") {
		return
	}
	in := bufio.NewReader(conn)
	secured := !s.starttls
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, rest, _ := strings.Cut(line, " ")
		verb = strings.ToUpper(verb)
		switch verb {
		case "EHLO":
			s.note(verb)
			usual := "250-test\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
			if secured {
				usual += "250-AUTH " + s.auth + "\r\n"
			} else if _, off := s.faults["no-starttls"]; !off {
				usual += "250-STARTTLS\r\n"
			}
			if !s.step(conn, verb, usual+"250 SIZE\r\n") {
				return
			}
		case "STARTTLS":
			s.note(verb)
			if !s.step(conn, verb, "220 go\r\n") {
				return
			}
			if _, faulty := s.faults[verb]; faulty {
				continue
			}
			conn = tls.Server(conn, s.tls)
			in = bufio.NewReader(conn)
			secured = true
		case "AUTH":
			mechanism, _, _ := strings.Cut(rest, " ")
			s.note(verb + " " + mechanism)
			if !s.authenticate(conn, in, mechanism, strings.TrimPrefix(rest, mechanism+" ")) {
				return
			}
		case "MAIL", "RCPT":
			s.note(verb)
			s.mu.Lock()
			s.from = append(s.from, line)
			s.mu.Unlock()
			if !s.step(conn, verb, "250 ok\r\n") {
				return
			}
		case "DATA":
			s.note(verb)
			if !s.step(conn, verb, "354 go on\r\n") {
				return
			}
			if f, faulty := s.faults[verb]; faulty && !strings.HasPrefix(f.reply, "354") {
				continue
			}
			var b strings.Builder
			for {
				l, err := in.ReadString('\n')
				if err != nil {
					s.note("cut")
					return
				}
				if l == ".\r\n" {
					break
				}
				b.WriteString(strings.TrimPrefix(l, "."))
			}
			s.note("DOT")
			if _, faulty := s.faults["DOT"]; !faulty {
				s.mu.Lock()
				s.mail = append(s.mail, b.String())
				s.mu.Unlock()
			}
			if !s.step(conn, "DOT", "250 2.0.0 Ok: queued as ABC123 for <rossi@pec.it>\r\n") {
				return
			}
		case "QUIT":
			s.note(verb)
			s.step(conn, verb, "221 bye\r\n")
			return
		default:
			s.note("?" + verb)
			if !s.step(conn, verb, "500 what\r\n") {
				return
			}
		}
	}
}

// authenticate reads a login, and takes the right one only.
func (s *faultyServer) authenticate(conn net.Conn, in *bufio.Reader, mechanism, initial string) bool {
	ok, given := false, initial
	ask := func(challenge string) string {
		if _, err := conn.Write([]byte("334 " + base64.StdEncoding.EncodeToString([]byte(challenge)) + "\r\n")); err != nil {
			return ""
		}
		line, _ := in.ReadString('\n')
		b, _ := base64.StdEncoding.DecodeString(strings.TrimRight(line, "\r\n"))
		return string(b)
	}
	decoded, _ := base64.StdEncoding.DecodeString(initial)
	switch mechanism {
	case "PLAIN":
		ok = string(decoded) == "\x00"+user+"\x00"+password
	case "LOGIN":
		ok = ask("Username:") == user
		given = ask("Password:")
		ok = given == password && ok
	case "XOAUTH2":
		ok = string(decoded) == "user="+user+"\x01auth=Bearer "+password+"\x01\x01"
		if !ok {
			ask(`{"status":"400"}`)
		}
	}
	if !ok {
		return s.step(conn, "AUTH refused", "535 5.7.8 Authentication failed for "+user+" with "+given+"\r\n")
	}
	return s.step(conn, "AUTH", "235 2.7.0 welcome\r\n")
}

// config is how to reach the server.
func (s *faultyServer) config(ca *servertest.CA) notify.SMTPConfig {
	c := notify.SMTPConfig{
		Host: "127.0.0.1", Port: s.addr.Port, Username: user, Password: secret.FromString(password),
		From: "Studio Rossi <" + user + ">", RootCAs: ca.Pool(),
	}
	if s.starttls {
		c.TLS = "starttls"
	}
	return c
}
