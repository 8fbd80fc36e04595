package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// What a member asks of the leader: the commands that log in somewhere. A
// password goes along sealed, as it would lie in the vault; the leader opens
// it with the identity that both have.

// The names of these requests.
const (
	askOnce     = "once"
	askSet      = "set"
	askSetInbox = "set-inbox"
	askToken    = "token"
	askUse      = "use"
	askReport   = "report"
	askApprove  = "approve"
	askReject   = "reject"
)

// asked is a request on its way. Fields that a request does not have are zero.
type asked struct {
	Name  string    `json:"name"`
	Actor string    `json:"actor"`
	At    time.Time `json:"at"` // by the clock of the member

	Set       *SetRequest      `json:"set,omitempty"`
	SetInbox  *SetInboxRequest `json:"set_inbox,omitempty"`
	Approval  *Approval        `json:"approval,omitempty"`
	Rejection *rejection       `json:"rejection,omitempty"`
	Mailbox   string           `json:"mailbox,omitempty"` // also the account of a token
	Login     string           `json:"login,omitempty"`
	Version   int              `json:"version,omitempty"`
	Warn      bool             `json:"warn,omitempty"`
	DryRun    bool             `json:"dry_run,omitempty"`
	Person    bool             `json:"person,omitempty"` // asked by one, not by a timer
	// ObservedTo is the age key to which the answer seals what a pass saw.
	ObservedTo string `json:"observed_to,omitempty"`

	Sealed []byte      `json:"sealed,omitempty"` // the password, under Label
	Label  vault.Label `json:"label,omitzero"`
}

// rejection is what ReviewReject is asked.
type rejection struct {
	N      int    `json:"n"`
	Reason string `json:"reason"`
	Tell   bool   `json:"tell"`
}

// told is the answer.
type told struct {
	Out   json.RawMessage `json:"out,omitempty"`
	Error *toldError      `json:"error,omitempty"`
}

type toldError struct {
	Class Class  `json:"class"`
	Msg   string `json:"msg"`
	Hint  string `json:"hint,omitempty"`
}

// ask has the leader carry out a request, with a secret that may be none.
func ask[Out any](ctx context.Context, s *Service, r asked, password secret.Secret) (out Out, err error) {
	r.At = time.Now().UTC()
	if !password.IsZero() {
		r.Label = vault.Label{Mailbox: "cluster", Login: r.Name, Version: 1, Source: r.At.Format(time.RFC3339Nano)}
		if r.Sealed, err = s.vault.Seal(r.Label, password); err != nil {
			return out, err
		}
	}
	body, err := json.Marshal(r)
	if err != nil {
		return out, err
	}
	answer, err := s.cluster.store.Ask(ctx, body)
	switch {
	case errors.Is(err, vault.ErrNotLeading):
		return out, &Error{Msg: "nobody leads the cluster, so nothing was done", Err: err, Hint: "does a service run (`ingest run`)? then try again in a few seconds"}
	case errors.Is(err, vault.ErrOutcomeUnknown):
		return out, &Error{Msg: "the service that leads was lost over this", Err: err, Hint: "`ingest status` and `ingest history` show whether it was done"}
	case err != nil:
		return out, err
	}
	var t told
	if err := json.Unmarshal(answer, &t); err != nil {
		return out, &Error{Msg: "the answer of the service that leads", Err: err, Hint: "are all services of one version?"}
	}
	if len(t.Out) > 0 {
		if err := json.Unmarshal(t.Out, &out); err != nil {
			return out, &Error{Msg: "the answer of the service that leads", Err: err, Hint: "are all services of one version?"}
		}
	}
	if t.Error != nil {
		return out, &Error{Class: t.Error.Class, Msg: t.Error.Msg, Hint: t.Error.Hint}
	}
	return out, nil
}

// handleAsked carries a member's request out, in this service's term.
func (s *Service) handleAsked(ctx context.Context, body []byte) []byte {
	var r asked
	var out any
	err := json.Unmarshal(body, &r)
	if err == nil {
		s.log.Info("a member asks", "event", "cluster.asked", "request", r.Name, "actor", r.Actor)
		err = s.caught("doing what a member asks", func() (err error) {
			out, err = s.carryOut(ctx, r)
			return err
		})
		s.OutboxChanged()
	}
	var t told
	if err != nil {
		t.Error = &toldError{Class: ClassOf(err), Msg: err.Error(), Hint: HintOf(err)}
	}
	if out != nil {
		t.Out, _ = json.Marshal(out) // of our own types: it can't fail
	}
	answer, _ := json.Marshal(t)
	return answer
}

func (s *Service) carryOut(ctx context.Context, r asked) (out any, err error) {
	var password secret.Secret
	if len(r.Sealed) > 0 {
		if password, err = s.vault.Unseal(r.Label, r.Sealed); err != nil {
			return nil, &Error{Class: NoVault, Msg: "the service that leads can't open what was sent to it", Err: err, Hint: "all services need the same identity"}
		}
		defer password.Wipe()
	}
	now := time.Now()
	switch {
	case r.Name == askOnce:
		o := RunOptions{Warn: r.Warn, PassOptions: PassOptions{DryRun: r.DryRun, Asked: r.Person}}
		if r.ObservedTo != "" {
			return s.observedOnce(ctx, o, r.ObservedTo)
		}
		return s.Once(ctx, o)
	case r.Name == askSet && r.Set != nil:
		r.Set.Actor, r.Set.Secret = r.Actor, password
		return s.Set(ctx, *r.Set, now)
	case r.Name == askSetInbox && r.SetInbox != nil:
		r.SetInbox.Actor, r.SetInbox.Secret = r.Actor, password
		return s.SetInbox(ctx, *r.SetInbox, now)
	case r.Name == askToken:
		return nil, s.KeepToken(ctx, r.Actor, r.Mailbox, password)
	case r.Name == askUse:
		return s.Use(ctx, r.Actor, r.Mailbox, r.Login, r.Version, now)
	case r.Name == askReport:
		return s.ReportRefused(ctx, r.Actor, r.Mailbox, r.Login, now)
	case r.Name == askApprove && r.Approval != nil:
		r.Approval.Actor, r.Approval.Typed = r.Actor, password
		return s.ReviewApprove(ctx, *r.Approval, now)
	case r.Name == askReject && r.Rejection != nil:
		return nil, s.ReviewReject(ctx, r.Actor, r.Rejection.N, r.Rejection.Reason, r.Rejection.Tell, now)
	}
	return nil, &Error{Msg: "the service that leads does not understand this request", Hint: "are all services of one version?"}
}
