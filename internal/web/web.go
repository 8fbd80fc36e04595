// Package web is how others reach the running service: a unix socket with a
// small JSON API for the commands.
//
// The table of endpoints is given by the caller; this package knows who calls
// (the kernel says so, see caller.go), what that caller may do, and how to
// stay alive under callers that send half a request, nothing at all, or ten
// thousand connections.
//
// One request is POST /v1/NAME with a JSON value as body; the answer is a
// JSON value with status 200, or a Problem with another status. docs/api.md
// lists the endpoints.
package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Limits on what a caller may use.
const (
	MaxBody       = 4 << 20 // bytes of a request
	maxHeader     = 8 << 10
	headerTimeout = 30 * time.Second // a caller on a busy machine may not come to speak at once
	bodyTimeout   = 30 * time.Second
	idleTimeout   = 30 * time.Second
	answerTimeout = 30 * time.Second // for writing an answer, not for making it
)

// Endpoint is one thing that can be asked.
type Endpoint struct {
	Name  string // such as "client.list"
	Right Right  // the least right that a caller needs
	Also  string // a further right that does instead (Access.Also); "" = none
	// Call answers. Its context ends when the server stops, not when the
	// caller hangs up: what was begun is finished. body is valid until it
	// returns, and cleared then, for it may hold a secret. What it returns is
	// marshalled as JSON; if that has a method Wipe(), it is called afterwards.
	// A Stream is answered as one.
	Call func(ctx context.Context, c Caller, body json.RawMessage) (any, error)
}

// wiper is an answer that holds a secret.
type wiper interface{ Wipe() }

// plain is an answer that can also be given as text, for Accept: text/plain.
// The server clears what Plain returns.
type plain interface{ Plain() []byte }

// Problem is a failure as it goes over the socket. It holds no secret.
type Problem struct {
	Class string `json:"class"`
	Msg   string `json:"msg"`
	Hint  string `json:"hint,omitempty"`
}

func (p *Problem) Error() string { return p.Msg }

// Classes that this package gives itself; the others are the endpoints'.
const (
	ClassNotPermitted = "not-permitted"
	ClassUsage        = "usage"
	ClassBusy         = "busy"
	ClassFailed       = "failed"
)

// Options are the parts of a Server. Path and Endpoints are required.
type Options struct {
	Path      string // of the socket
	Access    Access
	Endpoints []Endpoint
	// Problem turns an endpoint's error into what the caller sees; nil means
	// ClassFailed and the error's text.
	Problem func(error) *Problem
	// Refused is told of callers without the right they need: the first time
	// at once, then once a minute for each user at most, with the last
	// endpoint and the number of refusals since. Close tells what is left.
	Refused func(c Caller, endpoint string, count int)
	Log     *slog.Logger // nil: nothing is logged
}

// Server answers on the socket. It is made by Listen.
type Server struct {
	opts      Options
	endpoints map[string]Endpoint
	access    atomic.Pointer[Access]
	http      *http.Server
	listener  *listener
	lock      *os.File
	stop      context.CancelFunc
	served    chan struct{} // closed when serving has ended
	serveErr  error

	mu      sync.Mutex
	refused map[uint32]*refusals
}

// Listen opens the socket and begins to answer. Errors wrap ErrInUse where
// another service answers there already.
func Listen(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{opts: o, endpoints: map[string]Endpoint{}, served: make(chan struct{}), refused: map[uint32]*refusals{}}
	for _, e := range o.Endpoints {
		s.endpoints[e.Name] = e
	}
	s.access.Store(&o.Access)
	lock, l, err := OpenSocket(o.Path, socketMode(o.Access.named()))
	if err != nil {
		return nil, fmt.Errorf("opening the socket %s: %w", o.Path, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s.lock, s.stop, s.listener = lock, stop, newListener(l, s.access.Load, o.Log)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/{name}", func(w http.ResponseWriter, r *http.Request) { s.serve(ctx, w, r) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.answer(w, http.StatusNotFound, &Problem{Class: ClassUsage, Msg: "no such request", Hint: "POST /v1/NAME"})
	})
	s.http = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if p, ok := c.(*peer); ok {
				return context.WithValue(ctx, callerKey{}, p.caller)
			}
			return ctx
		},
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(s.served)
		s.serveErr = s.http.Serve(s.listener)
	}()
	return s, nil
}

// SetAccess changes who may do what, for calls that come after it. The
// socket's file mode follows.
func (s *Server) SetAccess(a Access) error {
	s.access.Store(&a)
	return os.Chmod(s.opts.Path, socketMode(a.named()))
}

// Close takes no new calls, gives those that run until ctx ends, then cuts
// them off, and removes the socket.
func (s *Server) Close(ctx context.Context) error {
	defer s.lock.Close()
	err := s.http.Shutdown(ctx)
	s.stop()
	if err != nil {
		err = s.http.Close()
	}
	<-s.served
	s.tellRefusals(false)
	if !errors.Is(s.serveErr, http.ErrServerClosed) {
		err = errors.Join(err, s.serveErr)
	}
	return err
}
