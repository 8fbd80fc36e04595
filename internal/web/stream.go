package web

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"runtime/debug"
	"time"
)

// Stream is an answer of any length. An endpoint's Call returns one instead of
// a value; it is called once, with where the bytes go, and returns what is
// told after them. An error before the first byte is answered like any other;
// later it breaks the connection off, so that nobody takes a part for the
// whole.
type Stream func(w io.Writer) (result any, err error)

// trailer is the field after the last byte: RFC 9112 §7.1.2. It shows that
// the bytes came whole.
const trailer = "Ingest-Stream"

// StreamEnd is what the trailer holds, as JSON.
type StreamEnd struct {
	Length int64           `json:"length"` // bytes
	SHA256 string          `json:"sha256"` // of the bytes, in hex
	Result json.RawMessage `json:"result"` // the endpoint's
}

// counted is where streamed bytes pass on either side.
type counted struct {
	w   io.Writer
	n   int64
	sum hash.Hash
	err error // of w
}

func newCounted(w io.Writer) *counted { return &counted{w: w, sum: sha256.New()} }

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	c.sum.Write(p[:n])
	if err != nil {
		c.err = err
	}
	return n, err
}

func (c *counted) end(result json.RawMessage) StreamEnd {
	return StreamEnd{c.n, hex.EncodeToString(c.sum.Sum(nil)), result}
}

// answerStream runs a stream. The head goes out with its first byte.
func (s *Server) answerStream(w http.ResponseWriter, e Endpoint, stream Stream) {
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("Trailer", trailer)
	out := newCounted(patient{w})
	result, err := s.runStream(e, stream, out)
	var end []byte
	if err == nil {
		var b []byte
		if b, err = json.Marshal(result); err == nil {
			end, err = json.Marshal(out.end(b))
		}
	}
	switch {
	case err == nil:
		h.Set(trailer, string(end))
	case out.n == 0:
		h.Del("Trailer")
		s.answer(w, http.StatusUnprocessableEntity, s.problem(err))
	default:
		s.opts.Log.Warn("a stream broke off", "event", "socket.stream", "endpoint", e.Name, "err", err)
		panic(http.ErrAbortHandler)
	}
}

// runStream is call for a stream.
func (s *Server) runStream(e Endpoint, stream Stream, w io.Writer) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.opts.Log.Error("a request failed badly", "event", "socket.panic", "endpoint", e.Name, "stack", string(debug.Stack()),
				"hint", "this is a fault of the program: please report it")
			err = errors.New("the service failed on this request; its log has the details")
		}
	}()
	return stream(w)
}

// patient gives each part of an answer its time; a caller who takes nothing
// for so long is left.
type patient struct{ w http.ResponseWriter }

func (p patient) Write(b []byte) (int, error) {
	_ = http.NewResponseController(p.w).SetWriteDeadline(time.Now().Add(answerTimeout))
	return p.w.Write(b)
}

// Stream asks the endpoint name with req and writes the bytes of its answer to
// w; result gets what the service says after them. What w got counts only when
// the error is nil. Refusals come as *Problem, errors of w as they are.
func (c *Client) Stream(ctx context.Context, name string, req any, w io.Writer, result any) error {
	answer, err := c.post(ctx, name, req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return readAnswer(answer, nil)
	}
	in := newCounted(w)
	_, err = io.Copy(in, answer.Body)
	switch {
	case in.err != nil:
		return in.err
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("%w after %d bytes: %w", ErrCut, in.n, err)
	}
	var end StreamEnd
	if json.Unmarshal([]byte(answer.Trailer.Get(trailer)), &end) != nil {
		return fmt.Errorf("%w after %d bytes", ErrCut, in.n)
	}
	if got := in.end(nil); got.Length != end.Length || got.SHA256 != end.SHA256 {
		return fmt.Errorf("%w: %d bytes came, the service sent %d others", ErrCut, got.Length, end.Length)
	}
	if err := json.Unmarshal(end.Result, result); err != nil {
		return fmt.Errorf("reading the end of the service's answer: %w", err)
	}
	return nil
}
