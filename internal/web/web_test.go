package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"pec-ingest/internal/web"
)

// A test calls as another user by starting itself: the kernel says who that is.
func TestMain(m *testing.M) {
	if path := os.Getenv("WEB_TEST_SOCKET"); path != "" {
		os.Exit(callAsOther(path, os.Getenv("WEB_TEST_ENDPOINT")))
	}
	os.Exit(m.Run())
}

func callAsOther(path, endpoint string) int {
	c, err := web.Dial(context.Background(), path)
	if err != nil {
		fmt.Println("dial:", err)
		return 1
	}
	defer c.Close()
	var got string
	if err := c.Call(context.Background(), endpoint, struct{}{}, &got); err != nil {
		var p *web.Problem
		if errors.As(err, &p) {
			fmt.Println(p.Class)
			return 0
		}
		fmt.Println("call:", err)
		return 1
	}
	fmt.Println(got)
	return 0
}

type fixture struct {
	path    string
	server  *web.Server
	refused atomic.Int64
}

func endpoints() []web.Endpoint {
	return []web.Endpoint{
		{Name: "echo", Right: web.RightAdmin, Call: func(_ context.Context, _ web.Caller, b json.RawMessage) (any, error) {
			return json.RawMessage(append([]byte(nil), b...)), nil
		}},
		{Name: "read", Right: web.RightReader, Call: func(_ context.Context, c web.Caller, _ json.RawMessage) (any, error) {
			return c.Right.String(), nil
		}},
		{Name: "write", Right: web.RightAdmin, Call: func(_ context.Context, c web.Caller, _ json.RawMessage) (any, error) {
			return c.Right.String(), nil
		}},
		{Name: "codes", Right: web.RightAdmin, Also: "otp", Call: func(context.Context, web.Caller, json.RawMessage) (any, error) {
			return "code", nil
		}},
		{Name: "fail", Right: web.RightAdmin, Call: func(context.Context, web.Caller, json.RawMessage) (any, error) {
			return nil, errors.New("no such thing")
		}},
		{Name: "panic", Right: web.RightAdmin, Call: func(context.Context, web.Caller, json.RawMessage) (any, error) {
			panic("a fault")
		}},
	}
}

// listen opens a socket in a folder that every user may enter.
func listen(t *testing.T, o web.Options) *fixture {
	t.Helper()
	return listenIn(t, o)
}

// listenFor is listen for a fuzz target.
func listenFor(f *testing.F) *fixture { return listenIn(f, web.Options{}) }

func listenIn(t testing.TB, o web.Options) *fixture {
	t.Helper()
	dir, err := os.MkdirTemp("", "web")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f := &fixture{path: filepath.Join(dir, "s")}
	o.Path = f.path
	if o.Endpoints == nil {
		o.Endpoints = endpoints()
	}
	o.Refused = func(_ web.Caller, _ string, n int) { f.refused.Add(int64(n)) }
	if f.server, err = web.Listen(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := f.server.Close(ctx); err != nil {
			t.Errorf("closing: %v", err)
		}
		if _, err := os.Lstat(f.path); !os.IsNotExist(err) {
			t.Errorf("the socket is still there after Close: %v", err)
		}
	})
	return f
}

func (f *fixture) dial(t *testing.T) *web.Client {
	t.Helper()
	c, err := web.Dial(context.Background(), f.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// patience is for a machine that is very busy with other things.
const patience = 2 * time.Minute

func TestCall(t *testing.T) {
	f := listen(t, web.Options{})
	c := f.dial(t)
	type value struct{ A, B string }
	var got value
	if err := c.Call(context.Background(), "echo", value{"è", "x"}, &got); err != nil || got != (value{"è", "x"}) {
		t.Errorf("got %v, %v, want the request back", got, err)
	}
	for _, tc := range []struct{ endpoint, class, msg string }{
		{"fail", web.ClassFailed, "no such thing"},
		{"panic", web.ClassFailed, "log"},
		{"nothing", web.ClassUsage, "does not know"},
	} {
		var p *web.Problem
		err := c.Call(context.Background(), tc.endpoint, struct{}{}, &got)
		if !errors.As(err, &p) || p.Class != tc.class || !strings.Contains(p.Msg, tc.msg) {
			t.Errorf("%s: got %v, want class %s and %q", tc.endpoint, err, tc.class, tc.msg)
		}
	}
	var s string
	if err := c.Call(context.Background(), "read", nil, &s); err != nil || s != "admin" {
		t.Errorf("after failures: got %q, %v, want admin", s, err)
	}
}

func TestDialNobody(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "none"), stale, filepath.Join(dir, strings.Repeat("x", 200)), filepath.Join(file, "below")} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			if _, err := web.Dial(context.Background(), path); !errors.Is(err, web.ErrNoService) {
				t.Errorf("%s: got %v, want ErrNoService", filepath.Base(path), err)
			}
			if d := time.Since(start); d != 0 {
				t.Errorf("%s: took %v, want at once", filepath.Base(path), d)
			}
		})
	}
	// The stale one is taken over, a file is not, a second service is refused.
	s, err := web.Listen(web.Options{Path: stale, Endpoints: endpoints()})
	if err != nil {
		t.Fatalf("stale socket: %v", err)
	}
	defer s.Close(context.Background())
	if _, err := web.Listen(web.Options{Path: stale}); !errors.Is(err, web.ErrInUse) {
		t.Errorf("second service: got %v, want ErrInUse", err)
	}
	if _, err := web.Listen(web.Options{Path: file}); !errors.Is(err, web.ErrNotSocket) {
		t.Errorf("a file: got %v, want ErrNotSocket", err)
	}
	if _, err := web.Listen(web.Options{Path: filepath.Join(dir, strings.Repeat("x", 200))}); !errors.Is(err, web.ErrPathTooLong) {
		t.Errorf("long path: got %v, want ErrPathTooLong", err)
	}
	info, err := os.Stat(stale)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("got mode %v, %v, want 0660", info.Mode(), err)
	}
}

// A listener of another program, without our lock, is not pushed aside.
func TestListenForeign(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := web.Listen(web.Options{Path: path}); !errors.Is(err, web.ErrInUse) {
		t.Errorf("got %v, want ErrInUse", err)
	}
}

func TestRights(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("calling as other users needs root")
	}
	// Copied: other users need not be able to reach the test binary.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const reader, admin, nobody, uid = 60001, 60002, 60003, 60100
	codes := someGroup(t)
	access, err := web.AccessOf([]uint32{reader}, []uint32{admin}).Also("otp", []string{strconv.FormatUint(uint64(codes), 10)})
	if err != nil {
		t.Fatal(err)
	}
	f := listen(t, web.Options{Access: access})
	bin := filepath.Join(filepath.Dir(f.path), "call")
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bin, b, 0o755); err != nil {
		t.Fatal(err)
	}
	many := make([]uint32, 0, 300)
	for i := range uint32(299) {
		many = append(many, 61000+i)
	}
	many = append(many, reader)
	begun := time.Now()
	for _, tc := range []struct {
		name     string
		uid, gid uint32
		groups   []uint32
		read     string
		write    string
		codes    string // what otp.readers may ask for
	}{
		{"root", 0, 0, nil, "admin", "admin", "code"},
		{"no group", uid, nobody, nil, no, no, no},
		{"reader by primary group", uid, reader, nil, "reader", no, no},
		{"reader by supplementary group", uid, nobody, []uint32{1000001, reader, 1000002}, "reader", no, no},
		{"reader in 300 groups", uid, nobody, many, "reader", no, no},
		{"admin by supplementary group", uid, nobody, []uint32{admin}, "admin", "admin", "code"},
		{"both", uid, reader, []uint32{admin}, "admin", "admin", "code"},
		{"gid 0 is no right", uid, 0, []uint32{0}, no, no, no},
		{"codes alone", uid, nobody, []uint32{codes}, no, no, "code"},
		{"reader with codes", uid, codes, []uint32{reader}, "reader", no, "code"},
	} {
		for endpoint, want := range map[string]string{"read": tc.read, "write": tc.write, "codes": tc.codes} {
			cmd := exec.Command(bin)
			cmd.Env = []string{"WEB_TEST_SOCKET=" + f.path, "WEB_TEST_ENDPOINT=" + endpoint}
			cmd.Dir = "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: tc.uid, Gid: tc.gid, Groups: tc.groups}}
			out, err := cmd.CombinedOutput()
			if got := strings.TrimSpace(string(out)); err != nil || got != want {
				t.Errorf("%s, %s: got %q, %v, want %q", tc.name, endpoint, got, err, want)
			}
		}
	}
	// Told once a minute for each user, root's refusals none. On a busy machine
	// all this takes more than the first minute.
	if n := f.refused.Load(); n != 1 && time.Since(begun) < time.Minute || n < 1 || n > 15 {
		t.Errorf("got %d refusals told, want 1 for the one user of this minute", n)
	}
	if err := f.server.SetAccess(web.Access{}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin)
	cmd.Env = []string{"WEB_TEST_SOCKET=" + f.path, "WEB_TEST_ENDPOINT=read"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: reader}}
	if out, _ := cmd.CombinedOutput(); !strings.Contains(string(out), "no permission") {
		t.Errorf("after the groups were taken away: got %q, want no permission to open the socket", out)
	}
	if err := f.server.Close(context.Background()); err != nil {
		t.Errorf("closing: %v", err)
	}
	if n := f.refused.Load(); n != 15 {
		t.Errorf("got %d refusals told in the end, want all 15", n)
	}
}

const no = web.ClassNotPermitted

// someGroup is a group of this machine that the tests' users are not in.
func someGroup(t *testing.T) uint32 {
	t.Helper()
	for _, name := range []string{"games", "mail", "users", "nogroup"} {
		if g, err := user.LookupGroup(name); err == nil {
			id, err := strconv.ParseUint(g.Gid, 10, 32)
			if err != nil {
				t.Fatal(err)
			}
			return uint32(id)
		}
	}
	t.Fatal("this machine has none of the usual groups")
	return 0
}

// Half requests and floods must not keep an honest caller waiting.
func TestBadCallers(t *testing.T) {
	f := listen(t, web.Options{})
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for i := range 40 {
		c, err := net.Dial("unix", f.path)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
		switch i % 4 {
		case 0: // nothing
		case 1:
			io.WriteString(c, "POST /v1/echo HT")
		case 2:
			io.WriteString(c, "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{\"a\":")
		case 3:
			io.WriteString(c, "POST /v1/echo HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 100))
		}
	}
	for _, tc := range []struct{ name, request, status string }{
		{"no length", "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "400"},
		{"too long", "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", "400"},
		{"no JSON", "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{a}", "400"},
		{"GET", "GET /v1/echo HTTP/1.1\r\nHost: x\r\n\r\n", "404"},
		{"huge header", "POST /v1/echo HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", "431"},
		{"noise", "\x16\x03\x01\x00\x00\r\n\r\n", "400"},
	} {
		c, err := net.Dial("unix", f.path)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patience))
		go io.WriteString(c, tc.request)
		line, err := bufio.NewReader(c).ReadString('\n')
		if !strings.HasPrefix(line, "HTTP/1.1 "+tc.status) {
			t.Errorf("%s: got %q, %v, want status %s", tc.name, line, err, tc.status)
		}
		c.Close()
	}
	var s string
	if err := f.dial(t).Call(context.Background(), "read", nil, &s); err != nil || s != "admin" {
		t.Errorf("honest caller: got %q, %v", s, err)
	}
}

func TestFlood(t *testing.T) {
	f := listen(t, web.Options{})
	before := openFiles(t)
	var wg sync.WaitGroup
	var busy, ok, other atomic.Int64
	for range 20 {
		wg.Go(func() {
			for range 500 {
				c, err := net.DialTimeout("unix", f.path, patience)
				if err != nil {
					other.Add(1) // the queue is full: EAGAIN
					continue
				}
				c.SetDeadline(time.Now().Add(patience))
				io.WriteString(c, "POST /v1/read HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
				line, _ := bufio.NewReader(c).ReadString('\n')
				switch {
				case strings.HasPrefix(line, "HTTP/1.1 503"):
					busy.Add(1)
				case strings.HasPrefix(line, "HTTP/1.1 200"):
					ok.Add(1)
				default:
					other.Add(1)
				}
				c.Close()
			}
		})
	}
	wg.Wait()
	t.Logf("of 10,000: %d answered, %d turned away, %d not connected", ok.Load(), busy.Load(), other.Load())
	if ok.Load() == 0 {
		t.Error("nobody was answered")
	}
	var s string
	if err := f.dial(t).Call(context.Background(), "read", nil, &s); err != nil || s != "admin" {
		t.Errorf("after the flood: got %q, %v", s, err)
	}
	// The server closes its ends when it comes to it.
	for end := time.Now().Add(patience); openFiles(t) > before+10; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d files open, %d before the flood", openFiles(t), before)
		}
	}
}

// Connections that are held open fill the table; one more is turned away with
// an answer, and there is room again when they end.
func TestHeldConnections(t *testing.T) {
	f := listen(t, web.Options{})
	var held []net.Conn
	for range 256 {
		c, err := net.Dial("unix", f.path)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	var s string
	var p *web.Problem
	if err := f.dial(t).Call(context.Background(), "read", nil, &s); !errors.As(err, &p) || p.Class != web.ClassBusy {
		t.Errorf("with all places taken: got %v, want class busy", err)
	}
	for _, c := range held {
		c.Close()
	}
	deadline := time.Now().Add(patience)
	for {
		err := f.dial(t).Call(context.Background(), "read", nil, &s)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after they ended: %v", err)
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc")
	}
	return len(list)
}

type secretAnswer struct {
	B     []byte
	wiped *atomic.Bool
}

func (s secretAnswer) Wipe() { s.wiped.Store(true) }

func TestWipedAfterwards(t *testing.T) {
	var wiped atomic.Bool
	var kept json.RawMessage
	f := listen(t, web.Options{Endpoints: []web.Endpoint{{Name: "get", Right: web.RightReader,
		Call: func(_ context.Context, _ web.Caller, b json.RawMessage) (any, error) {
			kept = b
			return secretAnswer{[]byte("x"), &wiped}, nil
		}}}})
	var got struct{ B []byte }
	if err := f.dial(t).Call(context.Background(), "get", map[string]string{"secret": "Xk9mQ2pL"}, &got); err != nil || string(got.B) != "x" {
		t.Fatalf("got %v, %v", got, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = f.server.Close(ctx) // waits until the handler is done
	if !wiped.Load() {
		t.Error("the answer was not wiped")
	}
	if strings.Contains(string(kept), "Xk9mQ2pL") {
		t.Error("the request's bytes are still there")
	}
}

// A call that runs when the service stops is finished first.
func TestCloseWaits(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	f := listen(t, web.Options{Endpoints: []web.Endpoint{{Name: "slow", Right: web.RightAdmin,
		Call: func(ctx context.Context, _ web.Caller, _ json.RawMessage) (any, error) {
			close(begun)
			select {
			case <-finish:
				return "done", nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}}}})
	got := make(chan string, 1)
	c := f.dial(t)
	go func() {
		var s string
		err := c.Call(context.Background(), "slow", nil, &s)
		got <- fmt.Sprint(s, err)
	}()
	<-begun
	closed := make(chan error, 1)
	go func() { closed <- f.server.Close(context.Background()) }()
	// Nobody gets in any more, while the call goes on.
	for {
		c, err := web.Dial(context.Background(), f.path)
		if errors.Is(err, web.ErrNoService) {
			break
		}
		if err == nil {
			c.Close()
		}
	}
	close(finish)
	if s := <-got; s != "done<nil>" {
		t.Errorf("got %s, want done", s)
	}
	if err := <-closed; err != nil {
		t.Errorf("closing: %v", err)
	}
}

type spoken struct{}

func (spoken) Plain() []byte { return []byte("word\n") }

// Who accepts text only gets what the endpoint has as text, and failures as
// everybody does.
func TestPlainAnswer(t *testing.T) {
	t.Parallel()
	f := listen(t, web.Options{Endpoints: append(endpoints(), web.Endpoint{Name: "say", Right: web.RightAdmin,
		Call: func(context.Context, web.Caller, json.RawMessage) (any, error) {
			return spoken{}, nil
		}})})
	ask := func(name, accept string) (contentType, body string) {
		conn, err := net.Dial("unix", f.path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST /v1/%s HTTP/1.1\r\nHost: ingest\r\nConnection: close\r\nAccept: %s\r\nContent-Length: 2\r\n\r\n{}", name, accept)
		answer, err := io.ReadAll(conn)
		if err != nil {
			t.Fatal(err)
		}
		head, body, _ := strings.Cut(string(answer), "\r\n\r\n")
		for _, line := range strings.Split(head, "\r\n") {
			if v, ok := strings.CutPrefix(line, "Content-Type: "); ok {
				contentType = v
			}
		}
		return contentType, body
	}
	for _, tt := range []struct{ name, accept, contentType, body string }{
		{"say", "text/plain", "text/plain", "word\n"},
		{"say", "application/json", "application/json", "{}"},
		{"read", "text/plain", "application/json", `"admin"`},
		{"fail", "text/plain", "application/json", `{"class":"failed","msg":"no such thing"}`},
	} {
		contentType, body := ask(tt.name, tt.accept)
		if contentType != tt.contentType || body != tt.body {
			t.Errorf("%s, accepting %s: got %s %q, want %s %q", tt.name, tt.accept, contentType, body, tt.contentType, tt.body)
		}
	}
}

// Who finds the queue of a service full waits for a place and is not turned
// away; who gives up learns what it was.
func TestDialWaitsInQueue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	var waiting []net.Conn
	defer func() {
		for _, c := range waiting {
			c.Close()
		}
	}()
	for {
		c, err := net.Dial("unix", path)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil || len(waiting) > 100 {
			t.Fatalf("filling the queue: %v after %d", err, len(waiting))
		}
		waiting = append(waiting, c)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := web.Dial(ctx, path); !errors.Is(err, web.ErrQueue) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with the queue full: got %v, want that it says so", err)
	}
	came := make(chan error)
	go func() {
		c, err := web.Dial(t.Context(), path)
		if err == nil {
			c.Close()
		}
		came <- err
	}()
	taken, _, err := unix.Accept(fd) // of those that wait, the first
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(taken)
	if err := <-came; err != nil {
		t.Errorf("with a place in the queue: %v", err)
	}
}
