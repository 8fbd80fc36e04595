package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"
)

// serve answers one call: rights first, then the body, then the endpoint.
func (s *Server) serve(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	caller, ok := r.Context().Value(callerKey{}).(Caller)
	if !ok {
		s.answer(w, http.StatusForbidden, &Problem{Class: ClassNotPermitted, Msg: "not permitted"})
		return
	}
	// Rights may have changed since the connection was made.
	access := s.access.Load()
	caller.Right = access.rightOf(caller)
	name := r.PathValue("name")
	e, known := s.endpoints[name]
	if known && !access.allows(caller, e) || !known && caller.Right == RightNone {
		s.refuse(w, caller, name, e)
		return
	}
	if !known {
		s.answer(w, http.StatusNotFound, &Problem{Class: ClassUsage, Msg: "the running service does not know this request",
			Hint: "command and service are of different versions: restart the service"})
		return
	}
	body, problem := readBody(w, r)
	defer clear(body)
	if problem != nil {
		s.answer(w, http.StatusBadRequest, problem)
		return
	}
	result, err := s.call(ctx, e, caller, body)
	if err != nil {
		s.answer(w, http.StatusUnprocessableEntity, s.problem(err))
		return
	}
	if stream, ok := result.(Stream); ok {
		s.answerStream(w, e, stream)
	} else if p, ok := result.(plain); ok && r.Header.Get("Accept") == plainType {
		s.answerPlain(w, p.Plain())
	} else {
		s.answer(w, http.StatusOK, result)
	}
	if secret, ok := result.(wiper); ok {
		secret.Wipe()
	}
}

// call runs an endpoint; one that panics is a failure and not the end of the
// service.
func (s *Server) call(ctx context.Context, e Endpoint, c Caller, body json.RawMessage) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.opts.Log.Error("a request failed badly", "event", "socket.panic", "endpoint", e.Name, "stack", string(debug.Stack()),
				"hint", "this is a fault of the program: please report it")
			err = errors.New("the service failed on this request; its log has the details")
		}
	}()
	return e.Call(ctx, c, body)
}

// readBody reads a request's JSON value; nothing at all is the empty object.
// The buffer is made once, so that no copies of a secret are left behind.
func readBody(w http.ResponseWriter, r *http.Request) (json.RawMessage, *Problem) {
	if r.ContentLength < 0 || r.ContentLength > MaxBody {
		return nil, &Problem{Class: ClassUsage, Msg: fmt.Sprintf("a request needs its length, at most %d bytes", MaxBody)}
	}
	buf := bytes.NewBuffer(make([]byte, 0, r.ContentLength+bytes.MinRead))
	_, err := buf.ReadFrom(http.MaxBytesReader(w, r.Body, MaxBody))
	body := buf.Bytes()
	if err != nil {
		return body, &Problem{Class: ClassUsage, Msg: "the request did not arrive whole"}
	}
	// Making the answer may take longer than a body may.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	if len(bytes.TrimSpace(body)) == 0 {
		return json.RawMessage("{}"), nil
	}
	if !json.Valid(body) {
		return body, &Problem{Class: ClassUsage, Msg: "the request is not JSON"}
	}
	return body, nil
}

func (s *Server) problem(err error) *Problem {
	if s.opts.Problem != nil {
		return s.opts.Problem(err)
	}
	return &Problem{Class: ClassFailed, Msg: err.Error()}
}

// answer writes one JSON value. Answers may hold a secret: no cache may keep
// them, and nothing of them is logged.
func (s *Server) answer(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		s.opts.Log.Error("an answer can't be written as JSON", "event", "socket.answer", "err", err)
		status, b = http.StatusInternalServerError, []byte(`{"class":"failed","msg":"the service could not write its answer"}`)
	}
	defer clear(b)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", fmt.Sprint(len(b)))
	if status != http.StatusOK {
		// Else the server would wait for the rest of the request first.
		h.Set("Connection", "close")
	}
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

// plainType is what a caller accepts who wants the one thing asked for and no
// JSON around it.
const plainType = "text/plain"

// answerPlain writes and clears a text.
func (s *Server) answerPlain(w http.ResponseWriter, text []byte) {
	defer clear(text)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
	h := w.Header()
	h.Set("Content-Type", plainType)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text)
}

// refuse answers a caller without the right, and tells about it.
func (s *Server) refuse(w http.ResponseWriter, c Caller, name string, e Endpoint) {
	hint := "ask the administrator to add your group to web.readers or web.admins"
	if c.Right == RightReader {
		hint = "this needs an administrator: a group of web.admins, or root"
	}
	s.answer(w, http.StatusForbidden, &Problem{Class: ClassNotPermitted, Msg: "not permitted", Hint: hint})
	if e.Name == "" {
		name = "unknown" // foreign text stays out of the audit log
	}
	s.tellRefusal(c, name, time.Now())
}

// refusalEvery is how often one user's refusals are told.
const refusalEvery = time.Minute

// maxRefusedUsers bounds the memory of who was refused.
const maxRefusedUsers = 1024

// refusals are those of one user that were not told yet.
type refusals struct {
	caller   Caller // the last one
	endpoint string
	count    int
	told     time.Time
}

// tellRefusal tells a user's first refusal at once, and those of the minute
// after it together when the minute is over.
func (s *Server) tellRefusal(c Caller, endpoint string, now time.Time) {
	s.mu.Lock()
	r := s.refused[c.UID]
	if r == nil && len(s.refused) >= maxRefusedUsers {
		s.mu.Unlock()
		s.tellRefusals(false)
		s.mu.Lock()
		clear(s.refused)
	}
	if r == nil {
		r = &refusals{}
		s.refused[c.UID] = r
	}
	r.caller, r.endpoint = c, endpoint
	r.count++
	wait := refusalEvery - now.Sub(r.told)
	first := r.count == 1
	s.mu.Unlock()
	switch {
	case wait <= 0:
		s.tellRefusals(true)
	case first:
		time.AfterFunc(wait, func() { s.tellRefusals(true) })
	}
}

// tellRefusals tells what was not told yet; due leaves out those whose minute
// is not over.
func (s *Server) tellRefusals(due bool) {
	now := time.Now()
	var list []refusals
	s.mu.Lock()
	for _, r := range s.refused {
		if r.count > 0 && (!due || now.Sub(r.told) >= refusalEvery) {
			list = append(list, *r)
			r.count, r.told = 0, now
		}
	}
	s.mu.Unlock()
	for _, r := range list {
		if s.opts.Refused != nil {
			s.opts.Refused(r.caller, r.endpoint, r.count)
		}
	}
}
