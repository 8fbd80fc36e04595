package pec

import (
	"mime"
	"strings"
)

// Triage says from the header alone what a message claims to be, without
// parsing its body: good for skipping a download, never for believing. header
// is the header block or a selection of its fields (X-Trasporto, X-Ricevuta,
// From …). It returns "" for what can't be told so: that must be looked at.
func Triage(headerBlock []byte) Kind {
	h, _, err := parseHeader(headerBlock, maxHeaderBytes)
	if err != nil || checkOuter(h) != nil {
		return ""
	}
	return kindOf(h)
}

// Outer is what a header block claims.
type Outer struct {
	Kind    Kind   // as Triage says
	ID      string // as MessageID says
	Claimed Claimed
}

// OuterOf is Triage, MessageID and ClaimedOf at once: most messages of an
// inbox are left alone for what these three say.
func OuterOf(headerBlock []byte) (o Outer) {
	h, _, err := parseHeader(headerBlock, maxHeaderBytes)
	if err != nil {
		return o
	}
	if checkOuter(h) == nil {
		o.Kind = kindOf(h)
	}
	if h.count("message-id") == 1 {
		o.ID = bareID(h.get("message-id"))
	}
	o.Claimed = claimed(h)
	return o
}

// MessageID returns the Message-ID of a header block without <>, "" when there
// is none or more than one.
func MessageID(headerBlock []byte) string {
	h, _, err := parseHeader(headerBlock, maxHeaderBytes)
	if err != nil || h.count("message-id") != 1 {
		return ""
	}
	return bareID(h.get("message-id"))
}

// ClaimedOf returns what a header block claims: to be shown, never believed.
func ClaimedOf(headerBlock []byte) Claimed {
	h, _, err := parseHeader(headerBlock, maxHeaderBytes)
	if err != nil {
		return Claimed{}
	}
	return claimed(h)
}

// kindOf reads X-Trasporto and X-Ricevuta. RFC 6109 §3.
func kindOf(h header) Kind {
	if h.has("x-trasporto") {
		switch asciiLowerString(h.get("x-trasporto")) {
		case "posta-certificata":
			return KindEnvelope
		case "errore":
			return KindAnomaly
		}
		return KindOrdinary
	}
	if h.has("x-ricevuta") {
		value := Kind(asciiLowerString(h.get("x-ricevuta")))
		if value.IsReceipt() {
			return value
		}
		return KindOrdinary
	}
	if hasREMFields(h) {
		return KindREM
	}
	return KindOrdinary
}

// claimsPEC tells whether the header makes the message PEC. Values of
// X-Ricevuta are not a closed list; those of X-Trasporto are.
func claimsPEC(h header, kind Kind) bool {
	switch kind {
	case KindEnvelope, KindAnomaly:
		return true
	}
	return h.has("x-ricevuta") && h.get("x-ricevuta") != ""
}

// hasREMFields looks for the fields of ETSI EN 319 532-4 and of the older TS
// 102 640. PEC messages of some providers carry X-REM-Subject beside theirs.
func hasREMFields(h header) bool {
	for _, f := range h.fields {
		name := asciiLowerString(string(f.name))
		if strings.HasPrefix(name, "rem-") || strings.HasPrefix(name, "x-rem-") {
			return true
		}
	}
	return false
}

// looksREM also knows a REM message by the marks on its parts. Only
// multipart/signed is looked into: other mail is not parsed.
func looksREM(h header, body []byte) bool {
	if kindOf(h) == KindREM {
		return true
	}
	typ, err := parseMediaType(h.get("content-type"))
	if err != nil || typ.value != "multipart/signed" {
		return false
	}
	boundary, err := typ.one("boundary")
	if err != nil || boundary == "" {
		return false
	}
	parts, err := splitParts(body, boundary, maxParts)
	if err != nil || len(parts) != 2 {
		return false
	}
	children, err := signedChildren(parts[0])
	if err != nil {
		return false
	}
	for _, p := range children {
		if hasREMFields(p.header) || p.named("AttachedMimeMessage") {
			return true
		}
	}
	return false
}

func claimed(h header) Claimed {
	c := Claimed{
		ID:      bareID(h.get("message-id")),
		From:    decodeWords(h.get("from")),
		Subject: decodeWords(h.get("subject")),
	}
	if ref := bareID(h.get("x-riferimento-message-id")); ref != "" {
		c.MsgID = "<" + ref + ">"
	}
	c.Sender, _ = singleAddress(h.get("from"))
	const onBehalf = "per conto di:"
	if at := strings.Index(asciiLowerString(c.From), onBehalf); at >= 0 {
		rest := strings.TrimLeft(c.From[at+len(onBehalf):], " \t")
		end := strings.IndexAny(rest, "\" \t<>,")
		if end < 0 {
			end = len(rest)
		}
		if isAddress(rest[:end]) {
			c.Sender = rest[:end]
		}
	}
	return c
}

func decodeWords(v string) string {
	if !strings.Contains(v, "=?") {
		return v
	}
	decoded, err := new(mime.WordDecoder).DecodeHeader(v)
	if err != nil {
		return v
	}
	return decoded
}
