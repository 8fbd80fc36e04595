package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/mail"
	"strings"
	"time"

	"pec-ingest/internal/inbox"
	"pec-ingest/internal/pec"
	"pec-ingest/internal/safetext"
	"pec-ingest/internal/secret"
	"pec-ingest/internal/submission"
	"pec-ingest/internal/vault"
)

// judged is one message after judging, ready for the first commit. It holds
// nothing of the message but what is kept: secrets only sealed.
type judged struct {
	at       vault.Location
	received time.Time
	kind     pec.Kind
	reason   pec.Reason
	why      string
	detail   string // the same to the letter, for the log
	claimed  pec.Claimed
	id       string // the PEC identifier, certified messages only
	subject  string // masked

	skipped string // why an envelope was not downloaded; "" if it was
	replay  bool   // the identifier was seen before
	mine    bool   // claims to be the receipt of one of our messages
	same    bool   // …in this very message: an interrupted pass comes by again
	subs    []vault.Submission
	reviews []vault.Review    // parallel to subs; zero where none is opened at once
	held    [][]secret.Secret // parallel to subs: the candidates in clear
	faults  int               // passwords that could not be sealed

	stopped bool       // the program failed on it; nothing else is known
	hole    vault.Hole // …and when it is asked for again
	gone    bool       // …or not again
}

// judgeSafely is judge, also of a message on which that fails.
func (p *pass) judgeSafely(ctx context.Context, h inbox.Header, m inbox.Message) (j judged) {
	killReading(m.Raw)
	if !p.guarded(m.UID, func() { j = p.judge(ctx, h, m) }) {
		return p.stopped(h)
	}
	return j
}

// stopped stands for a message on which reading it fails.
func (p *pass) stopped(h inbox.Header) judged {
	return judged{at: locationOf(p, h.UID, ""), received: h.InternalDate, stopped: true, claimed: pec.Claimed{Sender: p.claimedSender(h)}}
}

// judge reads one message: is it certified, does it carry a password, whose.
// It seals what it finds; the clear text stays only in held. It may run beside
// others of its kind.
func (p *pass) judge(ctx context.Context, h inbox.Header, m inbox.Message) judged {
	j := judged{at: locationOf(p, m.UID, pec.MessageID(h.Raw)), received: m.InternalDate}
	if m.TooLarge {
		j.kind, j.reason = pec.Triage(h.Raw), pec.ReasonTooLarge
		j.claimed, j.why = pec.ClaimedOf(h.Raw), pec.ReasonTooLarge.Sentence()
		return j
	}
	verdict := p.Reader.Judge(m.Raw, pec.Options{
		Trust: p.trust, Recipients: p.ownAddresses(), ReceivedAt: m.InternalDate, MaxBytes: p.cfg.Inbox.MaxMessage,
		Share: true,
	})
	j.kind, j.reason, j.claimed = verdict.Kind, verdict.Reason, verdict.Claimed
	if !verdict.Certified() {
		j.why, j.detail = verdict.Reason.Sentence(), verdict.Err.Error()
		return j
	}
	msg := verdict.Message
	j.id = msg.ID
	j.at.MessageID = msg.ID
	if len(verdict.Weak) > 0 {
		p.log.Info("weak signature accepted", "event", "message.weak", "uid", m.UID, "weak", strings.Join(verdict.Weak, ","))
	}
	found := p.Reader.Find(msg, submission.Options{Location: p.policy.Location, StateOnly: true})
	j.subject = safetext.Line(submission.MaskLine(msg.Subject, allCandidates(found)))
	if found.State == submission.None || p.isOwn(msg.Mailbox) {
		found.Wipe()
		return j
	}
	p.toSubmissions(ctx, &j, msg, found)
	return j
}

func allCandidates(r *submission.Result) []submission.Candidate {
	all := r.Candidates
	for _, pair := range r.Pairs {
		all = append(all[:len(all):len(all)], pair.Candidates...)
	}
	return all
}

// ownAddresses are the studio's PEC addresses.
func (s *Service) ownAddresses() []string {
	if len(s.cfg.Inbox.Address) > 0 {
		return s.cfg.Inbox.Address
	}
	return []string{s.cfg.Inbox.Username}
}

func (s *Service) isOwn(mailbox string) bool {
	for _, a := range s.ownAddresses() {
		if strings.EqualFold(a, mailbox) {
			return true
		}
	}
	return false
}

// share is the part of a letter that goes to one mailbox.
type share struct {
	mailbox    string
	candidates []submission.Candidate
	stated     time.Time
	clear      bool   // one of several pairs, each with its clear password
	reason     string // why a person must look, "" = none
}

// sharesOf decides for whom a letter is: the sender's mailbox. What names
// several mailboxes is divided only if every one belongs to the same client;
// anything else is a matter for a person, and is not tried anywhere.
func (p *pass) sharesOf(msg *pec.Message, found *submission.Result) []share {
	one := share{mailbox: msg.Mailbox, candidates: found.Candidates, stated: found.Stated}
	if msg.Mailbox == "" {
		one.mailbox, one.reason = "?"+strings.ToLower(safetext.Address(msg.Sender)), ReviewStrangeAddress
		return []share{one}
	}
	serves := p.clients.serves(msg.Mailbox)
	if len(serves) == 0 {
		one.reason = ReviewUnlisted
		return []share{one}
	}
	if len(found.Pairs) > 0 {
		return p.pairShares(msg, found, serves, one)
	}
	named := p.listed(found.Named)
	switch {
	case len(serves) == 1 && (len(named) == 0 || len(named) == 1 && named[0] == serves[0]):
		one.mailbox = serves[0]
	case len(named) == 1 && contains(serves, named[0]):
		one.mailbox = named[0]
	default:
		// Another mailbox than the sender's, or a sender that serves several
		// and does not say which: trying one would be a guess.
		one.reason = ReviewOtherMailbox
	}
	return []share{one}
}

func (p *pass) pairShares(msg *pec.Message, found *submission.Result, serves []string, whole share) []share {
	whole.candidates, whole.reason = allCandidates(found), ReviewOtherMailbox
	sender, ok := p.clients.client(serves[0])
	if !ok {
		return []share{whole}
	}
	if len(found.Pairs) > maxShares {
		return []share{whole}
	}
	var out []share
	for _, pair := range found.Pairs {
		c, listed := p.clients.client(pair.Mailbox)
		mine := contains(serves, pair.Mailbox) || listed && c.Name != "" && c.Name == sender.Name
		if !listed || !mine {
			return []share{whole}
		}
		out = append(out, share{mailbox: pair.Mailbox, candidates: pair.Candidates, stated: pair.Stated, clear: true})
	}
	return out
}

// listed keeps those of some addresses that are clients' mailboxes: a private
// address in a signature says nothing about whose password it is.
func (p *pass) listed(addresses []string) (out []string) {
	for _, a := range addresses {
		if _, ok := p.clients.client(a); ok && !contains(out, strings.ToLower(a)) {
			out = append(out, strings.ToLower(a))
		}
	}
	return out
}

// isAutomatic tells whether a program wrote the letter: an answer to a
// vacation notice or a mailing list would answer nobody, or for ever.
// Source: RFC 3834 §5.
func isAutomatic(original []byte) bool {
	head := original
	if i := bytes.Index(original, []byte("\r\n\r\n")); i >= 0 {
		head = original[:i+4]
	}
	msg, err := mail.ReadMessage(bytes.NewReader(head))
	if err != nil {
		return false
	}
	auto := strings.ToLower(strings.TrimSpace(msg.Header.Get("Auto-Submitted")))
	bulk := strings.ToLower(strings.TrimSpace(msg.Header.Get("Precedence")))
	return auto != "" && auto != "no" || bulk == "bulk" || bulk == "list" || bulk == "junk" ||
		msg.Header.Get("List-Id") != "" || msg.Header.Get("X-Autoreply") != ""
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if strings.EqualFold(l, s) {
			return true
		}
	}
	return false
}

// toSubmissions turns what was found into sealed records, one a mailbox.
func (p *pass) toSubmissions(ctx context.Context, j *judged, msg *pec.Message, found *submission.Result) {
	shares := p.sharesOf(msg, found)
	for i, sh := range shares {
		sub := vault.Submission{
			ID: submissionID(msg.ID, i), Mailbox: sh.mailbox, Signer: signerFor(msg, sh.mailbox), MsgID: msg.MsgID,
			SentAt: msg.SentAt, ReceivedAt: j.received.UTC().Truncate(time.Second), JudgedAt: p.now,
			Find: string(found.State), Stated: sh.stated, Masked: j.subject, HoldsMore: found.HoldsMore,
			Stage: vault.StageJudged, Reason: sh.reason, Location: j.at,
			NoReply: p.now.Sub(msg.SentAt) > AnswerWithin || p.rereading() || isAutomatic(msg.Original),
		}
		if sh.mailbox != msg.Mailbox {
			sub.Sender = msg.Mailbox
		}
		if sh.clear {
			sub.Find = string(submission.Found)
		}
		if !p.cfg.Probe.Enabled && len(sh.candidates) > 0 && sh.candidates[0].Loose && sub.Find == string(submission.Found) {
			sub.Find = string(submission.Ambiguous) // no login will prove where it ends
		}
		if sh.reason == ReviewUnlisted && p.cfg.Policy.Unlisted == "ignore" {
			continue
		}
		if client, ok := p.clients.client(sh.mailbox); ok {
			if login, known := p.loginOf(client, msg.Signer.Address); known {
				sub.Login = login
			}
		}
		held, err := p.sealCandidates(ctx, &sub, sh.candidates)
		if err != nil {
			p.log.Error("a password could not be sealed", "event", "vault.seal_failed", "uid", j.at.UID, "err", err)
			j.faults++
			continue
		}
		var review vault.Review
		if (len(shares) > 1 || !p.settlesUnseen(sub)) && p.sealing.more(firstOf(sub.Sender, sub.Mailbox)) {
			review = p.sealForReview(ctx, sub, msg, found, maxLetter/len(shares))
		}
		j.subs = append(j.subs, sub)
		j.held = append(j.held, held)
		j.reviews = append(j.reviews, review)
	}
	if len(j.subs) == 0 {
		found.Wipe()
	}
}

// sealForReview keeps letter and files in case a person must decide; without
// them the message in the inbox is there to be read.
func (p *pass) sealForReview(ctx context.Context, sub vault.Submission, msg *pec.Message, found *submission.Result, limit int) vault.Review {
	review, err := p.letterOf(sub, msg, found, limit)
	if err != nil {
		p.log.Error("a letter could not be sealed", "event", "vault.seal_failed", "uid", sub.Location.UID, "err", err)
	}
	if err := p.keepFiles(ctx, sub, msg); err != nil {
		p.log.Error("the files of a letter could not be kept for review", "event", "vault.seal_failed", "uid", sub.Location.UID, "err", err,
			"hint", "they are in the inbox")
	}
	return review
}

// signerFor is the signer that says who runs a mailbox: a provider signs for
// its own customer, the sender, and for nobody else. Another mailbox is known
// to be there only if it is in the sender's domain; else "", and the client's
// record must say where its password is tried.
func signerFor(msg *pec.Message, mailbox string) string {
	_, own, _ := strings.Cut(msg.Mailbox, "@")
	_, other, _ := strings.Cut(mailbox, "@")
	if msg.Mailbox != "" && !strings.EqualFold(own, other) {
		return ""
	}
	return msg.Signer.Address
}

// submissionID is the PEC identifier, with a number behind "#" where one
// message serves several mailboxes.
func submissionID(id string, n int) string {
	if n == 0 {
		return id
	}
	return fmt.Sprintf("%s#%d", id, n+1)
}

// maxShares is how many mailboxes one letter may serve; a longer list is a
// matter for a person.
const maxShares = 10

// maxCandidates is how many are kept for a person to choose from.
const maxCandidates = 20

// sealCandidates puts the sealed candidates into sub and returns them in clear.
//
// They are labelled as the version that they will become if nothing comes
// between, so that it need not be sealed anew (see sealVersion).
func (p *pass) sealCandidates(ctx context.Context, sub *vault.Submission, cands []submission.Candidate) ([]secret.Secret, error) {
	var held []secret.Secret
	if len(cands) > maxCandidates {
		cands = cands[:maxCandidates]
	}
	label := vault.Label{Mailbox: sub.Mailbox, Login: sub.Login, Source: sub.ID}
	if sub.Find == string(submission.Found) && sub.Login != "" {
		// A vault that can't be read just now is no reason to do without the
		// password: a version that is not foreseen is sealed anew.
		if n, err := p.foreseen.version(ctx, p.vault, sub.Mailbox, sub.Login); err == nil {
			label.Version = n
		}
	}
	for _, c := range cands {
		sealed, err := p.vault.Seal(label, c.Secret)
		if err != nil {
			return nil, err
		}
		sub.Candidates = append(sub.Candidates, vault.Candidate{Where: c.Where, Length: runeLen(c.Secret), Score: c.Score, Sealed: sealed, Label: label})
		held = append(held, c.Secret)
	}
	return held, nil
}

func runeLen(s secret.Secret) int {
	n := 0
	for _, b := range s.Reveal() {
		if b&0xC0 != 0x80 {
			n++
		}
	}
	return n
}

// letter is what a person sees of a message in review.
type letter struct {
	Subject  string   `json:"subject"`
	Masked   string   `json:"masked"`
	Revealed string   `json:"revealed"`
	Notes    []string `json:"notes,omitempty"`
}

const maxLetter = 64 << 10

// letterOf seals the readable letter, in case the submission must wait for a
// person. It is destroyed when the submission is settled without one.
func (p *pass) letterOf(sub vault.Submission, msg *pec.Message, found *submission.Result, limit int) (vault.Review, error) {
	cands := allCandidates(found)
	l := letter{Subject: sub.Masked, Notes: found.Notes,
		Masked:   cut(submission.Letter(msg, cands, false), limit),
		Revealed: cut(submission.Letter(msg, cands, true), limit)}
	plain, err := json.Marshal(l)
	if err == nil && len(plain) > 3*limit { // mostly escapes: no letter that anybody wrote
		l.Masked, l.Revealed = cut(l.Masked, limit/8), cut(l.Revealed, limit/8)
		plain, err = json.Marshal(l)
	}
	if err != nil {
		return vault.Review{}, err
	}
	defer clear(plain)
	label := vault.Label{Mailbox: sub.Mailbox, Login: sub.Login, Source: sub.ID}
	blob, err := p.vault.SealBlob(label, plain)
	return vault.Review{SubmissionID: sub.ID, Mailbox: sub.Mailbox, Login: sub.Login, Letter: blob, LetterLabel: label}, err
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "\n…"
}
