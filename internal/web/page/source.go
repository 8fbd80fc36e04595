package page

import (
	"context"
	"time"

	"pec-ingest/internal/schedule"
	"pec-ingest/internal/secret"
)

// Source is what the page shows and does. No method gives a stored password:
// what goes in as a secret.Secret never comes out. who names the person for
// the audit log.
//
// Instants are UTC; days are 00:00 UTC of the date; zero means none. Strings
// may hold foreign text: the page makes them safe. Errors are *Problem where
// a person can do something about them.
type Source interface {
	// Policy says which days the studio works, and in which zone.
	Policy() schedule.Policy

	// Counts is cheap: every view asks.
	Counts(ctx context.Context) (Counts, error)
	Mailboxes(ctx context.Context) ([]Mailbox, error)
	Mailbox(ctx context.Context, address string) (MailboxDetail, error)
	PlaceDone(ctx context.Context, who, address, login, place string) error

	Reviews(ctx context.Context, all bool) ([]Review, error)
	Review(ctx context.Context, who string, n int, reveal bool) (ReviewItem, error)
	ReviewFile(ctx context.Context, who string, n, file int) (FileInfo, []byte, error)
	Approve(ctx context.Context, a Approval) (Stored, error)
	Reject(ctx context.Context, who string, n int, reason string, tell bool) error

	Messages(ctx context.Context) ([]Message, error) // newest first
	Message(ctx context.Context, n int) (MessageText, error)
	Proof(ctx context.Context, n int) ([]byte, error)
	Retry(ctx context.Context, who string, n int) error
	Drop(ctx context.Context, who string, n int) error

	Audit(ctx context.Context, q AuditQuery) (AuditPage, error)
	VerifyAudit(ctx context.Context) (seq int, head string, err error)

	Standing(ctx context.Context) (Standing, error)
	// Check tries the accounts, each once.
	Check(ctx context.Context, who string) ([]CheckLine, error)

	Enter(ctx context.Context, e Entry) (Stored, error)
}

// Counts is what waits for a person.
type Counts struct {
	Review int // to decide
	Failed int // messages that could not be sent, or are in doubt
}

// Mailbox is one credential of a client's mailbox.
type Mailbox struct {
	Address, Login, Client, Provider string

	State   string // schedule.State…
	Version int    // 0 = none

	Issued, RenewOn, Expires, Claimed time.Time // days
	DaysLeft                          int       // negative after Expires

	Checked      time.Time // the last login tried
	CheckResult  string    // accepted refused network …
	TroubleSince time.Time
	NextWarning  time.Time
}

// MailboxDetail is all that is kept on one mailbox, without secrets.
type MailboxDetail struct {
	Address, Client, Email, Phone, Lang string
	Senders                             []string
	AddedAt                             time.Time
	Credentials                         []Mailbox
	Versions                            []Version // newest first
	Places                              []Place
	Messages                            []Message // the newest
	Reviews                             []Review
	Audit                               []AuditEntry // the newest first
}

// Version is one password of a mailbox, without the password.
type Version struct {
	Login                    string
	N                        int
	State                    string
	Current                  bool
	Source                   string
	Received, Stored, Proven time.Time
	Expires, Claimed         time.Time
	ExpiresFrom              string
	Ended                    time.Time
	EndedBy                  string
	HasSecret                bool
}

// Place is where a password is also kept by hand.
type Place struct {
	Login, Name string
	Version     int
	Open        bool // nobody has confirmed the current password there
}

// Review is one item of the queue.
type Review struct {
	N                      int
	Mailbox, Login, Client string
	Reason                 string
	Letters                int // how many it stands for
	Opened, Decided        time.Time
	DecidedBy, Decision    string
}

// ReviewItem is one item with its letter, masked unless revealed.
type ReviewItem struct {
	Review
	Listed          bool
	Sent            time.Time
	Subject, Letter string
	Notes           []string
	Stated          time.Time // the day the letter names
	Candidates      []Candidate
	Files           []FileInfo
	Revealed        bool
}

// Candidate is one possible password, counted from 1. Shown is not empty only
// in a revealed item: it is under review, no stored password.
type Candidate struct {
	N, Length int
	Where     string
	Refused   bool
	Shown     string
}

// FileInfo is one picture or document of an item, counted from 1.
type FileInfo struct {
	N, Size    int
	Name, Type string
}

// Approval is a yes: to a candidate, or with a password typed in its place.
type Approval struct {
	Who            string
	N, Candidate   int           // candidate 0 = typed
	Typed          secret.Secret // the source wipes it
	Mailbox, Login string        // "" = as the item says
	Expires        time.Time     // day; zero = as the letter says
	NewClient      string        // takes an unlisted sender as a client of this name
}

// Entry is a password that came by phone or on paper.
type Entry struct {
	Who            string
	Mailbox, Login string
	Expires        time.Time // day; zero = the provider's validity
	Told           time.Time // when it was told; zero = now
	Source         string    // how and by whom, one line
	Confirm        bool      // tell the client that it arrived and works
	Secret         secret.Secret
}

// Stored tells what became of a password.
type Stored struct {
	Mailbox, Login string
	Version        int
	State          string // proven unverified unprobed
	Expires        time.Time
	Probe          string
	Confirmed      bool // a message to the client is queued
}

// Message is one of the outbox.
type Message struct {
	N                              int
	Kind, To, Mailbox              string
	State                          string // queued in-doubt sent accepted delivered failed
	Queued, Sent, StateAt, NextTry time.Time
	Tries                          int
	Error, MessageID               string
	External                       bool // ordinary mail: no delivery receipt comes
	Withdrawn                      bool // given up on purpose
	Late                           bool // on its way for more than a day
	Proof                          bool // a delivery receipt is kept
}

// MessageText is a message as it is sent.
type MessageText struct {
	Message
	Subject, Text string
}

// AuditQuery selects entries; zero fields select all.
type AuditQuery struct {
	Mailbox, Actor, Event string
	From, To              time.Time // instants, To excluded
	Before                int       // older than this entry; 0 = from the newest on
	Limit                 int
}

// AuditPage is one page of the log, newest first.
type AuditPage struct {
	Entries []AuditEntry
	Next    int // Before of the next page; 0 = there is none
}

// AuditEntry is one line of the audit log.
type AuditEntry struct {
	Seq, Version, Count                        int
	At                                         time.Time
	Actor, Event, Mailbox, Login, Detail, Hash string
}

// CheckLine is one line of the self-check.
type CheckLine struct{ Name, Level, Text, Hint string }

// Fact is a name and what is to be said of it.
type Fact struct{ Name, Text string }

// Standing is how the service stands.
type Standing struct {
	Running       bool // the daemon's loop, not a command's
	Phase         string
	StartedAt     time.Time
	Connected     time.Time // signed in since
	LastPass      time.Time
	Passes        int
	Reconnects    int
	FailingSince  time.Time
	NextTry       time.Time
	LastError     string
	SendError     string
	JobError      string
	ClockError    string
	InboxUser     string
	InboxHost     string
	InboxExpires  time.Time // day
	InboxDaysLeft int
	SMTP          bool
	SMTPHost      string
	SMTPGood      time.Time
	SMTPRefused   time.Time
	ProbeOn       bool
	LastChecks    time.Time
	NextChecks    time.Time
	LastWarnings  time.Time
	NextWarnings  time.Time
	Trouble       int // mailboxes whose server gives no answer
	Review        int
	Outbox        int
	Failed        int
	Open          int
	AuditSeq      int
	AuditHead     string
	Recipients    int  // keys that passwords are sealed to
	Identity      bool // the service can read passwords back
	VaultBytes    int64
	LastBackup    time.Time
	BackupDir     bool // scheduled backups are configured
	Anchors       []Anchor
	Versions      []Fact
}

// Anchor is one trust anchor, or one CRL.
type Anchor struct {
	Name, SPKI string
	Until      time.Time // zero = a pin
	CRL        bool
}
