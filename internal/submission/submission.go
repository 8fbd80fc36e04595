// Package submission reads what a client wrote: it finds the password for
// mail programs, the dates and the mailboxes in the text of a certified
// message.
//
// The text is written by people, so the package never guesses silently. It
// says found only when exactly one candidate is clearly the password; where a
// second one is plausible, or it is unclear where the password begins or ends,
// it says ambiguous and lists what there is, best first.
//
// It is pure: no network, disk or clock. It opens no document and no picture.
// What people may call things stands in lang/*.txt, not in the code. Errors
// don't exist here: a message that can't be parsed is none, with a note.
package submission

import (
	"time"
	_ "time/tzdata" // Europe/Rome on machines without a zone database

	"pec-ingest/internal/pec"
	"pec-ingest/internal/secret"
)

// State is what a message is, as a submission.
type State string

// The states, as in the output of `ingest read --json`.
const (
	Found     State = "found"     // one clear password, the first candidate
	Ambiguous State = "ambiguous" // several candidates, or one that is unclear
	Extension State = "extension" // no password; the date was postponed
	Intended  State = "intended"  // about the password, but none is in the text
	None      State = "none"      // about something else
)

// Notes, stable English words for programs and logs. They never hold text of
// the message.
const (
	NoteBrokenMIME     = "broken-mime"         // parts could not be told apart; read as far as possible
	NoteTooMuch        = "text-cut"            // more text than is read
	NoteImage          = "image-attached"      // a picture that may show the password
	NoteDocument       = "document-attached"   // a document
	NoteMessage        = "message-attached"    // a message inside the message; not read
	NoteDiffer         = "plain-html-differ"   // the two forms of the text hold different passwords
	NoteImpossibleDate = "impossible-date"     // such as 31/02/2024
	NoteTwoDates       = "two-dates"           // two different expiry dates
	NoteFarDate        = "far-date"            // a stated date in the past or over two years away
	NoteQuoted         = "quoted-only"         // candidates only in quoted or forwarded text
	NoteWebmail        = "webmail-password"    // a password for the webmail, not for programs
	NoteOther          = "other-password"      // a password for something else
	NoteExplained      = "explanation-differs" // "a small L" is said of a password without one
	NoteOtherMailbox   = "other-mailbox"       // the password is said to be another mailbox's
)

// Options of Find. The zero value is good.
type Options struct {
	Location *time.Location // whose calendar days count; nil is Europe/Rome

	// StateOnly: of a message that is None no more is asked than that; the other
	// fields of its Result may be empty.
	StateOnly bool
}

// Result is the reading of one message. Days are 00:00 UTC of the calendar
// day, zero where nothing was stated.
type Result struct {
	State      State
	Mailbox    string      // the sender's, as certified
	Candidates []Candidate // best first; if Found the first one is the password
	Stated     time.Time   // day stated as expiry, or claimed by an extension
	Generated  time.Time   // day the client says that it was made
	Named      []string    // other mailboxes in the letter, lower-cased, as they come
	Pairs      []Pair      // several mailboxes with a password each; State is then Ambiguous
	HoldsMore  bool        // documents, or more text than a covering letter
	TextFrom   string      // where the reading is from: text/plain text/html attachment subject, "" none
	Notes      []string
}

// Candidate is one possible password.
type Candidate struct {
	Secret secret.Secret
	Where  string   // "text/plain:3", "text/html:2", "attachment:1:3", "subject"; lines count from 1
	Score  int      // 0 to 100; at least Clear where the text leaves no doubt
	Why    []string // stable English words

	// Loose: enough where a login proves it, else a person must look. The
	// punctuation behind it is likely the sentence's, or the asterisks around it
	// bold, and may be the password's; or not all that is said beside it is
	// understood, and may change it.
	Loose bool
}

// Clear is the score from which a candidate, alone, makes a message Found.
const Clear = 80

// Pair is a password that the letter gives for one mailbox.
type Pair struct {
	Mailbox    string
	Candidates []Candidate
	Stated     time.Time
}

// Wipe destroys all secrets of the result.
func (r *Result) Wipe() {
	for _, c := range r.Candidates {
		c.Secret.Wipe()
	}
	for _, p := range r.Pairs {
		for _, c := range p.Candidates {
			c.Secret.Wipe()
		}
	}
}

func (r *Result) note(words ...string) {
	for _, w := range words {
		seen := false
		for _, n := range r.Notes {
			seen = seen || n == w
		}
		if !seen {
			r.Notes = append(r.Notes, w)
		}
	}
}

// Find reads the original message under m's signature. It never fails and
// never panics on any bytes; time and memory are linear in their number. The
// secrets of the result are the caller's, to be wiped after use.
func Find(m *pec.Message, o Options) *Result {
	loc := o.Location
	if loc == nil {
		loc = rome
	}
	if o.StateOnly {
		return findState(m.Original, m.Subject, m.Mailbox, m.SentAt, loc)
	}
	return find(m.Original, m.Subject, m.Mailbox, m.SentAt, loc)
}

var rome = func() *time.Location {
	l, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		panic("submission: no Europe/Rome: " + err.Error()) // impossible: time/tzdata is linked in
	}
	return l
}()
