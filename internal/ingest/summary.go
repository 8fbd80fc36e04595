package ingest

// Summary counts what one pass did; its JSON is the output of `once --json`.
// Each message judged in the pass counts once in Seen and once in exactly
// one of the others. A submission that an earlier, interrupted pass had
// judged counts only in its outcome.
type Summary struct {
	Seen       int `json:"seen"`
	Accepted   int `json:"accepted"`   // includes those not verified yet
	Superseded int `json:"superseded"` // history: a newer one counts
	Extended   int `json:"extended"`   // the date was postponed, the password stays
	Review     int `json:"review"`     // waits for a person
	Rejected   int `json:"rejected"`   // refused by the probe
	Ignored    int `json:"ignored"`    // everything else that was judged
	Receipts   int `json:"receipts"`
	Errors     int `json:"errors"` // could not be read or judged now; tried again later
}

func (s *Summary) count(outcome string) {
	switch outcome {
	case OutcomeAccepted:
		s.Accepted++
	case OutcomeSuperseded:
		s.Superseded++
	case OutcomeExtended:
		s.Extended++
	case OutcomeReview:
		s.Review++
	case OutcomeRejected:
		s.Rejected++
	default:
		s.Ignored++
	}
}

// Outcomes of a submission, as stored.
const (
	OutcomeAccepted   = "accepted"
	OutcomeSuperseded = "superseded"
	OutcomeExtended   = "extended"
	OutcomeReview     = "review"
	OutcomeRejected   = "rejected"
	// OutcomeIgnored: it was put aside without a person, as a submission of
	// a client who has been removed meanwhile.
	OutcomeIgnored = "ignored"
)

// Where a settled submission's message is, as stored.
const (
	FiledPending = ""      // still to be filed away
	FiledMoved   = "moved" // in the processed folder, or deleted
	FiledKept    = "kept"  // inbox.after = "keep"
	FiledGone    = "gone"  // somebody else moved or deleted it
	FiledStays   = "stays" // holds more than the password, or waits for a person
)

// States of a version, as stored.
const (
	VersionUnverified = "unverified"
	VersionProven     = "proven"
	VersionUnprobed   = "unprobed" // accepted while the probe was off
	VersionSuperseded = "superseded"
	VersionRefused    = "refused"
)
