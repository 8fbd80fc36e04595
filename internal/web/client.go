package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// Why the service can't be reached, or not be believed.
var (
	// ErrNoService: nobody listens on the socket, or there is none.
	ErrNoService = errors.New("web: no service answers on the socket")
	// ErrDenied: this user may not open the socket.
	ErrDenied = errors.New("web: no permission to open the socket")
	// ErrUnanswered: the connection ended before there was an answer.
	ErrUnanswered = errors.New("web: the service did not answer")
	// ErrCut: a streamed answer did not come whole.
	ErrCut = errors.New("web: the service's answer broke off")
	// ErrQueue: more callers wait on the socket than the system lets wait.
	ErrQueue = errors.New("web: the queue of callers is full")
)

// dialTimeout is for a connection to a service that is there but busy: as
// long as a mail program waits for its password. Where the machine itself has
// no time for us, five seconds may pass before the first try.
const dialTimeout = 30 * time.Second

// maxAnswer bounds what is read of an answer.
const maxAnswer = 256 << 20

// Client speaks to the service. It is made by Dial, for one goroutine.
type Client struct {
	http *http.Client

	mu    sync.Mutex
	first net.Conn // made by Dial, used by the first call
}

// Dial connects to the service, and fails at once where none listens: errors
// wrap ErrNoService or ErrDenied.
func Dial(ctx context.Context, path string) (*Client, error) {
	conn, err := dial(ctx, path)
	if err != nil {
		return nil, err
	}
	c := &Client{first: conn}
	c.http = &http.Client{Transport: &http.Transport{
		DisableCompression: true,
		IdleConnTimeout:    idleTimeout / 2, // before the server's
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c.mu.Lock()
			conn := c.first
			c.first = nil
			c.mu.Unlock()
			if conn != nil {
				return conn, nil
			}
			return dial(ctx, path)
		},
	}}
	return c, nil
}

func dial(ctx context.Context, path string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := CheckPath(path); err != nil {
		return nil, fmt.Errorf("connecting: %w: %w", ErrNoService, err)
	}
	var full error
	for {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", path)
		switch {
		case err == nil:
			return conn, nil
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENOTSOCK):
			return nil, fmt.Errorf("connecting: %w", ErrNoService)
		case errors.Is(err, fs.ErrPermission):
			return nil, fmt.Errorf("connecting: %w", ErrDenied)
		case !errors.Is(err, syscall.EAGAIN):
			return nil, fmt.Errorf("connecting to the service: %w", errors.Join(full, err))
		}
		full = ErrQueue
		select { // at moments that are not everybody's
		case <-ctx.Done():
			return nil, fmt.Errorf("connecting to the service: %w: %w", full, ctx.Err())
		case <-time.After(25*time.Millisecond + rand.N(50*time.Millisecond)):
		}
	}
}

// Close ends the connection.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first != nil {
		_ = c.first.Close()
	}
	c.http.CloseIdleConnections()
}

// Call asks the endpoint name with req, which is marshalled as JSON, and
// reads the answer into resp. The service's refusals come as *Problem.
func (c *Client) Call(ctx context.Context, name string, req, resp any) error {
	answer, err := c.post(ctx, name, req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return readAnswer(answer, resp)
}

// post sends a request; the caller closes the answer's body.
func (c *Client) post(ctx context.Context, name string, req any) (*http.Response, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("writing the request: %w", err)
	}
	defer clear(body)
	hr, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://ingest/v1/"+name, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("writing the request: %w", err)
	}
	hr.Header.Set("Content-Type", "application/json")
	answer, err := c.http.Do(hr)
	if err != nil {
		if cerr := ctx.Err(); cerr != nil {
			return nil, cerr
		}
		if errors.Is(err, ErrNoService) || errors.Is(err, ErrDenied) {
			return nil, fmt.Errorf("asking the service: %w", err)
		}
		return nil, fmt.Errorf("asking the service: %w: %w", ErrUnanswered, err)
	}
	return answer, nil
}

// readAnswer reads a JSON answer into resp, or the problem it tells.
func readAnswer(answer *http.Response, resp any) error {
	size := max(answer.ContentLength, 0)
	if size > maxAnswer {
		return errors.New("the service's answer is too large")
	}
	buf := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	_, err := buf.ReadFrom(io.LimitReader(answer.Body, maxAnswer))
	b := buf.Bytes()
	defer clear(b)
	if err != nil {
		return fmt.Errorf("reading the service's answer: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		p := &Problem{}
		if json.Unmarshal(b, p) != nil || p.Class == "" {
			return fmt.Errorf("the service answers with status %d", answer.StatusCode)
		}
		return p
	}
	if err := json.Unmarshal(b, resp); err != nil {
		return fmt.Errorf("reading the service's answer: %w", err)
	}
	return nil
}
