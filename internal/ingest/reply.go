package ingest

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"pec-ingest/internal/notify"
	"pec-ingest/internal/probe"
	"pec-ingest/internal/provider"
	"pec-ingest/internal/schedule"
	"pec-ingest/internal/vault"
)

// Causes of messages, as stored: each is sent at most once, ever.
const (
	causeReply   = "reply/"   // + submission ID (+ "/" + kind)
	causeWarning = "warning/" // + schedule.Warning.Key (shortened)
	causeDigest  = "digest/"  // + day
)

// Priorities in the outbox: somebody waits for a reply.
const (
	priorityReply   = 0
	priorityWarning = 1
)

// reply queues the answer to a submission, in the transaction that settles
// it. Who is not a listed client is never answered, nor is an old letter.
func (s *Service) reply(tx *vault.Tx, sub vault.Submission, kind notify.Kind, v vault.Version) error {
	return s.replyBecause(tx, sub, kind, v, "")
}

// replyBecause is reply with one of notify's reasons.
func (s *Service) replyBecause(tx *vault.Tx, sub vault.Submission, kind notify.Kind, v vault.Version, reason string) error {
	if sub.NoReply || strings.HasPrefix(sub.ID, "set") {
		return nil
	}
	client, ok, err := tx.Client(sub.Mailbox)
	if err != nil || !ok || !client.RemovedAt.IsZero() {
		return err
	}
	cause := causeReply + sub.ID + "/" + string(kind)
	if joined, err := s.joinAnswer(tx, sub, kind, client, v, cause); err != nil || joined {
		return err
	}
	to, err := answerTo(tx, sub, client)
	if err != nil {
		return err
	}
	allowed, err := s.countReply(tx, to)
	if err != nil || !allowed {
		return err
	}
	data := s.dataFor(client, sub.Signer, v)
	data.Reason = reason
	again, err := afterRestoreOf(tx, sub.ReceivedAt)
	if err != nil {
		return err
	}
	return s.queueDoubtful(tx, cause, kind, client, to, data, priorityReply, again)
}

// answerTo is where an answer goes: to the mailbox that the letter came from,
// whichever mailbox it is about and whichever of several was settled first.
// Who wrote reads that one; another mailbox perhaps nobody but the studio
// reads. A sender who is no client is not written to.
func answerTo(tx *vault.Tx, sub vault.Submission, client vault.Client) (string, error) {
	if sub.Sender == "" {
		return client.Mailbox, nil
	}
	writer, ok, err := tx.Client(sub.Sender)
	if err != nil || !ok || !writer.RemovedAt.IsZero() {
		return client.Mailbox, err
	}
	return writer.Mailbox, nil
}

// joinAnswer adds a mailbox to the answer that waits for another mailbox of
// the same letter: a letter that serves several gets one answer which names
// them all. Letters that serve several are all of one client (sharesOf).
func (s *Service) joinAnswer(tx *vault.Tx, sub vault.Submission, kind notify.Kind, client vault.Client, v vault.Version, cause string) (joined bool, err error) {
	letter, _, _ := strings.Cut(sub.ID, "#")
	if _, several, err := tx.Submission(submissionID(letter, 1)); err != nil || !several {
		return false, err
	}
	cause = shortCause(cause)
	if done, err := tx.Caused(cause); err != nil || done {
		return done, err
	}
	open, err := tx.OpenOutgoing()
	if err != nil {
		return false, err
	}
	for _, o := range open {
		if o.State != vault.OutQueued || o.Tries > 0 || o.Kind != string(kind) || !answers(o, letter) {
			continue
		}
		var d notify.Data
		if err := json.Unmarshal(o.Data, &d); err != nil {
			return false, fmt.Errorf("reading the data of message %d: %w", o.N, err)
		}
		if len(d.Items) == 0 {
			d.Items = []notify.Item{{Mailbox: d.Mailbox, Client: d.Client, Expires: d.Expires}}
		}
		d.Mailboxes = append(d.Mailboxes, client.Mailbox)
		d.Items = append(d.Items, notify.Item{Mailbox: client.Mailbox, Client: client.Name, Expires: v.Expires})
		if o.Data, err = json.Marshal(d); err != nil {
			return false, fmt.Errorf("writing the data of a message: %w", err)
		}
		if err := tx.MarkCause(cause, fmt.Sprintf("out/%d", o.N)); err != nil {
			return false, err
		}
		return true, tx.PutOutgoing(o)
	}
	return false, nil
}

// answers tells whether a message answers a letter.
func answers(o vault.Outgoing, letter string) bool {
	for n := range maxShares {
		if o.Cause == shortCause(causeReply+submissionID(letter, n)+"/"+o.Kind) {
			return true
		}
	}
	return false
}

// maxReplies is how often a mailbox is answered on one day: two programs that
// answer each other must end.
const maxReplies = 3

func (s *Service) countReply(tx *vault.Tx, mailbox string) (allowed bool, err error) {
	at, _, err := tx.Attempts(mailbox)
	if err != nil {
		return false, err
	}
	at = countsOf(at, mailbox, s.today(time.Now()))
	if at.Replies >= maxReplies {
		s.log.Warn("not answered: three answers today are enough", "event", "outbox.limited", "mailbox", mailbox)
		return false, nil
	}
	at.Replies++
	return true, tx.PutAttempts(at)
}

// replyAccepted answers an accepted submission, once it is proven: "received
// and working" must be true. An unverified one is answered when the proof, or
// the refusal, is there; but that mail programs are not let in is said at
// once, since only the client can mend it.
func (p *pass) replyAccepted(tx *vault.Tx, sub vault.Submission, v vault.Version, a attempt, outcome string) error {
	if a.result.Outcome == probe.NotEnabled {
		return p.replyBecause(tx, sub, notify.KindRefused, v, notify.ReasonNotEnabled)
	}
	if !a.unprobed && a.result.Outcome != probe.Accepted {
		return nil
	}
	kind := notify.KindAccepted
	if outcome == OutcomeExtended {
		kind = notify.KindExtension
	}
	return p.reply(tx, sub, kind, v)
}

// replyReview says that a person looks at it, and what seems to be the
// matter. Where a provider refuses everybody no client is written to.
func (p *pass) replyReview(tx *vault.Tx, sub vault.Submission, reason string) error {
	if reason == ReviewAllRefused {
		return nil
	}
	why := ""
	if reason == ReviewIntended {
		why = notify.ReasonIntended
		files, err := fileInfos(tx, sub.ID)
		if err != nil {
			return err
		}
		for _, f := range files {
			if strings.HasPrefix(strings.ToLower(f.Type), "image/") {
				why = notify.ReasonPicture
				break
			}
			why = notify.ReasonDocument
		}
	}
	return p.replyBecause(tx, sub, notify.KindReview, vault.Version{}, why)
}

// dataFor gathers what a message to a client says.
func (s *Service) dataFor(c vault.Client, signer string, v vault.Version) notify.Data {
	d := notify.Data{
		Lang:   langOf(c),
		Studio: s.studio(),
		Client: c.Name, Mailbox: c.Mailbox, Mailboxes: []string{c.Mailbox},
		Expires: v.Expires, Claimed: v.Claimed,
	}
	if !v.Expires.IsZero() {
		d.RemindFrom = schedule.RenewDay(s.issued(v), v.Expires, s.policy)
	}
	if p, ok := s.providerOf(c, signer); ok {
		d.Provider = p.Name
		d.Steps, d.Postpone = provider.Numbered(p.Steps, d.Lang), provider.Numbered(p.Postpone, d.Lang)
	}
	return d
}

func (s *Service) studio() notify.Studio {
	return notify.Studio{Name: s.cfg.Studio.Name, Phone: s.cfg.Studio.Phone, PEC: s.ownAddresses()[0]}
}

func langOf(c vault.Client) string {
	if strings.EqualFold(c.Lang, "en") {
		return "en"
	}
	return "it"
}

// queue puts a message into the outbox, once for its cause. Without [smtp]
// nothing is sent: the message is kept as failed, so that the outbox shows
// what would have gone out, and logged.
//
// Nothing is ever sent to an address of the inbox that is read.
func (s *Service) queue(tx *vault.Tx, cause string, kind notify.Kind, c vault.Client, to string, d notify.Data, priority int) error {
	return s.queueDoubtful(tx, cause, kind, c, to, d, priority, false)
}

// queueDoubtful is queue for what a vault that was lost may have sent
// (lostmail.go), where doubtful says so.
func (s *Service) queueDoubtful(tx *vault.Tx, cause string, kind notify.Kind, c vault.Client, to string, d notify.Data, priority int, doubtful bool) error {
	if s.isOwn(to) && kind != notify.KindStudioInbox && kind != notify.KindDigest {
		return nil
	}
	body, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("writing the data of a message: %w", err)
	}
	id, err := s.newMessageID()
	if err != nil {
		return err
	}
	n, queued, err := tx.Queue(vault.Outgoing{Cause: shortCause(cause), Kind: string(kind), To: to, Mailbox: c.Mailbox, Lang: d.Lang,
		MessageID: id, Data: body, QueuedAt: time.Now(), Priority: priority, Doubtful: doubtful})
	if err != nil || !queued || s.cfg.SMTP.Enabled {
		return err
	}
	o, _, err := tx.Outgoing(n)
	if err != nil {
		return err
	}
	o.State, o.LastError = vault.OutFailed, "not sent: there is no [smtp] in the configuration"
	s.log.Info("a message would be sent", "event", "outbox.unsent", "kind", string(kind), "to", to, "n", n)
	return tx.PutOutgoing(o)
}

// shortCause keeps a cause within what the vault lists in clear.
func shortCause(cause string) string {
	const limit = 180
	if len(cause) <= limit {
		return cause
	}
	return cause[:limit-33] + "~" + hashText(cause)
}

// newMessageID makes a Message-ID in the sender's domain. It is fixed when
// the message is queued, so that a receipt, or a second sending after a
// crash, names the same message.
func (s *Service) newMessageID() (string, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	domain := "localhost"
	from := s.cfg.SMTP.FromAddress
	if from == "" {
		from = s.cfg.Inbox.Username
	}
	if _, d, ok := strings.Cut(from, "@"); ok {
		domain = d
	}
	return "<" + hex.EncodeToString(b[:]) + "@" + domain + ">", nil
}
