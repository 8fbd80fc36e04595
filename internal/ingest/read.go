package ingest

import (
	"time"

	"pec-ingest/internal/pec"
	"pec-ingest/internal/provider"
	"pec-ingest/internal/safetext"
	"pec-ingest/internal/schedule"
	"pec-ingest/internal/submission"
)

// ReadOptions are what `ingest read` is asked.
type ReadOptions struct {
	Trust     *pec.Trust
	Recipient string    // "" = not asked
	At        time.Time // when it was received
	Reveal    bool      // show candidates
}

// Verdict is one message in `read --json`; null stands for unknown.
type Verdict struct {
	File       string             `json:"file"`
	Kind       pec.Kind           `json:"kind"`
	Certified  bool               `json:"certified"`
	Reason     pec.Reason         `json:"reason"`
	Weak       []string           `json:"weak"`
	ID         *string            `json:"id"`
	MsgID      *string            `json:"msgid"`
	Sender     *string            `json:"sender"`
	Recipients []string           `json:"recipients"`
	Subject    *string            `json:"subject"`
	SentAt     *time.Time         `json:"sent_at"`
	Provider   *string            `json:"provider"`
	Signer     *ReadingSigner     `json:"signer"`
	Submission *ReadingSubmission `json:"submission"`
	Why        string             `json:"-"` // the reason as a sentence
	Detail     string             `json:"-"`
	Letter     string             `json:"-"`
}

// ReadingSigner is who signed.
type ReadingSigner struct {
	Address string `json:"address"`
	SPKI    string `json:"spki_sha256"`
}

// ReadingSubmission is what was found in a certified message.
type ReadingSubmission struct {
	State       submission.State   `json:"state"`
	Mailbox     *string            `json:"mailbox"`
	Expires     *string            `json:"expires"`
	ExpiresFrom *string            `json:"expires_from"`
	Candidates  []ReadingCandidate `json:"candidates"`
	Notes       []string           `json:"notes,omitempty"`
}

// ReadingCandidate is one possible password; Secret only with Reveal.
type ReadingCandidate struct {
	Length int      `json:"length"`
	Where  string   `json:"where"`
	Score  int      `json:"score"`
	Why    []string `json:"why,omitempty"`
	Secret *string  `json:"secret,omitempty"`
}

// Read judges one message offline: no vault, no config, no network.
func Read(file string, raw []byte, o ReadOptions) Verdict {
	opts := pec.Options{Trust: o.Trust, ReceivedAt: o.At}
	if o.Recipient != "" {
		opts.Recipients = []string{o.Recipient}
	}
	v := pec.Judge(raw, opts)
	r := Verdict{File: file, Kind: v.Kind, Certified: v.Certified(), Reason: v.Reason, Weak: v.Weak}
	if r.Weak == nil {
		r.Weak = []string{}
	}
	if v.Err != nil {
		r.Why, r.Detail = v.Reason.Sentence(), v.Err.Error()
	}
	m := v.Message
	if m == nil {
		m = v.Receipt
	}
	if m == nil {
		r.ID, r.MsgID = orNull(safetext.Line(v.Claimed.ID)), orNull(safetext.Line(v.Claimed.MsgID))
		r.Subject = orNull(safetext.Line(v.Claimed.Subject))
		return r
	}
	r.ID, r.MsgID = orNull(m.ID), orNull(m.MsgID)
	for _, rcpt := range m.Recipients {
		r.Recipients = append(r.Recipients, rcpt.Address)
	}
	r.Provider = orNull(safetext.Line(m.Provider))
	r.Subject = orNull(safetext.Line(m.Subject))
	if !m.SentAt.IsZero() {
		at := m.SentAt.UTC()
		r.SentAt = &at
	}
	r.Signer = &ReadingSigner{m.Signer.Address, m.Signer.SPKI}
	if v.Message == nil {
		return r
	}
	r.Sender = orNull(safetext.Address(m.Sender))
	r.readSubmission(m, o)
	return r
}

func (r *Verdict) readSubmission(m *pec.Message, o ReadOptions) {
	found := submission.Find(m, submission.Options{})
	defer found.Wipe()
	cands := allCandidates(found)
	if !o.Reveal {
		r.Subject = orNull(safetext.Line(submission.MaskLine(m.Subject, cands)))
	}
	r.Letter = submission.Letter(m, cands, o.Reveal)
	s := &ReadingSubmission{State: found.State, Mailbox: orNull(found.Mailbox), Candidates: []ReadingCandidate{}, Notes: found.Notes}
	s.Expires, s.ExpiresFrom = readExpiry(m, found)
	for _, c := range cands {
		rc := ReadingCandidate{Length: runeLen(c.Secret), Where: c.Where, Score: c.Score, Why: c.Why}
		if o.Reveal {
			plain := c.Secret.RevealString()
			rc.Secret = &plain
		}
		s.Candidates = append(s.Candidates, rc)
	}
	r.Submission = s
}

// readExpiry is the date that would be stored. Without a config the provider
// table's validity stands in; for an extension it is the date claimed.
func readExpiry(m *pec.Message, found *submission.Result) (expires, from *string) {
	policy := schedule.Policy{}
	switch found.State {
	case submission.Extension:
		if found.Stated.IsZero() {
			return nil, nil
		}
		return dateOrNull(found.Stated), orNull(schedule.FromStated)
	case submission.Found, submission.Ambiguous:
		p, _ := provider.Builtin().BySigner(m.Signer.Address)
		day, origin, _ := schedule.Expiry(m.SentAt, found.Stated, p.ValidityDays, policy)
		return dateOrNull(day), orNull(origin)
	}
	return nil, nil
}
