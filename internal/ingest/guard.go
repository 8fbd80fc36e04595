package ingest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"

	"pec-ingest/internal/notify"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/probe"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/submission"
)

// A fault of this program in reading one message must not end the service:
// systemd would start it again, and it would end at the same message, for ever,
// with everything behind it unread. So whatever reads what strangers wrote is
// called behind guarded; a message on which it fails stays where it is, is
// asked for again later like one that the server does not hand over (holes.go),
// and is given up with a record. caught is the same for a whole step, where no
// single message is to blame.
//
// What can't be caught (a stack or a heap without end) is left to the bounds of
// the packages that read; their fuzz targets run without any guard.

// Reader is what reads the bytes of messages, before and after their proof.
type Reader struct {
	Outer   func(head []byte) pec.Outer
	Glimpse func(first []byte) (pec.Glimpsed, bool)
	Judge   func(raw []byte, o pec.Options) *pec.Judgement
	Find    func(m *pec.Message, o submission.Options) *submission.Result
}

func newReader() Reader {
	return Reader{Outer: pec.OuterOf, Glimpse: pec.Glimpse, Judge: pec.Judge, Find: submission.Find}
}

// errFault is a fault of this program that was caught.
var errFault = errors.New("ingest: a fault of the program")

const faultHint = "this is a fault of the program: please report it"

// guarded runs read, which reads the message with this UID, and tells whether
// it came to its end.
func (s *Service) guarded(uid uint32, read func()) (ok bool) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("the program failed on a message: it is left where it is, the others are read", "event", "message.panic",
				"uid", uid, "err", faultText(r), "stack", string(debug.Stack()), "hint", faultHint)
		}
	}()
	read()
	return true
}

// caught runs a step and turns a panic into an error, which is errFault.
func (s *Service) caught(step string, run func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("a step failed badly", "event", "service.panic", "step", step, "err", faultText(r), "stack", string(debug.Stack()), "hint", faultHint)
			err = &Error{Msg: step, Err: errFault, Hint: "the log has the details (event=service.panic): please report it; it is tried again by itself"}
		}
	}()
	return run()
}

// logIn is Login behind a guard: a server whose answer the program fails on has
// answered in no way that can be understood.
func (s *Service) logIn(ctx context.Context, t probe.Target, login string, password secret.Secret) (result probe.Result) {
	err := s.caught("logging in to a mailbox", func() error {
		result = s.Login(ctx, t, login, password)
		return nil
	})
	if err != nil {
		return probe.Result{Outcome: probe.Unavailable, Detail: "the program failed on the server's answer", Sent: true}
	}
	return result
}

// sendMail is Send behind a guard: a message on which that fails makes room for
// the others, and is tried again later.
func (s *Service) sendMail(ctx context.Context, c notify.SMTPConfig, m notify.Mail, beforeDot func() error) (receipt notify.Receipt, err error) {
	dot := false
	fault := s.caught("sending a message", func() error {
		receipt, err = s.Send(ctx, c, m, func() error { dot = true; return beforeDot() })
		return nil
	})
	if fault == nil {
		return receipt, err
	}
	failed := &notify.SendError{Temporary: true, Stage: notify.StageData, Detail: "a fault of the program", Hint: faultHint}
	if dot {
		failed.Stage = notify.StageDot // it may have gone out
	}
	return receipt, failed
}

// faultText is what may be said of a panic. Go's own errors name numbers and
// types; anything else might name what was being read.
func faultText(r any) string {
	if err, own := r.(runtime.Error); own {
		return err.Error()
	}
	return fmt.Sprintf("%T", r)
}
