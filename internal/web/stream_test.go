package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"pec-ingest/internal/web"
)

// streams are endpoints that answer at length, each in its own way.
func streams() []web.Endpoint {
	make := func(name string, stream web.Stream) web.Endpoint {
		return web.Endpoint{Name: name, Right: web.RightAdmin, Call: func(context.Context, web.Caller, json.RawMessage) (any, error) {
			return stream, nil
		}}
	}
	part := []byte(strings.Repeat("0123456789abcdef", 4096))
	return []web.Endpoint{
		make("long", func(w io.Writer) (any, error) {
			for range 64 {
				if _, err := w.Write(part); err != nil {
					return nil, err
				}
			}
			return "that was it", nil
		}),
		make("none", func(io.Writer) (any, error) { return "nothing", nil }),
		make("refuse", func(io.Writer) (any, error) { return nil, errors.New("no such thing") }),
		make("fail", func(w io.Writer) (any, error) {
			_, err := w.Write(part)
			return nil, errors.Join(err, errors.New("the disk is broken"))
		}),
		make("panic", func(w io.Writer) (any, error) {
			_, _ = w.Write(part)
			panic("a fault")
		}),
		make("odd", func(w io.Writer) (any, error) {
			_, err := w.Write(part)
			return func() {}, err // no JSON
		}),
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	f := listen(t, web.Options{Endpoints: streams()})
	tests := []struct {
		name, result string
		size         int
		problem      string
		cut          bool
	}{
		{name: "long", result: "that was it", size: 64 * 65536},
		{name: "none", result: "nothing"},
		{name: "refuse", problem: "no such thing"},
		{name: "fail", cut: true, size: -1},
		{name: "panic", cut: true, size: -1},
		{name: "odd", cut: true, size: -1},
	}
	for _, tt := range tests {
		var got bytes.Buffer
		var result string
		err := f.dial(t).Stream(t.Context(), tt.name, struct{}{}, &got, &result)
		var p *web.Problem
		switch {
		case tt.problem != "":
			if !errors.As(err, &p) || p.Msg != tt.problem {
				t.Errorf("%s: got %v, want problem %q", tt.name, err, tt.problem)
			}
		case errors.Is(err, web.ErrCut) != tt.cut || !tt.cut && err != nil:
			t.Errorf("%s: got %v, want cut = %v", tt.name, err, tt.cut)
		}
		if result != tt.result || tt.size >= 0 && got.Len() != tt.size {
			t.Errorf("%s: got %d bytes and %q, want %d and %q", tt.name, got.Len(), result, tt.size, tt.result)
		}
	}
}

// A writer's own error comes back as it is.
func TestStreamWriterFails(t *testing.T) {
	t.Parallel()
	f := listen(t, web.Options{Endpoints: streams()})
	full := errors.New("the disk is full")
	var result string
	if err := f.dial(t).Stream(t.Context(), "long", struct{}{}, failAfter{new(int), full}, &result); !errors.Is(err, full) {
		t.Errorf("got %v, want %v", err, full)
	}
}

type failAfter struct {
	n   *int
	err error
}

func (f failAfter) Write(p []byte) (int, error) {
	if *f.n += len(p); *f.n > 100_000 {
		return 0, f.err
	}
	return len(p), nil
}

// Wherever an answer is cut, it is not taken for whole; nor when its bytes are
// not those that were sent.
func TestStreamCut(t *testing.T) {
	t.Parallel()
	const body = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTrailer: Ingest-Stream\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"5\r\nhello\r\n1\r\n!\r\n0\r\nIngest-Stream: %s\r\n\r\n"
	const end = `{"length":6,"sha256":"ce06092fb948d9ffac7d1a376e404b26b7575bcc11ee05a4615fef4fec3a308b","result":"ok"}`
	ask := func(answer string) (string, error) {
		path := t.TempDir() + "/s"
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, answer)
		}()
		c, err := web.Dial(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var got strings.Builder
		var result string
		err = c.Stream(t.Context(), "x", struct{}{}, &got, &result)
		return got.String() + " " + result, err
	}
	whole := fmt.Sprintf(body, end)
	if got, err := ask(whole); err != nil || got != "hello! ok" {
		t.Fatalf("whole: got %q, %v", got, err)
	}
	for n := strings.Index(whole, "\r\n\r\n") + 4; n < len(whole); n++ {
		if got, err := ask(whole[:n]); err == nil {
			t.Errorf("cut after %d of %d bytes: got %q and no error", n, len(whole), got)
		}
	}
	for _, other := range []string{
		strings.Replace(whole, "hello", "hallo", 1),
		strings.Replace(whole, "1\r\n!\r\n", "", 1),
		strings.Replace(whole, "1\r\n!\r\n", "1\r\n!\r\n1\r\n!\r\n", 1),
		fmt.Sprintf(body, ""),
		fmt.Sprintf(body, `{"length":6}`),
		strings.Replace(whole, "Ingest-Stream: {", "X: {", 1),
	} {
		if got, err := ask(other); !errors.Is(err, web.ErrCut) {
			t.Errorf("%q: got %q, %v, want ErrCut", other, got, err)
		}
	}
}
