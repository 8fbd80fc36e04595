package notify

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/textproto"
	"regexp"
	"strings"

	"pec-ingest/internal/safetext"
	"pec-ingest/internal/secret"
)

// Stage is the step of a delivery at which it failed.
type Stage string

// The stages in their order.
const (
	StageCompose  Stage = "compose"  // the message can't be made: nothing was sent
	StageConnect  Stage = "connect"  // no connection
	StageTLS      Stage = "tls"      // no encryption, or a certificate that is not believed
	StageGreeting Stage = "greeting" // the server's first words
	StageHello    Stage = "hello"
	StageAuth     Stage = "auth"
	StageFrom     Stage = "from" // MAIL FROM
	StageTo       Stage = "to"   // RCPT TO
	StageData     Stage = "data" // DATA, and writing the message
	StageHook     Stage = "hook" // the caller's beforeDot failed: the message was not sent
	StageDot      Stage = "dot"  // after the final dot; without a Code the message may have been accepted
)

// SendError is why a message was not accepted. Its texts are safe to log and
// to show: no addresses, no password, one line.
type SendError struct {
	// Temporary: the same message may well be accepted later. It is so for
	// 4xx, for everything about network and TLS, and for what a server says
	// before it has seen a message; then ForAll is set too.
	Temporary bool
	// Refused: the server refuses the login. Trying again with the same
	// password can only do harm.
	Refused bool
	// ForAll: it is about the server or the account and not about this
	// message: any other would fare the same now.
	ForAll   bool
	Stage    Stage
	Code     int    // of the SMTP reply; 0 = no reply
	Enhanced string // "5.7.139", RFC 3463; "" = none
	Detail   string // what the server said, or what happened
	Hint     string // what a person can do; "" = nothing in particular

	err error // never a server's words
}

// Error gives one line: stage, code, detail, hint.
func (e *SendError) Error() string {
	s := "sending failed at " + string(e.Stage)
	if e.Code != 0 {
		s += fmt.Sprintf(" (%d)", e.Code)
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// Unwrap gives the cause where it is an error of this program (a cancelled
// context, the caller's hook) or of the network.
func (e *SendError) Unwrap() error { return e.err }

// InDoubt tells whether the message may have been accepted all the same: the
// final dot was sent, or may have been, and no answer came.
func (e *SendError) InDoubt() bool { return e.Stage == StageDot && e.Code == 0 }

var enhancedForm = regexp.MustCompile(`^([245]\.\d{1,3}\.\d{1,3})(\s|$)`)

// replyError makes a SendError of a server's reply.
func (d *delivery) replyError(stage Stage, code int, msg string) *SendError {
	e := &SendError{Stage: stage, Code: code, Detail: d.redact(msg)}
	if m := enhancedForm.FindStringSubmatch(msg); m != nil {
		e.Enhanced = m[1]
	}
	e.ForAll = stage != StageTo && stage != StageData && stage != StageDot
	// 421 closes the connection at any point (RFC 5321 §3.8).
	e.ForAll = e.ForAll || code == 421
	early := stage == StageConnect || stage == StageTLS || stage == StageGreeting || stage == StageHello
	e.Temporary = code < 500 || early
	if stage == StageAuth && code >= 500 {
		e.Refused, e.Temporary = true, false
	}
	// 530: the server wants a login first; it comes at MAIL FROM where the one
	// given does not count (Microsoft's 5.7.57).
	if code == 530 && stage == StageFrom {
		e.Refused = true
	}
	e.advise(strings.ToLower(msg))
	if e.Refused && d.config.Auth == "oauth2" {
		e.Hint = "the sign-in has expired or was withdrawn: run `ingest login ACCOUNT` again"
	}
	return e
}

// oauthHint is what helps where a provider has ended password logins.
const oauthHint = "the provider has switched password logins off: run `ingest login ACCOUNT` and set auth = \"oauth2\""

// advise sets the hint, and Refused where only the words tell it. msg is what
// the server said, in lower case.
//
// Source: learn.microsoft.com, "Deprecation of Basic authentication in
// Exchange Online" (535 5.7.139, 550 5.7.30, 530 5.7.57); support.google.com,
// "SMTP error codes" (534 5.7.9, 535 5.7.8).
func (e *SendError) advise(msg string) {
	greylisted := strings.Contains(msg, "greylist") || strings.Contains(msg, "graylist")
	full := e.Enhanced == "5.2.2" || e.Enhanced == "4.2.2" || e.Code == 552 || e.Code == 452
	switch {
	case e.Enhanced == "5.7.139", e.Enhanced == "5.7.30", e.Enhanced == "5.7.57",
		strings.Contains(msg, "basic authentication is"), strings.Contains(msg, "smtpclientauthentication is disabled"):
		e.Refused, e.Temporary, e.ForAll = true, false, true
		e.Hint = oauthHint
	case e.Enhanced == "5.7.9", strings.Contains(msg, "application-specific password"):
		e.Refused, e.Temporary, e.ForAll = true, false, true
		e.Hint = "the provider wants an app password: make one in the account's security settings"
	case e.Refused:
		e.Hint = "the password is refused and not tried again until it is changed: put the right one into smtp.password_file, or enter it with `ingest set --inbox`"
	case e.Stage == StageFrom && e.Code >= 500:
		e.Hint = "the server does not let this account send from that address: check [smtp] from"
	case e.Stage == StageTo && full:
		e.Hint = "the recipient's mailbox is full"
	case e.Stage == StageTo && e.Code >= 500:
		e.Hint = "the recipient's address does not exist or does not take this message"
	case e.Stage == StageTo && greylisted:
		e.Hint = "the server asks to come back later, as it does with senders it does not know"
	}
}

// localError makes a SendError of what happened on this side.
func (d *delivery) localError(stage Stage, err error, detail string) *SendError {
	// The context says more than the broken connection it left behind.
	if cause := d.ctx.Err(); cause != nil {
		err = cause
		detail = "stopped: " + cause.Error()
	}
	return &SendError{Stage: stage, Temporary: stage != StageCompose, ForAll: stage != StageCompose && stage != StageHook,
		Detail: d.redact(detail), err: err}
}

// failure sorts an error of the SMTP library.
func (d *delivery) failure(stage Stage, err error) *SendError {
	var reply *textproto.Error
	if errors.As(err, &reply) {
		return d.replyError(stage, reply.Code, reply.Msg)
	}
	e := d.localError(stage, err, plainNetError(err))
	if stage == StageTLS {
		e.Hint = tlsHint(err)
	}
	return e
}

var addressForm = regexp.MustCompile(`[^\s<>"'()\[\]:;,]+@[^\s<>"'()\[\]:;,]+`)

// redact makes a server's words one safe line without addresses, and without
// anything that was said to log in: a server may repeat what it was sent.
func (d *delivery) redact(s string) string {
	for _, word := range d.hidden {
		s = strings.ReplaceAll(s, word, secret.Redacted)
	}
	s = addressForm.ReplaceAllString(s, "[address]")
	return safetext.LineN(s, 200)
}

// hiddenWords are the forms in which a password or user name may come back.
func hiddenWords(username, password string) []string {
	var words []string
	encode := base64.StdEncoding.EncodeToString
	if password != "" {
		words = append(words, password, encode([]byte(password)), encode([]byte("\x00"+username+"\x00"+password)),
			encode([]byte("user="+username+"\x01auth=Bearer "+password+"\x01\x01")))
	}
	if len(username) >= 4 { // a shorter one would blank out half of every word
		words = append(words, username, encode([]byte(username)))
	}
	return words
}
