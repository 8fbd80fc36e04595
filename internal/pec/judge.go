package pec

import (
	"bytes"
	"strings"
	"time"
)

// maxClockAhead is how far the certified time may lie after reception.
const maxClockAhead = time.Hour

// Judge looks at one raw message (RFC 5322, line ends CRLF or LF) and says
// whether it is a certified transport envelope, or why not: the first reason
// that applies, in the order of Reasons. It never returns nil and never
// panics. raw is not retained.
//
// Source: RFC 6109 §2.1, §2.2.2, §3, §4.4, §7; RFC 8551 §3.5.3; RFC 5652 §5.
func Judge(raw []byte, o Options) *Judgement {
	e := examination{options: o, judgement: &Judgement{Kind: KindOrdinary}}
	if r := e.run(raw); r != nil {
		e.judgement.Reason = r.reason
		e.judgement.Err = r.err()
		e.judgement.Message = nil
	}
	return e.judgement
}

// examination is one run of Judge. Its methods are the steps, in their order.
type examination struct {
	options   Options
	judgement *Judgement

	outer    header
	content  []byte // the signed part, as signed
	mended   bool   // content is a copy with its line ends mended
	identity *identity
	from     string // the address of From; "" when there is not exactly one
	inside   contents
}

func (e *examination) run(raw []byte) *refusal {
	j := e.judgement
	limit := e.options.MaxBytes
	if limit <= 0 {
		limit = DefaultMaxBytes
	}
	outer, body, err := parseHeader(raw, maxHeaderBytes)
	shown := outer
	if err != nil { // still good enough to say what it claims to be
		shown, _, _ = parseInnerHeader(raw)
	}
	j.Kind = kindOf(shown)
	j.Claimed = claimed(shown)
	if int64(len(raw)) > limit {
		return refuse(ReasonTooLarge, "%d bytes", len(raw))
	}
	if err != nil {
		return refuse(ReasonMalformed, "%v", err)
	}
	e.outer = outer
	if r := checkOuter(outer); r != nil {
		return r
	}
	if !claimsPEC(outer, j.Kind) {
		if looksREM(outer, body) {
			j.Kind = KindREM
			return refuse(ReasonNotPEC, "registered mail of the ETSI kind")
		}
		return refuse(ReasonNotPEC, "")
	}
	if r := e.verify(body); r != nil {
		return r
	}
	e.inside = readContents(e.content)
	if r := e.checkSigner(); r != nil {
		return r
	}
	if j.Kind == KindAnomaly {
		return refuse(ReasonAnomaly, "")
	}
	if j.Kind != KindEnvelope {
		e.attestReceipt()
		return refuse(ReasonReceipt, "")
	}
	if e.inside.refusal != nil {
		return e.inside.refusal
	}
	if r := e.bind(); r != nil {
		return r
	}
	j.Message = e.message(KindEnvelope)
	return nil
}

// onceFields are the fields of the envelope that are used, or that steer how
// other programs read it.
var onceFields = []string{
	"from", "message-id", "x-trasporto", "x-ricevuta", "x-riferimento-message-id",
	"content-type", "content-transfer-encoding", "mime-version",
}

func checkOuter(h header) *refusal {
	if len(h.fields) == 0 {
		return refuse(ReasonMalformed, "no header")
	}
	for _, name := range onceFields {
		if h.count(name) > 1 {
			return refuse(ReasonMalformed, "%s occurs more than once", name)
		}
	}
	if h.has("x-trasporto") && h.has("x-ricevuta") {
		return refuse(ReasonMalformed, "both X-Trasporto and X-Ricevuta")
	}
	return nil
}

// verify finds the detached signature at the top and checks it.
func (e *examination) verify(body []byte) *refusal {
	if !e.outer.has("content-type") {
		return refuse(ReasonUnsigned, "no Content-Type")
	}
	typ, err := parseMediaType(e.outer.get("content-type"))
	if err != nil {
		return refuse(ReasonMalformed, "Content-Type: %v", err)
	}
	switch typ.value {
	case "multipart/signed":
	case "application/pkcs7-mime", "application/x-pkcs7-mime":
		// RFC 6109 §2.1 allows the detached form only.
		return refuse(ReasonNotPEC, "opaque or encrypted S/MIME")
	default:
		return refuse(ReasonUnsigned, "top level is not multipart/signed")
	}
	boundary, err := typ.one("boundary")
	if err != nil || boundary == "" {
		return refuse(ReasonMalformed, "boundary is missing or ambiguous")
	}
	if !isIdentity(firstToken(e.outer.get("content-transfer-encoding"))) {
		return refuse(ReasonMalformed, "transfer encoding on a multipart")
	}
	parts, err := splitParts(body, boundary, maxParts)
	if err != nil {
		return refuse(ReasonMalformed, "%v", err)
	}
	if len(parts) != 2 {
		return refuse(ReasonMalformed, "multipart/signed has %d parts", len(parts))
	}
	raw, r := signatureBytes(typ, parts[1])
	if r != nil {
		return r
	}
	return e.verifyCMS(raw, parts[0])
}

// signatureBytes decodes the second part of multipart/signed.
func signatureBytes(typ mediaType, raw []byte) ([]byte, *refusal) {
	p, err := parsePart(raw)
	if err != nil {
		return nil, refuse(ReasonMalformed, "signature part: %v", err)
	}
	if !isSignatureType(p.typ.value) && !(p.typ.value == "application/octet-stream" && p.named("smime.p7s")) {
		return nil, refuse(ReasonUnsigned, "second part is no S/MIME signature")
	}
	for _, protocol := range typ.all("protocol") {
		if !isSignatureType(asciiLowerString(protocol)) {
			return nil, refuse(ReasonUnsigned, "protocol is not S/MIME")
		}
	}
	der, err := decode(p.encoding, p.body)
	if err != nil {
		return nil, refuse(ReasonBadSignature, "signature part: %v", err)
	}
	if len(bytes.TrimSpace(der)) == 0 {
		return nil, refuse(ReasonUnsigned, "signature part is empty")
	}
	return der, nil
}

func isSignatureType(t string) bool {
	return t == "application/pkcs7-signature" || t == "application/x-pkcs7-signature"
}

func (e *examination) verifyCMS(raw, content []byte) *refusal {
	s, r := parseSignature(raw)
	if r != nil {
		return r
	}
	trust := e.options.Trust
	if trust == nil {
		trust = nobody
	}
	e.identity = trust.identify(s)
	if e.identity.leaf == nil {
		return refuse(ReasonBadSignature, "signer's certificate is not in the signature, or a certificate is broken")
	}
	if e.content, e.mended, r = s.checkMessage(e.identity.leaf, content); r != nil {
		return r
	}
	if s.weak() {
		e.judgement.Weak = append(e.judgement.Weak, WeakSHA1)
	}
	if !e.identity.trustedAt(nil) {
		return refuse(ReasonUntrustedSigner, "no chain to a trust anchor")
	}
	return nil
}

// checkSigner holds the signer against the certified time and From.
func (e *examination) checkSigner() *refusal {
	// RFC 6109 §7: valid when it signed. An envelope without readable data
	// has no such time and is refused for that, further on.
	var at *time.Time
	switch {
	case e.inside.daticert != nil:
		at = &e.inside.daticert.sentAt
	case e.judgement.Kind != KindEnvelope && !e.options.ReceivedAt.IsZero():
		at = &e.options.ReceivedAt
	}
	if !e.identity.trustedAt(at) {
		return refuse(ReasonUntrustedSigner, "the chain was not valid at that time")
	}
	if r := e.identity.validAt(at); r != nil {
		return r
	}
	from, ok := singleAddress(e.outer.get("from"))
	if !ok {
		return refuse(ReasonSignerMismatch, "From does not hold exactly one address")
	}
	if !e.identity.signsFor(from) {
		return refuse(ReasonSignerMismatch, "From is not in the certificate")
	}
	e.from = from
	return nil
}

// bind holds the certification data against the envelope, the original
// message and the options. Rules 4 and 5 of the contract.
func (e *examination) bind() *refusal {
	d := e.inside.daticert
	mismatch := func(what string) *refusal { return refuse(ReasonDaticertMismatch, "%s", what) }
	if Kind(d.kind) != KindEnvelope {
		return mismatch("tipo is not posta-certificata")
	}
	if d.failure != "nessuno" {
		return mismatch("errore is not nessuno")
	}
	if id := bareID(e.outer.get("message-id")); id == "" || id != d.id {
		return mismatch("identificativo is not the Message-ID")
	}
	if d.msgid != "" && bareID(e.outer.get("x-riferimento-message-id")) != bareID(d.msgid) {
		return mismatch("msgid is not X-Riferimento-Message-ID")
	}
	if !addressedTo(d.recipients, e.options.Recipients) {
		return mismatch("destinatari do not name us")
	}
	if at := e.options.ReceivedAt; !at.IsZero() && d.sentAt.After(at.Add(maxClockAhead)) {
		return mismatch("certified time is after reception")
	}
	author, ok := originalFrom(e.inside.original)
	if !ok {
		return mismatch("original message does not have exactly one author")
	}
	if !isAddress(d.sender) || !asciiEqualFold(author, d.sender) {
		return mismatch("mittente is not the author of the original message")
	}
	return nil
}

// addressedTo compares whole addresses without case.
func addressedTo(recipients []Recipient, ours []string) bool {
	if len(ours) == 0 {
		return true
	}
	for _, r := range recipients {
		for _, our := range ours {
			if asciiEqualFold(r.Address, strings.TrimSpace(our)) {
				return true
			}
		}
	}
	return false
}

// originalFrom is the author of postacert.eml, which must be exactly one.
func originalFrom(original []byte) (string, bool) {
	h, _, err := parseInnerHeader(original)
	if err != nil || h.count("from") != 1 {
		return "", false
	}
	return singleAddress(h.get("from"))
}

// attestReceipt fills in Judgement.Receipt. What kind of receipt it is, the
// signed data says; X-Ricevuta is outside of the signature.
func (e *examination) attestReceipt() {
	d := e.inside.daticert
	if d == nil || !Kind(d.kind).IsReceipt() {
		return
	}
	if e.judgement.Kind == KindOrdinary { // an X-Ricevuta that we don't know
		e.judgement.Kind = Kind(d.kind)
	}
	e.judgement.Receipt = e.message(Kind(d.kind))
}

func (e *examination) message(kind Kind) *Message {
	d := e.inside.daticert
	leaf := e.identity.leaf
	original := e.inside.original
	if !e.options.Share && !e.mended && !e.inside.decoded { // still a part of raw, which is the caller's
		original = bytes.Clone(original)
	}
	return &Message{
		Kind: kind, ID: d.id, MsgID: d.msgid,
		Sender: d.sender, Mailbox: MailboxOf(d.sender), Recipients: d.recipients,
		ReplyTo: d.replyTo, Subject: d.subject,
		SentAt: d.sentAt, Zone: d.zone, Provider: d.provider,
		ReceiptType: d.receipt, Delivery: d.delivery, TakenInCharge: d.taken,
		ExtendedError: d.extended, ErrorType: d.failure,
		Signer: Signer{
			Address: asciiLowerString(e.from), SPKI: e.identity.spki,
			Subject: e.identity.subject, NotAfter: leaf.NotAfter.UTC(),
		},
		Original: original,
	}
}
