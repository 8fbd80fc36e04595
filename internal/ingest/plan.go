package ingest

import (
	"cmp"
	"slices"
	"time"

	"pec-ingest/internal/submission"
	"pec-ingest/internal/vault"
)

// Reasons why a submission waits for a person, as stored and shown.
const (
	ReviewUnlisted       = "unlisted"      // a certified sender who is not a client
	ReviewAmbiguous      = "ambiguous"     // several candidates, or an unclear one
	ReviewIntended       = "intended"      // about the password, but none in the text
	ReviewNewSigner      = "new-signer"    // known from another provider
	ReviewNoLogin        = "login-unknown" // the provider uses a user ID and none is on record
	ReviewNoHost         = "host-unknown"  // nothing says which server to try it on
	ReviewOtherMailbox   = "other-mailbox" // names a mailbox that is not the sender's
	ReviewNothingToDefer = "nothing-to-postpone"
	ReviewPostponedTwice = "postponed-twice" // a claim is believed once a version
	ReviewFarDate        = "far-date"        // the date claimed is beyond policy.max_validity
	ReviewAllRefused     = "provider-refuses-all"
	ReviewCrashed        = "login-result-unknown"
	ReviewNoIdentity     = "key-missing" // the candidates can't be read back
	ReviewStrangeAddress = "strange-address"
	ReviewMany           = "many" // the rest of a sender's letters; see many.go
)

// What a plan does with one submission.
const (
	doProbe     = "probe"
	doSupersede = "supersede"
	doExtend    = "extend"
	doReview    = "review"
)

// step is the plan for one submission.
type step struct {
	sub    vault.Submission
	do     string
	reason string // with doReview
}

// order is the place of a submission in time: the certified time, then the
// identifier (DESIGN §4). Arrival order means nothing: mail is delayed, and
// a first pass reads an inbox that people have sorted.
type order struct {
	at time.Time
	id string
}

func orderOf(s vault.Submission) order { return order{s.SentAt, s.ID} }

func (o order) compare(p order) int {
	if c := o.at.Compare(p.at); c != 0 {
		return c
	}
	return cmp.Compare(o.id, p.id)
}

// planGroup decides what is to be done with the judged submissions of one
// (mailbox, login). since is the place of the newest submission that counted
// before; probing tells whether candidates can be tried.
//
// The invariant (DESIGN §2, first pass): at most one submission of a group is
// probed, the newest that has a single clear password; what is older becomes
// history and is never tried, because each refused login brings the mailbox
// nearer to a lock. Ambiguous ones go to review and supersede nothing; a
// single ambiguous one, with no clear one beside it, may be decided by the
// probe.
func planGroup(subs []vault.Submission, since order, probing bool) []step {
	slices.SortFunc(subs, func(a, b vault.Submission) int { return orderOf(a).compare(orderOf(b)) })

	newest, unclear, fresh := -1, -1, 0
	for i, s := range subs {
		if s.Reason != "" || orderOf(s).compare(since) <= 0 {
			continue
		}
		switch submission.State(s.Find) {
		case submission.Found:
			newest = i
		case submission.Ambiguous:
			unclear = i
			fresh++
		}
	}

	steps := make([]step, len(subs))
	for i, s := range subs {
		st := step{sub: s}
		old := orderOf(s).compare(since) <= 0 || i < newest
		switch {
		case s.Reason != "":
			st.do, st.reason = doReview, s.Reason
		case submission.State(s.Find) == submission.Ambiguous:
			st.do, st.reason = doReview, ReviewAmbiguous
			if i == unclear && fresh == 1 && newest < 0 && probing {
				st.do, st.reason = doProbe, ""
			}
		case old:
			st.do = doSupersede
		case submission.State(s.Find) == submission.Found:
			st.do = doProbe
		case submission.State(s.Find) == submission.Extension:
			st.do = doExtend
		default:
			st.do, st.reason = doReview, ReviewIntended
		}
		steps[i] = st
	}
	return steps
}
