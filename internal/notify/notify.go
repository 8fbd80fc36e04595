// Package notify makes the messages that clients and the studio read, and
// sends them.
//
// Texts are templates, built in and overridable from a folder (LoadTemplates);
// a message is plain text with an HTML alternative made from the same words,
// so that the two never differ. Send delivers one message by SMTP over TLS and
// says, when it fails, at which step, whether another try can help, and whether
// it was the password that was refused.
//
// No message ever contains a password: Data has no field for one.
package notify

import "time"

// Kind says what a message is about. It is also the name of its template.
type Kind string

// Messages to clients.
const (
	KindAccepted     Kind = "accepted"      // the password arrived and works
	KindRefused      Kind = "refused"       // it arrived, but the provider refuses it
	KindReview       Kind = "review"        // a person looks at it
	KindExtension    Kind = "extension"     // a postponed expiry was noted
	KindExpiring     Kind = "expiring"      // it expires soon
	KindExpired      Kind = "expired"       // it expired
	KindBroken       Kind = "broken"        // it stopped working before its date
	KindRejected     Kind = "rejected"      // a person decided that it can't be used
	KindNotCertified Kind = "not-certified" // it came by ordinary mail; at most once a month
)

// Messages to the studio.
const (
	KindStudioWarning Kind = "studio-warning" // Items: what clients were warned of, or would have been
	KindStudioInbox   Kind = "studio-inbox"   // the studio's own mailbox; Reason: "expiring", "expired" or "refused"
	KindDigest        Kind = "digest"         // the day's summary, Data.Digest
	KindAlert         Kind = "alert"          // something is out of order, told by another way; Reason is the event
)

// Kinds lists every kind of message.
func Kinds() []Kind {
	return []Kind{KindAccepted, KindRefused, KindReview, KindExtension, KindExpiring, KindExpired, KindBroken,
		KindRejected, KindNotCertified, KindStudioWarning, KindStudioInbox, KindDigest, KindAlert}
}

// Values of Data.Reason that templates know; others are shown to nobody but in
// KindRejected, where Reason is a sentence for people. In KindAlert it is the
// event's name.
const (
	ReasonNotEnabled = "not-enabled" // KindRefused: access for mail programs is off
	ReasonIntended   = "intended"    // KindReview: no password in the text
	ReasonPicture    = "picture"     // KindReview: it seems to be in a picture
	ReasonDocument   = "document"    // KindReview: it seems to be in a document
)

// Studio is who writes.
type Studio struct {
	Name  string
	Phone string
	PEC   string // the address passwords are sent to; "" = "the studio"
}

// Item is one mailbox in a list.
type Item struct {
	Mailbox, Client, Phone string
	State                  string    // as schedule.StateOf names it
	Expires                time.Time // day; zero = not known
	DaysLeft               int
	Note                   string // a few words for people
}

// Digest is what the studio reads once a working day. Empty lists are not
// mentioned.
type Digest struct {
	Day         time.Time
	Call        []Item   // two days or less: phone them
	Due         []Item   // to be renewed
	Expired     []Item   // weekly
	Broken      []Item   // refused by the provider before their date
	Review      []string // what waits for a person
	Refused     []string // uncertified messages that claim to be a client's
	Left        []string // submissions left in the inbox because they hold more
	Undelivered []string // messages not delivered within 24 hours
	Places      []string // where a new password has yet to be entered by hand
	Notes       []string // anything else
	AuditHead   string   // hash of the last audit entry
	AuditSeq    int      // its number
}

// Empty tells whether there is nothing to report; the audit's head alone is
// nothing.
func (d Digest) Empty() bool {
	return len(d.Call)+len(d.Due)+len(d.Expired)+len(d.Broken)+len(d.Review)+len(d.Refused)+len(d.Left)+
		len(d.Undelivered)+len(d.Places)+len(d.Notes) == 0
}

// Data is what a template may show. Days are 00:00:00 UTC, zero = none. All
// text is made safe before it is used, so that nothing in it can add lines,
// header fields or markup.
type Data struct {
	Lang       string // "it" (also for "" and what is unknown) or "en"
	Studio     Studio
	Client     string   // the client's name
	Mailbox    string   // the mailbox the message is about
	Mailboxes  []string // all of them, where there are several
	Items      []Item   // several mailboxes with dates of their own
	Expires    time.Time
	Claimed    time.Time // the new date a client says to have got
	RemindFrom time.Time // when the first warning is to come
	DaysLeft   int
	Provider   string   // name for people, "" = not known
	Steps      []string // to make a new password, in Lang
	Postpone   []string // to postpone the expiry, in Lang; empty = not possible or not known
	Reason     string
	Account    string // KindAlert: the id for `ingest login`, "" = it is a password
	Detail     string // KindAlert: the event as the log has it, in English
	Digest     Digest
}

// Rendered is a finished message without its addresses.
type Rendered struct {
	Subject string // one line
	Text    string // lines end in "\n", at most 76 columns where words allow
	HTML    string // a whole document
}
