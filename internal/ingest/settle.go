package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pec-ingest/internal/probe"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/vault"
)

// group is what waits for one (mailbox, login).
type group struct {
	mailbox, login string
	subs           []vault.Submission
}

// settle takes every judged submission to its outcome: the plan, the login
// attempts with their intents, and the SECOND COMMIT.
//
// It reads its work from the vault, not from the scan before it, so that what
// an interrupted pass left is finished by the same code.
func (p *pass) settle(ctx context.Context) error {
	groups, err := p.openGroups(ctx)
	if err != nil {
		return fmt.Errorf("reading what is to be settled: %w", err)
	}
	if len(groups) == 0 {
		return nil
	}
	if err := p.needClients(ctx); err != nil {
		return err
	}
	if p.opts.DryRun {
		return p.showPlans(ctx, groups)
	}
	fresh, err := p.freshHoles(ctx)
	if err != nil {
		return fmt.Errorf("reading what could not be read: %w", err)
	}
	var refused []refusedGroup
	accepted := map[string]int{} // by provider
	for _, g := range p.interruptedLast(groups) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if p.waitsForCalm(g) {
			continue
		}
		if p.waitsForHole(g, fresh) {
			p.log.Info("not decided yet: a newer message could not be read", "event", "submission.waits", "mailbox", g.mailbox)
			continue
		}
		if p.pendingFor(g.mailbox) {
			if err := p.commitPending(ctx); err != nil {
				return err
			}
		}
		var r groupResult
		err := p.caught("settling a submission", func() (err error) {
			r, err = p.settleGroup(ctx, g)
			return err
		})
		if err = p.unlessAlone(g.mailbox, err); err != nil {
			return err
		}
		if r.accepted {
			accepted[r.provider]++
		}
		if r.refused != nil {
			refused = append(refused, *r.refused)
		}
	}
	if err := p.commitPending(ctx); err != nil {
		return err
	}
	return p.settleRefused(ctx, refused, accepted)
}

// openGroups collects the judged submissions by (mailbox, login), in a fixed
// order, so that runs can be compared.
func (p *pass) openGroups(ctx context.Context) ([]group, error) {
	open := p.planned
	if !p.opts.DryRun {
		err := p.vault.View(ctx, func(tx *vault.Tx) (err error) {
			open, err = tx.OpenSubmissions()
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	by := map[string]*group{}
	var keys []string
	for _, sub := range open {
		if sub.Stage != vault.StageJudged {
			continue
		}
		key := sub.Mailbox + "\x00" + sub.Login
		g := by[key]
		if g == nil {
			g = &group{mailbox: sub.Mailbox, login: sub.Login}
			by[key] = g
			keys = append(keys, key)
		}
		g.subs = append(g.subs, sub)
	}
	slices.Sort(keys)
	groups := make([]group, 0, len(keys))
	for _, k := range keys {
		groups = append(groups, *by[k])
	}
	return groups, nil
}

// groupResult is what settling one group tells the run as a whole.
type groupResult struct {
	provider string
	accepted bool
	refused  *refusedGroup
}

// refusedGroup is a submission whose candidates were all refused. Its outcome
// waits for the end of the run: when a provider refuses everybody, the fault
// is the provider's and no client is told that the password is wrong.
type refusedGroup struct {
	provider string
	sub      vault.Submission
}

func (p *pass) settleGroup(ctx context.Context, g group) (groupResult, error) {
	var cred vault.Credential
	var client vault.Client
	var listed bool
	err := p.vault.View(ctx, func(tx *vault.Tx) (err error) {
		cred, client, listed, err = readGroup(tx, g)
		return err
	})
	if err != nil {
		return groupResult{}, err
	}
	return p.carryOut(ctx, p.plan(g, cred, client, listed), client)
}

// readGroup reads what is known of a (mailbox, login); an unknown login, ""
// while a person must say it, has no credential.
func readGroup(tx *vault.Tx, g group) (cred vault.Credential, client vault.Client, listed bool, err error) {
	if g.login != "" {
		if cred, _, err = tx.Credential(g.mailbox, g.login); err != nil {
			return cred, client, false, err
		}
	}
	client, listed, err = tx.Client(g.mailbox)
	return cred, client, listed && client.RemovedAt.IsZero(), err
}

func (p *pass) plan(g group, cred vault.Credential, client vault.Client, listed bool) []step {
	for i := range g.subs {
		if g.subs[i].Reason == "" {
			g.subs[i].Reason = p.objection(g.subs[i], client, listed, cred)
		}
	}
	return planGroup(g.subs, order{cred.OrderAt, cred.OrderID}, p.cfg.Probe.Enabled)
}

// objection is a reason to ask a person before anything is tried.
func (p *pass) objection(sub vault.Submission, c vault.Client, listed bool, cred vault.Credential) string {
	if !listed {
		return ReviewUnlisted
	}
	if known := firstOf(cred.Signer, c.Signer); known != "" && sub.Signer != "" && !p.sameProvider(known, sub.Signer) {
		return ReviewNewSigner
	}
	if c.Provider != "" {
		record, ok := p.providers.ByID(c.Provider)
		signer, known := p.providers.BySigner(sub.Signer)
		if ok && known && len(record.Signers) > 0 && record.ID != signer.ID {
			return ReviewNewSigner
		}
	}
	return ""
}

// sameProvider: two signers are as good as one if the table gives both to
// the same provider.
func (p *pass) sameProvider(a, b string) bool {
	if strings.EqualFold(a, b) {
		return true
	}
	pa, oka := p.providers.BySigner(a)
	pb, okb := p.providers.BySigner(b)
	return oka && okb && pa.ID == pb.ID
}

func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

// carryOut does the steps of one group, oldest first; the one to be probed
// decides what the later postponements apply to.
func (p *pass) carryOut(ctx context.Context, steps []step, client vault.Client) (groupResult, error) {
	var result groupResult
	var older []vault.Submission // superseded, waiting for their commit
	for _, st := range steps {
		var err error
		switch st.do {
		case doSupersede:
			older = append(older, st.sub)
			continue
		case doReview:
			err = p.toReview(ctx, st.sub, st.reason)
		case doExtend:
			err = p.extend(ctx, st.sub)
		case doProbe:
			var epoch []vault.Submission
			older, epoch = p.sameSecret(older, st.sub)
			if err = p.supersede(ctx, older); err != nil {
				return result, err
			}
			older = nil
			result, err = p.decide(ctx, st.sub, epoch, client)
		}
		if err != nil {
			return result, err
		}
	}
	return result, p.supersede(ctx, older)
}

// sameSecret splits off the submissions directly before sub that carry the
// same password: the client sent it again, it is one version, as old as the
// first of them.
func (p *pass) sameSecret(older []vault.Submission, sub vault.Submission) (rest, epoch []vault.Submission) {
	want, err := p.candidate(sub, 0)
	if err != nil {
		return older, nil
	}
	i := len(older)
	for i > 0 && len(older[i-1].Candidates) > 0 {
		got, err := p.candidate(older[i-1], 0)
		if err != nil || !got.Equal(want) {
			break
		}
		i--
	}
	return older[:i], older[i:]
}

// candidate gives the clear text of one candidate: what this pass still
// holds, else what the identity can open. The caller must not wipe it: it
// may be the pass's own copy.
func (p *pass) candidate(sub vault.Submission, i int) (secret.Secret, error) {
	if held := p.held[sub.ID]; i < len(held) && !held[i].IsZero() {
		return held[i], nil
	}
	if i >= len(sub.Candidates) || len(sub.Candidates[i].Sealed) == 0 {
		return secret.Secret{}, errErased
	}
	c := sub.Candidates[i]
	s, err := p.vault.Unseal(c.Label, c.Sealed)
	if err != nil {
		return secret.Secret{}, err
	}
	held := p.held[sub.ID]
	for len(held) <= i {
		held = append(held, secret.Secret{})
	}
	held[i] = s
	p.held[sub.ID] = held
	return s, nil
}

// decide tries a submission's candidates and settles it. epoch holds earlier
// submissions of the same password.
func (p *pass) decide(ctx context.Context, sub vault.Submission, epoch []vault.Submission, client vault.Client) (groupResult, error) {
	result := groupResult{}
	if sub.Login == "" {
		return result, p.reviewWith(ctx, sub, epoch, ReviewNoLogin)
	}
	if !p.cfg.Probe.Enabled {
		result.accepted = true
		return result, p.accept(ctx, sub, epoch, attempt{index: 0, unprobed: true}, client)
	}
	target, providerID, ok, err := p.targetOf(client, sub.Signer)
	if err != nil {
		return result, err
	}
	result.provider = providerID
	if !ok {
		return result, p.reviewWith(ctx, sub, epoch, ReviewNoHost)
	}
	a, sub, err := p.tryCandidates(ctx, sub, target)
	if err != nil {
		return result, err
	}
	ctx = context.WithoutCancel(ctx) // what the server said is kept, also when the program is ending
	switch {
	case a.reason != "":
		return result, p.reviewWith(ctx, sub, epoch, a.reason)
	case a.result.Outcome == probe.Accepted:
		result.accepted = true
		return result, p.accept(ctx, sub, epoch, a, client)
	case a.result.Outcome == probe.Refused:
		if err := p.forget(ctx, epoch); err != nil {
			return result, err
		}
		result.refused = &refusedGroup{provider: providerID, sub: sub}
		return result, nil
	case sub.Find == "ambiguous":
		// Which one is right can't be known without an answer, so nothing is
		// stored; a person may decide, or the client write again.
		return result, p.reviewWith(ctx, sub, epoch, ReviewAmbiguous)
	default:
		// Trouble says nothing about the password: accepted, not verified.
		return result, p.accept(ctx, sub, epoch, a, client)
	}
}

func (p *pass) reviewWith(ctx context.Context, sub vault.Submission, epoch []vault.Submission, reason string) error {
	if err := p.supersede(ctx, epoch); err != nil {
		return err
	}
	return p.toReview(ctx, sub, reason)
}

// settleRefused gives the refused submissions their outcome at the end of
// the run. If a provider refused more than two mailboxes, more than 5 % of
// those tried, and accepted none, it is the provider that is out of order:
// nobody is written to, a person decides.
func (p *pass) settleRefused(ctx context.Context, refused []refusedGroup, accepted map[string]int) error {
	count := map[string]int{}
	for _, r := range refused {
		count[r.provider]++
	}
	for provider, n := range count {
		if !massRefusal(n, accepted[provider]) {
			continue
		}
		// Refusals that an interrupted pass has left are judged by what it was
		// told besides them.
		others, err := p.acceptedSince(ctx, provider, firstRefusal(refused, provider, p.now))
		if err != nil {
			return fmt.Errorf("looking for logins that %s accepted: %w", provider, err)
		}
		if accepted[provider] += others; massRefusal(n, accepted[provider]) {
			p.log.Error("a provider refuses every password tried in this run: no client is told, each waits for a person",
				"event", "probe.mass_refusal", "provider", provider, "refused", n,
				"hint", "sign in to one of these mailboxes by hand; then decide with `ingest review`")
		}
	}
	for _, r := range refused {
		var err error
		if massRefusal(count[r.provider], accepted[r.provider]) {
			err = p.toReview(ctx, r.sub, ReviewAllRefused)
		} else {
			err = p.reject(ctx, r.sub)
		}
		if err = p.unlessAlone(r.sub.Mailbox, err); err != nil {
			return err
		}
	}
	return nil
}

// firstRefusal is when the pass began in which the first of these refusals was
// met; at the latest now.
func firstRefusal(refused []refusedGroup, provider string, now time.Time) time.Time {
	first := now
	for _, r := range refused {
		for _, c := range r.sub.Candidates {
			if r.provider == provider && !c.RefusedAt.IsZero() && c.RefusedAt.Before(first) {
				first = c.RefusedAt
			}
		}
	}
	return first
}

// acceptedSince counts the mailboxes of a provider whose last login, at since
// or later, was accepted.
func (p *pass) acceptedSince(ctx context.Context, provider string, since time.Time) (n int, err error) {
	err = p.vault.View(ctx, func(tx *vault.Tx) error {
		n = 0
		return tx.Credentials(func(cred vault.Credential) error {
			if cred.LastCheck.Result != string(probe.Accepted) || cred.LastCheck.At.Before(since) {
				return nil
			}
			client, ok, err := tx.Client(cred.Mailbox)
			if err != nil || !ok {
				return err
			}
			if _, id, _, err := p.targetOf(client, cred.Signer); err == nil && id == provider {
				n++
			}
			return nil
		})
	})
	return n, err
}

// unlessAlone is the error that ends the pass, nil where it concerns one
// mailbox alone: a record that can't be is a fault of this program, and must
// not keep all others waiting. The submission stays, and is tried again.
func (p *pass) unlessAlone(mailbox string, err error) error {
	if !errors.Is(err, vault.ErrInvalid) && !errors.Is(err, errFault) {
		if err != nil {
			err = fmt.Errorf("settling what %s sent: %w", mailbox, err)
		}
		return err
	}
	p.sum.Errors++
	p.log.Error("a submission could not be settled; the others are", "event", "submission.stuck", "mailbox", mailbox, "err", err,
		"hint", "a fault of the program: report it; until then enter the password with `ingest set "+mailbox+"`")
	return nil
}

// massRefusal is the rule for new passwords: among them some are wrong every
// day, so one that was accepted shows that the provider is in order.
func massRefusal(refused, accepted int) bool { return refused > 2 && accepted == 0 }

// showPlans tells what a real pass would do.
func (p *pass) showPlans(ctx context.Context, groups []group) error {
	for _, g := range groups {
		var cred vault.Credential
		var client vault.Client
		var listed bool
		err := p.vault.View(ctx, func(tx *vault.Tx) (err error) {
			cred, client, listed, err = readGroup(tx, g)
			return err
		})
		if err != nil {
			return err
		}
		for _, st := range p.plan(g, cred, client, listed) {
			outcome := map[string]string{doProbe: OutcomeAccepted, doSupersede: OutcomeSuperseded,
				doExtend: OutcomeExtended, doReview: OutcomeReview}[st.do]
			if st.do == doExtend && cred.Current == 0 {
				outcome, st.reason = OutcomeReview, ReviewNothingToDefer
			}
			p.tell(st.sub, outcome, st.reason, "")
		}
	}
	return nil
}
