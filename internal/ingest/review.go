package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"pec-ingest/internal/notify"
	"pec-ingest/internal/probe"
	"pec-ingest/internal/safetext"
	"pec-ingest/internal/schedule"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// Reviews lists what waits for a person, oldest first; with all also what
// was decided.
func (s *Service) Reviews(ctx context.Context, all bool) ([]ReviewRow, error) {
	rows := []ReviewRow{}
	err := s.vault.View(ctx, func(tx *vault.Tx) error {
		rows = rows[:0]
		return tx.Reviews(func(r vault.Review) error {
			if all || r.DecidedAt.IsZero() {
				rows = append(rows, reviewRow(r))
			}
			return nil
		})
	})
	return rows, err
}

// ReviewItem is one item with all that a person needs to decide.
type ReviewItem struct {
	ReviewRow
	Client     *string           `json:"client"`
	Listed     bool              `json:"listed"` // the mailbox is a client's
	SentAt     time.Time         `json:"sent_at"`
	Subject    string            `json:"subject"` // masked
	Letter     string            `json:"letter"`  // masked unless revealed
	Notes      []string          `json:"notes"`
	Expires    *string           `json:"expires"` // the date stated
	Candidates []ReviewCandidate `json:"candidates"`
	Files      []ReviewFileInfo  `json:"files"`
}

// ReviewCandidate is one possible password, counted from 1.
type ReviewCandidate struct {
	N       int     `json:"n"`
	Length  int     `json:"length"`
	Where   string  `json:"where"`
	Refused bool    `json:"refused"`
	Secret  *string `json:"secret,omitempty"` // only when revealed
}

// ReviewShow gives one item. Revealing the letter is a right of its own and
// audited; without it candidates and all unusual words are masked.
func (s *Service) ReviewShow(ctx context.Context, actor string, n int, reveal bool) (ReviewItem, error) {
	item, r, sub, err := s.reviewItem(ctx, n)
	if err != nil {
		return item, err
	}
	if reveal {
		if err := s.vault.Update(ctx, func(tx *vault.Tx) error {
			return tx.Audit(vault.AuditEntry{Actor: actor, Event: "review.revealed", Mailbox: r.Mailbox, Login: r.Login, Detail: fmt.Sprintf("n=%d", n)})
		}); err != nil {
			return item, err
		}
		if err := s.revealCandidates(&item, sub); err != nil {
			return item, err
		}
	}
	if len(r.Letter) == 0 {
		return item, nil
	}
	plain, err := s.vault.UnsealBlob(r.LetterLabel, r.Letter)
	if err != nil {
		return item, &Error{Class: NoVault, Code: CodeNoKey, Msg: "opening the sealed letter", Err: err}
	}
	defer clear(plain)
	var l letter
	if err := json.Unmarshal(plain, &l); err != nil {
		return item, fmt.Errorf("reading the sealed letter: %w", err)
	}
	item.Subject, item.Notes, item.Letter = l.Subject, notNil(l.Notes), l.Masked
	if reveal {
		item.Letter = l.Revealed
	}
	item.Letter = safetext.Block(item.Letter, 400)
	return item, nil
}

func (s *Service) reviewItem(ctx context.Context, n int) (item ReviewItem, r vault.Review, sub vault.Submission, err error) {
	err = s.vault.View(ctx, func(tx *vault.Tx) error {
		var ok bool
		if r, ok, err = tx.Review(n); err != nil {
			return err
		}
		if !ok {
			return notFound("no review item %d", n).hint("`ingest review list` shows them")
		}
		if sub, _, err = tx.Submission(r.SubmissionID); err != nil {
			return err
		}
		c, listed, err := tx.Client(r.Mailbox)
		if err != nil {
			return err
		}
		item.Client, item.Listed = orNull(c.Name), listed && c.RemovedAt.IsZero()
		item.Files, err = fileInfos(tx, r.SubmissionID)
		return err
	})
	item.ReviewRow, item.SentAt, item.Subject = reviewRow(r), sub.SentAt, sub.Masked
	item.Expires, item.Notes, item.Candidates = dateOrNull(sub.Stated), []string{}, []ReviewCandidate{}
	for i, c := range sub.Candidates {
		item.Candidates = append(item.Candidates, ReviewCandidate{N: i + 1, Length: c.Length, Where: c.Where, Refused: c.Refused})
	}
	return item, r, sub, err
}

func (s *Service) revealCandidates(item *ReviewItem, sub vault.Submission) error {
	for i, c := range sub.Candidates {
		if len(c.Sealed) == 0 {
			continue
		}
		plain, err := s.vault.Unseal(c.Label, c.Sealed)
		if err != nil {
			return &Error{Class: NoVault, Code: CodeNoKey, Msg: "opening a sealed candidate", Err: err}
		}
		text := plain.RevealString()
		plain.Wipe()
		item.Candidates[i].Secret = &text
	}
	return nil
}

// Approval is a person's yes: to a candidate, or with a typed password.
type Approval struct {
	Actor     string
	N         int
	Candidate int           // counted from 1; 0 = the first that was not refused
	Typed     secret.Secret `json:"-"` // instead of a candidate
	Mailbox   string        // for an unlisted sender: which client's mailbox; "" = the sender's
	Login     string        // where none is known
	Expires   time.Time     // day; zero = as the letter says
	NewClient string        // takes an unlisted sender as a client of this name first
}

// ReviewApprove tries the password on the client's mailbox and stores it, the
// ordinary way. What the provider refuses is not stored, whoever approved it.
//
// One item is decided by one person at a time: who comes second waits for the
// login of the first, and then nothing of his is tried or stored.
func (s *Service) ReviewApprove(ctx context.Context, a Approval, now time.Time) (SetResult, error) {
	ctx, end, here, err := s.duty(ctx)
	if err != nil {
		return SetResult{}, err
	}
	if !here {
		return ask[SetResult](ctx, s, asked{Name: askApprove, Actor: a.Actor, Approval: &a}, a.Typed)
	}
	defer end()
	defer s.deciding.lock(a.N)()
	item, r, sub, err := s.reviewItem(ctx, a.N)
	if err != nil {
		return SetResult{}, err
	}
	if err := undecided(r); err != nil {
		return SetResult{}, err
	}
	if !item.Listed && a.NewClient == "" && a.Mailbox == "" {
		return SetResult{}, notFound("the sender %s is no client", r.Mailbox).code(CodeNotListed).hint(
			"`ingest review approve %d --new-client NAME` adds it first; --mailbox says which client's password it is", a.N)
	}
	password := a.Typed
	if password.IsZero() {
		if password, err = s.approved(sub, a.Candidate); err != nil {
			return SetResult{}, err
		}
		defer password.Wipe()
	}
	mailbox, login := firstOf(a.Mailbox, r.Mailbox), firstOf(a.Login, sub.Login)
	if a.NewClient != "" {
		fields := ClientFields{Name: &a.NewClient}
		if p, ok := s.providers.BySigner(sub.Signer); ok {
			fields.Provider = &p.ID
		}
		if _, _, err := s.AddClient(ctx, a.Actor, mailbox, fields, now); err != nil {
			return SetResult{}, err
		}
	}
	expires := a.Expires
	if expires.IsZero() && sub.Stated.After(s.today(now)) {
		if _, from, _ := schedule.Expiry(sub.SentAt, sub.Stated, 0, s.policy); from == schedule.FromStated {
			expires = sub.Stated // a date that is not believed is as good as none
		}
	}
	// The password is as old as the letter: counted from today it would be
	// warned of too late.
	signer := ""
	if strings.EqualFold(mailbox, sub.Mailbox) {
		signer = sub.Signer
	}
	res, err := s.Set(ctx, SetRequest{Actor: a.Actor, Mailbox: mailbox, Login: login, Expires: expires, Issued: sub.SentAt, Signer: signer,
		Source: fmt.Sprintf("review %d", a.N), Secret: password}, now)
	if err != nil {
		return res, err
	}
	d := decision{actor: a.Actor, what: "approved", outcome: OutcomeAccepted, version: res.Version, mailbox: mailbox, login: res.Login}
	if res.State != VersionUnverified {
		d.reply = notify.KindAccepted
	}
	return res, s.decide(ctx, a.N, d, now)
}

func (s *Service) approved(sub vault.Submission, n int) (secret.Secret, error) {
	i := n - 1
	if n == 0 {
		for i = range sub.Candidates {
			if !sub.Candidates[i].Refused {
				break
			}
		}
	}
	if i < 0 || i >= len(sub.Candidates) || len(sub.Candidates[i].Sealed) == 0 {
		return secret.Secret{}, notFound("there is no such candidate").code(CodeNoCandidate).hint("type the password instead: --typed reads it from standard input")
	}
	return s.vault.Unseal(sub.Candidates[i].Label, sub.Candidates[i].Sealed)
}

// ReviewReject puts an item aside; its letter and candidates are destroyed.
// With tell the client is told the reason.
//
// It needs no login, but goes to the service that leads, who may just be
// trying what another person approved; where nobody leads nobody tries.
func (s *Service) ReviewReject(ctx context.Context, actor string, n int, reason string, tell bool, now time.Time) error {
	duty, end, here, err := s.duty(ctx)
	if err != nil {
		return err
	}
	if here {
		defer end()
		ctx = duty
	} else if _, err := ask[struct{}](ctx, s, asked{Name: askReject, Actor: actor, Rejection: &rejection{n, reason, tell}}, secret.Secret{}); !errors.Is(err, vault.ErrNotLeading) {
		return err
	}
	defer s.deciding.lock(n)()
	reason = safetext.Line(reason)
	d := decision{actor: actor, what: strings.TrimSuffix("rejected: "+reason, ": "), outcome: OutcomeRejected, reason: reason}
	if tell {
		if reason == "" {
			return usage("a client can't be told a reason that is not given").hint("--reason TEXT")
		}
		d.reply = notify.KindRejected
	}
	return s.decide(ctx, n, d, now)
}

// decision is what a person decided on an item.
type decision struct {
	actor, what, outcome string
	version              int         // that was stored, 0 none
	mailbox, login       string      // of that version
	reply                notify.Kind // "" = none
	reason               string      // told to the client
}

// decide closes an item, once: who comes second is told who was first.
func (s *Service) decide(ctx context.Context, n int, d decision, now time.Time) error {
	return s.vault.Update(ctx, func(tx *vault.Tx) error {
		r, ok, err := tx.Review(n)
		if err != nil {
			return err
		}
		if !ok {
			return notFound("no review item %d", n).hint("`ingest review list` shows them")
		}
		if err := undecided(r); err != nil {
			return err
		}
		r.DecidedAt, r.DecidedBy, r.Decision = now.UTC().Truncate(time.Second), d.actor, d.what
		r.Letter, r.LetterLabel = nil, vault.Label{}
		if err := tx.PutReview(r); err != nil {
			return err
		}
		if err := s.settleDecided(tx, r, d); err != nil {
			return err
		}
		return tx.Audit(vault.AuditEntry{Actor: d.actor, Event: "review.decided", Mailbox: r.Mailbox, Login: r.Login, Version: d.version,
			Detail: fmt.Sprintf("n=%d %s", n, d.what)})
	})
}

// settleDecided gives the submission its outcome and queues the answer.
func (s *Service) settleDecided(tx *vault.Tx, r vault.Review, d decision) error {
	sub, ok, err := tx.Submission(r.SubmissionID)
	if err != nil || !ok {
		return err
	}
	sub.Version = d.version
	err = s.putSettled(tx, sub, d.outcome)
	if err == nil && r.Reason == ReviewMany && d.version == 0 {
		err = staysPut(tx, sub.ID)
	}
	if err != nil || d.reply == "" {
		return err
	}
	client, listed, err := tx.Client(firstOf(d.mailbox, r.Mailbox))
	if err != nil || !listed || !client.RemovedAt.IsZero() {
		return err
	}
	var v vault.Version
	if d.version > 0 {
		if v, _, err = tx.Version(d.mailbox, d.login, d.version); err != nil {
			return err
		}
	}
	data := s.dataFor(client, sub.Signer, v)
	data.Reason = d.reason
	again, err := afterRestoreOf(tx, sub.ReceivedAt)
	if err != nil {
		return err
	}
	to, err := answerTo(tx, sub, client)
	if err != nil {
		return err
	}
	return s.queueDoubtful(tx, causeReply+sub.ID+"/"+string(d.reply), d.reply, client, to, data, priorityReply, again)
}

func undecided(r vault.Review) error {
	if r.DecidedAt.IsZero() {
		return nil
	}
	return &Error{Class: NeedsPerson, Code: CodeDecided, Msg: "already decided by " + r.DecidedBy + " at " + r.DecidedAt.Format(time.RFC3339),
		Hint: "nothing was changed"}
}

// Use makes an older version the current one, after trying it.
func (s *Service) Use(ctx context.Context, actor, mailbox, login string, n int, now time.Time) (SetResult, error) {
	ctx, end, here, err := s.duty(ctx)
	if err != nil {
		return SetResult{}, err
	}
	if !here {
		return ask[SetResult](ctx, s, asked{Name: askUse, Actor: actor, Mailbox: mailbox, Login: login, Version: n}, secret.Secret{})
	}
	defer end()
	k, err := s.pick(ctx, mailbox, login)
	if err != nil {
		return SetResult{}, err
	}
	v, err := s.version(ctx, k.client.Mailbox, k.cred.Login, n)
	if err != nil {
		return SetResult{}, err
	}
	password, err := s.unseal(v)
	if err != nil {
		return SetResult{}, err
	}
	defer password.Wipe()
	now = now.UTC().Truncate(time.Second)
	result, addr, err := s.tryByHand(ctx, k.client, k.cred.Signer, k.cred.Login, password, now)
	if err != nil {
		return SetResult{}, err
	}
	if s.cfg.Probe.Enabled && result.Outcome != probe.Accepted {
		return SetResult{}, &Error{Msg: fmt.Sprintf("version %d could not be tried (%s): nothing was changed", n, result.Outcome), Hint: "try again when the provider answers"}
	}
	ctx = context.WithoutCancel(ctx) // the answer is known
	err = s.vault.Update(ctx, func(tx *vault.Tx) error {
		cred, _, err := tx.Credential(k.client.Mailbox, k.cred.Login)
		if err != nil {
			return err
		}
		if v, _, err = tx.Version(cred.Mailbox, cred.Login, n); err != nil {
			return err
		}
		if err := endVersion(tx, cred, cred.Current, n, now); err != nil {
			return err
		}
		v.State, v.EndedAt, v.Ended = VersionUnprobed, time.Time{}, ""
		if s.cfg.Probe.Enabled {
			v.State, v.ProvenAt, v.Addr = VersionProven, now, addr
			cred.LastCheck = vault.Check{At: now, Result: string(result.Outcome)}
		}
		cred.Current, cred.Proven, cred.Refused = n, n, false
		if err := tx.PutVersion(v); err != nil {
			return err
		}
		if err := tx.PutCredential(cred); err != nil {
			return err
		}
		return tx.Audit(vault.AuditEntry{Actor: actor, Event: "credential.used", Mailbox: cred.Mailbox, Login: cred.Login, Version: n})
	})
	if err == nil {
		s.touch(ctx)
	}
	return SetResult{Mailbox: k.client.Mailbox, Login: k.cred.Login, Version: n, State: v.State,
		ExpiresAt: v.Expires.Format(time.DateOnly), Probe: string(result.Outcome)}, err
}
