package web_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"pec-ingest/internal/web"
)

// Whatever bytes somebody writes into the socket, the service answers, or ends
// the connection, soon, and goes on serving others.
func FuzzSocket(f *testing.F) {
	for _, seed := range []string{
		"POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
		"POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n2\r\n1}\r\n0\r\n\r\n",
		"POST /v1/panic HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nnull",
		"GET / HTTP/1.0\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x00\x05hello", "POST /v1/../echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{",
		"POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "POST /v1/%00 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	s := listenFor(f)
	f.Fuzz(func(t *testing.T, said []byte) {
		conn, err := net.Dial("unix", s.path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := conn.Write(said); err == nil {
			_ = conn.(*net.UnixConn).CloseWrite()
		}
		answer, err := io.ReadAll(io.LimitReader(conn, 8<<20))
		if err, ok := err.(net.Error); ok && err.Timeout() {
			t.Errorf("no end after %d bytes of answer", len(answer))
		}
		if len(answer) > 0 && !strings.HasPrefix(string(answer), "HTTP/1.") {
			t.Errorf("answer %.60q", answer)
		}
		c, err := web.Dial(context.Background(), s.path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var got string
		if err := c.Call(context.Background(), "echo", "good", &got); err != nil || got != "good" {
			t.Errorf("the next caller: got %q, %v", got, err)
		}
	})
}
