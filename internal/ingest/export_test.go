package ingest

import (
	"context"
	"time"

	"pec-ingest/internal/config"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/submission"
	"pec-ingest/internal/vault"
)

// Step is a step of a plan, for the tests.
type Step struct{ ID, Do, Reason string }

// PlanGroup is planGroup.
func PlanGroup(subs []vault.Submission, sinceAt time.Time, sinceID string, probing bool) []Step {
	var out []Step
	for _, s := range planGroup(subs, order{sinceAt, sinceID}, probing) {
		out = append(out, Step{s.sub.ID, s.do, s.reason})
	}
	return out
}

// MassRefusal is massRefusal.
var MassRefusal = massRefusal

// NextTry is nextTry.
var NextTry = nextTry

// AfterReceipt is afterReceipt.
var AfterReceipt = afterReceipt

// ReadWhole makes a pass download large messages without looking into them.
func ReadWhole(o PassOptions) PassOptions {
	o.whole = true
	return o
}

// BeginTerm makes the service one that leads others from now on.
func (s *Service) BeginTerm() {
	s.cluster.mu.Lock()
	defer s.cluster.mu.Unlock()
	s.cluster.since = time.Now()
}

// CalmAfter is calmAfter.
const CalmAfter = calmAfter

// SealCandidate seals a password as the judging of a letter does.
func (s *Service) SealCandidate(ctx context.Context, mailbox string, password secret.Secret) (vault.Submission, error) {
	p := &pass{Service: s, foreseen: newForeseen()}
	sub := vault.Submission{ID: "id", Mailbox: mailbox, Login: mailbox, Find: string(submission.Found)}
	_, err := p.sealCandidates(ctx, &sub, []submission.Candidate{{Secret: password}})
	return sub, err
}

// InboxHint is the hint for an error of an inbox on host, port and folder.
func InboxHint(host string, port int, folder string, err error) string {
	s := &Service{cfg: &config.Config{Inbox: config.Inbox{Host: host, Port: port, Folder: folder}}}
	return s.inboxHint(err)
}

// FileHint is the hint for a file with a secret that can't be read.
func FileHint(err error) string {
	return fileError(&config.Config{Path: "/etc/x/config.toml"}, "inbox.password_file", "/etc/x/private/inbox-password", err).Hint
}

// Outage is outage.
type Outage = outage

// ClusterAnswers is clusterAnswers.
func (s *Service) ClusterAnswers(ctx context.Context, o *Outage, now time.Time, err error) {
	s.clusterAnswers(ctx, o, now, err)
}

// RememberAlerts is rememberAlerts.
func (s *Service) RememberAlerts(ctx context.Context) error { return s.rememberAlerts(ctx) }

// ReadingRuns is what Get does with the vault: find and open are those of the
// test, which drives the runs.
type ReadingRuns struct{ r reading }

// NewReading makes one; open tells when the opening of a version begins and is
// to give its secret.
func NewReading(find func() (vault.Version, error), open func(vault.Version) secret.Secret) *ReadingRuns {
	return &ReadingRuns{reading{
		find: func(*vault.Tx) (vault.Version, string, error) { v, err := find(); return v, "", err },
		open: func(v vault.Version) *opening {
			o := &opening{label: v.Label, sealed: v.Sealed, done: make(chan unsealed, 1)}
			o.done <- unsealed{secret: open(v)}
			return o
		},
	}}
}

// Run is one run of the closure.
func (r *ReadingRuns) Run(tx *vault.Tx, reader, mailbox string) error {
	return r.r.run(tx, reader, mailbox)
}

// Leave gives the version that was found and its secret.
func (r *ReadingRuns) Leave() (n int, password secret.Secret, why error) {
	f, why := r.r.leave()
	if f.opening != nil {
		password = (<-f.opening.done).secret
	}
	return f.version.N, password, why
}
