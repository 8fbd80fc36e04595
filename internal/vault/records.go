package vault

import (
	"encoding/json"
	"slices"
	"time"
)

// The records. Mailboxes are lower-cased addresses. Instants are UTC and whole
// seconds; a day is 00:00 UTC of that date and "2006-01-02" in the file. Put
// brings times into that form. The zero time means none.

// Client is one of the studio's clients, or what is left of one removed.
type Client struct {
	Mailbox   string    `json:"mailbox"`
	Name      string    `json:"name,omitempty"`
	Provider  string    `json:"provider,omitempty"`
	Login     string    `json:"login,omitempty"`
	Email     string    `json:"email,omitempty"`
	Phone     string    `json:"phone,omitempty"`
	Lang      string    `json:"lang,omitempty"`
	UsedIn    []string  `json:"used_in,omitempty"`   // where the password is also kept by hand
	Senders   []string  `json:"senders,omitempty"`   // other mailboxes that may send for this one
	IMAPAddr  string    `json:"imap_addr,omitempty"` // host:port given by hand
	Signer    string    `json:"signer,omitempty"`    // verified signer first seen
	AddedAt   time.Time `json:"added_at,omitzero"`
	RemovedAt time.Time `json:"removed_at,omitzero"`
}

func (c Client) normal() Client {
	c.AddedAt, c.RemovedAt = second(c.AddedAt), second(c.RemovedAt)
	return c
}

// Credential says which versions of a (mailbox, login) there are. Versions
// count from 1; 0 means none.
type Credential struct {
	Mailbox      string    `json:"mailbox"`
	Login        string    `json:"login"`
	Last         int       `json:"last,omitempty"`
	Current      int       `json:"current,omitempty"`
	Proven       int       `json:"proven,omitempty"`
	OrderAt      time.Time `json:"order_at,omitzero"` // newest submission that counts
	OrderID      string    `json:"order_id,omitempty"`
	LastCheck    Check     `json:"last_check,omitzero"`
	Refused      bool      `json:"refused,omitempty"` // the current one; closed until a person or a submission
	Signer       string    `json:"signer,omitempty"`
	GoodLogins   int       `json:"good_logins,omitempty"`    // daily ones in a row after the old date
	GoodLoginDay string    `json:"good_login_day,omitempty"` // the last of them
	Intent       *Intent   `json:"intent,omitempty"`         // a login with version Intent.Candidate whose result is not known
	Reported     int       `json:"reported,omitempty"`       // version that was tried last because a program reported it
	ReportedAt   time.Time `json:"reported_at,omitzero"`
}

func (c Credential) normal() Credential {
	c.OrderAt, c.ReportedAt = second(c.OrderAt), second(c.ReportedAt)
	c.LastCheck = c.LastCheck.normal()
	return c
}

// Check is the last probe of a credential.
type Check struct {
	At           time.Time `json:"at,omitzero"`
	Result       string    `json:"result,omitempty"`
	TroubleSince time.Time `json:"trouble_since,omitzero"`
	NextAt       time.Time `json:"next_at,omitzero"`
}

func (c Check) normal() Check {
	c.At, c.TroubleSince, c.NextAt = second(c.At), second(c.TroubleSince), second(c.NextAt)
	return c
}

// Version is one password of a credential.
type Version struct {
	Mailbox      string    `json:"mailbox"`
	Login        string    `json:"login"`
	N            int       `json:"n"`
	Source       string    `json:"source,omitempty"` // PEC identifier, or "set: …"
	Label        Label     `json:"label,omitzero"`   // as it was sealed
	Sealed       []byte    `json:"sealed,omitempty"` // nil once destroyed
	ReceivedAt   time.Time `json:"received_at,omitzero"`
	StoredAt     time.Time `json:"stored_at,omitzero"`
	ProvenAt     time.Time `json:"proven_at,omitzero"`
	Expires      time.Time `json:"-"` // day
	Claimed      time.Time `json:"-"` // day
	ExpiresFrom  string    `json:"expires_from,omitempty"`
	ValidityDays int       `json:"validity_days,omitempty"`
	Addr         string    `json:"addr,omitempty"`  // host:port that accepted it
	State        string    `json:"state,omitempty"` // unverified proven unprobed superseded refused
	EndedAt      time.Time `json:"ended_at,omitzero"`
	Ended        string    `json:"ended,omitempty"` // why
}

func (v Version) normal() Version {
	v.ReceivedAt, v.StoredAt = second(v.ReceivedAt), second(v.StoredAt)
	v.ProvenAt, v.EndedAt = second(v.ProvenAt), second(v.EndedAt)
	v.Expires, v.Claimed = day(v.Expires), day(v.Claimed)
	return v
}

type versionFields Version

type versionJSON struct {
	versionFields
	Expires dayText `json:"expires,omitempty"`
	Claimed dayText `json:"claimed,omitempty"`
}

// MarshalJSON writes the days as dates.
func (v Version) MarshalJSON() ([]byte, error) {
	return json.Marshal(versionJSON{versionFields(v), textOf(v.Expires), textOf(v.Claimed)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (v *Version) UnmarshalJSON(b []byte) (err error) {
	var j versionJSON
	if err = json.Unmarshal(b, &j); err != nil {
		return err
	}
	*v = Version(j.versionFields)
	if v.Expires, err = j.Expires.day(); err != nil {
		return err
	}
	v.Claimed, err = j.Claimed.day()
	return err
}

// Submission is a certified message that carries a credential or says
// something about one, from its judgement to its end.
type Submission struct {
	ID         string      `json:"id"`
	Mailbox    string      `json:"mailbox"`
	Sender     string      `json:"sender,omitempty"` // the mailbox it came from; "" = Mailbox
	Login      string      `json:"login,omitempty"`
	Signer     string      `json:"signer,omitempty"`
	MsgID      string      `json:"msgid,omitempty"`
	SentAt     time.Time   `json:"sent_at,omitzero"`
	ReceivedAt time.Time   `json:"received_at,omitzero"`
	JudgedAt   time.Time   `json:"judged_at,omitzero"`
	Find       string      `json:"find,omitempty"` // found ambiguous extension intended
	Candidates []Candidate `json:"candidates,omitempty"`
	Stated     time.Time   `json:"-"`                // day
	Masked     string      `json:"masked,omitempty"` // the subject, passwords masked
	HoldsMore  bool        `json:"holds_more,omitempty"`
	Stage      string      `json:"stage"`             // StageJudged, StageSettled
	Outcome    string      `json:"outcome,omitempty"` // accepted superseded extended review rejected
	Version    int         `json:"version,omitempty"`
	Reason     string      `json:"reason,omitempty"`
	ReviewN    int         `json:"review,omitempty"`
	Intent     *Intent     `json:"intent,omitempty"`
	Location   Location    `json:"location,omitzero"`
	Filed      string      `json:"filed,omitempty"` // "" pending; moved kept gone stays
	NoReply    bool        `json:"no_reply,omitempty"`
	// Letter is a sealed blob, in case a person must read it; nil once the
	// submission is settled.
	Letter      []byte `json:"letter,omitempty"`
	LetterLabel Label  `json:"letter_label,omitzero"`
}

// The stages of a Submission.
const (
	StageJudged  = "judged"  // stored, its outcome not known yet
	StageSettled = "settled" // the outcome is committed
)

func (s Submission) normal() Submission {
	s.SentAt, s.ReceivedAt, s.JudgedAt = second(s.SentAt), second(s.ReceivedAt), second(s.JudgedAt)
	s.Stated = day(s.Stated)
	s.Candidates = slices.Clone(s.Candidates)
	for i := range s.Candidates {
		s.Candidates[i].RefusedAt = second(s.Candidates[i].RefusedAt)
	}
	if s.Intent != nil {
		i := *s.Intent
		i.At = second(i.At)
		s.Intent = &i
	}
	return s
}

type submissionFields Submission

type submissionJSON struct {
	submissionFields
	Stated dayText `json:"stated,omitempty"`
}

// MarshalJSON writes the day as a date.
func (s Submission) MarshalJSON() ([]byte, error) {
	return json.Marshal(submissionJSON{submissionFields(s), textOf(s.Stated)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Submission) UnmarshalJSON(b []byte) (err error) {
	var j submissionJSON
	if err = json.Unmarshal(b, &j); err != nil {
		return err
	}
	*s = Submission(j.submissionFields)
	s.Stated, err = j.Stated.day()
	return err
}

// Candidate is a possible password in a submission.
type Candidate struct {
	Where   string `json:"where"`
	Length  int    `json:"length"`
	Score   int    `json:"score,omitempty"`
	Sealed  []byte `json:"sealed,omitempty"` // nil once destroyed
	Label   Label  `json:"label,omitzero"`
	Refused bool   `json:"refused,omitempty"`
	// RefusedAt is when the pass began that was refused; zero in older vaults.
	RefusedAt time.Time `json:"refused_at,omitzero"`
}

// Intent is committed before a login is tried.
type Intent struct {
	At        time.Time `json:"at,omitzero"`
	Candidate int       `json:"candidate"`
	Tries     int       `json:"tries"`
}

// Location is where a message was last seen in the inbox.
type Location struct {
	Folder      string `json:"folder,omitempty"`
	UIDValidity uint32 `json:"uid_validity,omitempty"`
	UID         uint32 `json:"uid,omitempty"`
	MessageID   string `json:"message_id,omitempty"`
}

// Seen is a message that was judged, whatever it was.
type Seen struct {
	ID          string    `json:"id"`
	At          time.Time `json:"at,omitzero"`
	Verdict     string    `json:"verdict,omitempty"`
	Folder      string    `json:"folder,omitempty"`
	UIDValidity uint32    `json:"uid_validity,omitempty"`
	UID         uint32    `json:"uid,omitempty"`
}

func (s Seen) normal() Seen { s.At = second(s.At); return s }

// Cursor is how far a folder has been read.
type Cursor struct {
	Folder        string    `json:"folder"`
	UIDValidity   uint32    `json:"uid_validity,omitempty"`
	NextUID       uint32    `json:"next_uid,omitempty"`
	At            time.Time `json:"at,omitzero"`
	FirstPassDone bool      `json:"first_pass_done,omitempty"`
	// Since is the first day that counts behind NextUID, as long as a first pass
	// has not come to its end; zero: all do.
	Since time.Time `json:"since,omitzero"`
}

func (c Cursor) normal() Cursor { c.At, c.Since = second(c.At), second(c.Since); return c }

// Hole is a message below the cursor that could not be read yet.
type Hole struct {
	Folder      string    `json:"folder"`
	UIDValidity uint32    `json:"uid_validity,omitempty"`
	UID         uint32    `json:"uid"`
	Tries       int       `json:"tries,omitempty"`
	NextAt      time.Time `json:"next_at,omitzero"`
	Reason      string    `json:"reason,omitempty"`
	Sender      string    `json:"sender,omitempty"` // as its header claims, where that could be read
	Unable      bool      `json:"unable,omitempty"` // the server itself says that it can't read it
}

func (h Hole) normal() Hole { h.NextAt = second(h.NextAt); return h }

// Refused is a message that claimed to be certified and is not.
type Refused struct {
	At            time.Time `json:"at,omitzero"`
	Reason        string    `json:"reason,omitempty"`
	ClaimedID     string    `json:"claimed_id,omitempty"`
	ClaimedSender string    `json:"claimed_sender,omitempty"`
	UIDValidity   uint32    `json:"uid_validity,omitempty"`
	UID           uint32    `json:"uid,omitempty"`
	Listed        bool      `json:"listed,omitempty"` // the claimed sender is a client
}

func (r Refused) normal() Refused { r.At = second(r.At); return r }

// Review is what a person must decide, or decided.
type Review struct {
	N            int       `json:"n"`
	SubmissionID string    `json:"submission_id,omitempty"`
	Mailbox      string    `json:"mailbox,omitempty"`
	Login        string    `json:"login,omitempty"`
	Reason       string    `json:"reason,omitempty"`
	OpenedAt     time.Time `json:"opened_at,omitzero"`
	DecidedAt    time.Time `json:"decided_at,omitzero"`
	DecidedBy    string    `json:"decided_by,omitempty"`
	Decision     string    `json:"decision,omitempty"`
	Letter       []byte    `json:"letter,omitempty"` // sealed blob; nil once decided
	LetterLabel  Label     `json:"letter_label,omitzero"`
	Sender       string    `json:"sender,omitempty"`  // whose letter it is; counted by Waiting
	Letters      int       `json:"letters,omitempty"` // how many it stands for; 0 = one
}

func (r Review) normal() Review {
	r.OpenedAt, r.DecidedAt = second(r.OpenedAt), second(r.DecidedAt)
	return r
}

// Outgoing is a message to send, or sent.
type Outgoing struct {
	N         int             `json:"n"`
	Cause     string          `json:"cause"`
	Kind      string          `json:"kind,omitempty"`
	To        string          `json:"to,omitempty"`
	Mailbox   string          `json:"mailbox,omitempty"`
	Lang      string          `json:"lang,omitempty"`
	State     string          `json:"state"` // Out…
	MessageID string          `json:"message_id,omitempty"`
	Data      json.RawMessage `json:"data,omitempty"` // for the template; no secrets
	QueuedAt  time.Time       `json:"queued_at,omitzero"`
	NextAt    time.Time       `json:"next_at,omitzero"`
	SentAt    time.Time       `json:"sent_at,omitzero"`
	Tries     int             `json:"tries,omitempty"`
	LastError string          `json:"last_error,omitempty"`
	Priority  int             `json:"priority,omitempty"`  // 0 replies, 1 warnings
	Resent    int             `json:"resent,omitempty"`    // times it was sent again because nobody knew
	StateAt   time.Time       `json:"state_at,omitzero"`   // since when State is what it is; kept by PutOutgoing
	External  bool            `json:"external,omitempty"`  // To has ordinary mail: no delivery receipt will come
	Doubtful  bool            `json:"doubtful,omitempty"`  // queued after a restore for a reason from before it: the lost vault may have sent it
	Withdrawn bool            `json:"withdrawn,omitempty"` // failed on purpose: given up by a person, or no longer true
}

// The states of an Outgoing.
const (
	OutQueued    = "queued"
	OutInDoubt   = "in-doubt" // given to the server, its answer unknown
	OutSent      = "sent"
	OutAccepted  = "accepted"  // the provider's acceptance came back
	OutDelivered = "delivered" // so did the delivery receipt
	OutFailed    = "failed"
)

// open tells whether there is still something to do: to send, or to find out.
func (o Outgoing) open() bool { return o.State == OutQueued || o.State == OutInDoubt }

func (o Outgoing) normal() Outgoing {
	o.QueuedAt, o.NextAt, o.SentAt, o.StateAt = second(o.QueuedAt), second(o.NextAt), second(o.SentAt), second(o.StateAt)
	return o
}

// Attempts counts the refused logins of a mailbox on one day, and what it was
// answered.
type Attempts struct {
	Mailbox  string `json:"mailbox"`
	Day      string `json:"day"` // "2006-01-02"
	Refusals int    `json:"refusals"`
	Replies  int    `json:"replies,omitempty"` // that were queued on that day
}

// second is t in UTC and whole seconds.
func second(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Second)
}

// day is 00:00 UTC of the date that t shows where it is.
func day(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// dayText is a day in the file, "" for none.
type dayText string

func textOf(t time.Time) dayText {
	if t.IsZero() {
		return ""
	}
	return dayText(t.Format(time.DateOnly))
}

func (d dayText) day() (time.Time, error) {
	if d == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.DateOnly, string(d))
}
